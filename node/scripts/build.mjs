// Builds the native module by cargo, and the TypeScript around it; `--native`, `--lib` and `--test` only that.

import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const only = process.argv[2];

/** Runs a program of node_modules in the package's folder. */
function run(program, ...args) {
    execFileSync(join(here, "node_modules", ".bin", program), args, { cwd: here, stdio: "inherit" });
}

if (only === undefined || only === "--native") {
    // The declarations are committed; scripts/lint.sh tells when they are stale.
    const declarations = ["--no-js", "--dts", "lib/native.d.ts", "--no-dts-cache"];
    run("napi", "build", "--release", "--platform", ...declarations, "--", "--locked");
}
if (only === undefined || only === "--lib") {
    rmSync(join(here, "dist"), { recursive: true, force: true });
    run("tsc", "-p", "tsconfig.build.json");
    for (const name of ["index.mjs", "index.d.mts", "native.d.ts"]) {
        copyFileSync(join(here, "lib", name), join(here, "dist", name));
    }
}
if (only === "--test") {
    rmSync(join(here, "build", "test"), { recursive: true, force: true });
    run("tsc", "-p", "tsconfig.json");
}
