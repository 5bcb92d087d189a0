//! The state machine of the scripts (`docs/protocol.md`, "Scripts") on the store's tables: what
//! each operation does, inside one transaction, at a time that it is told. Knows no file, clock,
//! process or thread.

mod lock;
mod queue;
mod terms;

use std::collections::{HashMap, HashSet};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, params};

use self::lock::Record;
use self::queue::TIDY_LIMIT;
pub(crate) use self::terms::Asker;
pub use self::terms::{Grant, Queued, Seen, Standing, Wish};

use super::fault::{self, Fault};
use crate::backend::Released;
use crate::token::Token;

type Result<T> = std::result::Result<T, Fault>;

/// One transaction.
pub(crate) struct Ledger<'a> {
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
    pub(crate) granted: Vec<Grant>,
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
    pub(crate) fn new(
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

    /// Takes the lock if it is free and nobody waits; else joins the queue, if told to.
    pub(crate) fn acquire(
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

    /// A client's heartbeat for its waiters on one lock; tells how each stands.
    pub(crate) fn poll(
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
    pub(crate) fn release(&mut self, name: &str, token: &Token) -> Result<Released> {
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
    pub(crate) fn cancel(&mut self, name: &str, token: &Token) -> Result<(bool, bool)> {
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
    pub(crate) fn revoke(&mut self, grant: &Grant) -> Result<()> {
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
    pub(crate) fn extend(&mut self, name: &str, token: &Token, ttl_ms: u64) -> Result<bool> {
        let record = self.record(name)?;
        let held = |record: &Record| record.token.as_ref() == Some(token);
        match record.filter(|record| held(record) && record.until >= self.now) {
            Some(record) => self.prolong(name, ttl_ms, &record).map(|()| true),
            None => Ok(false),
        }
    }

    /// Who holds, and how many wait. Changes nothing.
    pub(crate) fn inspect(&mut self, name: &str) -> Result<(Option<Seen>, u64)> {
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
}
