//! The core's errors as plain objects, which `lib/error.ts` makes into its classes: an error that
//! napi throws by itself has no class and no attributes.

use fencelock::{Error, ErrorKind, LossReason};
use napi_derive::napi;

/// An error of the core.
#[napi(object)]
#[derive(Debug)]
pub struct Failure {
    /// The number of the kind.
    pub number: i32,
    /// What happened, to which lock, and what to do.
    pub message: String,
    /// The lock, if it is about one.
    pub lock: Option<String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// Whether the command may have been carried out.
    pub ambiguous: bool,
    /// Why the lease was lost, if it was.
    pub reason: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            number: error.kind().code(),
            message: error.to_string(),
            lock: error.lock().map(str::to_owned),
            retryable: error.is_retryable(),
            ambiguous: error.is_ambiguous(),
            reason: error.loss().map(|reason| reason.name().to_owned()),
        }
    }
}

/// A kind of error.
#[napi(object)]
#[derive(Debug)]
pub struct Kind {
    /// Its number, the same in every language.
    pub number: i32,
    /// Its name in the common list.
    pub name: String,
}

/// Every kind of error.
#[napi(catch_unwind)]
pub fn error_kinds() -> Vec<Kind> {
    ErrorKind::ALL.map(|kind| Kind { number: kind.code(), name: kind.name().to_owned() }).into()
}

/// Every reason for which a lease can be lost.
#[napi(catch_unwind)]
pub fn loss_reasons() -> Vec<&'static str> {
    LossReason::ALL.map(LossReason::name).to_vec()
}
