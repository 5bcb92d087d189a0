// Drives fencelock's API for Node: every request goes on by itself. See ../README.md.

import { readFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { connect, FencelockError, setLog } from "../../node/dist/index.mjs";

const CAN = "block,cancel,discard,exact_cancel,release_twice";
const CANCELLED = Symbol("cancelled");

const clients = new Map();
const leases = new Map();
const waits = new Map();

// Node has CLOCK_MONOTONIC only, which is CLOCK_BOOTTIME where the machine never slept.
const slept = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) - process.hrtime()[0];
if (Math.abs(slept) > 1.5) {
    throw new Error("this machine slept since it was started: the driver can't tell CLOCK_BOOTTIME");
}
const now = () => process.hrtime.bigint();

const say = (line) => writeSync(1, `${line}\n`);
const ok = (fields = {}) => ["ok", ...Object.entries(fields).map(([key, value]) => `${key}=${quote(value)}`)].join(" ");
const quote = (value) => encodeURIComponent(String(value));
const ms = (text) => (text === undefined ? undefined : Number(text));

function err(error) {
    const { kind, number, message, reason, retryable, ambiguous } = error;
    const loss = reason === undefined ? "" : ` loss=${reason}`;
    const marks = `retryable=${Number(retryable)} ambiguous=${Number(ambiguous)}`;
    return `err ${kind} code=${number} message=${quote(message)}${loss} ${marks}`;
}

const describe = ({ client, name, ttl, renew, max_hold: maxHold, label }) =>
    clients.get(client).lock(name, { ttl: ms(ttl), renew: renew !== "0", maxHold: ms(maxHold), label: label ?? "" });

function claim(lease) {
    const at = now();
    return { at, fence: lease.fence, remaining: Math.floor(lease.remaining() * 1e6) };
}

function keep(number, lease) {
    leases.set(number, lease);
    const said = ok(claim(lease));
    const { signal } = lease;
    // Nothing here refers to the lease, which may be discarded.
    signal.addEventListener("abort", () => say(`! lost lease=${number} reason=${signal.reason.reason} at=${now()}`));
    return said;
}

async function waiting(number, wait) {
    const controller = new AbortController();
    waits.set(number, controller);
    try {
        return await wait(controller.signal);
    } finally {
        waits.delete(number);
    }
}

/** Throws a lease away, and waits until it has been collected. */
async function discard(number) {
    const known = new WeakRef(leases.get(number));
    leases.delete(number);
    while (known.deref() !== undefined) {
        await pause(1);
        globalThis.gc();
    }
    // The engine hears of it in a finalizer.
    await pause(1);
}

const OPERATIONS = {
    hello: async () => ok({ name: "node", can: CAN }),
    async connect({ client, url, prefix, response_timeout: responseTimeout }) {
        clients.set(client, await connect(url, { prefix, responseTimeout: ms(responseTimeout) }));
        return ok();
    },
    async close({ client }) {
        await clients.get(client).close();
        return ok();
    },
    async acquire(args, number) {
        const timeout = ms(args.timeout);
        const lease = await waiting(number, (signal) => describe(args).acquire({ timeout, signal }));
        return keep(args.lease, lease);
    },
    async try(args) {
        const lease = await describe(args).tryAcquire();
        return lease === null ? ok({ busy: 1 }) : keep(args.lease, lease);
    },
    async cancel({ request }) {
        waits.get(request)?.abort(CANCELLED);
        return ok();
    },
    async held({ lease: number }) {
        const lease = leases.get(number);
        const said = claim(lease);
        return ok({ ...said, held: Number(lease.isHeld()) });
    },
    async check({ lease }) {
        leases.get(lease).check();
        return ok();
    },
    async renew({ lease }) {
        await leases.get(lease).renew();
        return ok();
    },
    async release({ lease }) {
        const at = now();
        await leases.get(lease).release();
        return ok({ at });
    },
    async drop({ lease }) {
        const at = now();
        await discard(lease);
        return ok({ at });
    },
    async inspect({ client, name }) {
        const { holder, waiters } = await clients.get(client).inspect(name);
        if (holder === null) {
            return ok({ held: 0, waiters });
        }
        const fence = holder.fence === null ? {} : { fence: holder.fence };
        return ok({ held: 1, waiters, foreign: Number(holder.foreign), label: holder.label, ...fence });
    },
    async sections(args) {
        const lock = describe(args);
        const spans = [];
        for (let i = 0; i < Number(args.n); i++) {
            const lease = await lock.acquire({ timeout: ms(args.timeout) });
            spans.push(`${lease.fence}:${now()}:${now()}`);
            await lease.release();
        }
        return ok({ spans: spans.join(",") });
    },
    async block(args) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(args.ms));
        return ok();
    },
};

async function answer(number, name, args) {
    const operation = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined;
    try {
        say(`${number} ${operation ? await operation(args, number) : `err usage message=${quote(name)}`}`);
    } catch (error) {
        if (error === CANCELLED) {
            say(`${number} err cancelled`);
        } else if (error instanceof FencelockError) {
            say(`${number} ${err(error)}`);
        } else {
            say(`${number} err usage message=${quote(error?.stack ?? error)}`);
        }
    }
}

if (process.env.FENCELOCK_DRIVER_QUIET === undefined) {
    setLog(
        ({ level, message, fields }) => process.stderr.write(`${level} ${message} ${JSON.stringify(fields)}\n`),
        "trace",
    );
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
    const [number, name, ...words] = line.split(" ");
    const pairs = words.map((word) => word.split("=", 2).map(decodeURIComponent));
    if (name === "exit") {
        say(`${number} ok`);
        // Nothing is left to do: what is held must not keep the process. What is waited for would.
        lines.close();
        process.stdin.destroy();
        if (waits.size > 0) {
            process.exit();
        }
        return;
    }
    answer(number, name, Object.fromEntries(pairs));
});
// At the end of its input a driver ends, whatever it waits for.
lines.on("close", () => process.stdin.readableEnded && process.exit());
