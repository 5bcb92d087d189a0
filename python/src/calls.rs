//! Calls that block: made without the GIL, interruptible in the main thread.
//!
//! A thread whose call ends while the interpreter is torn down can't enter it any more; `PyO3`
//! parks it then, where entering would end it in the middle of Rust's frames.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use fencelock::{Error, ErrorKind, fork_generation};
use pyo3::prelude::*;

use crate::client::Client;
use crate::error::{failed, make};

/// The interpreter is about to exit: nothing is begun any more.
static EXITING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this is Python's main thread, as of a fork generation (0: not known).
    static MAIN: Cell<(u64, bool)> = const { Cell::new((0, false)) };
}

/// Runs without the GIL what ends something.
pub(crate) fn finishing<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    py.detach(work).map_err(|error| failed(py, &error))
}

/// Runs without the GIL what begins something; refused when the interpreter is about to exit.
pub(crate) fn calling<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    check_running(py)?;
    finishing(py, work)
}

/// Refuses to begin anything when the interpreter is about to exit.
pub(crate) fn check_running(py: Python<'_>) -> PyResult<()> {
    if EXITING.load(Ordering::Relaxed) {
        let what = "the interpreter is exiting; take locks before";
        return Err(make(py, ErrorKind::Closed, what, None, [false, false], None));
    }
    Ok(())
}

/// What asks, during a wait, whether to give it up.
pub(crate) type Interrupt<'a> = Option<&'a mut (dyn FnMut() -> bool + Send)>;

/// As [`calling`], for a wait that signal handlers can end, Ctrl-C above all.
pub(crate) fn waiting<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(Interrupt<'_>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    interruptible(py, |interrupt| calling(py, || work(interrupt)))
}

/// Makes a call that signal handlers can end. They run in the main thread only; the others wait
/// without ever coming back in between.
pub(crate) fn interruptible<T>(
    py: Python<'_>,
    call: impl FnOnce(Interrupt<'_>) -> PyResult<T>,
) -> PyResult<T> {
    if !on_main_thread(py)? {
        return call(None);
    }
    let mut raised = None;
    let mut interrupt = || {
        raised = Python::attach(|py| py.check_signals().err());
        raised.is_some()
    };
    let answer = call(Some(&mut interrupt));
    // What came in spite of it is dropped, and so given back.
    raised.map_or(answer, Err)
}

fn on_main_thread(py: Python<'_>) -> PyResult<bool> {
    let generation = fork_generation();
    let (known, main) = MAIN.get();
    if known == generation {
        return Ok(main);
    }
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    let main = main.eq(threading.call_method0("get_ident")?)?;
    MAIN.set((generation, main));
    Ok(main)
}

/// Begins to exit: nothing is begun any more, and every client is closed, all at once.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>, clients: Vec<Bound<'_, Client>>) {
    EXITING.store(true, Ordering::Relaxed);
    let clients: Vec<_> = clients.into_iter().map(|client| client.get().inner.clone()).collect();
    py.detach(|| {
        std::thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| client.close());
            }
        });
    });
}
