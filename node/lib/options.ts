/** Options: what there is, and clear errors for what there is not. */

import { InvalidArgumentError } from "./error.js";
import type { ConnectParts, LockParts } from "./native.js";

/** Certificates or a key in PEM: a file's path, or what is in one. */
export type Pem = string | Uint8Array;

/** How a client connects. */
export interface ConnectOptions {
    /** Put before every lock's name to make the key. Clients with different prefixes do not exclude each other. Default none. */
    prefix?: string | undefined;
    /** How many ms connecting may take. Default 5000. */
    connectTimeout?: number | undefined;
    /** How many ms an answer may take. Default 5000. */
    responseTimeout?: number | undefined;
    /**
     * The CA certificates to trust instead of the system's: a file's path, or PEM. This and the following are for
     * `rediss://` and refused with other URLs; the URL may say each of them, too (as `tls_ca` and so on).
     */
    tlsCa?: Pem | undefined;
    /** The client certificate to show; goes with `tlsKey`. */
    tlsCert?: Pem | undefined;
    /** The certificate's private key, not encrypted. */
    tlsKey?: Pem | undefined;
    /** The name that the server's certificate must be for. Default the URL's host. */
    tlsServerName?: string | undefined;
    /** The oldest version of TLS to speak. Default `"1.2"`. */
    tlsMinVersion?: "1.2" | "1.3" | undefined;
    /**
     * Takes whoever answers for the server: anybody on the way can read the password, and grant locks. For trying
     * things out. Default false.
     */
    dangerAcceptInvalidCerts?: boolean | undefined;
}

/** How a lock is held. */
export interface LockOptions {
    /**
     * How many ms a lease lasts without renewal, and so how long a crashed holder blocks others: 50 to 86,400,000,
     * with renewal on at most 3,600,000. Default 10,000.
     */
    ttl?: number | undefined;
    /** Whether the lease is renewed in the background at each third of its TTL. Default true. */
    renew?: boolean | undefined;
    /** For how many ms a lease is kept by renewal at most; then it is lost, with the reason `max_hold`. Default no limit. */
    maxHold?: number | undefined;
    /** What `inspect` shows of the holder, at most 128 bytes. Default empty. */
    label?: string | undefined;
}

/** How to wait for a lock. */
export interface AcquireOptions {
    /** How many ms to wait at most; 0 makes one attempt. Default without limit. */
    timeout?: number | undefined;
    /** Ends the wait: the promise rejects with the signal's reason, and nothing is left behind. */
    signal?: AbortSignal | undefined;
}

type Check = (value: unknown, what: string) => void;

const CONNECT: Record<keyof ConnectOptions, Check> = {
    prefix: text,
    connectTimeout: ms,
    responseTimeout: ms,
    tlsCa: pem,
    tlsCert: pem,
    tlsKey: pem,
    tlsServerName: text,
    tlsMinVersion: text,
    dangerAcceptInvalidCerts: flag,
};

const LOCK: Record<keyof LockOptions, Check> = { ttl: ms, renew: flag, maxHold: ms, label: text };

const ACQUIRE: Record<keyof AcquireOptions, Check> = { timeout: ms, signal: abortable };

/** Shows a value in an error, shortly. */
function shown(value: unknown): string {
    const kind = value === null ? "null" : typeof value;
    return typeof value === "number" ? String(value) : `of type ${kind}`;
}

function invalid(message: string): never {
    throw new InvalidArgumentError(message);
}

/** Refuses what is no text. @internal */
export function text(value: unknown, what: string): asserts value is string {
    if (typeof value !== "string") {
        invalid(`${what} is ${shown(value)}; give a string`);
    }
    // A lone surrogate would become another name's replacement character.
    if (!value.isWellFormed()) {
        invalid(`${what} has lone surrogates; give a text that UTF-8 can write`);
    }
}

/** Refuses what is no duration. @internal */
export function ms(value: unknown, what: string): asserts value is number {
    if (typeof value !== "number") {
        invalid(`${what} is ${shown(value)}; give ms as a number`);
    }
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) {
        invalid(`${what} is ${value}; give a time of 0 or more ms, and finite (leave it out for no limit)`);
    }
}

function flag(value: unknown, what: string): void {
    if (typeof value !== "boolean") {
        invalid(`${what} is ${shown(value)}; give true or false`);
    }
}

function pem(value: unknown, what: string): void {
    if (typeof value !== "string" && !(value instanceof Uint8Array)) {
        invalid(`${what} is ${shown(value)}; give a path, or PEM as a string or Uint8Array`);
    }
}

function abortable(value: unknown, what: string): void {
    if (!(value instanceof AbortSignal)) {
        invalid(`${what} is ${shown(value)}; give an AbortSignal`);
    }
}

/** Refuses what is no option of a function, with a hint for what other libraries have. */
function check(options: unknown, known: Record<string, Check>, where: string, hints: Record<string, string>): void {
    if (options === null || typeof options !== "object" || Array.isArray(options)) {
        const example = `{ ${Object.keys(known)[0]}: … }`;
        invalid(`the options of ${where} are ${shown(options)}; give an object, such as ${example}`);
    }
    for (const [name, value] of Object.entries(options)) {
        const checked = Object.hasOwn(known, name) ? known[name] : undefined;
        if (checked === undefined) {
            const hint = hints[name] ?? `there are ${Object.keys(known).join(", ")}`;
            invalid(`${where} has no option ${JSON.stringify(name)}; ${hint}`);
        }
        if (value !== undefined) {
            checked(value, name);
        }
    }
}

const TTL_HINT = "give ttl to client.lock() for how many ms a lease lasts";
const WAIT_HINT =
    "give ttl (ms) for how long a lease lasts, and acquire({ timeout }) for how many ms to wait for the lock";

/** @internal */
export function connectParts(options: ConnectOptions): ConnectParts {
    check(options, CONNECT, "connect()", {
        ttl: TTL_HINT,
        timeout: "there are connectTimeout and responseTimeout",
        tls: "there are tlsCa, tlsCert, tlsKey, tlsServerName, tlsMinVersion",
    });
    const { tlsCa, tlsCert, tlsKey, ...rest } = options;
    return { ...rest, ...pems({ tlsCa, tlsCert, tlsKey }) } as ConnectParts;
}

/** A path stays a string; PEM becomes bytes. */
function pems(given: Record<string, Pem | undefined>): Record<string, Pem | undefined> {
    const bytes = (value: Pem | undefined) =>
        typeof value === "string" && value.includes("-----BEGIN") ? Buffer.from(value) : value;
    return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, bytes(value)]));
}

/** @internal */
export function lockParts(options: LockOptions): LockParts {
    check(options, LOCK, "lock()", {
        timeout: WAIT_HINT,
        duration: WAIT_HINT,
        retryCount: "waiters stand in line; give acquire({ timeout }) for how many ms to wait",
        signal: "give it to acquire({ signal })",
    });
    return options as LockParts;
}

/** @internal */
export function checkAcquire(options: AcquireOptions, where = "acquire()"): void {
    check(options, ACQUIRE, where, { ttl: TTL_HINT });
}
