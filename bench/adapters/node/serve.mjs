// The adapter's side of the line protocol (bench/README.md), for Node.

import { createInterface } from "node:readline";

const now = () => process.hrtime.bigint();

/** Answers the runner until it closes our standard input. `acquire` waits without limit. */
export async function serve(name, acquire, release, { pollMs = 0, end = () => {} } = {}) {
    const held = new Map();
    const say = (answer) => process.stdout.write(`${answer}\n`);

    async function sections(lock, count) {
        for (let i = 0; i < count; i++) {
            await release(await acquire(lock));
        }
    }

    const requests = {
        hello: () => say(`ok name=${name} ops=pair,handoff,flight poll_ms=${pollMs}`),
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
