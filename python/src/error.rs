//! The core's errors as Python's exceptions, which `fencelock/errors.py` defines.

use fencelock::{Error, ErrorKind, LossReason};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

/// The classes by number, and the reasons by name.
static KNOWN: PyOnceLock<(Py<PyDict>, Py<PyDict>)> = PyOnceLock::new();

/// Tells which classes there are; `fencelock/errors.py` does so when it is imported.
#[pyfunction]
#[pyo3(signature = (by_code, reasons, /))]
pub(crate) fn use_errors(py: Python<'_>, by_code: Py<PyDict>, reasons: Py<PyDict>) {
    // Imported again, after somebody removed it from `sys.modules`, it finds the first in use.
    let _ = KNOWN.set(py, (by_code, reasons));
}

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
    marks: [bool; 2],
    reason: Option<LossReason>,
) -> PyErr {
    build(py, kind, message, lock, marks, reason)
        .map_or_else(|error| error, |exception| PyErr::from_value(exception))
}

/// Not by calling the class: that would run Python code below Rust's frames, and a daemon thread
/// that runs Python code while the interpreter exits is ended there, which aborts the process
/// (before Python 3.14).
fn build<'py>(
    py: Python<'py>,
    kind: ErrorKind,
    message: &str,
    lock: Option<&str>,
    [retryable, ambiguous]: [bool; 2],
    reason: Option<LossReason>,
) -> PyResult<Bound<'py, PyAny>> {
    let known = KNOWN.get(py).ok_or_else(|| not_imported(message))?;
    let (classes, reasons) = (known.0.bind(py), known.1.bind(py));
    let class = classes.as_any().get_item(kind.code())?;
    let reason = reason.map(|reason| reasons.as_any().get_item(reason.name())).transpose()?;
    let exception = class.cast::<PyType>()?.call_method1("__new__", (&class, message))?;
    exception.setattr("args", (message,))?;
    exception.setattr("lock", lock)?;
    exception.setattr("retryable", retryable)?;
    exception.setattr("ambiguous", ambiguous)?;
    exception.setattr("reason", reason)?;
    Ok(exception)
}

fn not_imported(message: &str) -> PyErr {
    pyo3::exceptions::PyRuntimeError::new_err(format!("import fencelock first: {message}"))
}

/// The exception that an error of the core with these parts becomes. For tests.
#[pyfunction]
#[pyo3(signature = (code, message, lock, retryable, ambiguous, reason, /))]
pub(crate) fn make_error<'py>(
    py: Python<'py>,
    code: i32,
    message: &str,
    lock: Option<&str>,
    retryable: bool,
    ambiguous: bool,
    reason: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let kind = ErrorKind::ALL.into_iter().find(|kind| kind.code() == code);
    let kind = kind.ok_or_else(|| invalid(py, "there is no such kind of error"))?;
    let reason = LossReason::ALL.into_iter().find(|known| Some(known.name()) == reason);
    build(py, kind, message, lock, [retryable, ambiguous], reason)
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
