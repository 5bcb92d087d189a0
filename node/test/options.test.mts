import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, InvalidArgumentError, setLog } from "fencelock";
import { aborted, client, serve, server } from "./server.mjs";

serve();

/** An error of ours with such a text. */
function refusal(...parts: RegExp[]) {
    return (error: unknown) => {
        assert.ok(error instanceof InvalidArgumentError, String(error));
        for (const part of parts) {
            assert.match(error.message, part);
        }
        return true;
    };
}

// What a program without types may pass.
// biome-ignore lint/suspicious/noExplicitAny: that is what is tested
type Any = any;

test("what lock() can't use is refused at once, with what to do", () => {
    const lock = (options: Any) => () => client.lock("a", options);
    assert.throws(lock({ timeout: 5 }), refusal(/no option "timeout"/, /ttl/, /acquire\(\{ timeout \}\)/));
    assert.throws(lock({ retryCount: 5 }), refusal(/stand in line/));
    assert.throws(lock({ TTL: 5 }), refusal(/there are ttl, renew, maxHold, label/));
    assert.throws(lock({ constructor: 5 }), refusal(/no option "constructor"/));
    assert.throws(lock({ ttl: 10 }), refusal(/10ms/, /50 ms/));
    assert.throws(lock({ ttl: 7_200_000 }), refusal(/unit/));
    assert.throws(lock({ ttl: "10s" }), refusal(/ttl is of type string; give ms as a number/));
    assert.throws(lock({ ttl: Number.NaN }), refusal(/ttl is NaN/));
    assert.throws(lock({ ttl: Number.POSITIVE_INFINITY }), refusal(/finite/));
    assert.throws(lock({ maxHold: -1 }), refusal(/maxHold is -1/));
    assert.throws(lock({ renew: "no" }), refusal(/true or false/));
    assert.throws(lock({ label: "x".repeat(129) }), refusal(/128 bytes/));
    assert.throws(lock(5000), refusal(/the options of lock\(\) are 5000; give an object/));
    assert.throws(lock(null), refusal(/give an object/));
    assert.throws(() => client.lock(["a"] as Any), refusal(/the name is of type object; give a string/));
    assert.throws(() => client.lock(""), refusal(/the name is empty/));
    assert.throws(() => client.lock("\ud800"), refusal(/lone surrogates/));
    client.lock("a", { ttl: undefined, renew: undefined, maxHold: undefined, label: undefined });
});

test("what acquire() can't use is refused, and nothing is sent", async () => {
    const lock = client.lock("b");
    const acquire = (options: Any) => lock.acquire(options);
    await assert.rejects(acquire(5000), refusal(/the options of acquire\(\) are 5000/, /\{ timeout: … \}/));
    await assert.rejects(acquire({ timeout: -1 }), refusal(/timeout is -1/));
    await assert.rejects(acquire({ timeout: Number.NaN }), refusal(/timeout is NaN/));
    await assert.rejects(acquire({ timeout: Number.POSITIVE_INFINITY }), refusal(/leave it out for no limit/));
    await assert.rejects(acquire({ timeout: 5n }), refusal(/of type bigint/));
    await assert.rejects(acquire({ ttl: 5 }), refusal(/client\.lock\(\)/));
    await assert.rejects(acquire({ signal: {} }), refusal(/AbortSignal/));
    await assert.rejects((lock as Any).using({ timeout: 5 }), refusal(/no function to run/));
    await assert.rejects((lock as Any).using(), refusal(/no function to run/));
    await assert.rejects(
        lock.using({ ttl: 5 } as Any, () => 1),
        refusal(/using\(\) has no option "ttl"/),
    );
    assert.equal((await client.inspect("b")).holder, null);
});

test("what connect() can't use is refused", async () => {
    const { FENCELOCK_URL: before } = process.env;
    try {
        delete process.env.FENCELOCK_URL;
        await assert.rejects(connect(), refusal(/FENCELOCK_URL is not set/, /redis:\/\//));
        process.env.FENCELOCK_URL = "";
        await assert.rejects(connect(), refusal(/FENCELOCK_URL is not set/));
        process.env.FENCELOCK_URL = server.url;
        await (await connect()).close();
    } finally {
        delete process.env.FENCELOCK_URL;
        if (before !== undefined) {
            process.env.FENCELOCK_URL = before;
        }
    }
    const with_ = (options: Any) => connect(server.url, options);
    await assert.rejects(with_({ timeout: 5 }), refusal(/connectTimeout and responseTimeout/));
    await assert.rejects(with_({ tls: {} }), refusal(/tlsCa/));
    await assert.rejects(with_({ tlsCa: "-----BEGIN nothing" }), refusal(/rediss:/));
    await assert.rejects(with_({ tlsCa: 5 }), refusal(/a path, or PEM/));
    await assert.rejects(with_({ connectTimeout: 0 }), refusal(/connect_timeout/));
    await assert.rejects(connect({ url: server.url } as Any), refusal(/connect\(url, options\)/));
    await assert.rejects(connect(5 as Any), refusal(/the URL is 5; give a string/));
    await assert.rejects(connect("localhost:6379"), refusal(/redis:\/\//));
});

test("a prefix keeps clients apart, and is not shown", async () => {
    const own = await connect(server.url, { prefix: "p:" });
    const lease = await own.lock("c").acquire();
    assert.equal(lease.name, "c");
    assert.equal((await client.inspect("c")).holder, null);
    assert.equal((await client.inspect("p:c")).holder?.fence, lease.fence);
    await lease.release();
    await own.close();
});

test("a password is not shown", async () => {
    const url = server.url.replace("redis://", "redis://nobody:sesame@");
    const shown: unknown[] = [];
    await assert.rejects(connect(url), (error: Error) => {
        shown.push(error.message, error.stack);
        return true;
    });
    const { inspect } = await import("node:util");
    shown.push(client.server, inspect(client));
    assert.ok(!shown.some((text) => String(text).includes("sesame")), String(shown));
    assert.match(inspect(client), /^Client \{ redis:\/\/127\.0\.0\.1:\d+\/0 \}$/);
});

test("the log goes to whom it is given", async () => {
    const records: string[] = [];
    assert.throws(() => setLog(5 as Any), refusal(/setLog/));
    assert.throws(() => setLog(undefined, "loud" as Any), refusal(/trace/));
    setLog(({ level, message, fields }) => records.push(`${level} ${message} ${fields.lock}`));
    try {
        const lease = await client.lock("d", { ttl: 60, renew: false }).acquire();
        await aborted(lease.signal);
        // Written before the signal was told, and so delivered before it.
        assert.deepEqual(records, ["warn lease lost d"]);
    } finally {
        setLog(undefined);
    }
});
