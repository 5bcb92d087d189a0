import assert from "node:assert/strict";
import { test } from "node:test";
import {
    AcquireTimeoutError,
    type Client,
    ClosedError,
    connect,
    type Lease,
    LockLostError,
    NotHeldError,
    setLog,
    UnavailableError,
} from "fencelock";
import { aborted, client, eventually, onAbort, serve, server, startServer } from "./server.mjs";

serve();

const waiters = async (name: string) => (await client.inspect(name)).waiters;
const free = async (name: string) => (await client.inspect(name)).holder === null;

test("a lease tells what it is, and gives the lock back", async () => {
    const lock = client.lock("a", { ttl: 5000, label: "me" });
    const lease = await lock.acquire();
    assert.equal(lease.name, "a");
    assert.equal(lease.lock, lock);
    assert.ok(Number.isSafeInteger(lease.fence) && lease.fence > 0);
    assert.ok(lease.isHeld());
    assert.ok(lease.remaining() > 3000 && lease.remaining() <= 5000, `${lease.remaining()}`);
    lease.check();
    const { holder } = await client.inspect("a");
    assert.equal(holder?.label, "me");
    assert.equal(holder.fence, lease.fence);
    assert.equal(await lock.tryAcquire(), null);
    await lease.renew();
    await lease.release();
    assert.equal(lease.isHeld(), false);
    assert.equal(lease.remaining(), 0);
    assert.throws(() => lease.check(), NotHeldError);
    await assert.rejects(lease.release(), NotHeldError);
    await assert.rejects(lease.renew(), NotHeldError);
    assert.deepEqual([lease.lostReason(), lease.signal.aborted], [null, false]);
    assert.ok(await free("a"));
    const next = await lock.tryAcquire();
    assert.ok(next && next.fence > lease.fence);
    await next.release();
});

test("a wait ends at its time-out", async () => {
    const lease = await client.lock("b").acquire();
    await assert.rejects(client.lock("b").acquire({ timeout: 20 }), (error) => {
        assert.ok(error instanceof AcquireTimeoutError);
        assert.equal(error.code, "ERR_FENCELOCK_ACQUIRE_TIMEOUT");
        assert.equal(error.lock, "b");
        assert.match(error.message, /"b"/);
        assert.ok(error.retryable);
        return true;
    });
    await assert.rejects(client.lock("b").acquire({ timeout: 0 }), AcquireTimeoutError);
    await lease.release();
});

test("waiters are served in the order they came", async () => {
    const lock = client.lock("c");
    const first = await lock.acquire();
    const order: number[] = [];
    const waiting = [];
    for (const number of [1, 2, 3]) {
        const served = async (lease: Lease) => {
            order.push(number);
            await lease.release();
        };
        waiting.push(lock.acquire().then(served));
        await eventually(async () => (await waiters("c")) === number, "the waiter in line");
    }
    await first.release();
    await Promise.all(waiting);
    assert.deepEqual(order, [1, 2, 3]);
});

test("an aborted acquire rejects with the signal's reason, and leaves the queue", async () => {
    const lock = client.lock("d");
    const reason = new Error("enough");
    await assert.rejects(lock.acquire({ signal: AbortSignal.abort(reason) }), reason);
    const lease = await lock.acquire();
    const controller = new AbortController();
    const waiting = lock.acquire({ signal: controller.signal });
    await eventually(async () => (await waiters("d")) === 1, "the waiter in line");
    controller.abort(reason);
    await assert.rejects(waiting, reason);
    await eventually(async () => (await waiters("d")) === 0, "the empty line");
    await assert.rejects(lock.acquire({ signal: AbortSignal.timeout(10) }), { name: "TimeoutError" });
    await lease.release();
    assert.ok(await free("d"));
});

test("an acquire aborted in any phase leaves nothing behind", async () => {
    const lock = client.lock("e");
    let granted = 0;
    for (let round = 0; round < 200; round++) {
        const controller = new AbortController();
        const waiting = lock.acquire({ signal: controller.signal });
        // From right away to well after the answer.
        for (let turn = 0; turn < round % 6; turn++) {
            await new Promise((next) => setImmediate(next));
        }
        controller.abort();
        await waiting.then(
            (lease) => {
                granted += 1;
                return lease.release();
            },
            (error) => assert.equal(error.name, "AbortError"),
        );
    }
    const lease = await lock.acquire({ timeout: 2000 });
    await lease.release();
    assert.equal(await waiters("e"), 0);
    assert.ok(granted < 200);
});

test("a grant that came before the abort, but was not delivered yet, is given back", async () => {
    const lock = client.lock("n");
    await client.lock("n", { ttl: 300, renew: false }).acquire();
    const controller = new AbortController();
    const waiting = lock.acquire({ signal: controller.signal });
    await eventually(async () => (await waiters("n")) === 1, "the waiter in line");
    // The first lease ends, and the engine gets the grant.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
    controller.abort();
    await assert.rejects(waiting, { name: "AbortError" });
    const next = await lock.acquire({ timeout: 2000 });
    await next.release();
});

test("a signal keeps no listener of a wait that is over", async () => {
    const { signal } = new AbortController();
    let listening = 0;
    const [add, remove] = [signal.addEventListener, signal.removeEventListener];
    signal.addEventListener = (...args: Parameters<typeof add>) => {
        listening += 1;
        add.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
        listening -= 1;
        remove.apply(signal, args);
    };
    const lease = await client.lock("f").acquire({ signal });
    await assert.rejects(client.lock("f").acquire({ signal, timeout: 5 }), AcquireTimeoutError);
    assert.equal(listening, 0);
    await lease.release();
});

test("using gives what its body returned, and releases", async () => {
    const lock = client.lock("g");
    const held: Lease[] = [];
    const result = await lock.using({ timeout: 1000 }, async (lease) => {
        held.push(lease);
        assert.ok(lease.isHeld());
        return lease.fence;
    });
    assert.equal(result, held[0]?.fence);
    assert.ok(await free("g"));
    assert.equal(await lock.using(() => "no promise"), "no promise");
    const reason = new Error("by the body");
    await assert.rejects(
        lock.using(async () => Promise.reject(reason)),
        reason,
    );
    assert.ok(await free("g"));
    await lock.using((lease) => lease.release());
});

test("using rejects at once when the lease is lost, and its signal tells the body", async () => {
    const told: unknown[] = [];
    const never = client.lock("h", { ttl: 100, renew: false }).using(async (lease) => {
        onAbort(lease.signal, () => told.push(lease.signal.reason));
        await new Promise(() => undefined);
    });
    await assert.rejects(never, (error) => {
        assert.ok(error instanceof LockLostError);
        assert.equal(error.reason, "expired");
        assert.deepEqual(told, [error]);
        return true;
    });
});

test("using rejects when the lease was lost by the end of its body", async () => {
    const lock = client.lock("i", { ttl: 60, renew: false });
    const work = lock.using(() => {
        // Nothing of the loop runs before the body is over.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
        return 1;
    });
    await assert.rejects(work, LockLostError);
    const reason = new Error("by the body");
    const both = lock.using(() => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
        throw reason;
    });
    await assert.rejects(both, reason);
});

test("await using releases the lease and closes the client", async () => {
    let outside: Lease;
    let closed: Client;
    {
        await using own = await connect(server.url);
        closed = own;
        await using lease = await own.lock("j").acquire();
        outside = lease;
        assert.ok(lease.isHeld());
    }
    assert.throws(() => outside.check(), NotHeldError);
    assert.equal(outside.lostReason(), null);
    await assert.rejects(closed.lock("j").acquire(), ClosedError);
    const told: string[] = [];
    setLog(({ message }) => told.push(message));
    {
        await using lease = await client.lock("j").acquire();
        await lease.release();
    }
    setLog(undefined);
    assert.deepEqual(told, [], "a release in the body is nothing to warn of");
    await assert.rejects(async () => {
        await using lease = await client.lock("j", { ttl: 60, renew: false }).acquire();
        await aborted(lease.signal);
    }, LockLostError);
});

test("a scope waits for the server for 1 s at most, and warns", async () => {
    const own = await startServer();
    const other = await connect(own.url);
    const told: string[] = [];
    setLog(({ level, message }) => told.push(`${level} ${message}`));
    let begun = 0;
    {
        await using lease = await other.lock("a").acquire();
        assert.ok(lease.isHeld());
        own.process.kill("SIGSTOP");
        begun = performance.now();
    }
    const took = performance.now() - begun;
    assert.ok(took > 900 && took < 4000, `${took}`);
    assert.match(told.join(), /warn a release was not confirmed: lock "a"/);
    setLog(undefined);
    await other.close();
    await own.stop();
});

test("closing ends waits and leases", async () => {
    const own = await connect(server.url);
    const lease = await own.lock("k").acquire();
    const waiting = own.lock("k").acquire();
    await eventually(async () => (await waiters("k")) === 1, "the waiter in line");
    const ended = assert.rejects(waiting, ClosedError);
    const lost = aborted(lease.signal);
    await own.close();
    await Promise.all([ended, lost]);
    assert.equal(lease.lostReason(), "closed");
    assert.equal(lease.signal.reason.reason, "closed");
    await own.close();
    assert.ok(await free("k"));
});

test("a thousand locks at once", async () => {
    const fences = await Promise.all(
        Array.from({ length: 1000 }, (_, i) => client.lock(`many:${i}`).using((lease) => lease.fence)),
    );
    assert.ok(fences.every((fence) => fence > 0));
});

test("a server that is not there", async () => {
    await assert.rejects(connect("redis://127.0.0.1:1"), (error) => {
        assert.ok(error instanceof UnavailableError);
        assert.ok(error.retryable);
        return true;
    });
});

test("a fence that a number can't hold is refused, and nothing is taken", async () => {
    await server.ask(`SET {l}:fl:f "${Number.MAX_SAFE_INTEGER} 10000 x"`);
    await assert.rejects(client.lock("l").acquire(), { code: "ERR_FENCELOCK_BACKEND", message: /fence/i });
    assert.ok(await free("l"));
});
