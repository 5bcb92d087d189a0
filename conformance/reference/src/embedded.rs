//! The embedded store as a lock: the transactions that ship, told the time.

use std::path::Path;
use std::time::Duration;

use fencelock::Result;
use fencelock::model::{self, EmbeddedStore, Grant};

use crate::locks::{Answer, Client, Features, Holding, Locks, Op, Standing, Token, Told, Wish};

const NAME: &str = "lock";

/// A lock that an embedded store keeps.
#[derive(Debug)]
pub struct Embedded {
    store: EmbeddedStore,
    now_us: i64,
    /// The TTLs that grants are told with are those of the wishes.
    ttls: std::collections::BTreeMap<Token, i64>,
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(unsigned(ms))
}

fn token(token: Token) -> model::Token {
    model::Token::from_number(token.0.into())
}

fn known(value: &model::Token) -> Token {
    let found = (0..=u8::MAX).map(Token).find(|&known| token(known) == *value);
    found.unwrap_or(Token(u8::MAX))
}

fn holding(remaining: Option<u64>) -> Holding {
    let remaining = remaining.map_or(-2, |ns| signed(ns / 1_000_000));
    Holding { remaining, foreign: false }
}

impl Embedded {
    /// In memory.
    ///
    /// # Errors
    /// As `memory:`.
    pub fn in_memory() -> Result<Self> {
        Ok(Self::on(EmbeddedStore::in_memory()?))
    }

    /// In a file.
    ///
    /// # Errors
    /// As `file:`.
    pub fn in_file(path: &Path) -> Result<Self> {
        Ok(Self::on(EmbeddedStore::in_file(path)?))
    }

    fn on(store: EmbeddedStore) -> Self {
        Self { store, now_us: 0, ttls: std::collections::BTreeMap::new() }
    }

    /// Begins anew.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn reset(&mut self) -> Result<()> {
        self.store.forget()
    }

    fn told(&self, grants: &[Grant]) -> Vec<Told> {
        let told = grants.iter().map(|grant| {
            let token = known(&grant.token);
            Told {
                client: Client(grant.client.parse().unwrap_or(u8::MAX)),
                token,
                fence: signed(grant.fence),
                ttl: self.ttls.get(&token).copied().unwrap_or(0),
            }
        });
        told.collect()
    }

    fn acquire(&mut self, wish: &Wish) -> Result<(Answer, Vec<Told>)> {
        let claim = model::Wish {
            name: NAME,
            token: token(wish.token),
            ttl_ms: unsigned(wish.ttl),
            label: wish.label,
            ticket: unsigned(wish.ticket),
        };
        let client = wish.client.0.to_string();
        let done = self.store.acquire(claim, wish.wait, &client, millis(wish.window))?;
        let told = self.told(&done.1);
        let answer = match done.0 {
            model::Standing::Held { fence } => Answer::Held(signed(fence)),
            model::Standing::Busy { remaining } => Answer::Busy(holding(remaining)),
            model::Standing::Queued(queued) => {
                self.ttls.insert(wish.token, wish.ttl);
                Answer::Queued {
                    rank: signed(queued.rank),
                    ticket: signed(queued.ticket),
                    holding: holding(queued.remaining),
                }
            }
            other => panic!("acquire answered {other:?}"),
        };
        Ok((answer, told))
    }

    fn poll(
        &self,
        client: Client,
        window: i64,
        wishes: &[(Token, i64)],
    ) -> Result<(Answer, Vec<Told>)> {
        let claims: Vec<_> = wishes.iter().map(|&(of, ttl)| (token(of), unsigned(ttl))).collect();
        let done = self.store.poll(NAME, &client.0.to_string(), millis(window), &claims)?;
        let states = done.0.iter().map(|standing| match standing {
            model::Standing::Held { fence } => Standing::Held(signed(*fence)),
            model::Standing::Queued(queued) => Standing::Queued(signed(queued.rank)),
            model::Standing::Gone => Standing::Gone,
            other => panic!("poll answered {other:?}"),
        });
        // Of the lock itself a poll says nothing but by the ranks' own answers.
        let seen = self.store.inspect(NAME)?.0;
        let holding = holding(seen.map(|seen| seen.remaining));
        Ok((Answer::Polled(holding, states.collect()), self.told(&done.1)))
    }

    fn carry_out(&mut self, op: &Op) -> Result<(Answer, Vec<Told>)> {
        Ok(match op {
            Op::Acquire(wish) => self.acquire(wish)?,
            Op::Poll(client, window, wishes) => self.poll(*client, *window, wishes)?,
            Op::Release(of) => {
                let (released, grants) = self.store.release(NAME, &token(*of))?;
                let answer = match released {
                    model::Released::NotHeld => Answer::NotHeld,
                    model::Released::Freed => Answer::Freed,
                    model::Released::HandedOn => Answer::HandedOn,
                };
                (answer, self.told(&grants))
            }
            Op::Cancel(of) => {
                let (found, grants) = self.store.cancel(NAME, &token(*of))?;
                let answer = match found {
                    (_, true) => Answer::PassedOn,
                    (true, false) => Answer::LeftQueue,
                    (false, false) => Answer::NothingToCancel,
                };
                (answer, self.told(&grants))
            }
            Op::Extend(of, ttl) => {
                let extended = self.store.extend(NAME, &token(*of), unsigned(*ttl))?;
                (Answer::Extended(extended), Vec::new())
            }
            Op::Inspect => {
                let (seen, waiters) = self.store.inspect(NAME)?;
                let grant = seen
                    .as_ref()
                    .map(|seen| (signed(seen.fence), signed(seen.ttl_ms), seen.label.clone()));
                let holding = holding(seen.map(|seen| seen.remaining));
                (Answer::Inspected { holding, grant, waiters: signed(waiters) }, Vec::new())
            }
            Op::Forget => {
                self.store.forget()?;
                (Answer::Nothing, Vec::new())
            }
            other => panic!("{other:?} is not known here"),
        })
    }
}

impl Locks for Embedded {
    fn features(&self) -> Features {
        Features {
            foreigners: false,
            eviction: false,
            forgets: true,
            listeners: false,
            fetching: false,
            exact_fences: true,
            steps_back: false,
            queues_lapse: false,
        }
    }

    fn set_clock(&mut self, now_us: i64) {
        self.now_us = now_us;
        // The oracle's leases end with their millisecond.
        self.store.set_clock(unsigned(now_us / 1000 * 1_000_000), unsigned(now_us));
    }

    fn step(&mut self, op: &Op) -> (Answer, Vec<Told>) {
        match self.carry_out(op) {
            Ok(done) => done,
            Err(error) => panic!("{op:?}: {error}"),
        }
    }
}
