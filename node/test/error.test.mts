import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import * as fencelock from "fencelock";
import { PACKAGE } from "./server.mjs";

type Listed = { code: string; node: string; node_code: string };

/** The tables of a kind (`kind` or `loss`) in the common list. */
function listed(table: string): Map<string, Listed> {
    const text = readFileSync(join(PACKAGE, "../conformance/errors.toml"), "utf8");
    const found = new Map<string, Listed>();
    for (const [, kind, name, body] of text.matchAll(/^\[(\w+)\.(\w+)\]\n((?:\w+ = .*\n)+)/gm)) {
        if (kind === table) {
            const entries = (body as string).matchAll(/^(\w+) = "?([^"\n]*)"?$/gm);
            found.set(name as string, Object.fromEntries([...entries].map(([, key, value]) => [key, value])));
        }
    }
    return found;
}

const require = createRequire(import.meta.url);
const { native } = require(join(PACKAGE, "dist/binary.js"));
const { toError } = require(join(PACKAGE, "dist/error.js"));

test("the classes are those of the common list, and of the engine", () => {
    const kinds = listed("kind");
    assert.equal(kinds.size, 12);
    const engine = native.Port.errorKinds().map(([number, name]: [number, string]) => [name, number]);
    assert.deepEqual(
        [...kinds].map(([name, { code }]) => [name, Number(code)]),
        engine,
    );
    for (const [name, { code, node, node_code }] of kinds) {
        const details = { number: Number(code), message: "what", lock: "n", retryable: true, ambiguous: true };
        const error = toError({ ...details, reason: "closed" });
        assert.ok(error instanceof fencelock.FencelockError);
        assert.equal(Object.prototype.toString.call(error), "[object Error]");
        assert.equal(error.constructor, (fencelock as unknown as Record<string, unknown>)[node]);
        assert.deepEqual(
            [error.name, error.code, error.kind, error.number, error.message],
            [node, node_code, name, Number(code), "what"],
        );
        assert.deepEqual([error.lock, error.retryable, error.ambiguous], ["n", true, true]);
        assert.match(error.stack ?? "", new RegExp(`^${node}: what`));
    }
    assert.deepEqual([...listed("loss").keys()], native.Port.lossReasons());
});

test("ES modules and CommonJS get the same classes, and everything", () => {
    const common = require("fencelock");
    assert.deepEqual(Object.keys(fencelock).sort(), Object.keys(common).sort());
    for (const [name, value] of Object.entries(fencelock)) {
        assert.equal(value, common[name], name);
    }
});
