import assert from "node:assert/strict";
import { test } from "node:test";
import { AcquireTimeoutError, DistributedLock, InvalidArgumentError, type Lease, NotHeldError } from "fencelock";
import { client, run, serve, server } from "./server.mjs";

serve();

test("acquire and release resolve to true", async () => {
    const lock = new DistributedLock("a", { url: server.url });
    assert.equal(lock.lease, null);
    assert.equal(await lock.acquire(), true);
    assert.equal((lock.lease as Lease | null)?.isHeld(), true);
    assert.notEqual((await client.inspect("a")).holder, null);
    assert.equal(await lock.release(), true);
    assert.equal((await client.inspect("a")).holder, null);
    await assert.rejects(lock.release(), NotHeldError);
});

test("it waits for its time, and no longer", async () => {
    const holder = await client.lock("b").acquire();
    const lock = new DistributedLock("b", { client, timeout: 30 });
    await assert.rejects(lock.acquire(), AcquireTimeoutError);
    await holder.release();
});

test("by default it waits 5 s", async () => {
    const holder = await client.lock("c").acquire();
    const begun = performance.now();
    await assert.rejects(new DistributedLock("c", { client }).acquire(), AcquireTimeoutError);
    const took = performance.now() - begun;
    assert.ok(took > 4900 && took < 15_000, `${took}`);
    await holder.release();
});

test("a release after a time-out does not free what another function holds", async () => {
    const lock = new DistributedLock("d", { client, timeout: 100 });
    let letGo = () => {};
    const holds = new Promise<void>((resolve) => {
        letGo = resolve;
    });
    const first = (async () => {
        await lock.acquire();
        await holds;
        assert.ok(lock.lease?.isHeld());
        return lock.release();
    })();
    const second = (async () => {
        try {
            await lock.acquire();
        } finally {
            await assert.rejects(lock.release(), NotHeldError);
        }
    })();
    await assert.rejects(second, AcquireTimeoutError);
    letGo();
    assert.equal(await first, true);
});

test("one object serves many functions, in turn", async () => {
    const lock = new DistributedLock("e", { client });
    let inside = 0;
    const section = async () => {
        await lock.acquire();
        try {
            inside += 1;
            assert.equal(inside, 1);
            await new Promise((next) => setImmediate(next));
        } finally {
            inside -= 1;
            await lock.release();
        }
    };
    await Promise.all(Array.from({ length: 20 }, section));
});

test("where it is not known who calls, the lease that is held is given back", async () => {
    const lock = new DistributedLock("f", { client });
    const begin = async () => {
        await Promise.resolve();
        await lock.acquire();
    };
    await begin();
    assert.equal(await lock.release(), true);
});

test("what it can't use is refused", () => {
    assert.throws(() => new DistributedLock("g", { url: server.url, client }), InvalidArgumentError);
    assert.throws(() => new DistributedLock("g", { client, timeout: -1 }), /timeout is -1/);
    // biome-ignore lint/suspicious/noExplicitAny: a program without types may
    assert.throws(() => new DistributedLock("g", { client, retry: 1 } as any), /no option "retry"/);
    assert.throws(() => new DistributedLock("", { client }), /the name is empty/);
});

test("without a URL it falls back to this host, and warns once", async () => {
    const ran = await run(
        "",
        `import { DistributedLock } from "fencelock";
        new DistributedLock("h");
        new DistributedLock("h");`,
    );
    assert.equal(ran.code, 0, ran.errors);
    assert.equal(
        ran.errors.match(/FencelockWarning: DistributedLock uses redis:\/\/localhost:6379\/0/g)?.length,
        1,
        ran.errors,
    );
});
