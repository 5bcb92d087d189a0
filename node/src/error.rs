//! The core's errors as plain objects, which `lib/error.ts` makes into its classes: an error that
//! napi throws by itself has no class and no attributes.

use fencelock::{Error, ErrorKind, LossReason};
use napi_derive::napi;

use crate::port::Port;

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

#[napi]
impl Port {
    /// Every kind of error: number and name. For tests.
    #[napi(catch_unwind)]
    pub fn error_kinds() -> Vec<(i32, &'static str)> {
        ErrorKind::ALL.map(|kind| (kind.code(), kind.name())).to_vec()
    }

    /// Every reason for which a lease can be lost. For tests.
    #[napi(catch_unwind)]
    pub fn loss_reasons() -> Vec<&'static str> {
        LossReason::ALL.map(LossReason::name).to_vec()
    }
}
