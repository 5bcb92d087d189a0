//! The state machine of the scripts (`docs/protocol.md`, "Scripts") on the store's tables: what
//! each operation does, inside one transaction, at a time that it is told. Knows no file, clock,
//! process or thread.

use std::collections::{HashMap, HashSet};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, params};

use super::fault::{self, Fault};
use crate::backend::Released;
use crate::error::{Error, ErrorKind};
use crate::token::Token;

type Result<T> = std::result::Result<T, Fault>;

/// So many dead waiters are removed in one go.
const WALK_LIMIT: usize = 1_000;
/// And so many by those who join or poll.
const TIDY_LIMIT: usize = 8;
const QUEUE_LIMIT: i64 = 10_000;
const FENCE_LIMIT: i64 = (1 << 53) - 1;
/// No heartbeat promises more than 30 s: the clock began anew where one does by far.
const HEARD_MOST: i64 = 60_000_000_000;
/// So many processes ahead are named to a waiter.
const AHEAD_MOST: usize = 64;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) client: &'a str,
    pub(super) process: &'a str,
}

/// A wish to hold, as the store keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The lock.
    pub name: &'a str,
    /// Proves that it is the holder's.
    pub token: Token,
    /// How long the lease is to last.
    pub ttl_ms: u64,
    /// What observers see.
    pub label: &'a str,
    /// The place in the queue that an earlier token had; 0 for none.
    pub ticket: u64,
}

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// So many are before it.
    pub rank: u64,
    /// What keeps the place.
    pub ticket: u64,
    /// How long the holder's lease lasts, in ns; `None` if nobody holds the lock.
    pub remaining: Option<u64>,
    /// Processes whose end may make it this waiter's turn.
    pub ahead: Vec<String>,
}

/// What an attempt or a poll came to, for one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds the lock.
    Held {
        /// By the grant with this fence.
        fence: u64,
    },
    /// Somebody else holds it, for so many ns.
    Busy {
        /// `None` if nobody holds the lock.
        remaining: Option<u64>,
    },
    /// It waits.
    Queued(Queued),
    /// The queue takes no more.
    Full,
    /// It neither holds nor waits.
    Gone,
}

/// Somebody who is to be told, once the transaction is through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The lock.
    pub name: String,
    /// Whose lease it is.
    pub token: Token,
    /// Its fence.
    pub fence: u64,
    /// The client that is to hear of it.
    pub client: String,
    /// And its process.
    pub process: String,
}

/// What an observer sees of a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its owner token; not to be shown.
    pub token: Token,
    /// Its fence.
    pub fence: u64,
    /// The lease's TTL.
    pub ttl_ms: u64,
    /// What is left of it, in ns.
    pub remaining: u64,
    /// The holder's label.
    pub label: String,
}

/// A lock's row.
#[derive(Debug)]
struct Record {
    fence: i64,
    token: Option<Token>,
    ttl_ms: i64,
    until: i64,
    process: String,
}

#[derive(Debug)]
struct Waiter {
    token: Token,
    ttl_ms: i64,
    client: String,
    process: String,
    label: String,
}

/// One transaction.
pub(super) struct Ledger<'a> {
    connection: &'a Connection,
    /// ns of the boot clock.
    now: i64,
    /// µs since 1970.
    micros: i64,
    /// Whether a process lives, as far as can be known.
    lives: &'a dyn Fn(&str) -> bool,
    verdicts: HashMap<String, bool>,
    /// Waiters are not asked whether they live: whoever does not hear of the grant is found out
    /// then. In a hurry that is quicker, as nearly all do.
    hopeful: bool,
    /// To be told when the transaction is through.
    pub(super) granted: Vec<Grant>,
}

fn ns(ttl_ms: i64) -> i64 {
    ttl_ms.saturating_mul(1_000_000)
}

/// As the store keeps a number; ours are far below the limit.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn token(bytes: &[u8]) -> Result<Token> {
    Token::parse(bytes).ok_or_else(|| fault::unreadable("an owner token is none").into())
}

impl<'a> Ledger<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        now: u64,
        micros: u64,
        lives: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        let (now, micros) = (int(now), int(micros));
        let (verdicts, granted) = (HashMap::new(), Vec::new());
        Self { connection, now, micros, lives, verdicts, hopeful: false, granted }
    }

    fn sql(&self, text: &'static str) -> Result<CachedStatement<'a>> {
        Ok(self.connection.prepare_cached(text)?)
    }

    fn run(&self, text: &'static str, values: impl Params) -> Result<usize> {
        Ok(self.sql(text)?.execute(values)?)
    }

    fn number(&self, text: &'static str, values: impl Params) -> Result<Option<i64>> {
        Ok(self.sql(text)?.query_row(values, |row| row.get(0)).optional()?.flatten())
    }

    fn lives(&mut self, process: &str) -> bool {
        if let Some(&known) = self.verdicts.get(process) {
            return known;
        }
        let lives = (self.lives)(process);
        self.verdicts.insert(process.to_owned(), lives);
        lives
    }

    fn record(&self, name: &str) -> Result<Option<Record>> {
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
    fn holder(&mut self, record: Option<&Record>) -> Option<Token> {
        let record = record?;
        let token = record.token.filter(|_| record.until >= self.now)?;
        self.lives(&record.process).then_some(token)
    }

    /// A lease that lasts longer than any granted by now could: the clock began anew. It is cut to
    /// its TTL.
    fn cap(&self, name: &str, record: Option<&mut Record>) -> Result<()> {
        let Some(record) = record.filter(|record| record.token.is_some()) else { return Ok(()) };
        let most = self.now.saturating_add(ns(record.ttl_ms));
        if record.until > most {
            record.until = most;
            self.run("UPDATE lock SET until = ?2 WHERE name = ?1", params![name, most])?;
        }
        Ok(())
    }

    fn is_queue_empty(&self, name: &str) -> Result<bool> {
        Ok(self.number("SELECT 1 FROM waiter WHERE name = ?1 LIMIT 1", [name])?.is_none())
    }

    /// Grants the free lock: the fence.
    fn take(&self, wish: Wish<'_>, process: &str) -> Result<u64> {
        let last = self.number("SELECT fence FROM lock WHERE name = ?1", [wish.name])?;
        self.grant(wish, process, last)
    }

    fn grant(&self, wish: Wish<'_>, process: &str, last: Option<i64>) -> Result<u64> {
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

    fn free(&self, name: &str) -> Result<()> {
        self.run("UPDATE lock SET token = NULL WHERE name = ?1", [name]).map(drop)
    }

    /// Takes a token out of the queue; whether it was there.
    fn leave(&self, name: &str, token: &Token) -> Result<bool> {
        let gone = self.run(
            "DELETE FROM waiter WHERE name = ?1 AND token = ?2",
            params![name, token.as_bytes()],
        )?;
        Ok(gone > 0)
    }

    /// The first waiter that lives, after removing up to `limit` dead ones before it. A token in
    /// `mine` is the caller's, who lives.
    fn first_living(
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
    fn walk(&mut self, name: &str, mine: &HashSet<Token>) -> Result<Option<(Token, u64)>> {
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
    fn hand_on(&mut self, name: &str) -> Result<bool> {
        match self.walk(name, &HashSet::new()) {
            Err(Fault::Error(_)) => self.free(name).map(|()| false),
            granted => Ok(granted?.is_some()),
        }
    }

    /// Confirms a holder: its lease is full again, unless a longer one is in force.
    fn keep(&self, name: &str, token: &Token, ttl_ms: u64, record: &Record) -> Result<u64> {
        self.prolong(name, ttl_ms, record)?;
        self.leave(name, token)?;
        Ok(unsigned(record.fence))
    }

    fn prolong(&self, name: &str, ttl_ms: u64, record: &Record) -> Result<()> {
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
    fn remaining(&mut self, name: &str) -> Result<(Option<u64>, Option<String>)> {
        let record = self.record(name)?;
        if self.holder(record.as_ref()).is_none() {
            return Ok((None, None));
        }
        Ok(match record {
            Some(record) => (Some(unsigned(record.until - self.now)), Some(record.process)),
            None => (None, None),
        })
    }

    /// Takes the lock if it is free and nobody waits; else joins the queue, if told to.
    pub(super) fn acquire(
        &mut self,
        wish: Wish<'_>,
        queue: bool,
        asker: Asker<'_>,
        window_ns: u64,
    ) -> Result<Standing> {
        let mut record = self.record(wish.name)?;
        self.cap(wish.name, record.as_mut())?;
        match (self.holder(record.as_ref()), &record) {
            (Some(holder), Some(record)) if holder == wish.token => {
                let fence = self.keep(wish.name, &wish.token, wish.ttl_ms, record)?;
                return Ok(Standing::Held { fence });
            }
            (Some(_), _) => {}
            (None, _) => {
                if self.is_queue_empty(wish.name)? {
                    let last = record.map(|record| record.fence);
                    let fence = self.grant(wish, asker.process, last)?;
                    return Ok(Standing::Held { fence });
                }
                let granted = self.walk(wish.name, &HashSet::from([wish.token]))?;
                if let Some((_, fence)) = granted.filter(|(token, _)| *token == wish.token) {
                    return Ok(Standing::Held { fence });
                }
                // No barging: a newcomer takes the lock only if nobody is left in the queue.
                if granted.is_none() && self.is_queue_empty(wish.name)? {
                    let fence = self.take(wish, asker.process)?;
                    return Ok(Standing::Held { fence });
                }
            }
        }
        if queue {
            return self.join(wish, asker, window_ns);
        }
        Ok(Standing::Busy { remaining: self.remaining(wish.name)?.0 })
    }

    fn join(&mut self, wish: Wish<'_>, asker: Asker<'_>, window_ns: u64) -> Result<Standing> {
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

    fn last_ticket(&self, name: &str) -> Result<i64> {
        Ok(self.number("SELECT max(ticket) FROM waiter WHERE name = ?1", [name])?.unwrap_or(0))
    }

    fn is_full(&self, name: &str) -> Result<bool> {
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
    fn hear(&self, name: &str, client: &str, window_ns: u64) -> Result<()> {
        let until = self.now.saturating_add(int(window_ns));
        self.run(
            "UPDATE waiter SET heard = max(?3,
                (SELECT max(heard) FROM waiter WHERE name = ?1 AND client = ?2))
             WHERE name = ?1 AND client = ?2",
            params![name, client, until],
        )
        .map(drop)
    }

    fn queued(&mut self, name: &str, token: &Token, ticket: i64, process: &str) -> Result<Queued> {
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

    /// A client's heartbeat for its waiters on one lock; tells how each stands.
    pub(super) fn poll(
        &mut self,
        name: &str,
        asker: Asker<'_>,
        window_ns: u64,
        waiters: &[(Token, u64)],
    ) -> Result<Vec<Standing>> {
        let mine: HashSet<Token> = waiters.iter().map(|(token, _)| *token).collect();
        self.hear(name, asker.client, window_ns)?;
        let mut record = self.record(name)?;
        self.cap(name, record.as_mut())?;
        if self.holder(record.as_ref()).is_some() {
            self.first_living(name, TIDY_LIMIT, &mine)?;
        } else {
            self.walk(name, &mine)?;
        }
        let mut standings = Vec::with_capacity(waiters.len());
        for (token, ttl_ms) in waiters {
            let record = self.record(name)?;
            let held = self.holder(record.as_ref()) == Some(*token);
            standings.push(match record.filter(|_| held) {
                Some(record) => {
                    let fence = self.keep(name, token, *ttl_ms, &record)?;
                    Standing::Held { fence }
                }
                None => match self.number(
                    "SELECT ticket FROM waiter WHERE name = ?1 AND token = ?2",
                    params![name, token.as_bytes()],
                )? {
                    Some(ticket) => {
                        Standing::Queued(self.queued(name, token, ticket, asker.process)?)
                    }
                    None => Standing::Gone,
                },
            });
        }
        Ok(standings)
    }

    /// Gives the lock up, to the first live waiter if there is one.
    pub(super) fn release(&mut self, name: &str, token: &Token) -> Result<Released> {
        let record = self.record(name)?;
        let held = record
            .is_some_and(|record| record.token.as_ref() == Some(token) && record.until >= self.now);
        if !held {
            return Ok(Released::NotHeld);
        }
        if self.is_queue_empty(name)? {
            self.free(name)?;
            return Ok(Released::Freed);
        }
        self.hopeful = true;
        Ok(if self.hand_on(name)? { Released::HandedOn } else { Released::Freed })
    }

    /// Undoes an acquire, whatever has come of it: whether it stood in the queue, or was held.
    pub(super) fn cancel(&mut self, name: &str, token: &Token) -> Result<(bool, bool)> {
        let left = self.leave(name, token)?;
        let record = self.record(name)?;
        let holder = self.holder(record.as_ref());
        let held = holder.as_ref() == Some(token);
        if held || holder.is_none() && !self.is_queue_empty(name)? {
            self.hand_on(name)?;
        }
        Ok((left, held))
    }

    /// Takes back a grant that could not be told, because nobody is there to hear it.
    pub(super) fn revoke(&mut self, grant: &Grant) -> Result<()> {
        let record = self.record(&grant.name)?;
        let stands = record.is_some_and(|record| {
            record.token == Some(grant.token) && record.fence == int(grant.fence)
        });
        if stands {
            self.hand_on(&grant.name)?;
        }
        Ok(())
    }

    /// Renews a lease; false if it is not held with this token.
    pub(super) fn extend(&mut self, name: &str, token: &Token, ttl_ms: u64) -> Result<bool> {
        let record = self.record(name)?;
        let held = |record: &Record| record.token.as_ref() == Some(token);
        match record.filter(|record| held(record) && record.until >= self.now) {
            Some(record) => self.prolong(name, ttl_ms, &record).map(|()| true),
            None => Ok(false),
        }
    }

    /// Who holds, and how many wait. Changes nothing.
    pub(super) fn inspect(&mut self, name: &str) -> Result<(Option<Seen>, u64)> {
        let waiters = self.number("SELECT count(*) FROM waiter WHERE name = ?1", [name])?;
        let record = self.record(name)?;
        let holder = self.holder(record.as_ref());
        let seen = match (holder, record) {
            (Some(token), Some(record)) => Some(Seen {
                token,
                fence: unsigned(record.fence),
                ttl_ms: unsigned(record.ttl_ms),
                remaining: unsigned(record.until - self.now),
                label: self
                    .sql("SELECT label FROM lock WHERE name = ?1")?
                    .query_row([name], |row| row.get(0))?,
            }),
            _ => None,
        };
        Ok((seen, unsigned(waiters.unwrap_or(0))))
    }

    /// Ends all that a dead process held or waited for.
    pub(super) fn bury(&mut self, process: &str) -> Result<()> {
        self.run(
            "UPDATE lock SET token = NULL WHERE token IS NOT NULL AND process = ?1",
            [process],
        )?;
        self.run("DELETE FROM waiter WHERE process = ?1", [process]).map(drop)
    }

    /// Forgets locks that were last granted more than so long ago, and are free: a fence without
    /// a record begins at the clock again, which is past it.
    pub(super) fn forget(&mut self, older_us: u64) -> Result<()> {
        self.run(
            "DELETE FROM lock WHERE fence < ?1 AND (token IS NULL OR until <= ?2)
             AND NOT EXISTS (SELECT 1 FROM waiter WHERE waiter.name = lock.name)",
            params![self.micros.saturating_sub(int(older_us)), self.now],
        )
        .map(drop)
    }
}
