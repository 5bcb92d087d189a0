//! The one list of errors. `conformance/errors.toml` repeats it for every language, and a test
//! compares the two.

use std::fmt;

/// What every fallible call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The kinds of error, with numbers that are never reused. Every language has the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The time to wait was over and somebody else still held the lock.
    AcquireTimeout = 1,
    /// The caller holds this lock already, and would wait for itself.
    WouldDeadlock = 2,
    /// There is nothing to give back: never taken, or given back before.
    NotHeld = 3,
    /// The lease ended while it was in use; [`Error::loss`] tells why.
    Lost = 4,
    /// The server can't be reached or can't serve just now.
    Unavailable = 5,
    /// The server refused the password, the user or a command.
    Denied = 6,
    /// The caller gave up.
    Cancelled = 7,
    /// The client was closed.
    Closed = 8,
    /// An argument, an option or the URL is wrong; nothing was sent.
    InvalidArgument = 9,
    /// This build or this server lacks what was asked for.
    Unsupported = 10,
    /// The server answered with an error.
    Backend = 11,
    /// A bug in fencelock.
    Internal = 12,
}

impl ErrorKind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Self; 12] = [
        Self::AcquireTimeout,
        Self::WouldDeadlock,
        Self::NotHeld,
        Self::Lost,
        Self::Unavailable,
        Self::Denied,
        Self::Cancelled,
        Self::Closed,
        Self::InvalidArgument,
        Self::Unsupported,
        Self::Backend,
        Self::Internal,
    ];

    /// The number that stands for this kind in every language; never 0, never reused.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The name in `conformance/errors.toml`, such as `acquire_timeout`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcquireTimeout => "acquire_timeout",
            Self::WouldDeadlock => "would_deadlock",
            Self::NotHeld => "not_held",
            Self::Lost => "lost",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::InvalidArgument => "invalid_argument",
            Self::Unsupported => "unsupported",
            Self::Backend => "backend",
            Self::Internal => "internal",
        }
    }
}

/// Why a lease was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// Its time ran out before it could be renewed.
    Expired = 1,
    /// The server says that somebody else owns the lock, or nobody: the key was deleted, the
    /// lock was released by force, or the server lost its memory.
    Refused = 2,
    /// It had been held for `max_hold`.
    MaxHold = 3,
    /// The client was closed.
    Closed = 4,
    /// The process forked; the lease stays with the parent.
    Forked = 5,
    /// The backend's session ended (`ZooKeeper`).
    Session = 6,
}

impl LossReason {
    /// Every reason, in the order of the numbers.
    pub const ALL: [Self; 6] =
        [Self::Expired, Self::Refused, Self::MaxHold, Self::Closed, Self::Forked, Self::Session];

    /// The name in `conformance/errors.toml`, such as `max_hold`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::MaxHold => "max_hold",
            Self::Closed => "closed",
            Self::Forked => "forked",
            Self::Session => "session",
        }
    }

    /// What happened, as a half sentence.
    const fn story(self) -> &'static str {
        match self {
            Self::Expired => "the lease ran out before it was renewed",
            Self::Refused => "the server no longer has this lease (deleted, forced or forgotten)",
            Self::MaxHold => "the lease reached max_hold",
            Self::Closed => "the client was closed",
            Self::Forked => "the lease belongs to the parent of this forked process",
            Self::Session => "the session with the backend ended",
        }
    }
}

/// What went wrong, with which lock, and what to do about it.
///
/// It never shows a password or an owner token.
#[derive(Clone)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
pub struct Error(Box<Inner>);

#[derive(Clone)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
struct Inner {
    kind: ErrorKind,
    lock: Option<String>,
    what: String,
    advice: &'static str,
    retryable: bool,
    ambiguous: bool,
    loss: Option<LossReason>,
}

impl Error {
    /// An error of a kind: what happened, and what to do.
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>, advice: &'static str) -> Self {
        Self(Box::new(Inner {
            kind,
            lock: None,
            what: what.into(),
            advice,
            retryable: matches!(kind, ErrorKind::AcquireTimeout | ErrorKind::Unavailable),
            ambiguous: false,
            loss: None,
        }))
    }

    pub(crate) fn invalid(what: impl Into<String>, advice: &'static str) -> Self {
        Self::new(ErrorKind::InvalidArgument, what, advice)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the client was closed", "connect a new client")
    }

    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Self::new(
            ErrorKind::Unavailable,
            what,
            "check that the server runs and can be reached, then try again",
        )
    }

    pub(crate) fn lost(reason: LossReason) -> Self {
        let mut error = Self::new(
            ErrorKind::Lost,
            reason.story(),
            "stop the protected work; pass lease.fence to what it writes to, so that late writes \
             are refused",
        );
        error.0.loss = Some(reason);
        error
    }

    pub(crate) fn not_held(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotHeld, what, "release once, by the one who acquired")
    }

    /// The same error, naming the lock.
    #[must_use]
    pub(crate) fn at(mut self, lock: &str) -> Self {
        self.0.lock.get_or_insert_with(|| lock.to_owned());
        self
    }

    /// The same error, marked: the command may have been carried out.
    #[must_use]
    pub(crate) fn maybe_done(mut self) -> Self {
        self.0.ambiguous = true;
        self
    }

    /// The kind, for a `match`.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The lock that it is about, where it is about one.
    pub fn lock(&self) -> Option<&str> {
        self.0.lock.as_deref()
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Whether the command may have been carried out although its answer never came.
    pub fn is_ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// Why the lease was lost; `None` unless the kind is [`ErrorKind::Lost`].
    pub fn loss(&self) -> Option<LossReason> {
        self.0.loss
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(lock) = &self.0.lock {
            write!(f, "lock {lock:?}: ")?;
        }
        write!(f, "{}; {}", self.0.what, self.0.advice)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.0.kind.name())
    }
}

impl std::error::Error for Error {}
