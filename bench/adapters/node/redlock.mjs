// redlock, with the least that its users wait: its default delays, but without limit.

import { Redis } from "ioredis";
import Redlock from "redlock";
import { serve, url } from "./serve.mjs";

const redis = new Redis(url);
const redlock = new Redlock([redis], { retryCount: -1 });

await serve(
    "redlock",
    (name) => redlock.acquire([name], 10_000),
    (lock) => lock.release(),
    { pollMs: 200, end: () => redis.quit() },
);
