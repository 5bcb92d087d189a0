//! The same API for threads that block.
//!
//! An uncontended acquire or release is one round trip that the calling thread makes itself, on
//! a connection of its own; waiting, renewal and clean-up go on in the engine. Do not call it
//! from inside an async runtime: it blocks the thread.
//!
//! ```no_run
//! # fn main() -> fencelock::Result<()> {
//! let client = fencelock::blocking::Client::connect("redis://localhost:6379/0")?;
//! let lease = client.lock("orders").acquire()?;
//! lease.release()?;
//! # Ok(()) }
//! ```

use std::time::Duration;

use crate::acquire::{Patience, acquire_blocking, busy};
use crate::backend::{Inspection, Interrupt};
use crate::engine;
use crate::error::{LossReason, Result};
use crate::lock::patience;
use crate::options::ClientOptions;

/// As [`crate::Client`].
#[derive(Clone, Debug)]
pub struct Client(pub(crate) crate::Client);

/// As [`crate::Lock`].
#[derive(Clone, Debug)]
pub struct Lock(pub(crate) crate::Lock);

/// As [`crate::Lease`].
#[must_use = "dropping a lease releases the lock"]
#[derive(Debug)]
pub struct Lease(pub(crate) crate::Lease);

impl Client {
    /// As [`crate::Client::connect`].
    ///
    /// # Errors
    ///
    /// As [`crate::Client::connect`].
    pub fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, ClientOptions::new())
    }

    /// As [`crate::Client::connect_with`].
    ///
    /// # Errors
    ///
    /// As [`crate::Client::connect_with`].
    pub fn connect_with(url: &str, options: ClientOptions) -> Result<Self> {
        let url = url.to_owned();
        engine::block_on(async move { crate::Client::connect_with(&url, options).await })?.map(Self)
    }

    /// As [`connect_with`](Self::connect_with), for callers that can be interrupted: `interrupt`
    /// is asked about every 50 ms whether to give up.
    ///
    /// # Errors
    ///
    /// As [`crate::Client::connect_with`], and `Cancelled` when `interrupt` said so.
    pub fn connect_interruptible(
        url: &str,
        options: ClientOptions,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        let url = url.to_owned();
        let connect = async move { crate::Client::connect_with(&url, options).await };
        engine::block_on_with(connect, Some(interrupt)).map(Self)
    }

    /// As [`crate::Client::lazy`].
    ///
    /// # Errors
    ///
    /// As [`crate::Client::lazy`].
    pub fn lazy(url: &str, options: ClientOptions) -> Result<Self> {
        crate::Client::lazy(url, options).map(Self)
    }

    /// As [`crate::Client::lock`].
    pub fn lock(&self, name: impl Into<String>) -> Lock {
        Lock(self.0.lock(name))
    }

    /// As [`crate::Client::inspect`].
    ///
    /// # Errors
    ///
    /// As [`crate::Client::inspect`].
    pub fn inspect(&self, name: &str) -> Result<Inspection> {
        self.inspect_with(name, None)
    }

    /// As [`inspect`](Self::inspect), for callers that can be interrupted.
    ///
    /// # Errors
    ///
    /// As [`crate::Client::inspect`], and `Cancelled` when `interrupt` said so.
    pub fn inspect_with(&self, name: &str, interrupt: Option<Interrupt<'_>>) -> Result<Inspection> {
        let (client, name) = (self.0.clone(), name.to_owned());
        engine::block_on_with(async move { client.inspect(&name).await }, interrupt)
    }

    /// As [`crate::Client::close`].
    pub fn close(&self) {
        if let Some(task) = self.0.begin_close() {
            // An engine that is gone has closed everything.
            drop(engine::block_on(task));
        }
    }

    /// As [`crate::Client::server`].
    pub fn server(&self) -> String {
        self.0.server()
    }
}

impl Lock {
    /// As [`crate::Lock::ttl`].
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self(self.0.ttl(ttl))
    }

    /// As [`crate::Lock::renew`].
    #[must_use]
    pub fn renew(self, renew: bool) -> Self {
        Self(self.0.renew(renew))
    }

    /// As [`crate::Lock::max_hold`].
    #[must_use]
    pub fn max_hold(self, time: Duration) -> Self {
        Self(self.0.max_hold(time))
    }

    /// As [`crate::Lock::label`].
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self(self.0.label(label))
    }

    /// As [`crate::Lock::name`].
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// As [`crate::Lock::check`].
    ///
    /// # Errors
    ///
    /// As [`crate::Lock::check`].
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// Takes the lock, waiting in line for it without limit.
    ///
    /// # Errors
    ///
    /// As [`crate::Lock::acquire`], less `AcquireTimeout`.
    pub fn acquire(&self) -> Result<Lease> {
        self.acquire_with(None, None)
    }

    /// Takes the lock, waiting in line for it at most so long; zero makes one attempt.
    ///
    /// # Errors
    ///
    /// As [`crate::Lock::acquire`].
    pub fn acquire_timeout(&self, time: Duration) -> Result<Lease> {
        self.acquire_with(Some(time), None)
    }

    /// As [`acquire`](Self::acquire), for callers that can be interrupted: `interrupt` is asked
    /// about every 50 ms whether to stop waiting. `timeout` is `None` for no limit.
    ///
    /// # Errors
    ///
    /// As [`crate::Lock::acquire`], and `Cancelled` when `interrupt` said so; nothing is left
    /// behind then.
    pub fn acquire_with(
        &self,
        timeout: Option<Duration>,
        interrupt: Option<Interrupt<'_>>,
    ) -> Result<Lease> {
        acquire_blocking(&self.0.described, patience(timeout), interrupt)?
            .map(Lease)
            .ok_or_else(|| busy().at(self.name()))
    }

    /// As [`crate::Lock::try_acquire`].
    ///
    /// # Errors
    ///
    /// As [`crate::Lock::try_acquire`].
    pub fn try_acquire(&self) -> Result<Option<Lease>> {
        self.try_acquire_with(None)
    }

    /// As [`try_acquire`](Self::try_acquire), for callers that can be interrupted.
    ///
    /// # Errors
    ///
    /// As [`acquire_with`](Self::acquire_with), less `AcquireTimeout`.
    pub fn try_acquire_with(&self, interrupt: Option<Interrupt<'_>>) -> Result<Option<Lease>> {
        Ok(acquire_blocking(&self.0.described, Patience::Once, interrupt)?.map(Lease))
    }
}

impl Lease {
    /// As [`crate::Lease::name`].
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// As [`crate::Lease::fence`].
    pub fn fence(&self) -> u64 {
        self.0.fence()
    }

    /// As [`crate::Lease::is_held`].
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// As [`crate::Lease::remaining`].
    pub fn remaining(&self) -> Duration {
        self.0.remaining()
    }

    /// As [`crate::Lease::loss`].
    pub fn loss(&self) -> Option<LossReason> {
        self.0.loss()
    }

    /// As [`crate::Lease::check`].
    ///
    /// # Errors
    ///
    /// As [`crate::Lease::check`].
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// Calls back once when the lease is lost, on the engine's thread: it must not block, and
    /// never calls back if the lease is released.
    pub fn on_lost(&self, call: impl FnOnce(LossReason) + Send + 'static) {
        let ended = self.0.ended();
        engine::spawn(async move {
            if let Some(reason) = ended.await {
                call(reason);
            }
        });
    }

    /// As [`crate::Lease::renew`].
    ///
    /// # Errors
    ///
    /// As [`crate::Lease::renew`].
    pub fn renew(&self) -> Result<()> {
        self.renew_with(None)
    }

    /// As [`renew`](Self::renew), for callers that can be interrupted: the renewal itself goes on
    /// in the background.
    ///
    /// # Errors
    ///
    /// As [`crate::Lease::renew`], and `Cancelled` when `interrupt` said so.
    pub fn renew_with(&self, interrupt: Option<Interrupt<'_>>) -> Result<()> {
        self.0.renew_blocking(interrupt)
    }

    /// As [`crate::Lease::release`]; through a reference, so that a second release is told.
    ///
    /// # Errors
    ///
    /// As [`crate::Lease::release`], and `NotHeld` if it was released before.
    pub fn release(&self) -> Result<()> {
        self.release_with(None)
    }

    /// As [`release`](Self::release), for callers that can be interrupted: the release itself
    /// goes on in the background.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release), and `Cancelled` when `interrupt` said so.
    pub fn release_with(&self, interrupt: Option<Interrupt<'_>>) -> Result<()> {
        self.0.release_blocking(interrupt)
    }

    /// As [`crate::Lease::abandon`].
    pub fn abandon(&self) {
        self.0.abandon();
    }
}
