//! The queue of events, read by one thread of Python.

use fencelock_bridge::{Event, log, queue};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// Waits for the next event: `("lost", id)` or `("log", level, message, fields)`; `None` when
/// the queue was stopped.
#[pyfunction]
pub(crate) fn next_event(py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
    py.detach(|| queue().next()).map(|event| to_python(py, event)).transpose()
}

fn to_python(py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
    match event {
        Event::Lost(id) => ("lost", id).into_py_any(py),
        Event::Log(record) => {
            let level = match record.level {
                Level::ERROR => 40,
                Level::WARN => 30,
                Level::INFO => 20,
                _ => 10,
            };
            ("log", level, record.message, record.fields).into_py_any(py)
        }
    }
}

/// Lets the reader go when it has read what is there.
#[pyfunction]
pub(crate) fn stop_events() {
    queue().stop();
}

/// Forwards log records of at least this level of Python's `logging`.
#[pyfunction]
#[pyo3(signature = (level, /))]
pub(crate) fn forward_log(level: i32) {
    log::forward(match level {
        ..=10 => LevelFilter::DEBUG,
        11..=20 => LevelFilter::INFO,
        21..=30 => LevelFilter::WARN,
        31..=40 => LevelFilter::ERROR,
        _ => LevelFilter::OFF,
    });
}
