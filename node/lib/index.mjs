// The same classes as for CommonJS: two copies would not know each other's errors.

import fencelock from "./index.js";

export const {
    AcquireCancelledError,
    AcquireTimeoutError,
    BackendError,
    Client,
    ClosedError,
    connect,
    DeniedError,
    DistributedLock,
    FencelockError,
    InternalError,
    InvalidArgumentError,
    Lease,
    Lock,
    LockLostError,
    NotHeldError,
    setLog,
    UnavailableError,
    UnsupportedError,
    URL_VARIABLE,
    WouldDeadlockError,
} = fencelock;
