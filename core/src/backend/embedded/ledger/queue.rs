//! The queue of one lock.

use std::collections::HashSet;

use rusqlite::params;

use super::{Asker, Grant, Ledger, Queued, Result, Standing, Wish, int, token, unsigned};
use crate::backend::embedded::fault::Fault;
use crate::token::Token;

/// So many dead waiters are removed in one go.
const WALK_LIMIT: usize = 1_000;
/// And so many by those who join or poll.
pub(super) const TIDY_LIMIT: usize = 8;
const QUEUE_LIMIT: i64 = 10_000;
/// No heartbeat promises more than 30 s: the clock began anew where one does by far.
const HEARD_MOST: i64 = 60_000_000_000;
/// So many processes ahead are named to a waiter.
const AHEAD_MOST: usize = 64;

#[derive(Debug)]
pub(super) struct Waiter {
    token: Token,
    ttl_ms: i64,
    client: String,
    process: String,
    label: String,
}

impl Ledger<'_> {
    pub(super) fn is_queue_empty(&self, name: &str) -> Result<bool> {
        Ok(self.number("SELECT 1 FROM waiter WHERE name = ?1 LIMIT 1", [name])?.is_none())
    }

    /// Takes a token out of the queue; whether it was there.
    pub(super) fn leave(&self, name: &str, token: &Token) -> Result<bool> {
        let gone = self.run(
            "DELETE FROM waiter WHERE name = ?1 AND token = ?2",
            params![name, token.as_bytes()],
        )?;
        Ok(gone > 0)
    }

    /// The first waiter that lives, after removing up to `limit` dead ones before it. A token in
    /// `mine` is the caller's, who lives.
    pub(super) fn first_living(
        &mut self,
        name: &str,
        limit: usize,
        mine: &HashSet<Token>,
    ) -> Result<Option<Waiter>> {
        let mut statement = self.sql(
            "SELECT token, ttl, client, process, label, heard FROM waiter WHERE name = ?1
             ORDER BY ticket, token",
        )?;
        let mut rows = statement.query([name])?;
        let (mut dead, mut early) = (Vec::new(), Vec::new());
        let mut found = None;
        while let Some(row) = rows.next()? {
            let waiter = Waiter {
                token: token(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?,
                ttl_ms: row.get(1)?,
                client: row.get(2)?,
                process: row.get(3)?,
                label: row.get(4)?,
            };
            let heard: i64 = row.get(5)?;
            if heard.saturating_sub(self.now) > HEARD_MOST {
                early.push(waiter.client.clone());
            }
            let lives = heard >= self.now && (self.hopeful || self.lives(&waiter.process));
            if mine.contains(&waiter.token) || lives {
                found = Some(waiter);
                break;
            }
            if dead.len() == limit {
                break;
            }
            dead.push(waiter.token);
        }
        drop(rows);
        for client in early {
            self.run(
                "UPDATE waiter SET heard = ?3 WHERE name = ?1 AND client = ?2",
                params![name, client, self.now.saturating_add(HEARD_MOST / 2)],
            )?;
        }
        for token in dead {
            self.leave(name, &token)?;
        }
        Ok(found)
    }

    /// Grants the free lock to the first waiter that lives: its token and fence; frees it if
    /// there is none. Whoever is in `mine` learns it by the answer.
    pub(super) fn walk(
        &mut self,
        name: &str,
        mine: &HashSet<Token>,
    ) -> Result<Option<(Token, u64)>> {
        let Some(head) = self.first_living(name, WALK_LIMIT, mine)? else {
            self.free(name)?;
            return Ok(None);
        };
        let wish = Wish {
            name,
            token: head.token,
            ttl_ms: unsigned(head.ttl_ms),
            label: &head.label,
            ticket: 0,
        };
        let fence = self.take(wish, &head.process)?;
        self.leave(name, &head.token)?;
        if !mine.contains(&head.token) {
            self.granted.push(Grant {
                name: name.to_owned(),
                token: head.token,
                fence,
                client: head.client,
                process: head.process,
            });
        }
        Ok(Some((head.token, fence)))
    }

    /// The walk of those who give the lock up: whatever fails, it does not stay held.
    pub(super) fn hand_on(&mut self, name: &str) -> Result<bool> {
        match self.walk(name, &HashSet::new()) {
            Err(Fault::Error(_)) => self.free(name).map(|()| false),
            granted => Ok(granted?.is_some()),
        }
    }

    pub(super) fn join(
        &mut self,
        wish: Wish<'_>,
        asker: Asker<'_>,
        window_ns: u64,
    ) -> Result<Standing> {
        let Wish { name, token, ticket, .. } = wish;
        self.first_living(name, TIDY_LIMIT, &HashSet::from([token]))?;
        let stood = self.number(
            "SELECT ticket FROM waiter WHERE name = ?1 AND token = ?2",
            params![name, token.as_bytes()],
        )?;
        let ticket = match (stood, ticket) {
            (Some(stood), _) => stood,
            (None, _) if self.is_full(name)? => return Ok(Standing::Full),
            (None, 0) => self.last_ticket(name)? + 1,
            (None, ticket) => int(ticket),
        };
        self.run(
            "INSERT INTO waiter (name, ticket, token, ttl, heard, client, process, label)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7)
             ON CONFLICT (name, token) DO UPDATE SET ttl = excluded.ttl,
                client = excluded.client, process = excluded.process, label = excluded.label",
            params![
                name,
                ticket,
                token.as_bytes(),
                int(wish.ttl_ms),
                asker.client,
                asker.process,
                wish.label
            ],
        )?;
        self.hear(name, asker.client, window_ns)?;
        self.queued(name, &token, ticket, asker.process).map(Standing::Queued)
    }

    pub(super) fn last_ticket(&self, name: &str) -> Result<i64> {
        Ok(self.number("SELECT max(ticket) FROM waiter WHERE name = ?1", [name])?.unwrap_or(0))
    }

    pub(super) fn is_full(&self, name: &str) -> Result<bool> {
        let first = self.number("SELECT min(ticket) FROM waiter WHERE name = ?1", [name])?;
        // To count is dear, and tickets are given one by one; a few may share theirs.
        if self.last_ticket(name)? - first.unwrap_or(0) < QUEUE_LIMIT / 2 {
            return Ok(false);
        }
        let count = self.number("SELECT count(*) FROM waiter WHERE name = ?1", [name])?;
        Ok(count.unwrap_or(0) >= QUEUE_LIMIT)
    }

    /// A heartbeat of a client for all its waiters on one lock, never for less than an earlier
    /// one promised.
    pub(super) fn hear(&self, name: &str, client: &str, window_ns: u64) -> Result<()> {
        let until = self.now.saturating_add(int(window_ns));
        self.run(
            "UPDATE waiter SET heard = max(?3,
                (SELECT max(heard) FROM waiter WHERE name = ?1 AND client = ?2))
             WHERE name = ?1 AND client = ?2",
            params![name, client, until],
        )
        .map(drop)
    }

    pub(super) fn queued(
        &mut self,
        name: &str,
        token: &Token,
        ticket: i64,
        process: &str,
    ) -> Result<Queued> {
        let place = params![name, ticket, token.as_bytes()];
        let rank = self.number(
            "SELECT count(*) FROM waiter WHERE name = ?1 AND (ticket, token) < (?2, ?3)",
            place,
        )?;
        let (remaining, holding) = self.remaining(name)?;
        let mut ahead: Vec<String> = self
            .sql(
                "SELECT DISTINCT process FROM waiter
                 WHERE name = ?1 AND (ticket, token) < (?2, ?3) LIMIT 64",
            )?
            .query_map(place, |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        ahead.truncate(AHEAD_MOST);
        ahead.extend(holding);
        ahead.retain(|other| other != process);
        let rank = unsigned(rank.unwrap_or(0));
        Ok(Queued { rank, ticket: unsigned(ticket), remaining, ahead })
    }
}
