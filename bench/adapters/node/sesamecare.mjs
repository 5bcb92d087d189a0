// @sesamecare-oss/redlock, with its default delays, but without limit.

import { Redlock } from "@sesamecare-oss/redlock";
import { Redis } from "ioredis";
import { serve, url } from "./serve.mjs";

const redis = new Redis(url);
const redlock = new Redlock([redis], { retryCount: -1 });

await serve(
    "sesamecare-redlock",
    (name) => redlock.acquire([name], 10_000),
    (lock) => lock.release(),
    { pollMs: 200, end: () => redis.quit() },
);
