// The adapter's side of the line protocol (bench/README.md), for Node.

import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

const now = () => process.hrtime.bigint();

/** The processor time of all threads of this process, in ns. */
function processorTime() {
    const { user, system } = process.cpuUsage();
    return (user + system) * 1000;
}

/** Blocks, unlike a timer, which counts in whole milliseconds. */
function sleep(ms) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const AT_ONCE = 1000;

/**
 * Answers the runner until it closes our standard input. `acquire` waits without limit. `keep`: how a lease of its own
 * TTL in ms is taken that is renewed (`take`), and whether it is held yet (`isHeld`).
 */
export async function serve(name, acquire, release, { pollMs = 0, keep, end = () => {} } = {}) {
    const ops = `pair,handoff,loop,flight,cycle,crowd${keep ? ",keep" : ""}`;
    const held = new Map();
    const say = (answer) => process.stdout.write(`${answer}\n`);

    async function sections(lock, count) {
        for (let i = 0; i < count; i++) {
            await release(await acquire(lock));
        }
    }

    async function section(lock, holdMs) {
        const requested = now();
        const lease = await acquire(lock);
        const acquired = now();
        if (holdMs > 0) {
            sleep(holdMs);
        }
        const released = now();
        await release(lease);
        return [requested, acquired, released];
    }

    const requests = {
        hello: () => say(`ok name=${name} ops=${ops} poll_ms=${pollMs}`),
        async pair(lock, count) {
            const samples = [];
            for (let i = 0; i < Number(count); i++) {
                const start = now();
                await release(await acquire(lock));
                samples.push(now() - start);
            }
            say(`ok ${samples.join(" ")}`);
        },
        async flight(lock, tasks, count) {
            const start = now();
            await Promise.all(Array.from({ length: Number(tasks) }, (_, i) => sections(`${lock}:${i}`, Number(count))));
            say(`ok ${now() - start}`);
        },
        async loop(lock, until, holdUs) {
            const done = [];
            while (now() < BigInt(until)) {
                done.push(await section(lock, Number(holdUs) / 1000));
            }
            say(`ok ${done.flat().join(" ")}`);
        },
        async crowd(lock, waiters) {
            const waiting = Array.from({ length: Number(waiters) }, () => section(lock, 0));
            say("waiting");
            say(`ok ${(await Promise.all(waiting)).flat().join(" ")}`);
        },
        async cycle(lock, count) {
            const start = now();
            await sections(lock, Number(count));
            say(`ok ${now() - start}`);
        },
        async keep(lock, leases, ttlMs, ms) {
            const kept = [];
            while (kept.length < Number(leases)) {
                const length = Math.min(AT_ONCE, Number(leases) - kept.length);
                const names = Array.from({ length }, (_, i) => `${lock}:${kept.length + i}`);
                kept.push(...(await Promise.all(names.map((one) => keep.take(one, Number(ttlMs))))));
            }
            say("keeping");
            const [start, busy] = [now(), processorTime()];
            await pause(Number(ms));
            const [wall, own] = [now() - start, processorTime() - busy];
            const living = kept.filter(keep.isHeld);
            for (let first = 0; first < living.length; first += AT_ONCE) {
                await Promise.all(living.slice(first, first + AT_ONCE).map((lease) => release(lease)));
            }
            say(`ok ${wall} ${own} ${kept.length - living.length}`);
        },
        async hold(lock) {
            held.set(lock, await acquire(lock));
            say("ok");
        },
        async wait(lock) {
            say("waiting");
            held.set(lock, await acquire(lock));
            say(`ok ${now()}`);
        },
        async free(lock) {
            const lease = held.get(lock);
            held.delete(lock);
            const start = now();
            await release(lease);
            say(`ok ${start}`);
        },
    };

    for await (const line of createInterface({ input: process.stdin })) {
        const [request, ...words] = line.trim().split(" ");
        if (Object.hasOwn(requests, request)) {
            await requests[request](...words);
        } else {
            say(`err not understood: ${line}`);
        }
    }
    await end();
}

/** The address for ioredis. */
export const url = process.argv.at(-1);

/** Each lock described once. */
export function described(describe) {
    const known = new Map();
    return (name) => {
        let lock = known.get(name);
        if (lock === undefined) {
            lock = describe(name);
            known.set(name, lock);
        }
        return lock;
    };
}
