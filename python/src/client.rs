//! The client.

use fencelock::{ClientOptions, Holder, Inspection, blocking};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::calls::waiting;
use crate::error::failed;
use crate::options::{TlsParts, seconds, text, tls};
use crate::port::{Operation, Port, begun};

#[pyclass(frozen, module = "fencelock._native")]
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) inner: blocking::Client,
}

/// id, foreign, fence, TTL and remaining time in seconds, label.
pub(crate) type HolderParts = (String, bool, Option<u64>, Option<f64>, Option<f64>, String);

/// The holder, and how many wait.
pub(crate) type InspectionParts = (Option<HolderParts>, u64);

#[pymethods]
impl Client {
    /// Connects, or, if lazy, describes a client that connects when it is used first.
    #[new]
    #[pyo3(signature = (url, prefix, connect_timeout, response_timeout, tls, lazy, /))]
    fn new(
        py: Python<'_>,
        url: &Bound<'_, PyString>,
        prefix: Option<&Bound<'_, PyString>>,
        connect_timeout: Option<f64>,
        response_timeout: Option<f64>,
        tls: Option<TlsParts<'_>>,
        lazy: bool,
    ) -> PyResult<Self> {
        let url = text(url)?;
        let options = options(py, prefix, connect_timeout, response_timeout, tls)?;
        let inner = waiting(py, |interrupt| match interrupt {
            _ if lazy => blocking::Client::lazy(&url, options),
            Some(interrupt) => blocking::Client::connect_interruptible(&url, options, interrupt),
            None => blocking::Client::connect_with(&url, options),
        })?;
        Ok(Self { inner })
    }

    /// The server, without password.
    #[getter]
    fn server(&self) -> String {
        self.inner.server()
    }

    /// The holder, if there is one, and how many wait.
    #[pyo3(signature = (name, /))]
    fn inspect(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<InspectionParts> {
        let name = text(name)?;
        let seen = waiting(py, |interrupt| self.inner.inspect_with(&name, interrupt))?;
        Ok(inspection_parts(seen))
    }

    /// Connects a lazy client.
    #[pyo3(signature = (port, number, /))]
    fn begin_connect(&self, py: Python<'_>, port: &Port, number: u64) -> PyResult<Operation> {
        begun(py, || self.inner.begin_connect(port.event_loop(), port.done(number)))
    }

    /// As `inspect`.
    #[pyo3(signature = (port, number, name, /))]
    fn begin_inspect(
        &self,
        py: Python<'_>,
        port: &Port,
        number: u64,
        name: &Bound<'_, PyString>,
    ) -> PyResult<Operation> {
        let name = text(name)?;
        begun(py, || self.inner.begin_inspect(&name, port.seen(number)))
    }

    /// As `close`.
    #[pyo3(signature = (port, number, /))]
    fn begin_close(&self, port: &Port, number: u64) {
        let done = port.done(number);
        self.inner.begin_close(move |()| done(Ok(())));
    }

    /// Ends every wait, releases every lease and closes the connections.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.inner.close());
    }
}

fn options(
    py: Python<'_>,
    prefix: Option<&Bound<'_, PyString>>,
    connect_timeout: Option<f64>,
    response_timeout: Option<f64>,
    parts: Option<TlsParts<'_>>,
) -> PyResult<ClientOptions> {
    let mut options = ClientOptions::new();
    if let Some(prefix) = prefix {
        options = options.prefix(text(prefix)?);
    }
    if let Some(time) = connect_timeout {
        options = options.connect_timeout(seconds(py, time)?);
    }
    if let Some(time) = response_timeout {
        options = options.response_timeout(seconds(py, time)?);
    }
    match parts {
        Some(parts) => tls(py, options, parts),
        None => Ok(options),
    }
}

pub(crate) fn inspection_parts(seen: Inspection) -> InspectionParts {
    (seen.holder.map(holder_parts), seen.waiters)
}

fn holder_parts(holder: Holder) -> HolderParts {
    let ttl = holder.ttl.map(|time| time.as_secs_f64());
    let remaining = holder.remaining.map(|time| time.as_secs_f64());
    (holder.id, holder.foreign, holder.fence, ttl, remaining, holder.label)
}

/// The URL to use: the argument, else `FENCELOCK_URL`.
#[pyfunction]
#[pyo3(signature = (url, /))]
pub(crate) fn resolve_url(py: Python<'_>, url: Option<&Bound<'_, PyString>>) -> PyResult<String> {
    let url = url.map(text).transpose()?;
    fencelock::resolve_url(url.as_deref()).map_err(|error| failed(py, &error))
}
