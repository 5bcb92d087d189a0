//! The core's errors as Python's exceptions, which `fencelock/errors.py` defines.

use fencelock::{Error, ErrorKind, LossReason};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for an error of the core.
pub(crate) fn failed(py: Python<'_>, error: &Error) -> PyErr {
    let marks = [error.is_retryable(), error.is_ambiguous()];
    make(py, error.kind(), &error.to_string(), error.lock(), marks, error.loss())
}

/// An exception of a kind; `marks` are retryable and ambiguous.
pub(crate) fn make(
    py: Python<'_>,
    kind: ErrorKind,
    message: &str,
    lock: Option<&str>,
    [retryable, ambiguous]: [bool; 2],
    reason: Option<LossReason>,
) -> PyErr {
    let reason = reason.map(LossReason::name);
    let arguments = (kind.code(), message, lock, retryable, ambiguous, reason);
    MAKE.import(py, "fencelock.errors", "_make")
        .and_then(|make| make.call1(arguments))
        .map_or_else(|error| error, PyErr::from_value)
}

/// An argument that can't be used, noticed here.
pub(crate) fn invalid(py: Python<'_>, message: &str) -> PyErr {
    make(py, ErrorKind::InvalidArgument, message, None, [false, false], None)
}

/// Every kind of error: number and name.
#[pyfunction]
pub(crate) fn error_kinds() -> Vec<(i32, &'static str)> {
    ErrorKind::ALL.map(|kind| (kind.code(), kind.name())).to_vec()
}

/// Every reason for which a lease can be lost.
#[pyfunction]
pub(crate) fn loss_reasons() -> Vec<&'static str> {
    LossReason::ALL.map(LossReason::name).to_vec()
}
