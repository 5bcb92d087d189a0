// redlock-universal for one server, with its default delay, but many more attempts.

import { Redis } from "ioredis";
import { createLock, IoredisAdapter } from "redlock-universal";
import { described, serve, url } from "./serve.mjs";

const redis = new Redis(url);
const adapter = new IoredisAdapter(redis);
const lock = described((key) => createLock({ adapter, key, ttl: 10_000, retryAttempts: 10_000 }));

await serve(
    "redlock-universal",
    async (name) => ({ lock: lock(name), handle: await lock(name).acquire() }),
    async ({ lock, handle }) => {
        if (!(await lock.release(handle))) {
            throw new Error("not held");
        }
    },
    { pollMs: 100, end: () => redis.quit() },
);
