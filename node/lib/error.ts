/**
 * What can go wrong: the same list in every language of fencelock.
 *
 * Every error is a {@link FencelockError}, and says which lock it is about, what happened and what
 * to do.
 */

import type { Failure } from "./native.js";

/** Why a lease was lost. */
export type LossReason =
    /** Its time ran out before it could be renewed. */
    | "expired"
    /** The server no longer has it: deleted, released by force, or forgotten. */
    | "refused"
    /** It had been held for `maxHold`. */
    | "max_hold"
    /** The client was closed. */
    | "closed"
    /** The process forked (not in Node). */
    | "forked"
    /** The backend's session ended. */
    | "session";

/** What an error tells besides its text. */
export interface ErrorDetails {
    /** The name of the lock that it is about. */
    lock?: string | undefined;
    /** Whether the same call may succeed later. */
    retryable?: boolean;
    /** Whether the command may have been carried out although its answer never came. */
    ambiguous?: boolean;
    /** Why the lease was lost. */
    reason?: LossReason | undefined;
}

/** The base of every error of fencelock. */
export abstract class FencelockError extends Error {
    /** The kind as Node names errors, such as `"ERR_FENCELOCK_ACQUIRE_TIMEOUT"`. */
    abstract readonly code: string;
    /** The kind as every language of fencelock names it, such as `"acquire_timeout"`. */
    abstract readonly kind: string;
    /** The number of the kind, the same in every language. */
    abstract readonly number: number;
    /** The name of the lock that it is about, if it is about one. */
    readonly lock: string | undefined;
    /** Whether the same call may succeed later. */
    readonly retryable: boolean;
    /** Whether the command may have been carried out although its answer never came. */
    readonly ambiguous: boolean;

    constructor(message: string, details: ErrorDetails = {}) {
        super(message);
        this.lock = details.lock;
        this.retryable = details.retryable ?? false;
        this.ambiguous = details.ambiguous ?? false;
    }
}

/** The time to wait was over and somebody else still held the lock. */
export class AcquireTimeoutError extends FencelockError {
    override readonly name = "AcquireTimeoutError";
    readonly code = "ERR_FENCELOCK_ACQUIRE_TIMEOUT";
    readonly kind = "acquire_timeout";
    readonly number = 1;
}

/** The caller holds this lock already, and would wait for itself. */
export class WouldDeadlockError extends FencelockError {
    override readonly name = "WouldDeadlockError";
    readonly code = "ERR_FENCELOCK_WOULD_DEADLOCK";
    readonly kind = "would_deadlock";
    readonly number = 2;
}

/** There is nothing to give back: never taken, or given back before. */
export class NotHeldError extends FencelockError {
    override readonly name = "NotHeldError";
    readonly code = "ERR_FENCELOCK_NOT_HELD";
    readonly kind = "not_held";
    readonly number = 3;
}

/** The lease ended while it was in use; `reason` says why. */
export class LockLostError extends FencelockError {
    override readonly name = "LockLostError";
    readonly code = "ERR_FENCELOCK_LOST";
    readonly kind = "lost";
    readonly number = 4;
    /** Why the lease was lost. */
    readonly reason: LossReason;

    constructor(message: string, details: ErrorDetails & { reason: LossReason }) {
        super(message, details);
        this.reason = details.reason;
    }
}

/** The server can't be reached, or can't serve just now. */
export class UnavailableError extends FencelockError {
    override readonly name = "UnavailableError";
    readonly code = "ERR_FENCELOCK_UNAVAILABLE";
    readonly kind = "unavailable";
    readonly number = 5;
}

/** The server refused the password, the user or a command. */
export class DeniedError extends FencelockError {
    override readonly name = "DeniedError";
    readonly code = "ERR_FENCELOCK_DENIED";
    readonly kind = "denied";
    readonly number = 6;
}

/** The wait was given up. An acquire whose `signal` aborts rejects with the signal's reason instead. */
export class AcquireCancelledError extends FencelockError {
    override readonly name = "AcquireCancelledError";
    readonly code = "ERR_FENCELOCK_CANCELLED";
    readonly kind = "cancelled";
    readonly number = 7;
}

/** The client was closed. */
export class ClosedError extends FencelockError {
    override readonly name = "ClosedError";
    readonly code = "ERR_FENCELOCK_CLOSED";
    readonly kind = "closed";
    readonly number = 8;
}

/** An argument, an option or the URL is wrong; nothing was sent. */
export class InvalidArgumentError extends FencelockError {
    override readonly name = "InvalidArgumentError";
    readonly code = "ERR_FENCELOCK_INVALID_ARGUMENT";
    readonly kind = "invalid_argument";
    readonly number = 9;
}

/** This build or this server lacks what was asked for. */
export class UnsupportedError extends FencelockError {
    override readonly name = "UnsupportedError";
    readonly code = "ERR_FENCELOCK_UNSUPPORTED";
    readonly kind = "unsupported";
    readonly number = 10;
}

/** The server answered with an error. */
export class BackendError extends FencelockError {
    override readonly name = "BackendError";
    readonly code = "ERR_FENCELOCK_BACKEND";
    readonly kind = "backend";
    readonly number = 11;
}

/** A bug in fencelock. */
export class InternalError extends FencelockError {
    override readonly name = "InternalError";
    readonly code = "ERR_FENCELOCK_INTERNAL";
    readonly kind = "internal";
    readonly number = 12;
}

type Details = ErrorDetails & { reason: LossReason };

/** By number. */
const CLASSES: (new (message: string, details: Details) => FencelockError)[] = [
    InternalError,
    AcquireTimeoutError,
    WouldDeadlockError,
    NotHeldError,
    LockLostError,
    UnavailableError,
    DeniedError,
    AcquireCancelledError,
    ClosedError,
    InvalidArgumentError,
    UnsupportedError,
    BackendError,
    InternalError,
];

/** The class for an error of the engine. @internal */
export function toError(failure: Failure): FencelockError {
    const { message, lock, retryable, ambiguous } = failure;
    const reason = (failure.reason ?? "expired") as LossReason;
    const known = CLASSES[failure.number] ?? InternalError;
    return new known(message, { lock, retryable, ambiguous, reason });
}

/** What the engine made, or its error thrown. @internal */
export function made<T extends object>(outcome: T | Failure): T {
    if ("retryable" in outcome) {
        throw toError(outcome);
    }
    return outcome;
}
