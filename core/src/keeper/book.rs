//! Which leases a client keeps, when each is renewed and when one runs out. Told the time, it
//! says what is due.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::backend::Claim;
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::token::Token;

/// What is due within this time is due.
const BATCH: Duration = Duration::from_millis(5);
/// What is due within this part of its TTL goes along with a batch: leases that were taken one by
/// one would else be renewed one by one for ever, at the cost of a call and a wake-up each.
const GOES_ALONG: u32 = 40;
/// An answer is waited for at least so long, however short the TTL.
const SHORTEST_ANSWER: Duration = Duration::from_millis(50);
/// A lease that is renewed for so long is worth one warning: a holder may hang.
const LONG: Duration = Duration::from_secs(600);

/// The leases of one client. `H` is what tells the shell which lease it is.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq))]
pub struct Book<H> {
    entries: FxHashMap<Token, Entry<H>>,
    due: BTreeSet<(Moment, Token)>,
    /// What the timer sleeps to.
    asleep_until: Moment,
}

/// What the keeper knows of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Its TTL.
    pub ttl: Duration,
    /// Whether it is renewed.
    pub renew: bool,
    /// Since when it is held.
    pub since: Moment,
    /// The end of the lease that the server gave.
    pub until: Moment,
    /// Where `max_hold` ends it.
    pub ends_at: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry<H> {
    holding: H,
    kept: Kept,
    renew_at: Moment,
    /// One extension at a time: two could overtake each other on the way.
    in_flight: bool,
    warn_at: Moment,
    due: Moment,
}

impl<H> Entry<H> {
    fn valid_until(&self) -> Moment {
        self.kept.until.min(self.kept.ends_at)
    }

    fn next_due(&self) -> Moment {
        let renewal = if self.in_flight { Moment::NEVER } else { self.renew_at };
        self.valid_until().min(renewal).min(self.warn_at)
    }
}

/// What is due now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Due<H> {
    /// To be extended in one batch.
    pub renewals: Vec<H>,
    /// Their time is over: to be marked lost. They are not kept any more.
    pub lapsed: Vec<H>,
    /// Renewed for so long that it is worth a warning.
    pub long: Vec<H>,
    /// When to look again.
    pub next: Moment,
}

/// What an extension came to.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
pub enum Settled {
    /// The lease is valid until then at least.
    Prolonged(Moment),
    /// It is to be marked lost, if it is held.
    Refused,
    /// It will be tried again.
    Failed(Error),
}

/// A third of the TTL after the request that the lease counts from.
fn renewal_due(until: Moment, ttl: Duration) -> Moment {
    until - ttl * 2 / 3
}

/// How long the answer to a batch of extensions is waited for: soon enough for another try, on
/// another connection, within the lease.
pub fn answer_time<'a>(claims: impl Iterator<Item = &'a Claim>) -> Duration {
    (claims.map(Claim::ttl).min().unwrap_or_default() / 3).max(SHORTEST_ANSWER)
}

impl<H> Default for Book<H> {
    fn default() -> Self {
        Self { entries: FxHashMap::default(), due: BTreeSet::new(), asleep_until: Moment::NEVER }
    }
}

impl<H> Book<H> {
    /// Begins to keep a lease; true if the timer is to look sooner than it meant to.
    pub fn keep(&mut self, token: Token, holding: H, kept: Kept) -> bool {
        let (renew_at, warn_at) = if kept.renew {
            (renewal_due(kept.until.min(kept.ends_at), kept.ttl), kept.since + LONG)
        } else {
            (Moment::NEVER, Moment::NEVER)
        };
        let mut entry =
            Entry { holding, kept, renew_at, in_flight: false, warn_at, due: Moment::NEVER };
        entry.due = entry.next_due();
        let sooner = entry.due < self.asleep_until;
        self.due.insert((entry.due, token));
        self.entries.insert(token, entry);
        sooner
    }

    /// Renews a lease no more: its holder gives it up. Until it is forgotten, or has lapsed, its
    /// token is a lease's all the same.
    pub fn leave(&mut self, token: &Token) {
        // Filed as before: a turn that finds nothing to do files it anew.
        if let Some(entry) = self.entries.get_mut(token) {
            entry.kept.renew = false;
            entry.renew_at = Moment::NEVER;
            entry.warn_at = Moment::NEVER;
        }
    }

    /// Keeps a lease no longer: it is over.
    pub fn forget(&mut self, token: &Token) -> Option<H> {
        let entry = self.entries.remove(token)?;
        self.due.remove(&(entry.due, *token));
        Some(entry.holding)
    }

    /// Whether this token is a lease's.
    pub fn holds(&self, token: &Token) -> bool {
        self.entries.contains_key(token)
    }

    /// Every lease, in no order.
    pub(crate) fn holdings(&self) -> impl Iterator<Item = &H> {
        self.entries.values().map(|entry| &entry.holding)
    }

    /// Takes every lease out, to be released.
    pub fn drain(&mut self) -> Vec<H> {
        let due = std::mem::take(&mut self.due);
        let entries = due.into_iter().filter_map(|(_, token)| self.entries.remove(&token));
        entries.map(|entry| entry.holding).collect()
    }

    /// Changes an entry and files it under what is due next.
    fn update(&mut self, token: &Token, change: impl FnOnce(&mut Entry<H>)) {
        if let Some(entry) = self.entries.get_mut(token) {
            self.due.remove(&(entry.due, *token));
            change(entry);
            entry.due = entry.next_due();
            self.due.insert((entry.due, *token));
        }
    }

    /// Marks an extension as under way; false if one is already, `None` without such a lease.
    pub fn take_for_renewal(&mut self, token: &Token) -> Option<bool> {
        let free = !self.entries.get(token)?.in_flight;
        self.update(token, |entry| entry.in_flight = true);
        Some(free)
    }

    /// Notes how an extension ended.
    pub fn settle(
        &mut self,
        token: &Token,
        answer: Result<Option<Moment>>,
        now: Moment,
    ) -> Settled {
        match answer {
            Ok(Some(until)) => {
                self.update(token, |entry| {
                    entry.in_flight = false;
                    entry.kept.until = entry.kept.until.max(until);
                    if entry.kept.renew {
                        entry.renew_at = renewal_due(until, entry.kept.ttl);
                    }
                });
                Settled::Prolonged(until)
            }
            Ok(None) => {
                self.forget(token);
                Settled::Refused
            }
            Err(error) => {
                self.update(token, |entry| {
                    entry.in_flight = false;
                    if entry.kept.renew {
                        let pause = entry.kept.ttl / 20;
                        entry.renew_at =
                            now + pause.clamp(Duration::from_millis(10), Duration::from_secs(1));
                    }
                });
                Settled::Failed(error)
            }
        }
    }
}

impl<H: Clone> Book<H> {
    fn due_by(&self, horizon: Moment) -> Vec<Token> {
        let due = self.due.iter().take_while(|(at, _)| *at <= horizon);
        due.map(|(_, token)| *token).collect()
    }

    /// Does what is due.
    pub fn turn(&mut self, now: Moment) -> Due<H> {
        let horizon = now + BATCH;
        let mut due = Due { renewals: vec![], lapsed: vec![], long: vec![], next: Moment::NEVER };
        let mut longest = Duration::ZERO;
        for token in self.due_by(horizon) {
            let Some(entry) = self.entries.get(&token) else {
                continue;
            };
            if entry.valid_until() <= now {
                due.lapsed.extend(self.forget(&token));
            } else if !entry.in_flight && entry.renew_at <= horizon {
                longest = longest.max(entry.kept.ttl);
                due.renewals.push(entry.holding.clone());
                self.update(&token, |entry| entry.in_flight = true);
            } else if entry.warn_at <= now {
                due.long.push(entry.holding.clone());
                self.update(&token, |entry| entry.warn_at = Moment::NEVER);
            } else {
                self.update(&token, |_| {});
            }
        }
        if !due.renewals.is_empty() {
            for token in self.due_by(now + longest / GOES_ALONG) {
                let goes_along = |entry: &&Entry<H>| {
                    !entry.in_flight && entry.renew_at <= now + entry.kept.ttl / GOES_ALONG
                };
                if let Some(entry) = self.entries.get(&token).filter(goes_along) {
                    due.renewals.push(entry.holding.clone());
                    self.update(&token, |entry| entry.in_flight = true);
                }
            }
        }
        due.next = self.due.first().map_or(Moment::NEVER, |(at, _)| *at);
        self.asleep_until = due.next;
        due
    }
}

#[cfg(feature = "model")]
impl<H: std::hash::Hash> std::hash::Hash for Book<H> {
    fn hash<S: std::hash::Hasher>(&self, state: &mut S) {
        crate::model::hash_map(&self.entries, state);
        // `due` says the same again.
        self.asleep_until.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(9);
    const START: Moment = Moment::from_nanos(1_000_000_000);

    fn book(kept: impl FnOnce(&mut Kept)) -> (Book<&'static str>, Token) {
        let token = Token::generate().unwrap();
        let mut of = Kept {
            ttl: TTL,
            renew: true,
            since: START,
            until: START + TTL,
            ends_at: Moment::NEVER,
        };
        kept(&mut of);
        let mut book = Book::default();
        assert!(book.keep(token, "lease", of), "the timer slept for ever");
        (book, token)
    }

    #[test]
    fn a_lease_is_extended_at_a_third_and_once_at_a_time() {
        let (mut book, token) = book(|_| {});
        let due = book.turn(START);
        assert!(due.renewals.is_empty() && due.next == START + TTL / 3);
        assert_eq!(book.turn(START + TTL / 3).renewals, ["lease"]);
        let due = book.turn(START + TTL / 2);
        assert!(due.renewals.is_empty() && due.next == START + TTL);
        assert_eq!(book.take_for_renewal(&token), Some(false));
        book.settle(&token, Ok(Some(START + TTL * 2)), START + TTL / 2);
        assert_eq!(book.turn(START + TTL / 2).next, START + TTL * 4 / 3);
    }

    #[test]
    fn leases_that_are_due_soon_go_along_with_one_that_is_due() {
        let (mut book, _) = book(|_| {});
        for (name, later_ms) in [("soon", 200), ("later", 300)] {
            let since = START + Duration::from_millis(later_ms);
            let until = since + TTL;
            let kept = Kept { ttl: TTL, renew: true, since, until, ends_at: Moment::NEVER };
            book.keep(Token::generate().unwrap(), name, kept);
        }
        assert!(book.turn(START + TTL / 3 - BATCH * 2).renewals.is_empty());
        assert_eq!(book.turn(START + TTL / 3).renewals, ["lease", "soon"]);
        let later = START + TTL / 3 + Duration::from_millis(300);
        assert_eq!(book.turn(later).renewals, ["later"]);
    }

    #[test]
    fn a_lapsed_lease_is_told_once_and_not_kept() {
        let (mut book, token) = book(|kept| kept.renew = false);
        assert_eq!(book.turn(START).next, START + TTL);
        assert_eq!(book.turn(START + TTL).lapsed, ["lease"]);
        assert!(!book.holds(&token) && book.turn(START + TTL * 2).lapsed.is_empty());
    }

    #[test]
    fn a_lease_that_is_left_is_kept_until_it_lapses_but_not_extended() {
        let (mut book, token) = book(|_| {});
        book.turn(START);
        book.leave(&token);
        let due = book.turn(START + TTL / 3);
        assert!(due.renewals.is_empty() && due.next == START + TTL && book.holds(&token));
        book.turn(due.next);
        assert!(!book.holds(&token));
    }

    #[test]
    fn max_hold_ends_what_is_extended() {
        let end = START + Duration::from_secs(12);
        let (mut book, token) = book(|kept| kept.ends_at = end);
        book.turn(START + TTL / 3);
        book.settle(&token, Ok(Some(START + TTL * 2)), START + TTL / 3);
        assert_eq!(book.turn(end).lapsed, ["lease"]);
    }

    #[test]
    fn a_failed_extension_is_tried_again_soon() {
        let (mut book, token) = book(|_| {});
        let now = START + TTL / 3;
        book.turn(now);
        book.settle(&token, Err(Error::unavailable("down")), now);
        assert_eq!(book.turn(now).next, now + TTL / 20);
    }
}
