// The documentation's TypeScript examples: each is compiled, strictly, and run as a program of its own.

import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { PACKAGE, type Server, startServer } from "./server.mjs";

const ROOT = join(PACKAGE, "..");
const FOLDER = join(PACKAGE, "build/docs");

let server: Server;

interface Example {
    name: string;
    program: string;
}

function examples(): Example[] {
    const found: Example[] = [];
    for (const file of ["README.md", "docs/node.md", "node/README.md"]) {
        const text = readFileSync(join(ROOT, file), "utf8");
        for (const block of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
            const line = text.slice(0, block.index).split("\n").length;
            const name = `${file}:${line}`;
            const program = name.replaceAll(/\W+/g, "_");
            writeFileSync(join(FOLDER, `${program}.mts`), block[1] as string);
            found.push({ name, program });
        }
    }
    return found;
}

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
const all = examples();

before(async () => {
    server = await startServer();
    const config = {
        extends: "../../tsconfig.json",
        compilerOptions: { rootDir: ".", outDir: "." },
        include: ["*.mts"],
        exclude: [],
    };
    writeFileSync(join(FOLDER, "tsconfig.json"), JSON.stringify(config));
    const compiled = spawnSync(join(PACKAGE, "node_modules/.bin/tsc"), ["-p", FOLDER], { encoding: "utf8" });
    assert.equal(compiled.status, 0, `${relative(ROOT, FOLDER)}: ${compiled.stdout}`);
});

after(() => server.stop());

test("there are examples", () => assert.ok(all.length > 5));

for (const { name, program } of all) {
    test(name, async () => {
        const env = { ...process.env, FENCELOCK_URL: server.url };
        const options = { env, cwd: FOLDER, timeout: 60_000 };
        const { stderr } = await promisify(execFile)(process.execPath, [`${program}.mjs`], options);
        assert.equal(
            stderr.replaceAll(/^.*FencelockWarning: lease lost.*\n|^\(Use `node --trace-warnings.*\n/gm, ""),
            "",
        );
    });
}
