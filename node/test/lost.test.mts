import assert from "node:assert/strict";
import { test } from "node:test";
import { LockLostError } from "fencelock";
import { aborted, client, eventually, onAbort, serve, server } from "./server.mjs";

serve();

/** Nothing of JavaScript runs for so many ms. */
function block(ms: number): void {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test("a lease is renewed while JavaScript computes", async () => {
    const lease = await client.lock("a", { ttl: 1000 }).acquire();
    block(2500);
    assert.ok(lease.isHeld());
    assert.equal(lease.signal.aborted, false);
    await lease.release();
});

test("a lease that was lost while the loop was blocked is not held on the next statement", async () => {
    const lease = await client.lock("b", { ttl: 100, renew: false }).acquire();
    const { signal } = lease;
    let fired = 0;
    onAbort(signal, () => {
        fired += 1;
    });
    block(150);
    assert.equal(lease.isHeld(), false);
    assert.equal(lease.remaining(), 0);
    assert.equal(lease.lostReason(), "expired");
    assert.throws(() => lease.check(), LockLostError);
    // Asked for, it has been aborted; else it is when the loop turns.
    assert.ok(lease.signal.aborted);
    await eventually(() => fired === 1, "the abort event");
    assert.ok(signal.reason instanceof LockLostError);
    assert.equal(signal.reason.reason, "expired");
    assert.equal(signal.reason.lock, "b");
});

test("a signal fires by itself, once, with a LockLostError", async () => {
    const lease = await client.lock("c", { ttl: 80, renew: false }).acquire();
    const { signal } = lease;
    assert.equal(lease.signal, signal);
    // What the tests wait with does not touch the lease.
    const reason = await aborted(signal);
    assert.ok(reason instanceof LockLostError);
    assert.equal(lease.isHeld(), false);
    await assert.rejects(lease.release(), LockLostError);
    assert.equal(lease.signal, signal);
});

test("a lock that was deleted on the server is lost at the next renewal", async () => {
    const lease = await client.lock("d").acquire();
    const lost = aborted(lease.signal);
    await server.ask("DEL d");
    await assert.rejects(lease.renew(), { name: "LockLostError", reason: "refused" });
    await lost;
});

test("a lease is held for maxHold at most", async () => {
    const lease = await client.lock("e", { ttl: 300, maxHold: 100 }).acquire();
    await aborted(lease.signal);
    assert.equal(lease.lostReason(), "max_hold");
    assert.equal(lease.signal.reason.reason, "max_hold");
});

test("a signal does not fire when its lease is released", async () => {
    const lease = await client.lock("f").acquire();
    const { signal } = lease;
    await lease.release();
    const later = await client.lock("f", { ttl: 60, renew: false }).acquire();
    await aborted(later.signal);
    assert.equal(signal.aborted, false);
    assert.equal(lease.signal.aborted, false);
});
