//! What a scenario's locks are kept in, and what can be seen and done there from outside.
#![expect(
    clippy::panic,
    reason = "a scenario that cannot see its locks has nothing better to do than to fail"
)]

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fencelock_testserver::TestServer;
use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::kit::boot_nanos;
use crate::stage::Stage;

/// What locks are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A private Redis.
    Redis,
    /// The embedded store, in a file of its own.
    File,
}

impl Backend {
    /// All, in the order in which they are played.
    pub const ALL: [Self; 2] = [Self::Redis, Self::File];

    /// As the trials and `FENCELOCK_CONFORMANCE_ON` name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::File => "file",
        }
    }
}

/// A stage's server. A scenario that asks for it where there is none is not marked so.
#[derive(Debug)]
pub struct Server(pub(crate) Option<TestServer>);

impl Deref for Server {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        let server = self.0.as_ref();
        server
            .unwrap_or_else(|| panic!("there is no server: mark the scenario `on(Backend::Redis)`"))
    }
}

/// A store of the scenario's own, in a directory that is removed at the end.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// Kept open: to open it takes longer than to look.
    eye: Mutex<Option<Connection>>,
}

impl Store {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("fl-stage-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        Self { dir, eye: Mutex::default() }
    }

    /// The store's file; drivers make it.
    pub fn file(&self) -> PathBuf {
        self.dir.join("locks.db")
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Looks at the file, as anybody may from outside who is not one of the locking processes.
    fn see<T>(&self, sql: &str, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        let mut eye = self.eye.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || {
            let connection = Connection::open(self.file())?;
            connection.busy_timeout(Duration::from_secs(10))?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let opened = match eye.take() {
            Some(connection) => Ok(connection),
            None => open(),
        };
        let seen = opened.and_then(|connection| look(eye.insert(connection)));
        seen.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Looks at it no more.
    pub fn close(&self) {
        self.eye.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Changes something in it; how many rows.
    pub fn change(&self, sql: &str, values: impl Params) -> usize {
        self.see(sql, |connection| connection.execute(sql, values))
    }

    /// A number in it.
    pub fn number(&self, sql: &str, values: impl Params) -> Option<i64> {
        self.see(sql, |seen| seen.query_row(sql, values, |row| row.get(0)).optional())
    }

    fn holder(&self, lock: &str) -> Option<(String, i64)> {
        let sql = "SELECT CAST(token AS TEXT), until - ?2 FROM lock
                   WHERE name = ?1 AND token IS NOT NULL AND until > ?2";
        let now = i64::try_from(boot_nanos()).unwrap_or(i64::MAX);
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.see(sql, |seen| seen.query_row(sql, params![lock, now], read).optional())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// An owner token that nobody has.
pub const NOBODY: &str = "fl1-AAAAAAAAAAAAAAAAAAAAAA";

fn later(ms: i64) -> i64 {
    i64::try_from(boot_nanos()).unwrap_or(i64::MAX).saturating_add(ms * 1_000_000)
}

/// The same on every backend.
impl Stage {
    /// The owner token of the lock's holder.
    pub fn value(&self, lock: &str) -> Option<String> {
        match &self.store {
            Some(store) => store.holder(lock).map(|(token, _)| token),
            None => self.redis(&["GET", lock]),
        }
    }

    /// How long the lock stays held, in ms; below 0 if nobody holds it.
    pub fn remaining(&self, lock: &str) -> i64 {
        match &self.store {
            Some(store) => store.holder(lock).map_or(-2, |(_, ns)| ns / 1_000_000),
            None => self.redis(&["PTTL", lock]),
        }
    }

    /// How many stand in the lock's queue. Only for names without braces.
    pub fn queue(&self, lock: &str) -> u64 {
        let Some(store) = &self.store else {
            return self.redis(&["ZCARD", &format!("{{{lock}}}:fl:q")]);
        };
        let count = store.number("SELECT count(*) FROM waiter WHERE name = ?1", [lock]);
        count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
    }

    /// Asserts that nothing of a lock is left but its last fence.
    pub fn nothing_left(&self, lock: &str) {
        let mut left = Vec::new();
        if self.store.is_some() {
            left.resize(usize::try_from(self.queue(lock)).unwrap_or(0), "a waiter".to_owned());
        } else {
            left = self.redis(&["KEYS", "*"]);
            left.retain(|key| key != lock && key.contains(lock) && !key.ends_with(":fl:f"));
        }
        left.extend(self.value(lock).map(|_| "a holder".to_owned()));
        assert!(left.is_empty(), "left of {lock}: {left:?}");
    }

    /// Has somebody hold the lock who never releases it.
    pub fn plant(&self, lock: &str, token: &str, ms: i64) {
        let Some(store) = &self.store else {
            return self.redis::<()>(&["SET", lock, token, "PX", &ms.to_string()]);
        };
        store.change(
            "INSERT INTO lock (name, fence, token, ttl, until, process, label)
             VALUES (?1, 1, CAST(?2 AS BLOB), ?3, ?4, 'unknown', '')
             ON CONFLICT DO UPDATE SET token = excluded.token, ttl = excluded.ttl,
                until = excluded.until, process = excluded.process",
            params![lock, token, ms, later(ms)],
        );
    }

    /// Makes the lock free, as nobody should.
    pub fn delete(&self, lock: &str) {
        match &self.store {
            Some(store) => {
                store.change("UPDATE lock SET token = NULL WHERE name = ?1", [lock]);
            }
            None => self.redis::<()>(&["DEL", lock]),
        }
    }

    /// Has the lease end so soon.
    pub fn expire_in(&self, lock: &str, ms: i64) {
        match &self.store {
            Some(store) => {
                let sql = "UPDATE lock SET until = ?2 WHERE name = ?1";
                store.change(sql, params![lock, later(ms)]);
            }
            None => self.redis::<()>(&["PEXPIRE", lock, &ms.to_string()]),
        }
    }

    /// Puts so many in the queue who are long dead, under tokens that begin with `w`.
    pub fn fill_queue(&self, lock: &str, count: u32) {
        let Some(store) = &self.store else {
            let mut fill = vec!["ZADD".to_owned(), format!("{{{lock}}}:fl:q")];
            for ticket in 1..=count {
                fill.extend([ticket.to_string(), format!("w{ticket}")]);
            }
            return self.redis::<()>(&fill.iter().map(String::as_str).collect::<Vec<_>>());
        };
        store.change(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
             INSERT INTO waiter (name, ticket, token, ttl, heard, client, process, label)
             SELECT ?1, i, CAST(printf('fl1-w%021d', i) AS BLOB), 1, 0, 'c', 'p', '' FROM n",
            params![lock, count],
        );
    }

    /// How many of those stand in the queue, and how many others.
    pub fn filled_queue(&self, lock: &str) -> (u64, u64) {
        let Some(store) = &self.store else {
            let tokens: Vec<String> =
                self.redis(&["ZRANGE", &format!("{{{lock}}}:fl:q"), "0", "-1"]);
            let filled = tokens.iter().filter(|token| token.starts_with('w')).count() as u64;
            return (filled, tokens.len() as u64 - filled);
        };
        let sql = "SELECT count(*) FROM waiter WHERE name = ?1 AND client = 'c'";
        let filled = store.number(sql, [lock]).unwrap_or(0).unsigned_abs();
        (filled, self.queue(lock) - filled)
    }

    /// Asserts that nobody ever took a lock here.
    pub fn is_untouched(&self) {
        let rows = match &self.store {
            Some(store) => store
                .number("SELECT (SELECT count(*) FROM lock) + (SELECT count(*) FROM waiter)", [])
                .unwrap_or(0),
            None => self.redis(&["DBSIZE"]),
        };
        assert_eq!(rows, 0, "somebody took a lock, or waits");
    }
}
