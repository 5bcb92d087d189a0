//! The row of one lock.

use rusqlite::params;

use super::{Ledger, Result, Wish, int, ns, token, unsigned};
use crate::error::{Error, ErrorKind};
use crate::token::Token;

const FENCE_LIMIT: i64 = (1 << 53) - 1;

/// A lock's row.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) fence: i64,
    pub(super) token: Option<Token>,
    pub(super) ttl_ms: i64,
    pub(super) until: i64,
    pub(super) process: String,
}

impl Ledger<'_> {
    pub(super) fn record(&self, name: &str) -> Result<Option<Record>> {
        let mut statement =
            self.sql("SELECT fence, token, ttl, until, process FROM lock WHERE name = ?1")?;
        let mut rows = statement.query([name])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let held = row.get_ref(1)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
        Ok(Some(Record {
            fence: row.get(0)?,
            token: held.map(token).transpose()?,
            ttl_ms: row.get(2)?,
            until: row.get(3)?,
            process: row.get(4)?,
        }))
    }

    /// The holder, unless its lease has run out or its process has ended.
    pub(super) fn holder(&mut self, record: Option<&Record>) -> Option<Token> {
        let record = record?;
        let token = record.token.filter(|_| record.until >= self.now)?;
        self.lives(&record.process).then_some(token)
    }

    /// A lease that lasts longer than any granted by now could: the clock began anew. It is cut to
    /// its TTL.
    pub(super) fn cap(&self, name: &str, record: Option<&mut Record>) -> Result<()> {
        let Some(record) = record.filter(|record| record.token.is_some()) else { return Ok(()) };
        let most = self.now.saturating_add(ns(record.ttl_ms));
        if record.until > most {
            record.until = most;
            self.run("UPDATE lock SET until = ?2 WHERE name = ?1", params![name, most])?;
        }
        Ok(())
    }

    /// Grants the free lock: the fence.
    pub(super) fn take(&self, wish: Wish<'_>, process: &str) -> Result<u64> {
        let last = self.number("SELECT fence FROM lock WHERE name = ?1", [wish.name])?;
        self.grant(wish, process, last)
    }

    pub(super) fn grant(&self, wish: Wish<'_>, process: &str, last: Option<i64>) -> Result<u64> {
        let fence = last.map_or(self.micros, |last| self.micros.max(last.saturating_add(1)));
        if fence > FENCE_LIMIT {
            return Err(Error::new(
                ErrorKind::Backend,
                "fences have reached 2^53; nothing was granted",
                "take another name for the lock",
            )
            .into());
        }
        self.run(
            "INSERT OR REPLACE INTO lock (name, fence, token, ttl, until, process, label)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                wish.name,
                fence,
                wish.token.as_bytes(),
                int(wish.ttl_ms),
                self.now.saturating_add(ns(int(wish.ttl_ms))),
                process,
                wish.label
            ],
        )?;
        Ok(unsigned(fence))
    }

    pub(super) fn free(&self, name: &str) -> Result<()> {
        self.run("UPDATE lock SET token = NULL WHERE name = ?1", [name]).map(drop)
    }

    /// Confirms a holder: its lease is full again, unless a longer one is in force.
    pub(super) fn keep(
        &self,
        name: &str,
        token: &Token,
        ttl_ms: u64,
        record: &Record,
    ) -> Result<u64> {
        self.prolong(name, ttl_ms, record)?;
        self.leave(name, token)?;
        Ok(unsigned(record.fence))
    }

    pub(super) fn prolong(&self, name: &str, ttl_ms: u64, record: &Record) -> Result<()> {
        let ttl_ms = int(ttl_ms);
        let until = self.now.saturating_add(ns(ttl_ms));
        if until > record.until {
            self.run(
                "UPDATE lock SET ttl = ?2, until = ?3 WHERE name = ?1",
                params![name, ttl_ms, until],
            )?;
        } else if ttl_ms > record.ttl_ms {
            self.run("UPDATE lock SET ttl = ?2 WHERE name = ?1", params![name, ttl_ms])?;
        }
        Ok(())
    }

    /// How long the present lease lasts, in ns.
    pub(super) fn remaining(&mut self, name: &str) -> Result<(Option<u64>, Option<String>)> {
        let record = self.record(name)?;
        if self.holder(record.as_ref()).is_none() {
            return Ok((None, None));
        }
        Ok(match record {
            Some(record) => (Some(unsigned(record.until - self.now)), Some(record.process)),
            None => (None, None),
        })
    }

    /// Ends all that a dead process held or waited for.
    pub(crate) fn bury(&mut self, process: &str) -> Result<()> {
        self.run(
            "UPDATE lock SET token = NULL WHERE token IS NOT NULL AND process = ?1",
            [process],
        )?;
        self.run("DELETE FROM waiter WHERE process = ?1", [process]).map(drop)
    }

    /// Forgets locks that were last granted more than so long ago, and are free: a fence without
    /// a record begins at the clock again, which is past it.
    pub(crate) fn forget(&mut self, older_us: u64) -> Result<()> {
        self.run(
            "DELETE FROM lock WHERE fence < ?1 AND (token IS NULL OR until <= ?2)
             AND NOT EXISTS (SELECT 1 FROM waiter WHERE waiter.name = lock.name)",
            params![self.micros.saturating_sub(int(older_us)), self.now],
        )
        .map(drop)
    }
}
