//! A connection to a store: opened, checked, and made ready for short transactions.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::boot::Boot;
use super::fault::Fault;
use super::registry::OPEN;
use super::schema::{self, Kind};
use crate::clock::Moment;

/// So many statements are kept ready.
const STATEMENTS: usize = 64;
/// What the log beside the store is cut to when all of it has been taken over.
const LOG_BYTES: u64 = 1 << 20;

std::thread_local! {
    /// Until when this thread waits for others who are in the middle of a transaction.
    static PATIENCE: Cell<Moment> = const { Cell::new(Moment::from_nanos(0)) };
}

/// A connection, which a fork or a descriptor closed behind our back makes useless.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: Connection,
    file: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.file {
            OPEN.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Others are in the middle of theirs: whether to try again. A transaction takes some 10 µs.
fn wait(tries: i32) -> bool {
    if Moment::now() >= PATIENCE.get() {
        return false;
    }
    match tries {
        0..=3 => std::thread::yield_now(),
        4..=20 => std::thread::sleep(Duration::from_micros(20)),
        _ => std::thread::sleep(Duration::from_micros(500)),
    }
    true
}

/// Runs something that may have to wait for others, so long.
pub(super) fn patiently<T>(until: Moment, work: impl FnOnce() -> T) -> T {
    let before = PATIENCE.replace(until);
    let result = work();
    PATIENCE.set(before);
    result
}

impl Open {
    pub(super) fn in_memory(boot: &Boot) -> Result<Self, Fault> {
        let mut open = Self { connection: Connection::open_in_memory()?, file: false };
        open.set_up("memory:", boot)?;
        Ok(open)
    }

    /// Opens a file that is there.
    pub(super) fn in_file(
        path: &Path,
        store: &str,
        boot: &Boot,
        until: Moment,
    ) -> Result<Self, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        OPEN.fetch_add(1, Ordering::AcqRel);
        let mut open = Self { connection, file: true };
        open.connection.busy_handler(Some(wait))?;
        patiently(until, || open.prepare_file(store, boot, until))?;
        Ok(open)
    }

    fn prepare_file(&mut self, store: &str, boot: &Boot, until: Moment) -> Result<(), Fault> {
        let connection = &self.connection;
        if schema::look(connection, store)? == Kind::Empty {
            // A lock is a short row: less is written for each, and summed.
            connection.execute_batch("PRAGMA page_size = 1024")?;
        }
        // The last to close would take over the log, and wait for the disk.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        loop {
            let set = connection
                .query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))
                .map_err(Fault::from);
            match set {
                Ok(mode) if mode == "wal" => break,
                // Another process does the same at this moment; it is not waited for by itself.
                Err(Fault::Busy) if Moment::now() < until => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(_) => return Err(Fault::Busy),
                Err(fault) => return Err(fault),
            }
        }
        connection.execute_batch(&format!(
            "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = {LOG_BYTES}; PRAGMA trusted_schema = OFF"
        ))?;
        self.set_up(store, boot)
    }

    fn set_up(&mut self, store: &str, boot: &Boot) -> Result<(), Fault> {
        self.connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        schema::make(&transaction, store, boot)?;
        Ok(transaction.commit()?)
    }

    /// Runs a transaction; on an error nothing of it has happened.
    pub(super) fn transact<T>(
        &self,
        until: Moment,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let run = |text| self.connection.prepare_cached(text)?.execute([]);
        patiently(until, || {
            run("BEGIN IMMEDIATE")?;
            let done = work(&self.connection).and_then(|done| {
                run("COMMIT")?;
                Ok(done)
            });
            if done.is_err() && !self.connection.is_autocommit() {
                // Whatever it says, nothing was committed.
                let _ = run("ROLLBACK");
            }
            done
        })
    }

    /// Takes the log over into the file; waits for the disk, and not for others. With `begin_anew`
    /// nobody else gets in while what is left of it is taken over: a log that is written to all the
    /// time would grow for ever.
    pub(super) fn take_over_log(&self, begin_anew: bool, until: Moment) -> Result<(), Fault> {
        patiently(until, || {
            let take_over = |text| self.connection.query_row(text, [], |_| Ok(()));
            take_over("PRAGMA wal_checkpoint(PASSIVE)")?;
            if begin_anew {
                take_over("PRAGMA wal_checkpoint(TRUNCATE)")?;
            }
            Ok(())
        })
    }
}
