//! The callers' Tokio runtimes as event loops: a task of the runtime takes the loop's turns, and
//! sends what was gathered when the tasks that were ready have run. What a task begins is written
//! by the thread that it runs on.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, yield_now};

use super::pipeline::RedisPipeline;
use crate::backend::{Answer, Claim, Done, Pipeline, Released};
use crate::clock::Moment;
use crate::engine;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::fork::Native;

/// The loops of one client, by their runtimes.
#[derive(Debug, Default)]
pub(super) struct Runtimes(Mutex<HashMap<Id, Watched>>);

/// Its task alone keeps a loop, and ends with the runtime at the latest.
#[derive(Debug)]
struct Watched {
    event_loop: Weak<EventLoop>,
    task: Native<AbortHandle>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

struct Descriptor(RawFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

struct Turning {
    /// Before the loop: it is not to be closed while it is watched.
    descriptor: Native<AsyncFd<Descriptor>>,
    gathered: Arc<Notify>,
    event_loop: Arc<EventLoop>,
}

impl Runtimes {
    /// The loop of the runtime that this is called on; none on the engine's.
    pub(super) fn here(&self) -> Option<Arc<EventLoop>> {
        let here = Handle::try_current().ok()?.id();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(event_loop) = known.get(&here).and_then(|known| known.event_loop.upgrade()) {
            return Some(event_loop);
        }
        if engine::is_here() {
            return None;
        }
        let turning = Turning::new();
        let turning = turning.inspect_err(|error| tracing::debug!("no loop: {error}")).ok()?;
        let event_loop = turning.event_loop.clone();
        let task = Native::new(tokio::spawn(turning.run()).abort_handle());
        // Runtimes come and go; what they left behind goes when a new one comes.
        known.retain(|_, known| known.event_loop.strong_count() > 0);
        known.insert(here, Watched { event_loop: Arc::downgrade(&event_loop), task });
        Some(event_loop)
    }

    /// Ends them all.
    pub(super) fn end(&self) {
        let known = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(known);
    }
}

impl Turning {
    fn new() -> io::Result<Self> {
        let gathered = Arc::new(Notify::new());
        let event_loop = Arc::new(EventLoop::with_flusher({
            let gathered = gathered.clone();
            move || gathered.notify_one()
        })?);
        let descriptor = watched(event_loop.descriptor())?;
        Ok(Self { descriptor: Native::new(descriptor), gathered, event_loop })
    }

    async fn run(self) {
        while let Some(descriptor) = self.descriptor.get() {
            tokio::select! {
                ready = descriptor.readable() => {
                    let Ok(mut ready) = ready else { return };
                    // First: what comes meanwhile is not to be missed.
                    ready.clear_ready();
                    self.event_loop.turn();
                }
                // Whom a task wakes runs next, as a rule: what else is ready comes first.
                () = self.gathered.notified() => yield_now().await,
            }
            if self.event_loop.take_unsent() {
                self.event_loop.flush();
            }
        }
    }
}

/// Has a runtime watch a loop's descriptor.
#[expect(unsafe_code, reason = "tokio has no safe interface for the descriptor of an epoll")]
fn watched(descriptor: RawFd) -> io::Result<AsyncFd<Descriptor>> {
    // SAFETY: the loop that has the descriptor is kept for longer, see `Turning`.
    let watched =
        unsafe { AsyncFd::register_with_interest(Descriptor(descriptor), Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// Withdraws an attempt that is dropped before its answer was taken.
struct Attempting<'a> {
    pipeline: &'a RedisPipeline,
    ticket: u64,
    /// `None` once it was.
    claim: Option<&'a Arc<Claim>>,
}

impl Drop for Attempting<'_> {
    fn drop(&mut self) {
        let Some(claim) = self.claim else { return };
        if !self.pipeline.take_back(self.ticket) {
            // It has come, and may be a grant; or the connection broke.
            self.pipeline.withdraw(claim);
        }
    }
}

/// What is called with an answer, and the answer.
fn answer<T: Send + 'static>() -> (Done<T>, impl Future<Output = Result<T>>) {
    let (send, receive) = oneshot::channel();
    // Whoever asked may have gone.
    let done = Box::new(move |answer| drop(send.send(answer)));
    let lost = |_| Error::unavailable("the connection was closed with its runtime").maybe_done();
    (done, async move { receive.await.map_err(lost)? })
}

/// As [`Backend::attempt`](crate::backend::Backend::attempt), by a runtime's connection.
pub(super) async fn attempt(
    pipeline: &RedisPipeline,
    claim: &Arc<Claim>,
    queue: bool,
    by: Moment,
) -> Result<Answer> {
    let (done, answer) = answer();
    let ticket = pipeline.attempt(claim, queue, by, done);
    let mut attempting = Attempting { pipeline, ticket, claim: Some(claim) };
    let answer = answer.await;
    attempting.claim = None;
    answer
}

/// As [`Backend::release`](crate::backend::Backend::release), sent once.
pub(super) async fn release(
    pipeline: &RedisPipeline,
    claim: &Claim,
    by: Moment,
) -> Result<Released> {
    let (done, answer) = answer();
    pipeline.release(claim, by, done);
    answer.await
}
