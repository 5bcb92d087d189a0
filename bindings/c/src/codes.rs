//! The numbers that the header gives names to. A test compares them with `errors.toml`.

/// Success. Every other status is a number of the list below, never reused.
pub const FENCELOCK_OK: i32 = 0;
/// The time to wait was over and somebody else still held the lock.
pub const FENCELOCK_ACQUIRE_TIMEOUT: i32 = 1;
/// The call would wait for itself.
pub const FENCELOCK_WOULD_DEADLOCK: i32 = 2;
/// There is nothing to give back: it was released before.
pub const FENCELOCK_NOT_HELD: i32 = 3;
/// The lease was lost; `fencelock_error_loss` and `fencelock_lease_lost_reason` tell why.
pub const FENCELOCK_LOST: i32 = 4;
/// The server can't be reached or can't serve just now.
pub const FENCELOCK_UNAVAILABLE: i32 = 5;
/// The server refused the password, the user or a command.
pub const FENCELOCK_DENIED: i32 = 6;
/// The cancel token was fired.
pub const FENCELOCK_CANCELLED: i32 = 7;
/// The client was closed.
pub const FENCELOCK_CLOSED: i32 = 8;
/// A handle, an argument, an option or the URL is wrong; nothing was done.
pub const FENCELOCK_INVALID_ARGUMENT: i32 = 9;
/// This build or this server lacks what was asked for.
pub const FENCELOCK_UNSUPPORTED: i32 = 10;
/// The server answered with an error.
pub const FENCELOCK_BACKEND: i32 = 11;
/// A bug in fencelock.
pub const FENCELOCK_INTERNAL: i32 = 12;

/// Not lost.
pub const FENCELOCK_LOSS_NONE: i32 = 0;
/// The lease ran out before it was renewed.
pub const FENCELOCK_LOSS_EXPIRED: i32 = 1;
/// The server no longer has this lease: deleted, released by force, or forgotten.
pub const FENCELOCK_LOSS_REFUSED: i32 = 2;
/// It had been held for `max_hold`.
pub const FENCELOCK_LOSS_MAX_HOLD: i32 = 3;
/// The client was closed.
pub const FENCELOCK_LOSS_CLOSED: i32 = 4;
/// The process forked; the lease stays with the parent.
pub const FENCELOCK_LOSS_FORKED: i32 = 5;
/// The session with the backend ended.
pub const FENCELOCK_LOSS_SESSION: i32 = 6;

/// As a timeout: wait without limit.
pub const FENCELOCK_FOREVER: u64 = u64::MAX;

/// An acquire that `fencelock_begin_acquire` began was decided.
pub const FENCELOCK_EVENT_ACQUIRE: i32 = 1;
/// A release that `fencelock_begin_release` began was decided.
pub const FENCELOCK_EVENT_RELEASE: i32 = 2;
/// A lease that `fencelock_lease_watch` watches was lost.
pub const FENCELOCK_EVENT_LOST: i32 = 3;

/// No log.
pub const FENCELOCK_LOG_OFF: i32 = 0;
/// What went wrong.
pub const FENCELOCK_LOG_ERROR: i32 = 1;
/// Also lost leases, failed renewals, long holds.
pub const FENCELOCK_LOG_WARN: i32 = 2;
/// Also what is of interest in operation.
pub const FENCELOCK_LOG_INFO: i32 = 3;
/// Also what helps to find an error.
pub const FENCELOCK_LOG_DEBUG: i32 = 4;
/// Everything.
pub const FENCELOCK_LOG_TRACE: i32 = 5;

/// What `fencelock_abi_version` answers where header and library fit together.
pub const FENCELOCK_ABI_VERSION: u32 = 0;
