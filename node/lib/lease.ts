/** One holding of a lock. */

import { native } from "./binary.js";
import { FencelockError, LockLostError, type LossReason, NotHeldError, toError } from "./error.js";
import type { Lock } from "./lock.js";
import { warn } from "./log.js";
import { outcome, port, watch } from "./port.js";

/** How many ms the end of a scope waits for the server. */
const RELEASE_LIMIT = 1000;

/** A signal keeps its lease from being collected: whoever has it relies on the lease. */
const leases = new WeakMap<AbortSignal, Lease>();

/** Hears of leases that were collected before they were released. */
const collected = new FinalizationRegistry((number: number) => port.discard(number));

/**
 * One holding of a lock, from its grant until it is released or lost.
 *
 * A lease is kept alive in the background, also while JavaScript computes. While `isHeld()` is true nobody else holds the
 * lock, as far as the backend's assumptions go; a process can be paused between that check and its write, so where
 * correctness matters pass `fence` to what you write to, and let it refuse smaller numbers.
 *
 * A lease that is garbage-collected while held does *not* release its lock: renewal stops, a warning names the lock, and it
 * lapses at its deadline.
 */
export class Lease implements AsyncDisposable {
    /** The lock's name. */
    readonly name: string;
    /** The fencing token: larger than that of every earlier lease of this lock, a whole number below 2^53. */
    readonly fence: number;

    /** The lock that it is a holding of. It keeps the client from being collected, so that it is closed at the process's exit. */
    readonly lock: Lock;

    /** The engine's number of it; nobody's once it was released. */
    readonly #number: number;
    #released = false;
    #controller: AbortController | undefined;

    /** Made by `acquire` only. @internal */
    constructor(number: number, fence: number, lock: Lock) {
        this.#number = number;
        this.lock = lock;
        this.name = lock.name;
        this.fence = fence;
        collected.register(this, number, this);
    }

    /** Whether the lock is held at this moment. Costs a look at the clock, no round trip; right also after the event loop was blocked. */
    isHeld(): boolean {
        return !this.#released && port.isHeld(this.#number);
    }

    /** How many ms the lease still lasts unless it is renewed; 0 once it is not held. */
    remaining(): number {
        return this.#released ? 0 : port.remaining(this.#number);
    }

    /** Why the lease was lost; `null` if it was not. */
    lostReason(): LossReason | null {
        return this.#released ? null : ((port.lostReason(this.#number) ?? null) as LossReason | null);
    }

    /**
     * Throws if the lease is not held any more. Call it between steps of long work.
     *
     * @throws {LockLostError} It was lost; `reason` says why.
     * @throws {NotHeldError} It was released.
     */
    check(): void {
        const failure = this.#failure();
        if (failure) {
            throw failure;
        }
    }

    /**
     * Aborts when the lease is lost, with a {@link LockLostError} as its reason. Give it to what works under the lock, such as
     * `fetch(url, { signal: lease.signal })`. It does not abort when the lease is released.
     */
    get signal(): AbortSignal {
        if (this.#controller === undefined) {
            this.#controller = new AbortController();
            leases.set(this.#controller.signal, this);
            // The engine must not keep a lease that nobody has any more.
            const known = new WeakRef(this);
            watch(this.#number, () => {
                const lease = known.deref();
                if (lease !== undefined) {
                    lease.#lost();
                }
            });
        }
        // The loop may have been blocked since the loss.
        this.#lost();
        return this.#controller.signal;
    }

    #lost(): void {
        const controller = this.#controller;
        if (controller !== undefined && !controller.signal.aborted && this.lostReason() !== null) {
            controller.abort(this.#failure());
        }
    }

    /** What is wrong, if it is not held. */
    #failure(): FencelockError | null {
        const failure = this.#released ? native.Port.released(this.name) : port.check(this.#number);
        return failure ? toError(failure) : null;
    }

    /**
     * Renews the lease now, for its full TTL. In the background that goes on by itself.
     *
     * @throws {LockLostError} The server refused, or the time was over.
     * @throws {NotHeldError} It was released.
     * @throws {UnavailableError} The server could not be reached; the lease is held until its deadline all the same.
     */
    async renew(): Promise<void> {
        this.check();
        await outcome(port.beginRenew(this.#number));
    }

    /**
     * Gives the lock back, to the first waiter if there is one.
     *
     * @throws {LockLostError} It was not held any more.
     * @throws {NotHeldError} It was released before.
     * @throws {UnavailableError} The server did not confirm; the release is repeated in the background until the lease ends by
     *   itself.
     */
    release(): Promise<void> {
        return this.#release();
    }

    #release(limit?: number): Promise<void> {
        if (this.#released) {
            return Promise.reject(this.#failure());
        }
        return outcome(port.beginRelease(this.#number, limit), () => {
            this.#released = true;
            collected.unregister(this);
        });
    }

    /**
     * Releases the lease at the end of an `await using` scope, unless that was done; waits at most 1 s for the server's answer,
     * and warns if none came.
     *
     * @throws {LockLostError} The lease was lost.
     */
    async [Symbol.asyncDispose](): Promise<void> {
        try {
            await this.#release(RELEASE_LIMIT);
        } catch (error) {
            if (error instanceof LockLostError || !(error instanceof FencelockError)) {
                throw error;
            }
            // Given back in the body already, or not confirmed.
            if (!(error instanceof NotHeldError)) {
                warn(`a release was not confirmed: ${error.message}`);
            }
        }
    }

    /** Shows name, fence and state. */
    [Symbol.for("nodejs.util.inspect.custom")](): string {
        const state = this.isHeld() ? "held" : (this.lostReason() ?? "released");
        return `Lease { ${JSON.stringify(this.name)}, fence: ${this.fence}, ${state} }`;
    }
}
