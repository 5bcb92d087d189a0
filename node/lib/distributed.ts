/** `DistributedLock`: acquire and release, and no more to learn. */

import { AsyncLocalStorage } from "node:async_hooks";
import { Client, describe, URL_VARIABLE } from "./client.js";
import { InvalidArgumentError, NotHeldError } from "./error.js";
import type { Lease } from "./lease.js";
import type { Lock } from "./lock.js";
import { warn } from "./log.js";
import { ms, text } from "./options.js";

const DEFAULT_URL = "redis://localhost:6379/0";
const DEFAULT_TIMEOUT = 5000;

/** One client per URL; it connects at the first acquire. */
const clients = new Map<string, Client>();
let told = false;

/** How a {@link DistributedLock} is held and waited for. */
export interface DistributedLockOptions {
    /**
     * The server; by default the environment variable `FENCELOCK_URL`, and without that `redis://localhost:6379/0`, of which a
     * warning tells once. Every lock of this process with the same URL shares one client.
     */
    url?: string | undefined;
    /** The client to use, instead of a URL. */
    client?: Client | undefined;
    /** For how many ms a crashed holder blocks others. Default 10,000. */
    ttl?: number | undefined;
    /** How many ms `acquire` waits at most; 0 makes one attempt. Default 5000. */
    timeout?: number | undefined;
}

/** What one call of `acquire` came to. */
interface Holding {
    lease: Lease | null;
}

/**
 * A lock that is shared by every process that uses its name, on any host.
 *
 * `acquire()` takes the lock and keeps it, renewed in the background, until `release()`. It never gives false: callers do not
 * look. Several asynchronous functions may share one object: each gives back what it acquired itself, so that a
 * `finally { await lock.release() }` after a time-out can't free somebody else's lock.
 *
 * ```ts
 * const lock = new DistributedLock("orders");
 * await lock.acquire();
 * await lock.release();
 * ```
 */
export class DistributedLock {
    /** The lock's name. */
    readonly name: string;

    readonly #lock: Lock;
    readonly #timeout: number;
    /** What the running function has acquired. */
    readonly #own = new AsyncLocalStorage<Holding>();
    /** Everything that was acquired and not given back, the oldest first. */
    readonly #held = new Set<Holding>();

    /**
     * Describes the lock; nothing is sent.
     *
     * @throws {InvalidArgumentError} Name or options can't be used, or both `url` and `client` are given.
     */
    constructor(name: string, options: DistributedLockOptions = {}) {
        text(name, "the name");
        const { url, client, ttl, timeout = DEFAULT_TIMEOUT, ...others } = options;
        const lock = `lock ${JSON.stringify(name)}`;
        const unknown = Object.keys(others)[0];
        if (unknown !== undefined) {
            const known = "there are url, client, ttl, timeout";
            throw new InvalidArgumentError(`${lock}: DistributedLock has no option "${unknown}"; ${known}`, {
                lock: name,
            });
        }
        if (url !== undefined && client !== undefined) {
            throw new InvalidArgumentError(`${lock}: both url and client are given; give one`, { lock: name });
        }
        ms(timeout, "timeout");
        this.name = name;
        this.#timeout = timeout;
        this.#lock = (client ?? shared(url)).lock(name, { ttl });
    }

    /** What this function holds, for `fence`, `isHeld()` and `signal`; `null`: nothing. */
    get lease(): Lease | null {
        return this.#mine()?.lease ?? null;
    }

    /**
     * Takes the lock, and keeps it until `release()`.
     *
     * @returns True, once the lock is held.
     * @throws {AcquireTimeoutError} The time was over (5 s by default) and somebody else had the lock.
     * @throws {UnavailableError} The server can't be reached.
     * @throws As `Lock.acquire`.
     */
    acquire(): Promise<true> {
        const holding: Holding = { lease: null };
        // Here, before anything is awaited: the caller goes on with it.
        this.#own.enterWith(holding);
        return this.#acquire(holding);
    }

    async #acquire(holding: Holding): Promise<true> {
        holding.lease = await this.#lock.acquire({ timeout: this.#timeout });
        this.#held.add(holding);
        return true;
    }

    /**
     * Gives back what this function acquired; where it is not known who calls, what was acquired first.
     *
     * @returns True.
     * @throws {NotHeldError} It holds nothing; what others hold stays as it is.
     * @throws {LockLostError} The lease was lost before.
     * @throws {UnavailableError} The server did not confirm; the release is repeated in the background until the lease ends by
     *   itself.
     */
    async release(): Promise<true> {
        const mine = this.#mine();
        const lease = mine?.lease;
        if (!mine || !lease) {
            throw new NotHeldError(
                `lock ${JSON.stringify(this.name)}: it is not held here; release once, by the function that acquired`,
                { lock: this.name },
            );
        }
        mine.lease = null;
        this.#held.delete(mine);
        await lease.release();
        return true;
    }

    #mine(): Holding | undefined {
        const [oldest] = this.#held;
        return this.#own.getStore() ?? oldest;
    }
}

function shared(url: string | undefined): Client {
    const chosen = url ?? (process.env[URL_VARIABLE] || DEFAULT_URL);
    if (url === undefined && !process.env[URL_VARIABLE] && !told) {
        told = true;
        warn(
            `DistributedLock uses ${DEFAULT_URL}, because neither url nor ${URL_VARIABLE} is given: only processes on this host ` +
                "exclude each other",
        );
    }
    text(chosen, "the URL");
    const known = clients.get(chosen);
    if (known !== undefined) {
        return known;
    }
    const client = new Client(describe(chosen, {}));
    clients.set(chosen, client);
    return client;
}
