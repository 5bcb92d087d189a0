// The package as its users install it: every npm command offline, since it depends on nothing.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PACKAGE, type Server, startServer } from "./server.mjs";

let server: Server;
const folder = mkdtempSync(join(tmpdir(), "fencelock-package-"));

before(async () => {
    server = await startServer();
});

after(async () => {
    rmSync(folder, { recursive: true });
    await server.stop();
});

/** Runs npm; the one that runs this may have left its settings. */
function npm(cwd: string, ...args: string[]): string {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("npm_")));
    const options = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"];
    const npm = process.env.FENCELOCK_NPM?.split(" ") ?? ["npm"];
    const [program, ...first] = npm as [string, ...string[]];
    return execFileSync(program, [...first, ...args, ...options], { cwd, encoding: "utf8", env });
}

function project(name: string): string {
    const made = join(folder, name);
    cpSync(join(PACKAGE, "package.json"), join(made, "package.json"));
    writeFileSync(join(made, "package.json"), '{ "name": "fresh", "version": "1.0.0" }');
    return made;
}

const WORK = `const client = await connect(process.argv[2]);
    const lease = await client.lock("package").acquire();
    console.log(lease.isHeld(), lease.fence > 0);
    await lease.release();
    await client.close();`;

/** Uses the package as it is installed in a project, in both ways. */
function works(project: string): void {
    writeFileSync(join(project, "a.mjs"), `import { connect } from "fencelock"; ${WORK}`);
    writeFileSync(join(project, "b.cjs"), `const { connect } = require("fencelock"); (async () => { ${WORK} })();`);
    for (const program of ["a.mjs", "b.cjs"]) {
        const said = execFileSync(process.execPath, [program, server.url], { cwd: project, encoding: "utf8" });
        assert.equal(said, "true true\n");
    }
}

test("npm install of the folder", () => {
    const fresh = project("folder");
    npm(fresh, "install", PACKAGE);
    works(fresh);
});

test("the packed tarball has what is needed and no more, and is installed on its own", () => {
    const [packed] = JSON.parse(npm(PACKAGE, "pack", "--json", "--pack-destination", folder));
    const names: string[] = packed.files.map(({ path }: { path: string }) => path);
    const native = names.filter((name) => name.endsWith(".node"));
    assert.equal(native.length, 1);
    for (const name of ["README.md", "package.json", "dist/index.js", "dist/index.mjs", "dist/index.d.ts"]) {
        assert.ok(names.includes(name), name);
    }
    assert.ok(names.includes("dist/index.d.mts"));
    const others = names.filter((name) => !/^(dist\/.*\.(js|mjs|ts|mts)|README\.md|package\.json)$/.test(name));
    assert.deepEqual(others, native);
    const fresh = project("tarball");
    npm(fresh, "install", join(folder, packed.filename));
    works(fresh);
});

test("the native module may come in the package of its platform", () => {
    const script = join(PACKAGE, "scripts/platform.mjs");
    const published = join(folder, "published");
    execFileSync(process.execPath, [script, published], { encoding: "utf8" });
    const [platform] = readdirSync(published).filter((name) => name !== "fencelock");
    assert.ok(platform);
    const main = JSON.parse(readFileSync(join(published, "fencelock/package.json"), "utf8"));
    assert.equal(main.optionalDependencies[`fencelock-${platform}`], main.version);
    const packed = ["fencelock", platform].map((name) => {
        const [{ filename }] = JSON.parse(npm(join(published, name), "pack", "--json", "--pack-destination", folder));
        return join(folder, filename);
    });
    const fresh = project("platform");
    npm(fresh, "install", "--omit=optional", ...packed);
    works(fresh);
    rmSync(join(fresh, "node_modules", `fencelock-${platform}`), { recursive: true });
    const failed = spawnSync(process.execPath, ["a.mjs", server.url], { cwd: fresh, encoding: "utf8" });
    assert.equal(failed.status, 1);
    assert.match(failed.stderr, /no native module for .*make build-node.*npm install --include=optional fencelock/);
});
