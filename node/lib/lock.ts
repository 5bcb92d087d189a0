/** A description of a lock: its name and how it is to be held. */

import type { Client } from "./client.js";
import { InvalidArgumentError } from "./error.js";
import { Lease } from "./lease.js";
import type { Lock as Native } from "./native.js";
import { type AcquireOptions, checkAcquire } from "./options.js";
import { outcome, outcomeUnless } from "./port.js";

/** What runs while a lock is held. */
export type Body<T> = (lease: Lease) => T | PromiseLike<T>;

/**
 * A lock that may be held: a name and options. `Client.lock` makes it.
 *
 * It is cheap and may be used again and again, also at the same time; each acquire gives a {@link Lease} of its own. It is not
 * reentrant: acquired again inside, it waits for the first lease to end.
 */
export class Lock {
    /** The lock's name. */
    readonly name: string;
    /** The client that it is of. */
    readonly client: Client;

    readonly #native: Native;
    /** Makes a lease of what was granted. */
    readonly #held = (granted: number, lease: number, fence: number): Lease | null =>
        granted ? new Lease(lease, fence, this) : null;

    /** Made by `Client.lock` only. @internal */
    constructor(native: Native, name: string, client: Client) {
        this.#native = native;
        this.name = name;
        this.client = client;
    }

    /**
     * Takes the lock, waiting in line for it.
     *
     * @param options How long to wait (ms; default without limit), and a signal that ends the wait.
     * @returns The lease. Keep it: one that is discarded is not renewed, and lapses.
     * @throws {AcquireTimeoutError} The time was over and somebody else still held the lock.
     * @throws {UnavailableError} The server can't be reached.
     * @throws {DeniedError} The server refused the password or a command.
     * @throws {ClosedError} The client was closed.
     * @throws {InvalidArgumentError} An option can't be used.
     * @throws {BackendError} The server answered with an error.
     * @throws The signal's reason, if it aborts: the queue is left, and a grant that raced with it is given back.
     */
    acquire(options?: AcquireOptions): Promise<Lease> {
        // Most are like this, and are not to pay for what follows.
        return options === undefined ? this.#granted(this.#native.beginAcquire()) : this.#acquire(options);
    }

    async #acquire(options: AcquireOptions): Promise<Lease> {
        checkAcquire(options);
        const { timeout, signal } = options;
        signal?.throwIfAborted();
        const number = this.#native.beginAcquire(timeout);
        return signal ? (outcomeUnless(number, signal, this.#held) as Promise<Lease>) : this.#granted(number);
    }

    #granted(number: number): Promise<Lease> {
        return outcome(number, this.#held) as Promise<Lease>;
    }

    /**
     * Takes the lock if it is free at this moment.
     *
     * @returns The lease, or `null` if somebody has the lock or waits for it.
     * @throws As {@link acquire}, less `AcquireTimeoutError`.
     */
    tryAcquire(): Promise<Lease | null> {
        return outcome<Lease | null>(this.#native.beginTryAcquire(), this.#held);
    }

    /**
     * Takes the lock, runs a function with the lease, and gives the lock back.
     *
     * If the lease is lost it rejects with a {@link LockLostError} at once; the function may still be running then, and should
     * look at `lease.signal`. What the function throws comes first: its error is the outcome even if the lease was lost, too.
     *
     * @param options As for {@link acquire}.
     * @param body What to do under the lock.
     * @returns What the function returned.
     * @throws As {@link acquire}; what the function throws; {@link LockLostError}.
     */
    using<T>(options: AcquireOptions, body: Body<T>): Promise<T>;
    /** As above, waiting without limit. */
    using<T>(body: Body<T>): Promise<T>;
    async using<T>(...given: [AcquireOptions, Body<T>] | [Body<T>]): Promise<T> {
        const [options, body] = given.length === 1 ? [{}, given[0]] : given;
        if (typeof body !== "function") {
            throw new InvalidArgumentError(
                `lock ${JSON.stringify(this.name)}: using() has no function to run; give it last: using({ timeout }, async (lease) => …)`,
                { lock: this.name },
            );
        }
        checkAcquire(options, "using()");
        const lease = await this.acquire(options);
        let outcome: T;
        try {
            outcome = await unlessLost(lease, body);
        } catch (error) {
            // It comes first: how the release goes is of less interest.
            await lease[Symbol.asyncDispose]().catch(() => undefined);
            throw error;
        }
        await lease[Symbol.asyncDispose]();
        return outcome;
    }
}

/** Runs the body until it is done or the lease is lost. */
async function unlessLost<T>(lease: Lease, body: Body<T>): Promise<T> {
    const { signal } = lease;
    let forget = () => {};
    const lost = new Promise<never>((_, reject) => {
        const abort = () => reject(signal.reason);
        forget = () => signal.removeEventListener("abort", abort);
        signal.addEventListener("abort", abort, { once: true });
    });
    try {
        return await Promise.race([(async () => body(lease))(), lost]);
    } finally {
        forget();
    }
}
