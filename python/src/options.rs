//! Arguments as the core takes them.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::error::invalid;

/// A duration from seconds.
pub(crate) fn seconds(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) => Ok(time),
        // Longer than the clock counts.
        Err(_) if seconds.is_finite() && seconds > 0.0 => Ok(Duration::MAX),
        Err(_) => Err(invalid(py, "a duration is negative or not a number; give seconds")),
    }
}

/// A text that UTF-8 can write; Python's `str` may hold lone surrogates.
pub(crate) fn text(text: &Bound<'_, PyString>) -> PyResult<String> {
    match text.to_cow() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => {
            Err(invalid(text.py(), "a text has lone surrogates; give one that UTF-8 can write"))
        }
    }
}
