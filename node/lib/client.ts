/** A client: one backend, by URL. */

import { native } from "./binary.js";
import { InvalidArgumentError, made } from "./error.js";
import { Lock } from "./lock.js";
import type { InspectionParts, Client as Native } from "./native.js";
import { type ConnectOptions, connectParts, type LockOptions, lockParts, text } from "./options.js";
import { outcome, port } from "./port.js";

/** The environment variable that has the URL, where none is given. */
export const URL_VARIABLE = "FENCELOCK_URL";

/** Who holds a lock. */
export interface Holder {
    /** Tells holders apart. It is no secret, and good for nothing else. */
    id: string;
    /** Whether another library holds it, on the same key. */
    foreign: boolean;
    /** The holder's fence, if it has one. */
    fence: number | null;
    /** How many ms its lease lasts without renewal; `null` if that is not known. */
    ttl: number | null;
    /** How many ms are left of it; `null` if it never ends. */
    remaining: number | null;
    /** The label that it was given. */
    label: string;
}

/** What can be seen of a lock. */
export interface Inspection {
    /** The lock's name. */
    name: string;
    /** Who holds it; `null` if it is free. */
    holder: Holder | null;
    /** How many wait in line. */
    waiters: number;
}

/**
 * Connects to the server that a URL names.
 *
 * @param url Such as `redis://user:password@host:6379/0`, `rediss://…` for TLS, or `redis+unix:///path?db=0`; by default the
 *   environment variable `FENCELOCK_URL`.
 * @param options A prefix, time limits (ms), TLS.
 * @returns A client, good for any number of locks. Close it at the end, or use `await using`.
 * @throws {InvalidArgumentError} There is no URL, or it or an option can't be read.
 * @throws {UnavailableError} The server can't be reached, or its certificate is not accepted.
 * @throws {DeniedError} The server refuses the password, the user or the client certificate.
 */
export async function connect(url?: string, options: ConnectOptions = {}): Promise<Client> {
    const client = new Client(describe(resolveUrl(url), options));
    await client.open();
    return client;
}

/** @internal */
export function resolveUrl(url: string | undefined): string {
    if (typeof url === "object" && url !== null) {
        throw new InvalidArgumentError(
            "the URL is an object; give connect(url, options), or connect(undefined, options)",
        );
    }
    const chosen = url ?? (process.env[URL_VARIABLE] || undefined);
    if (chosen === undefined) {
        throw new InvalidArgumentError(
            `no URL was given and ${URL_VARIABLE} is not set; pass a URL such as redis://localhost:6379/0, or set ${URL_VARIABLE}`,
        );
    }
    text(chosen, "the URL");
    return chosen;
}

/** @internal */
export function describe(url: string, options: ConnectOptions): Native {
    return made(native.Client.describe(port, url, connectParts(options)));
}

/** One backend, by URL: gives locks. {@link connect} makes it. */
export class Client implements AsyncDisposable {
    readonly #native: Native;

    /** Made by `connect` only. @internal */
    constructor(native: Native) {
        this.#native = native;
    }

    /** Connects, where that waited for the first use. @internal */
    async open(): Promise<void> {
        await outcome(this.#native.beginConnect());
    }

    /** The server, without password. */
    get server(): string {
        return this.#native.server;
    }

    /**
     * Describes a lock. Nothing is sent.
     *
     * @param name 1 to 512 bytes in UTF-8.
     * @param options TTL (ms; default 10,000), renewal, the longest hold (ms), a label.
     * @throws {InvalidArgumentError} Name or options can't be served.
     */
    lock(name: string, options: LockOptions = {}): Lock {
        text(name, "the name");
        const described = made(native.Lock.describe(port, this.#native, name, lockParts(options)));
        return new Lock(described, name, this);
    }

    /**
     * Shows who holds a lock and how many wait, without taking part.
     *
     * @throws {InvalidArgumentError} The name can't be served.
     * @throws {UnavailableError} The server can't be reached.
     * @throws {DeniedError} The server refused the password or a command.
     * @throws {ClosedError} The client was closed.
     * @throws {BackendError} The server answered with an error.
     */
    async inspect(name: string): Promise<Inspection> {
        text(name, "the name");
        const { holder, waiters } = await outcome<InspectionParts>(this.#native.beginInspect(name));
        if (!holder) {
            return { name, holder: null, waiters };
        }
        const { id, foreign, fence, ttl, remaining, label } = holder;
        const known = { fence: fence ?? null, ttl: ttl ?? null, remaining: remaining ?? null };
        return { name, holder: { id, foreign, ...known, label }, waiters };
    }

    /**
     * Ends every wait, releases every lease and closes the connections. Waits end with `ClosedError`; leases are lost, with the
     * reason `closed`. Takes at most about 1 s. Closing again does nothing.
     */
    async close(): Promise<void> {
        await outcome(this.#native.beginClose());
    }

    /** Closes the client at the end of an `await using` scope. */
    async [Symbol.asyncDispose](): Promise<void> {
        await this.close();
    }

    /** Shows the server, without password. */
    [Symbol.for("nodejs.util.inspect.custom")](): string {
        return `Client { ${this.server} }`;
    }
}
