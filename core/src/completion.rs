//! The blocking API's operations for callers that have an event loop of their own, which must not
//! block: each is begun at once, and hands what came of it to a callback.
//!
//! Where it can be, an acquire or a release is sent and answered by the loop's own thread
//! ([`EventLoop`]); the rest goes on in the engine. The callback runs at a turn of the loop or on
//! the engine's thread. It must be quick and must not block: put the outcome where the loop finds
//! it, and wake the loop. It runs once, unless the operation is cancelled first, the loop is
//! dropped or the process forks.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::acquire::{Attempt, Patience, acquire_by, busy};
use crate::backend::{Boxed, Inspection};
use crate::blocking::{Client, Lease, Lock};
use crate::clock::Moment;
use crate::error::{Error, LossReason, Result};
use crate::event_loop::EventLoop;
use crate::fork::Native;
use crate::lease::Holding;
use crate::wait::Place;
use crate::{engine, lease, lock};

/// An operation under way. Dropping it cancels the operation: nothing is left behind then, unless
/// the outcome has gone to the callback already.
#[must_use = "dropping an operation cancels it"]
#[derive(Debug)]
pub struct Operation(Native<Arc<Mutex<Doing>>>);

/// Who carries an operation out at present.
enum Doing {
    /// Nobody yet.
    Nobody,
    /// Nobody any more.
    Over,
    EventLoop(Attempt),
    Engine(AbortHandle),
    /// Whoever ends the wait.
    Waiting(Place),
    /// Whoever ends the lease.
    Watching(Arc<Holding>, u64),
    Cancelled,
}

impl std::fmt::Debug for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Over => "Over",
            Self::EventLoop(_) => "EventLoop",
            Self::Engine(_) => "Engine",
            Self::Waiting(_) => "Waiting",
            Self::Watching(..) => "Watching",
            Self::Cancelled => "Cancelled",
        })
    }
}

/// What came of the part of an operation that an event loop carried out itself.
pub(crate) enum Step<T> {
    Over(Result<T>),
    /// The engine goes on.
    Left(Boxed<'static, Result<T>>),
}

/// What came of an acquire's first attempt.
pub(crate) enum First {
    Done(Step<Option<lease::Lease>>),
    /// It waits at this place; how that ends is read with this.
    Waits(Place, Box<dyn FnOnce(Result<lease::Lease>) -> Result<Option<lease::Lease>> + Send>),
}

fn current(doing: &Mutex<Doing>) -> MutexGuard<'_, Doing> {
    doing.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Operation {
    fn drop(&mut self) {
        let Some(doing) = self.0.get() else { return };
        let before = std::mem::replace(&mut *current(doing), Doing::Cancelled);
        match before {
            Doing::EventLoop(attempt) => attempt.give_up(),
            Doing::Engine(task) => task.abort(),
            Doing::Waiting(place) => drop(place),
            Doing::Watching(holding, number) => holding.forget(number),
            Doing::Nobody | Doing::Over | Doing::Cancelled => {}
        }
    }
}

/// The error of whoever wants something of a lease that was released before, for bindings that
/// keep no such lease.
pub fn released(lock: &str) -> Error {
    Error::not_held("the lease was released before").at(lock)
}

/// Carries an operation out in the engine.
fn begin<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
    done: impl FnOnce(T) + Send + 'static,
) -> Result<Operation> {
    let task = engine::handle()?.spawn(async move { done(future.await) });
    Ok(Operation(Native::new(Arc::new(Mutex::new(Doing::Engine(task.abort_handle()))))))
}

/// Acquires by the event loop's connection, where it has one, and in the engine.
fn begin_acquire<T: 'static>(
    event_loop: &EventLoop,
    wanted: &Lock,
    patience: Patience,
    convert: impl FnOnce(Option<lease::Lease>) -> Result<T> + Send + 'static,
    done: impl FnOnce(Result<T>) + Send + 'static,
) -> Result<Operation> {
    let doing = Arc::new(Mutex::new(Doing::Nobody));
    let known = doing.clone();
    let then = move |first| match first {
        First::Done(Step::Over(outcome)) => {
            // Else it would be looked for among all that is under way.
            *current(&known) = Doing::Over;
            done(outcome.and_then(convert));
        }
        First::Done(Step::Left(rest)) => {
            let mut doing = current(&known);
            if matches!(*doing, Doing::Cancelled) {
                return;
            }
            match engine::handle() {
                Ok(engine) => {
                    let task = engine.spawn(async move { done(rest.await.and_then(convert)) });
                    *doing = Doing::Engine(task.abort_handle());
                }
                Err(error) => done(Err(error)),
            }
        }
        First::Waits(place, read) => {
            let told = known.clone();
            place.tell(move |outcome| {
                let before = {
                    let mut doing = current(&told);
                    match *doing {
                        Doing::Cancelled => return,
                        _ => std::mem::replace(&mut *doing, Doing::Over),
                    }
                };
                drop(before);
                done(read(outcome).and_then(convert));
            });
            let mut doing = current(&known);
            if matches!(*doing, Doing::Nobody | Doing::EventLoop(_)) {
                *doing = Doing::Waiting(place);
            } else {
                // Over already, or cancelled.
                drop(doing);
                drop(place);
            }
        }
    };
    if let Some(attempt) = acquire_by(event_loop, &wanted.0.described, patience, then)? {
        let mut doing = current(&doing);
        // It may have been answered with the connection's failure already.
        if matches!(*doing, Doing::Nobody) {
            *doing = Doing::EventLoop(attempt);
        }
    }
    Ok(Operation(Native::new(doing)))
}

impl Client {
    /// As [`crate::Client::connect_with`], for a client made by [`lazy`](Self::lazy).
    ///
    /// # Errors
    ///
    /// Without calling back: `Closed`, or `Internal` if the engine can't be started.
    pub fn begin_connect(
        &self,
        event_loop: &EventLoop,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<Operation> {
        let client = self.0.clone();
        let pipeline = client.open_pipeline(event_loop)?;
        let connect = async move {
            client.open().await?;
            pipeline.await;
            Ok(())
        };
        begin(connect, done)
    }

    /// As [`inspect`](Self::inspect).
    ///
    /// # Errors
    ///
    /// As [`begin_connect`](Self::begin_connect).
    pub fn begin_inspect(
        &self,
        name: &str,
        done: impl FnOnce(Result<Inspection>) + Send + 'static,
    ) -> Result<Operation> {
        let (client, name) = (self.0.clone(), name.to_owned());
        begin(async move { client.inspect(&name).await }, done)
    }

    /// As [`close`](Self::close). It can't be cancelled.
    pub fn begin_close(&self, done: impl FnOnce(()) + Send + 'static) {
        let task = self.0.begin_close();
        engine::spawn(async move {
            if let Some(task) = task {
                task.await;
            }
            done(());
        });
    }
}

impl Lock {
    /// As [`acquire_with`](Self::acquire_with).
    ///
    /// # Errors
    ///
    /// As [`Client::begin_connect`].
    pub fn begin_acquire(
        &self,
        event_loop: &EventLoop,
        timeout: Option<Duration>,
        done: impl FnOnce(Result<Lease>) + Send + 'static,
    ) -> Result<Operation> {
        let name = self.0.described.name.clone();
        let convert = move |lease: Option<_>| lease.map(Lease).ok_or_else(|| busy().at(&name));
        begin_acquire(event_loop, self, lock::patience(timeout), convert, done)
    }

    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    ///
    /// As [`Client::begin_connect`].
    pub fn begin_try_acquire(
        &self,
        event_loop: &EventLoop,
        done: impl FnOnce(Result<Option<Lease>>) + Send + 'static,
    ) -> Result<Operation> {
        let convert = |lease: Option<_>| Ok(lease.map(Lease));
        begin_acquire(event_loop, self, Patience::Once, convert, done)
    }
}

impl Lease {
    /// As [`release`](Self::release). The lease is not held any more when this returns, and the
    /// release can't be cancelled. With a `limit` the outcome after so long is `Unavailable`, and
    /// the release goes on.
    ///
    /// # Errors
    ///
    /// Without calling back, `NotHeld` if it was released before; `Lost` in a forked child.
    pub fn begin_release(
        &self,
        event_loop: &EventLoop,
        limit: Option<Duration>,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<()> {
        let (lost, name) = (self.loss(), self.name().to_owned());
        let until = limit.map(|limit| Moment::now() + limit);
        let then = move |step| {
            let rest = match step {
                Step::Over(outcome) => return done(outcome),
                Step::Left(rest) => rest,
            };
            engine::spawn(async move {
                let (Some(limit), Some(until)) = (limit, until) else {
                    return done(rest.await);
                };
                let late = |_| {
                    let what = format!("the server did not confirm the release within {limit:?}");
                    Err(lost.map_or_else(|| Error::unavailable(what), Error::lost).at(&name))
                };
                // Dropped, the release goes on.
                let outcome = tokio::time::timeout_at(until.for_timer(), rest).await;
                done(outcome.unwrap_or_else(late));
            });
        };
        self.0.release_by(event_loop, limit, then)
    }

    /// Gives it back in the background, if it is not over; how that goes is not told.
    pub fn give_back(&self) {
        self.0.give_back();
    }

    /// As [`renew`](Self::renew).
    ///
    /// # Errors
    ///
    /// Without calling back, `Lost` or `NotHeld` if the lease is over already.
    pub fn begin_renew(&self, done: impl FnOnce(Result<()>) + Send + 'static) -> Result<Operation> {
        let (renewal, name) = (self.0.renewal()?, self.name().to_owned());
        begin(async move { renewal.await.map_err(|error| error.at(&name)) }, done)
    }

    /// Tells when the lease is lost, or released: `None` then. Called on the thread that notices,
    /// which may be this one.
    pub fn begin_watch(&self, done: impl FnOnce(Option<LossReason>) + Send + 'static) -> Operation {
        let holding = self.0.holding();
        let doing = match holding.watch(Box::new(done)) {
            Some(number) => Doing::Watching(holding.clone(), number),
            None => Doing::Nobody,
        };
        Operation(Native::new(Arc::new(Mutex::new(doing))))
    }
}
