//! A store that is told the time, in the place of the clocks, and that has no other processes:
//! what random operations are compared on (`conformance/reference`). With the feature `model`.

use std::path::Path;
use std::time::Duration;

use super::boot::Boot;
use super::connection::Open;
use super::fault::Fault;
use super::ledger::{Asker, Grant, Ledger, Seen, Standing, Wish};
use super::place;
use crate::backend::Released;
use crate::clock::Moment;
use crate::error::Result;
use crate::token::Token;

/// One store, of which this is the only user.
#[derive(Debug)]
pub struct Store {
    open: Open,
    now: u64,
    micros: u64,
}

const SHOWN: &str = "the store";

fn soon() -> Moment {
    Moment::now() + Duration::from_secs(10)
}

impl Store {
    /// In memory.
    ///
    /// # Errors
    ///
    /// As a client's that opens one.
    pub fn in_memory() -> Result<Self> {
        let open = Open::in_memory(&Boot::read()).map_err(|fault| fault.into_error(SHOWN))?;
        Ok(Self { open, now: 0, micros: 0 })
    }

    /// In this file, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// As a client's that opens one.
    pub fn in_file(path: &Path) -> Result<Self> {
        let ready = place::prepare(path, false, false)?;
        let open = Open::in_file(&ready.path, SHOWN, &Boot::read(), soon());
        let open = open.map_err(|fault| fault.into_error(SHOWN))?;
        Ok(Self { open, now: 0, micros: 0 })
    }

    /// Sets its clocks: ns since the machine started, and µs since 1970.
    pub fn set_clock(&mut self, now: u64, micros: u64) {
        (self.now, self.micros) = (now, micros);
    }

    /// Forgets everything.
    ///
    /// # Errors
    ///
    /// As all of these: `Backend` for what the store refuses.
    pub fn forget(&self) -> Result<()> {
        let work = |connection: &rusqlite::Connection| {
            Ok(connection.execute_batch("DELETE FROM lock; DELETE FROM waiter")?)
        };
        self.open.transact(soon(), work).map_err(|fault| fault.into_error(SHOWN))
    }

    /// Carries something out; gives who is to be told as well.
    fn run<T>(
        &self,
        work: impl FnOnce(&mut Ledger<'_>) -> std::result::Result<T, Fault>,
    ) -> Result<(T, Vec<Grant>)> {
        let done = self.open.transact(soon(), |connection| {
            let mut ledger = Ledger::new(connection, self.now, self.micros, &|_| true);
            Ok((work(&mut ledger)?, ledger.granted))
        });
        done.map_err(|fault| fault.into_error(SHOWN))
    }

    /// Takes the lock, or with `queue` a place in its queue.
    ///
    /// # Errors
    ///
    /// See [`forget`](Self::forget).
    pub fn acquire(
        &self,
        wish: Wish<'_>,
        queue: bool,
        client: &str,
        window: Duration,
    ) -> Result<(Standing, Vec<Grant>)> {
        let asker = Asker { client, process: "" };
        self.run(|ledger| ledger.acquire(wish, queue, asker, super::nanos(window)))
    }

    /// A client's heartbeat for its waiters.
    ///
    /// # Errors
    ///
    /// See [`forget`](Self::forget).
    pub fn poll(
        &self,
        name: &str,
        client: &str,
        window: Duration,
        waiters: &[(Token, u64)],
    ) -> Result<(Vec<Standing>, Vec<Grant>)> {
        let asker = Asker { client, process: "" };
        self.run(|ledger| ledger.poll(name, asker, super::nanos(window), waiters))
    }

    /// Gives the lock back.
    ///
    /// # Errors
    ///
    /// See [`forget`](Self::forget).
    pub fn release(&self, name: &str, token: &Token) -> Result<(Released, Vec<Grant>)> {
        self.run(|ledger| ledger.release(name, token))
    }

    /// Undoes an acquire: whether it stood in the queue, and whether it held the lock.
    ///
    /// # Errors
    ///
    /// See [`forget`](Self::forget).
    pub fn cancel(&self, name: &str, token: &Token) -> Result<((bool, bool), Vec<Grant>)> {
        self.run(|ledger| ledger.cancel(name, token))
    }

    /// Renews a lease; false if it is not held.
    ///
    /// # Errors
    ///
    /// See [`forget`](Self::forget).
    pub fn extend(&self, name: &str, token: &Token, ttl_ms: u64) -> Result<bool> {
        Ok(self.run(|ledger| ledger.extend(name, token, ttl_ms))?.0)
    }

    /// Who holds, and how many wait.
    ///
    /// # Errors
    ///
    /// See [`forget`](Self::forget).
    pub fn inspect(&self, name: &str) -> Result<(Option<Seen>, u64)> {
        Ok(self.run(|ledger| ledger.inspect(name))?.0)
    }
}
