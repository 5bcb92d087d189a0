//! The blocking API's operations for callers that have an event loop of their own, which must not
//! block: each is begun at once, goes on in the engine, and hands what came of it to a callback.
//!
//! The callback runs on the engine's thread. It must be quick and must not block: put the outcome
//! where the loop finds it, and wake the loop. It runs once, unless the operation is cancelled
//! first or the process forks.

use std::future::Future;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::acquire::{Patience, busy};
use crate::backend::Inspection;
use crate::blocking::{Client, Lease, Lock};
use crate::error::{Error, LossReason, Result};
use crate::fork::Native;
use crate::{engine, lock};

/// An operation under way. Dropping it cancels the operation: nothing is left behind then, unless
/// the outcome has gone to the callback already.
#[must_use = "dropping an operation cancels it"]
#[derive(Debug)]
pub struct Operation(Native<AbortHandle>);

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(task) = self.0.get() {
            task.abort();
        }
    }
}

fn begin<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
    done: impl FnOnce(T) + Send + 'static,
) -> Result<Operation> {
    let task = engine::handle()?.spawn(async move { done(future.await) });
    Ok(Operation(Native::new(task.abort_handle())))
}

impl Client {
    /// As [`crate::Client::connect_with`], for a client made by [`lazy`](Self::lazy).
    ///
    /// # Errors
    ///
    /// Without calling back: `Closed`, or `Internal` if the engine can't be started.
    pub fn begin_connect(
        &self,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<Operation> {
        let client = self.0.clone();
        begin(async move { client.open().await }, done)
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
        timeout: Option<Duration>,
        done: impl FnOnce(Result<Lease>) + Send + 'static,
    ) -> Result<Operation> {
        let (described, patience) = (self.0.described.clone(), lock::patience(timeout));
        let name = described.name.clone();
        let acquire = async move {
            let lease = lock::start(described, patience).await?;
            lease.map(Lease).ok_or_else(|| busy().at(&name))
        };
        begin(acquire, done)
    }

    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    ///
    /// As [`Client::begin_connect`].
    pub fn begin_try_acquire(
        &self,
        done: impl FnOnce(Result<Option<Lease>>) + Send + 'static,
    ) -> Result<Operation> {
        let acquire = lock::start(self.0.described.clone(), Patience::Once);
        begin(async move { Ok(acquire.await?.map(Lease)) }, done)
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
        limit: Option<Duration>,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<()> {
        let (lost, name) = (self.loss(), self.name().to_owned());
        let releasing = self.0.releasing()?;
        engine::spawn(async move {
            let Some(limit) = limit else {
                return done(releasing.await);
            };
            let late = |_| {
                let what = format!("the server did not confirm the release within {limit:?}");
                Err(lost.map_or_else(|| Error::unavailable(what), Error::lost).at(&name))
            };
            done(tokio::time::timeout(limit, releasing).await.unwrap_or_else(late));
        });
        Ok(())
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

    /// Tells when the lease is lost, or released: `None` then.
    ///
    /// # Errors
    ///
    /// `Internal` if the engine can't be started.
    pub fn begin_watch(
        &self,
        done: impl FnOnce(Option<LossReason>) + Send + 'static,
    ) -> Result<Operation> {
        begin(self.0.ended(), done)
    }
}
