import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { client, eventually, LONG, PACKAGE, run, serve, server, startServer } from "./server.mjs";

serve();

const waiters = async (name: string) => (await client.inspect(name)).waiters;

const CONNECT = 'import { connect } from "fencelock"; const client = await connect();';

/** A program that ends by itself, silently. */
async function ends(code: string): Promise<number> {
    const ran = await run(server.url, code);
    assert.deepEqual([ran.code, ran.signal, ran.errors], [0, null, ""], ran.output);
    return ran.took;
}

test("an idle client does not keep the process", async () => {
    await ends(CONNECT);
});

test("a held lease does not keep the process, and is given back at its end", async () => {
    await ends(`${CONNECT} globalThis.lease = await client.lock("a").acquire(); lease.signal.onabort = () => {};`);
    const lease = await client.lock("a").tryAcquire();
    assert.ok(lease, "the lock is free");
    await lease.release();
});

test("process.exit() with leases held and waits under way gives all of it back", async () => {
    const lease = await client.lock("b").acquire();
    await ends(`${CONNECT}
        await client.lock("c").acquire();
        client.lock("b").acquire();
        while ((await client.inspect("b")).waiters === 0);
        client.lock("d").acquire();
        process.exit();`);
    assert.equal(await waiters("b"), 0);
    for (const name of ["c", "d"]) {
        const free = await client.lock(name).tryAcquire();
        assert.ok(free, `${name} is free`);
        await free.release();
    }
    await lease.release();
});

test("a process ends with its error though a lease is held", async () => {
    const ran = await run(server.url, `${CONNECT} await client.lock("e").acquire(); throw new Error("its own");`);
    assert.equal(ran.code, 1);
    assert.match(ran.errors, /its own/);
    const lease = await client.lock("e").tryAcquire();
    assert.ok(lease, "the lock is free");
    await lease.release();
});

test("a pending acquire keeps the process alive", async () => {
    const lease = await client.lock("f").acquire();
    const running = run(
        server.url,
        `${CONNECT} const lease = await client.lock("f").acquire(); console.log("got it");`,
    );
    await eventually(async () => (await waiters("f")) === 1, "the waiter in line");
    // Long enough for a process that has nothing to wait for.
    await new Promise((later) => setTimeout(later, 200));
    assert.equal(await waiters("f"), 1);
    await lease.release();
    const ran = await running;
    assert.deepEqual([ran.code, ran.output, ran.errors], [0, "got it\n", ""]);
});

test("the server's end does not hang the process's", async () => {
    const own = await startServer();
    const code = `${CONNECT} await client.lock("g").acquire(); console.log("held"); process.kill(${own.process.pid}, 9);`;
    const ran = await run(own.url, `${code} process.on("exit", () => console.log("ends"));`);
    assert.deepEqual([ran.code, ran.signal, ran.output], [0, null, "held\nends\n"]);
    assert.ok(ran.took < 15_000, `${ran.took}`);
    await own.stop();
});

test("a lease that is thrown away does not unlock; it lapses, and a warning tells", async () => {
    const ran = await run(
        server.url,
        `${CONNECT}
        await client.lock("h", { ttl: 1000 }).acquire();
        const warning = new Promise((told) => process.on("warning", told));
        const ticking = setInterval(gc, 5);
        const { name, message } = await warning;
        clearInterval(ticking);
        console.log(name, message);
        console.log((await client.inspect("h")).holder !== null);
        const lease = await client.lock("h").acquire({ timeout: 5000 });
        await lease.release();`,
        "--expose-gc",
        "--no-warnings",
    );
    assert.equal(ran.code, 0, ran.errors);
    assert.match(ran.output, /^FencelockWarning .*discarded.*"h".*\ntrue\n$/);
});

test("whoever has a lease's signal keeps its lease", async () => {
    const ran = await run(
        server.url,
        `${CONNECT}
        const { signal } = await client.lock("i", { ttl: 1000 }).acquire();
        for (let i = 0; i < 150; i++) { gc(); await new Promise((later) => setTimeout(later, 10)); }
        console.log(signal.aborted, (await client.inspect("i")).holder !== null);`,
        "--expose-gc",
    );
    assert.deepEqual([ran.code, ran.output, ran.errors], [0, "false true\n", ""]);
});

test("many leases and waits leave no memory behind", async () => {
    const ran = await run(
        server.url,
        `${CONNECT}
        const lock = client.lock("j");
        const sections = async (n, look) => { for (let i = 0; i < n; i++) { const lease = await lock.acquire(); look(lease); await lease.release(); } };
        const more = async (n, look, kind) => {
            const used = () => { gc(); return process.memoryUsage()[kind]; };
            const before = used();
            await sections(n, look);
            console.log((used() - before) >> 20);
        };
        // The allocator takes what it will have within 24,000 (measured: flat from there on).
        await sections(30000, () => {});
        await more(${LONG ? 60_000 : 12_000}, () => {}, "rss");
        // By the heap: Node 24 itself keeps some 60 MiB for AbortControllers that are long gone (measured without us).
        await sections(2000, (lease) => lease.signal);
        await more(${LONG ? 15_000 : 4_000}, (lease) => lease.signal, "heapUsed");`,
        "--expose-gc",
    );
    assert.equal(ran.code, 0, ran.errors);
    const [resident, heap] = ran.output.split("\n").map(Number) as [number, number];
    assert.ok(resident < 15 && heap < 3, `${resident} MiB more, and with signals ${heap} of heap`);
});

test("a worker that is terminated while it waits and holds leaves nothing behind", async () => {
    const rounds = LONG ? 1000 : 20;
    const lease = await client.lock("k").acquire();
    const code = `import { connect } from "fencelock";
        import { parentPort, workerData } from "node:worker_threads";
        const client = await connect(workerData);
        await client.lock("held:" + workerData).acquire();
        parentPort.postMessage("waits");
        await client.lock("k").acquire();`;
    const at = new URL(
        `data:text/javascript,${encodeURIComponent(code.replace('"fencelock"', JSON.stringify(`file://${PACKAGE}dist/index.mjs`)))}`,
    );
    for (let round = 0; round < rounds; round++) {
        const worker = new Worker(at, { workerData: server.url });
        await new Promise((said, failed) => worker.once("message", said).once("error", failed));
        if (round % 2 === 0) {
            await eventually(async () => (await waiters("k")) > 0, "the waiter in line");
        }
        await worker.terminate();
    }
    await eventually(async () => (await waiters("k")) === 0, "the empty line");
    const held = await client.lock(`held:${server.url}`).acquire({ timeout: 2000 });
    await held.release();
    await lease.release();
});
