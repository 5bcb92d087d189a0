//! The engine: one thread and one Tokio runtime per process, made on first use and made anew
//! after a fork. Everything that goes on in the background runs on it: signals, waiting,
//! renewal and clean-up, whatever the caller runs on.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;

use arc_swap::ArcSwapOption;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

use crate::backend::Interrupt;
use crate::error::{Error, ErrorKind, Result};
use crate::fork;
use crate::wait::{INTERRUPT_CHECK, interrupted};

static ENGINE: ArcSwapOption<Engine> = ArcSwapOption::const_empty();

#[derive(Debug)]
struct Engine {
    generation: u64,
    handle: Handle,
}

/// The engine of this process, started if it does not run yet.
pub(crate) fn handle() -> Result<Handle> {
    fork::watch();
    fork::notice_stripping();
    let generation = fork::generation();
    loop {
        let current = ENGINE.load_full();
        if let Some(engine) = &current
            && engine.generation == generation
        {
            return Ok(engine.handle.clone());
        }
        let (handle, stop) = start()?;
        let engine = Arc::new(Engine { generation, handle: handle.clone() });
        // No mutex: one that another thread held at the fork would stay locked in the child.
        let before = ENGINE.compare_and_swap(&current, Some(engine));
        if same(before.as_ref(), current.as_ref()) {
            std::mem::forget(stop);
            // An engine of the parent has no thread here: what it owns is left as it is.
            std::mem::forget(current);
            return Ok(handle);
        }
    }
}

fn same(a: Option<&Arc<Engine>>, b: Option<&Arc<Engine>>) -> bool {
    a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
}

/// Starts an engine thread; it ends when the sender is dropped.
fn start() -> Result<(Handle, tokio::sync::oneshot::Sender<()>)> {
    let failed = |error: std::io::Error| {
        Error::new(
            ErrorKind::Internal,
            format!("the engine thread could not be started: {error}"),
            "check the process's limits on threads and descriptors",
        )
    };
    fork::post_sentinel().map_err(failed)?;
    let generation = fork::generation();
    // An engine whose descriptors are gone must not touch the numbers that they had.
    let stop_if_stripped = move || {
        while generation != fork::generation() || fork::is_stripped() {
            std::thread::park();
        }
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_park(stop_if_stripped)
        .on_thread_unpark(stop_if_stripped)
        .build()
        .map_err(failed)?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("fencelock".to_owned())
        .spawn(move || {
            leave_signals_to_others();
            // The answer says no more than that the sender is gone.
            let _ = runtime.block_on(stopped);
        })
        .map_err(failed)?;
    Ok((handle, stop))
}

/// Signals interrupt the threads of the program, not the engine: a main thread that waits for a
/// reply sees Ctrl-C in its own system call.
#[expect(unsafe_code, reason = "signal masks have no safe interface")]
fn leave_signals_to_others() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set before pthread_sigmask reads it; only this
    // thread's mask changes.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
    }
}

/// Whether this is the engine's thread.
pub(crate) fn is_here() -> bool {
    let here = Handle::try_current().map(|handle| handle.id());
    here.is_ok_and(|here| handle().is_ok_and(|engine| engine.id() == here))
}

/// Starts a task in the background; without an engine it is dropped, which a log line tells.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    match handle() {
        Ok(engine) => drop(engine.spawn(task)),
        Err(error) => tracing::error!("a background task was given up: {error}"),
    }
}

/// Runs a future on the engine for a caller elsewhere; dropping the wait drops the future.
pub(crate) async fn run<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    let mut task = AbortOnDrop(handle()?.spawn(future));
    (&mut task.0).await.map_err(|error| given_up(&error))
}

/// Blocks the calling thread, which must not be inside a runtime, until the engine has run it, or
/// `interrupt`, asked about every 50 ms, says to give up: then the future is dropped.
pub(crate) fn block_on_with<T: Send + 'static>(
    future: impl Future<Output = Result<T>> + Send + 'static,
    interrupt: Option<Interrupt<'_>>,
) -> Result<T> {
    match interrupt {
        Some(interrupt) => {
            block_on_unless(future, interrupt)?.unwrap_or_else(|| Err(interrupted()))
        }
        None => block_on(future)?,
    }
}

/// As [`block_on_with`], without an end.
pub(crate) fn block_on<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    handle()?.spawn(async move { send.send(future.await) });
    receive.recv().map_err(|error| given_up(&error))
}

/// As [`block_on_with`]; `None` is the answer of one that was interrupted.
pub(crate) fn block_on_unless<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
    interrupt: Interrupt<'_>,
) -> Result<Option<T>> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let task = handle()?.spawn(async move { send.send(future.await) });
    loop {
        match receive.recv_timeout(INTERRUPT_CHECK) {
            Ok(output) => return Ok(Some(output)),
            Err(RecvTimeoutError::Timeout) if !interrupt() => {}
            Err(RecvTimeoutError::Timeout) => {
                task.abort();
                return Ok(None);
            }
            Err(error @ RecvTimeoutError::Disconnected) => return Err(given_up(&error)),
        }
    }
}

/// The error of a task that ended without an outcome.
pub(crate) fn given_up(why: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the engine gave an operation up: {why}"),
        "report this as a bug of fencelock",
    )
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
