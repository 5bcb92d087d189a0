//! What went wrong, for C.

use std::borrow::Cow;
use std::ffi::{CString, c_char};

use fencelock::{Error, ErrorKind, LossReason};

use crate::boundary::{Out, answer, guard};
use crate::codes::{FENCELOCK_INVALID_ARGUMENT, FENCELOCK_LOSS_NONE};
use crate::handle::{self, Kind, Registry};

/// What went wrong, with which lock, and what to do about it. Never shows a password or an owner
/// token.
#[derive(Debug)]
pub struct fencelock_error {
    _opaque: [u8; 0],
}

/// An error on its way to C.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: Cow<'static, str>,
    lock: Option<String>,
    retryable: bool,
    ambiguous: bool,
    loss: Option<LossReason>,
}

/// An error that C has.
struct Reported {
    failure: Failure,
    message: CString,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string().into(),
            lock: error.lock().map(ToOwned::to_owned),
            retryable: error.is_retryable(),
            ambiguous: error.is_ambiguous(),
            loss: error.loss(),
        }
    }
}

impl Failure {
    fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { kind, message, lock: None, retryable: false, ambiguous: false, loss: None }
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub(crate) fn would_deadlock(message: &'static str) -> Self {
        Self::new(ErrorKind::WouldDeadlock, message)
    }

    /// The loss of a lease that is not there any more.
    pub(crate) fn lost(reason: LossReason) -> Self {
        let message = format!("the lease was lost ({}); stop the protected work", reason.name());
        Self { loss: Some(reason), ..Self::new(ErrorKind::Lost, message) }
    }

    pub(crate) fn cancelled(lock: &str) -> Self {
        let message = format!("lock {lock:?}: the wait was cancelled; nothing is left behind");
        Self { lock: Some(lock.to_owned()), ..Self::new(ErrorKind::Cancelled, message) }
    }

    /// Gives it to C, if that wants it; the status.
    pub(crate) fn report(self, error: *mut *mut fencelock_error) -> i32 {
        let code = self.kind.code();
        if let Ok(error) = Out::new(error, "error") {
            let text = self.message.replace('\0', "\\0");
            let message = CString::new(text).unwrap_or_default();
            // Without room for it the status must do.
            if let Ok(handle) = handle::hand_out(Reported { failure: self, message }) {
                error.set(handle);
            }
        }
        code
    }
}

impl Kind for Reported {
    type Opaque = fencelock_error;
    const NUMBER: u64 = 1;
    const NAME: &'static str = "fencelock_error";

    fn registry() -> &'static Registry<Self> {
        static ERRORS: Registry<Reported> = Registry::new();
        &ERRORS
    }
}

/// The status that came with an error: one of the numbers from `FENCELOCK_ACQUIRE_TIMEOUT` on.
/// `FENCELOCK_INVALID_ARGUMENT` also for a handle that is none. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_error_code(error: *const fencelock_error) -> i32 {
    answer("fencelock_error_code", ErrorKind::Internal.code(), || {
        handle::find::<Reported>(error)
            .map_or(FENCELOCK_INVALID_ARGUMENT, |error| error.failure.kind.code())
    })
}

/// What happened, to which lock, and what to do: one line of UTF-8 that ends in NUL. It belongs to
/// the error, and is there until that is freed. Never NULL: for a handle that is none a text that
/// says so. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_error_message(error: *const fencelock_error) -> *const c_char {
    answer("fencelock_error_message", c"a bug in fencelock".as_ptr(), || {
        handle::find::<Reported>(error)
            .map_or(c"not a fencelock_error".as_ptr(), |error| error.message.as_ptr())
    })
}

/// The lock that it is about: UTF-8 of this length, without a NUL behind it; NULL and 0 if it is
/// about none. It belongs to the error, and is there until that is freed. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_error_lock(
    error: *const fencelock_error,
    name: *mut *const c_char,
    name_len: *mut usize,
) -> i32 {
    guard("fencelock_error_lock", std::ptr::null_mut(), || {
        let (name, length) = (Out::new(name, "name")?, Out::new(name_len, "name_len")?);
        let error = handle::find::<Reported>(error)?;
        let lock = error.failure.lock.as_deref();
        name.set(lock.map_or(std::ptr::null(), |lock| lock.as_ptr().cast()));
        length.set(lock.map_or(0, str::len));
        Ok(())
    })
}

/// Whether the same call may succeed later: 1 or 0. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_error_retryable(
    error: *const fencelock_error,
    retryable: *mut i32,
) -> i32 {
    guard("fencelock_error_retryable", std::ptr::null_mut(), || {
        let retryable = Out::new(retryable, "retryable")?;
        retryable.set(i32::from(handle::find::<Reported>(error)?.failure.retryable));
        Ok(())
    })
}

/// Whether the command may have been carried out although its answer never came: 1 or 0. Any
/// thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_error_ambiguous(
    error: *const fencelock_error,
    ambiguous: *mut i32,
) -> i32 {
    guard("fencelock_error_ambiguous", std::ptr::null_mut(), || {
        let ambiguous = Out::new(ambiguous, "ambiguous")?;
        ambiguous.set(i32::from(handle::find::<Reported>(error)?.failure.ambiguous));
        Ok(())
    })
}

/// Why the lease was lost: one of `FENCELOCK_LOSS_…`; `FENCELOCK_LOSS_NONE` unless the code is
/// `FENCELOCK_LOST`. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_error_loss(
    error: *const fencelock_error,
    loss: *mut i32,
) -> i32 {
    guard("fencelock_error_loss", std::ptr::null_mut(), || {
        let loss = Out::new(loss, "loss")?;
        loss.set(loss_code(handle::find::<Reported>(error)?.failure.loss));
        Ok(())
    })
}

/// Frees an error; NULL is none. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_error_free(error: *mut fencelock_error) -> i32 {
    guard("fencelock_error_free", std::ptr::null_mut(), || handle::free::<Reported>(error))
}

pub(crate) fn loss_code(reason: Option<LossReason>) -> i32 {
    reason.map_or(FENCELOCK_LOSS_NONE, |reason| reason as i32)
}
