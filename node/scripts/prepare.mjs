// npm runs this for `npm install ./node` and in the folder itself, maybe before anything is installed: it needs Node alone.
// Published packages and tarballs are built already.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const native = readdirSync(here).some((name) => name.endsWith(".node"));

if (!native || !existsSync(join(here, "dist", "index.mjs"))) {
    if (spawnSync("cargo", ["--version"]).status !== 0) {
        console.error(
            "fencelock is not built, and there is no cargo to build it: run `make build-node` in its repository",
        );
        process.exit(1);
    }
    const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ["npm"];
    const [program, ...first] = npm;
    // Scripts would run this one again.
    const options = ["ci", "--ignore-scripts", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
    execFileSync(program, [...first, ...options], { cwd: here, stdio: "inherit" });
    execFileSync(process.execPath, [join(here, "scripts", "build.mjs")], { cwd: here, stdio: "inherit" });
}
