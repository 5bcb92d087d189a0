// Lays out the packages as they are published: the native module in a package of its platform, and `fencelock` without it.
// Argument: the folder to make them in.

import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const into = process.argv[2];
if (into === undefined) {
    throw new Error("say where to: node scripts/platform.mjs FOLDER");
}
const main = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));

/** `x86_64-unknown-linux-gnu` is `linux-x64-gnu` to Node. */
function platform(target) {
    const [machine, , system, libc] = target.split("-");
    const os = system === "darwin" || target.includes("apple-darwin") ? "darwin" : system;
    return { os, cpu: machine === "x86_64" ? "x64" : "arm64", libc: os === "linux" ? libc : undefined };
}

/** Writes a package's description. */
function describe(folder, description) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), `${JSON.stringify(description, null, 2)}\n`);
}

const names = {};
for (const target of main.napi.targets) {
    const { os, cpu, libc } = platform(target);
    const name = [os, cpu, libc].filter(Boolean).join("-");
    names[`fencelock-${name}`] = main.version;
    const binary = `fencelock.${name}.node`;
    if (!readdirSync(here).includes(binary)) {
        continue;
    }
    const { version, license, engines } = main;
    describe(join(into, name), {
        name: `fencelock-${name}`,
        version,
        description: `fencelock's native module for ${name}`,
        license,
        engines,
        os: [os],
        cpu: [cpu],
        ...(libc && { libc: [libc === "gnu" ? "glibc" : libc] }),
        main: binary,
        files: [binary],
    });
    copyFileSync(join(here, binary), join(into, name, binary));
    console.log(join(into, name));
}
const { scripts: _scripts, devDependencies: _tools, napi: _napi, ...rest } = main;
const folder = join(into, "fencelock");
describe(folder, { ...rest, files: ["dist", "README.md"], optionalDependencies: names });
cpSync(join(here, "dist"), join(folder, "dist"), { recursive: true });
copyFileSync(join(here, "README.md"), join(folder, "README.md"));
console.log(folder);
