// redis-semaphore's Mutex, with its defaults: 10 s, renewed each 8 s, its waiters asking each 10 ms.

import { Redis } from "ioredis";
import { Mutex } from "redis-semaphore";
import { serve, url } from "./serve.mjs";

const redis = new Redis(url);

await serve(
    "redis-semaphore",
    async (name) => {
        const mutex = new Mutex(redis, name, { acquireTimeout: 60_000 });
        await mutex.acquire();
        return mutex;
    },
    (mutex) => mutex.release(),
    {
        pollMs: 10,
        keep: {
            async take(name, ttl) {
                // Its own share of the TTL: renewed after four fifths.
                const options = { lockTimeout: ttl, refreshInterval: ttl * 0.8, onLockLost: () => {} };
                const mutex = new Mutex(redis, name, options);
                await mutex.acquire();
                return mutex;
            },
            isHeld: (mutex) => mutex.isAcquired,
        },
        end: () => redis.quit(),
    },
);
