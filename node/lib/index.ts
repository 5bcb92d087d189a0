/**
 * Distributed locks that a service can trust: on Redis and Valkey, with a fencing token on every lock, waiters served in the
 * order they came, and a holder that is told before anyone else can get its lock.
 *
 * ```ts
 * const client = await connect(); // the URL from FENCELOCK_URL
 * await client.lock("orders").using(async (lease) => write(order, lease.fence));
 * await client.close();
 * ```
 *
 * All durations are in ms.
 */

export { Client, connect, type Holder, type Inspection, URL_VARIABLE } from "./client.js";
export { DistributedLock, type DistributedLockOptions } from "./distributed.js";
export {
    AcquireCancelledError,
    AcquireTimeoutError,
    BackendError,
    ClosedError,
    DeniedError,
    type ErrorDetails,
    FencelockError,
    InternalError,
    InvalidArgumentError,
    LockLostError,
    type LossReason,
    NotHeldError,
    UnavailableError,
    UnsupportedError,
    WouldDeadlockError,
} from "./error.js";
export { Lease } from "./lease.js";
export { type Body, Lock } from "./lock.js";
export { type LogLevel, type LogRecord, setLog } from "./log.js";
export type { AcquireOptions, ConnectOptions, LockOptions, Pem } from "./options.js";
