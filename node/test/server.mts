// A Redis of one's own, and programs of their own for what ends a process.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, connect as dial } from "node:net";
import { after, before } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Client, connect } from "fencelock";

/** ms that nothing here takes unless it hangs. */
export const LIMIT = 30_000;

/** Whether repeated tests may take minutes, as in `make test-all`. */
export const LONG = process.env.FENCELOCK_LONG === "1";

/** The package's folder. */
export const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

/** Waits until a condition holds that cannot be waited for otherwise. */
export async function eventually(condition: () => unknown, what: string): Promise<void> {
    const until = Date.now() + LIMIT;
    while (!(await condition())) {
        if (Date.now() > until) {
            throw new Error(`${what} did not come true`);
        }
        await pause(5);
    }
}

/** Sends a command to a Redis, in the inline form, and gives its first line. */
export function ask(port: number, command: string): Promise<string> {
    return new Promise((resolve, reject) => {
        const socket = dial(port, "127.0.0.1", () => socket.write(`${command}\r\n`));
        socket.once("data", (data) => {
            resolve(String(data).split("\r\n", 1)[0] as string);
            socket.destroy();
        });
        socket.once("error", reject);
    });
}

/** A Redis on a free port, without persistence. It keeps the test file's process, until it is stopped. */
export interface Server {
    readonly url: string;
    readonly port: number;
    readonly process: ChildProcess;
    ask(command: string): Promise<string>;
    stop(): Promise<void>;
}

export async function startServer(): Promise<Server> {
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const { port } = free.address() as AddressInfo;
    free.close();
    await once(free, "close");
    const program = process.env.FENCELOCK_REDIS_SERVER ?? "redis-server";
    const server = spawn(program, ["--port", `${port}`, "--bind", "127.0.0.1", "--save", ""], {
        stdio: "ignore",
    });
    const stop = async () => {
        if (server.exitCode === null && server.signalCode === null) {
            server.kill("SIGKILL");
            await once(server, "exit");
        }
    };
    process.on("exit", () => server.kill("SIGKILL"));
    const answers = () =>
        ask(port, "PING").then(
            (said) => said === "+PONG",
            () => false,
        );
    await eventually(answers, "the server's first answer");
    return { url: `redis://127.0.0.1:${port}/0`, port, process: server, ask: (command) => ask(port, command), stop };
}

/** The server of a test file that has called `serve`. */
export let server: Server;
/** That file's client. */
export let client: Client;

/** Gives a test file a server and a client, for as long as its tests run. */
export function serve(): void {
    before(async () => {
        server = await startServer();
        client = await connect(server.url);
    });
    after(async () => {
        await client.close();
        await server.stop();
    });
}

/** What a program of its own came to. */
export interface Ran {
    code: number | null;
    signal: string | null;
    output: string;
    errors: string;
    /** ms that it took. */
    took: number;
}

/** Calls back when a signal aborts, or at once: on a busy machine a short lease may be over before anybody listens. */
export function onAbort(signal: AbortSignal, call: () => void): void {
    if (signal.aborted) {
        call();
    } else {
        signal.addEventListener("abort", call);
    }
}

/** Waits until a signal aborts; its reason. */
export function aborted(signal: AbortSignal): Promise<unknown> {
    return new Promise((told) => onAbort(signal, () => told(signal.reason)));
}

/** Runs an ES module's text as a program of its own, in the package's folder; it has no URL but the one given. */
export async function run(url: string, code: string, ...flags: string[]): Promise<Ran> {
    const begun = performance.now();
    const env = { ...process.env, FENCELOCK_URL: url };
    const child = spawn(process.execPath, [...flags, "--input-type=module", "-e", code], { cwd: PACKAGE, env });
    const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT);
    let [output, errors] = ["", ""];
    child.stdout.on("data", (data) => {
        output += data;
    });
    child.stderr.on("data", (data) => {
        errors += data;
    });
    const [status, signal] = await once(child, "close");
    clearTimeout(limit);
    return { code: status, signal, output, errors, took: performance.now() - begun };
}
