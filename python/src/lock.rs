//! The description of a lock.

use fencelock::blocking;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::calls::waiting;
use crate::client::Client;
use crate::error::failed;
use crate::lease::Lease;
use crate::options::{seconds, text};
use crate::port::{Operation, Port, begun};

#[pyclass(frozen, module = "fencelock._native")]
#[derive(Debug)]
pub(crate) struct Lock {
    inner: blocking::Lock,
}

#[pymethods]
impl Lock {
    /// Describes a lock, and refuses what can't be served. Durations are in seconds.
    #[new]
    #[pyo3(signature = (client, name, ttl, renew, max_hold, label, /))]
    fn new(
        py: Python<'_>,
        client: &Client,
        name: &Bound<'_, PyString>,
        ttl: f64,
        renew: bool,
        max_hold: Option<f64>,
        label: &Bound<'_, PyString>,
    ) -> PyResult<Self> {
        let lock = client.inner.lock(text(name)?).ttl(seconds(py, ttl)?).renew(renew);
        let mut inner = lock.label(text(label)?);
        if let Some(time) = max_hold {
            inner = inner.max_hold(seconds(py, time)?);
        }
        inner.check().map_err(|error| failed(py, &error))?;
        Ok(Self { inner })
    }

    /// Takes the lock, waiting so many seconds for it, or without limit.
    #[pyo3(signature = (timeout, /))]
    fn acquire(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Lease> {
        let timeout = timeout.map(|time| seconds(py, time)).transpose()?;
        let lease = waiting(py, |interrupt| self.inner.acquire_with(timeout, interrupt))?;
        Ok(lease.into())
    }

    /// Takes the lock if it is free.
    fn try_acquire(&self, py: Python<'_>) -> PyResult<Option<Lease>> {
        let lease = waiting(py, |interrupt| self.inner.try_acquire_with(interrupt))?;
        Ok(lease.map(Lease::from))
    }

    /// As `acquire`.
    #[pyo3(signature = (port, number, timeout, /))]
    fn begin_acquire(
        &self,
        py: Python<'_>,
        port: &Port,
        number: u64,
        timeout: Option<f64>,
    ) -> PyResult<Operation> {
        let timeout = timeout.map(|time| seconds(py, time)).transpose()?;
        begun(py, || self.inner.begin_acquire(port.event_loop(), timeout, port.granted(number)))
    }

    /// As `try_acquire`.
    #[pyo3(signature = (port, number, /))]
    fn begin_try_acquire(&self, py: Python<'_>, port: &Port, number: u64) -> PyResult<Operation> {
        begun(py, || self.inner.begin_try_acquire(port.event_loop(), port.tried(number)))
    }
}
