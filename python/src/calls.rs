//! Calls that block: made without the GIL, interruptible in the main thread, and counted, so
//! that none comes back to an interpreter that has gone.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use fencelock::{Error, ErrorKind, fork_generation};
use pyo3::prelude::*;

use crate::client::Client;
use crate::error::{failed, make};

/// The interpreter is about to exit: no call is begun any more.
static CLOSING: AtomicBool = AtomicBool::new(false);
/// It is exiting: a thread that comes back now must not enter it again.
static GONE: AtomicBool = AtomicBool::new(false);
/// Threads between leaving the interpreter and being back in it.
static OUTSIDE: AtomicIsize = AtomicIsize::new(0);
/// Those of them that found the interpreter alive, and are on their way back in.
static RETURNING: AtomicIsize = AtomicIsize::new(0);

/// How long [`leave`] waits for the threads that are outside.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this is Python's main thread, as of a fork generation (0: not known).
    static MAIN: Cell<(u64, bool)> = const { Cell::new((0, false)) };
}

/// One more in a count, for as long as it lives.
struct Counted(&'static AtomicIsize);

impl Counted {
    fn new(count: &'static AtomicIsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs `work` without the GIL.
pub(crate) fn outside<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    let _outside = Counted::new(&OUTSIDE);
    let (answer, _returning) = py.detach(|| (work(), come_back()));
    answer
}

/// Announces that this thread enters the interpreter again. When that has gone the thread stays
/// here: entering would end it in the middle of Rust's frames, which aborts the process.
fn come_back() -> Counted {
    let returning = Counted::new(&RETURNING);
    if GONE.load(Ordering::SeqCst) {
        drop(returning);
        loop {
            std::thread::park();
        }
    }
    returning
}

/// As [`outside`], for work that can fail; refused once the interpreter is about to exit.
pub(crate) fn calling<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    refuse_if(py, &CLOSING)?;
    finishing(py, work)
}

/// As [`calling`], for what gives back: that may go on until the interpreter has gone.
pub(crate) fn finishing<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> PyResult<T> {
    refuse_if(py, &GONE)?;
    outside(py, work).map_err(|error| failed(py, &error))
}

/// What asks, during a wait, whether to give it up.
pub(crate) type Interrupt<'a> = Option<&'a mut (dyn FnMut() -> bool + Send)>;

/// As [`calling`], for a wait that signal handlers can end, Ctrl-C above all. They run in the
/// main thread only; the others wait without ever coming back in between.
pub(crate) fn waiting<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(Interrupt<'_>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    if !on_main_thread(py)? {
        return calling(py, || work(None));
    }
    let mut raised = None;
    let mut interrupt = || {
        raised = Python::attach(|py| py.check_signals().err());
        raised.is_some()
    };
    let answer = calling(py, || work(Some(&mut interrupt)));
    // Also a signal that came together with the answer: what it brought is dropped here, and
    // so given back, before anybody relies on it.
    match raised {
        Some(raised) => Err(raised),
        None => py.check_signals().and(answer),
    }
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

fn refuse_if(py: Python<'_>, flag: &AtomicBool) -> PyResult<()> {
    if !flag.load(Ordering::Relaxed) {
        return Ok(());
    }
    let what = "the interpreter is exiting; take and give back locks before";
    Err(make(py, ErrorKind::Closed, what, None, [false, false], None))
}

/// Begins to leave: no call is begun any more, and every client is closed, all at once.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>, clients: Vec<Bound<'_, Client>>) {
    CLOSING.store(true, Ordering::SeqCst);
    let clients: Vec<_> = clients.into_iter().map(|client| client.get().inner.clone()).collect();
    py.detach(|| {
        std::thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| client.close());
            }
        });
    });
}

/// Leaves: returns when every thread is back in the interpreter, or can't come back any more.
#[pyfunction]
pub(crate) fn leave(py: Python<'_>) {
    py.detach(|| {
        let until = Instant::now() + PATIENCE;
        wait_while(|| OUTSIDE.load(Ordering::SeqCst) > 0 && Instant::now() < until);
        GONE.store(true, Ordering::SeqCst);
        wait_while(|| RETURNING.load(Ordering::SeqCst) > 0);
    });
}

/// In a forked child: the parent's other threads are not here.
#[pyfunction]
pub(crate) fn forked() {
    OUTSIDE.store(0, Ordering::SeqCst);
    RETURNING.store(0, Ordering::SeqCst);
}

fn wait_while(busy: impl Fn() -> bool) {
    while busy() {
        std::thread::sleep(Duration::from_millis(1));
    }
}
