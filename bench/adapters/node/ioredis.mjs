// Bare ioredis: SET NX PX and compare-and-delete, a fresh token each time. Its waiter asks again every 10 ms.

import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { serve, url } from "./serve.mjs";

const POLL_MS = 10;
const RELEASE = 'if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end';

const redis = new Redis(url);
redis.defineCommand("compareAndDelete", { numberOfKeys: 1, lua: RELEASE });

async function acquire(name) {
    const token = randomBytes(16).toString("hex");
    while ((await redis.set(name, token, "PX", 10_000, "NX")) !== "OK") {
        await pause(POLL_MS);
    }
    return { name, token };
}

async function release({ name, token }) {
    if ((await redis.compareAndDelete(name, token)) !== 1) {
        throw new Error("not held");
    }
}

await serve("ioredis", acquire, release, { pollMs: POLL_MS, end: () => redis.quit() });
