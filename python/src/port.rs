//! An asyncio loop's queue of outcomes, and the operations that they are of.

use std::sync::{Mutex, PoisonError};

use fencelock::{Error, EventLoop, Inspection, LossReason, blocking, completion};
use fencelock_bridge::{Completions, Sender};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::calls::check_running;
use crate::client::inspection_parts;
use crate::error::failed;
use crate::lease::Lease;

/// What came of an operation.
#[derive(Debug)]
enum Outcome {
    Done,
    Granted(blocking::Lease),
    Busy,
    Seen(Inspection),
    Ended(Option<LossReason>),
}

type Numbered = (u64, Result<Outcome, Error>);

/// Where outcomes wait for their loop. It is dropped with the loop's reader, when the loop is
/// closed: leases that come too late are given back then.
#[pyclass(frozen, module = "fencelock._native")]
#[derive(Debug)]
pub(crate) struct Port {
    queue: Completions<Numbered>,
    sender: Sender<Numbered>,
}

#[pymethods]
impl Port {
    #[new]
    fn new() -> PyResult<Self> {
        let queue = Completions::new()?;
        let sender = queue.sender();
        Ok(Self { queue, sender })
    }

    /// The descriptor that is readable when there is something to fetch.
    fn fileno(&self) -> i32 {
        self.queue.descriptor()
    }

    /// Takes the loop's turn, and gives what has come: the number that the operation was given,
    /// whether it failed, and its result or exception.
    fn fetch(&self, py: Python<'_>) -> PyResult<Vec<(u64, bool, Py<PyAny>)>> {
        let outcomes = self.queue.fetch().into_iter();
        outcomes
            .map(|(number, outcome)| {
                let failure = outcome.is_err();
                Ok((number, failure, to_python(py, outcome)?))
            })
            .collect()
    }

    /// Whether `flush` is to be called when what is ready to run in the loop has run.
    fn take_unsent(&self) -> bool {
        self.queue.event_loop().take_unsent()
    }

    /// Sends what was gathered.
    fn flush(&self) {
        self.queue.event_loop().flush();
    }
}

fn to_python(py: Python<'_>, outcome: Result<Outcome, Error>) -> PyResult<Py<PyAny>> {
    match outcome {
        Ok(Outcome::Done | Outcome::Busy) => Ok(py.None()),
        Ok(Outcome::Granted(lease)) => Lease::from(lease).into_py_any(py),
        Ok(Outcome::Seen(seen)) => inspection_parts(seen).into_py_any(py),
        Ok(Outcome::Ended(reason)) => reason.map(LossReason::name).into_py_any(py),
        Err(error) => Ok(failed(py, &error).into_value(py).into_any()),
    }
}

impl Port {
    pub(crate) fn event_loop(&self) -> &EventLoop {
        self.queue.event_loop()
    }

    fn sending<T, F: FnOnce(T) -> Outcome + Send + 'static>(
        &self,
        number: u64,
        outcome: F,
    ) -> impl FnOnce(Result<T, Error>) + Send + 'static + use<T, F> {
        let sender = self.sender.clone();
        move |result| sender.send((number, result.map(outcome)))
    }

    pub(crate) fn done(
        &self,
        number: u64,
    ) -> impl FnOnce(Result<(), Error>) + Send + 'static + use<> {
        self.sending(number, |()| Outcome::Done)
    }

    pub(crate) fn granted(
        &self,
        number: u64,
    ) -> impl FnOnce(Result<blocking::Lease, Error>) + Send + 'static + use<> {
        self.sending(number, Outcome::Granted)
    }

    pub(crate) fn tried(
        &self,
        number: u64,
    ) -> impl FnOnce(Result<Option<blocking::Lease>, Error>) + Send + 'static + use<> {
        self.sending(number, |lease: Option<_>| lease.map_or(Outcome::Busy, Outcome::Granted))
    }

    pub(crate) fn seen(
        &self,
        number: u64,
    ) -> impl FnOnce(Result<Inspection, Error>) + Send + 'static + use<> {
        self.sending(number, Outcome::Seen)
    }

    pub(crate) fn ended(
        &self,
        number: u64,
    ) -> impl FnOnce(Option<LossReason>) + Send + 'static + use<> {
        let done = self.sending(number, Outcome::Ended);
        move |reason| done(Ok(reason))
    }
}

/// What is under way for a loop; collecting it cancels it.
#[pyclass(frozen, module = "fencelock._native")]
#[derive(Debug)]
pub(crate) struct Operation(Mutex<Option<completion::Operation>>);

#[pymethods]
impl Operation {
    /// Gives it up; nothing is left behind, unless its outcome is on the queue already.
    fn cancel(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Begins an operation; refused when the interpreter is about to exit.
pub(crate) fn begun(
    py: Python<'_>,
    begin: impl FnOnce() -> Result<completion::Operation, Error>,
) -> PyResult<Operation> {
    check_running(py)?;
    let operation = begin().map_err(|error| failed(py, &error))?;
    Ok(Operation(Mutex::new(Some(operation))))
}
