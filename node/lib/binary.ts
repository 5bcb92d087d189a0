/** Finds the native module: beside this package's files, where `make build-node` puts it, or in the package of this platform. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type * as Native from "./native.js";

/** The platform as packages are named after it, such as `linux-x64-gnu`. */
function platform(): string {
    const { platform, arch } = process;
    if (platform !== "linux") {
        return `${platform}-${arch}`;
    }
    const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
    return `linux-${arch}-${header.glibcVersionRuntime === undefined ? "musl" : "gnu"}`;
}

function load(): typeof Native {
    const name = platform();
    const beside = join(__dirname, "..", `fencelock.${name}.node`);
    const failures: string[] = [];
    for (const candidate of existsSync(beside) ? [beside] : [`fencelock-${name}`]) {
        try {
            return require(candidate) as typeof Native;
        } catch (error) {
            failures.push(String(error).split("\n", 1)[0] as string);
        }
    }
    throw new Error(
        `fencelock has no native module for ${name} that can be loaded; in a checkout build it by \`make build-node\` ` +
            `(it needs cargo), elsewhere install the package again with its optional dependencies: ` +
            `\`npm install --include=optional fencelock\` (${failures.join("; ")})`,
    );
}

/** @internal */
export const native = load();
