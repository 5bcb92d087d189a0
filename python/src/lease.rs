//! One holding of a lock.

use std::sync::atomic::{AtomicBool, Ordering};

use fencelock::{LossReason, blocking};
use fencelock_bridge::{Event, queue};
use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;

use crate::calls::{finishing, interruptible, waiting};
use crate::error::failed;
use crate::options::seconds;
use crate::port::{Operation, Port, begun};

#[pyclass(frozen, module = "fencelock._native")]
#[derive(Debug)]
pub(crate) struct Lease {
    inner: blocking::Lease,
    /// Whether the caller has it. If not, because Ctrl-C came between, dropping it releases.
    handed_over: AtomicBool,
}

impl From<blocking::Lease> for Lease {
    fn from(inner: blocking::Lease) -> Self {
        Self { inner, handed_over: AtomicBool::new(false) }
    }
}

#[pymethods]
impl Lease {
    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    #[getter]
    fn fence(&self) -> u64 {
        self.inner.fence()
    }

    fn is_held(&self) -> bool {
        self.inner.is_held()
    }

    /// Seconds.
    fn remaining(&self) -> f64 {
        self.inner.remaining().as_secs_f64()
    }

    fn lost_reason(&self) -> Option<&'static str> {
        self.inner.loss().map(LossReason::name)
    }

    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.inner.check().map_err(|error| failed(py, &error))
    }

    fn renew(&self, py: Python<'_>) -> PyResult<()> {
        waiting(py, |interrupt| self.inner.renew_with(interrupt))
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        interruptible(py, |interrupt| finishing(py, || self.inner.release_with(interrupt)))
    }

    /// As `renew`.
    #[pyo3(signature = (port, number, /))]
    fn begin_renew(&self, py: Python<'_>, port: &Port, number: u64) -> PyResult<Operation> {
        begun(py, || self.inner.begin_renew(port.done(number)))
    }

    /// As `release`; the outcome comes after so many seconds at most, or without limit.
    #[pyo3(signature = (port, number, limit, /))]
    fn begin_release(
        &self,
        py: Python<'_>,
        port: &Port,
        number: u64,
        limit: Option<f64>,
    ) -> PyResult<()> {
        let limit = limit.map(|time| seconds(py, time)).transpose()?;
        self.inner
            .begin_release(port.event_loop(), limit, port.done(number))
            .map_err(|error| failed(py, &error))
    }

    /// Tells why the lease was lost; `None` if it was released.
    #[pyo3(signature = (port, number, /))]
    fn begin_watch(&self, py: Python<'_>, port: &Port, number: u64) -> PyResult<Operation> {
        begun(py, || Ok(self.inner.begin_watch(port.ended(number))))
    }

    /// Gives back what nobody waits for any more; the outcome is not told.
    fn give_back(&self) {
        self.inner.give_back();
    }

    /// Pushes an event with this number when the lease is lost.
    #[pyo3(signature = (id, /))]
    fn watch(&self, id: u64) {
        self.inner.on_lost(move |_| queue().push(Event::Lost(id)));
    }

    #[getter]
    fn handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_handed_over(&self, value: bool) {
        self.handed_over.store(value, Ordering::Relaxed);
    }
}

/// Collecting a lease that somebody had does not unlock: it is left to lapse, and told.
impl Drop for Lease {
    fn drop(&mut self) {
        if self.handed_over() && self.inner.is_held() {
            self.inner.abandon();
            Python::attach(|py| warn_discarded(py, self.inner.name()));
        }
    }
}

fn warn_discarded(py: Python<'_>, name: &str) {
    // Collecting goes on in the middle of anything, an exception under way included.
    let under_way = PyErr::take(py);
    let text = format!(
        "the lease of lock {name:?} was discarded without release; the lock stays taken until it \
         lapses"
    );
    let category = py.get_type::<PyResourceWarning>();
    let warned =
        py.import("warnings").and_then(|warnings| warnings.call_method1("warn", (text, category)));
    if let Err(error) = warned {
        error.write_unraisable(py, None);
    }
    if let Some(error) = under_way {
        error.restore(py);
    }
}
