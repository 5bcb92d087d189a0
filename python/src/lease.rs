//! One holding of a lock.

use fencelock::{LossReason, blocking};
use fencelock_bridge::{Event, queue};
use pyo3::prelude::*;

use crate::calls::calling;
use crate::error::failed;

#[pyclass(frozen, module = "fencelock._native")]
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) inner: blocking::Lease,
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
        calling(py, || self.inner.renew())
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        calling(py, || self.inner.release())
    }

    /// Pushes an event with this number when the lease is lost.
    #[pyo3(signature = (id, /))]
    fn watch(&self, id: u64) {
        self.inner.on_lost(move |_| queue().push(Event::Lost(id)));
    }

    /// Leaves the lease to lapse; whether it was held.
    fn discard(&self) -> bool {
        let held = self.inner.is_held();
        self.inner.abandon();
        held
    }
}
