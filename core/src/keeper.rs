//! Keeps leases alive and says when one is lost. One timer for all leases of a client: it sleeps
//! to the earliest moment at which anything is due, so that taking and giving back a lock does
//! not wake it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::backend::Claim;
use crate::client::Session;
use crate::clock::Moment;
use crate::engine;
use crate::error::{Error, LossReason, Result};
use crate::lease::Holding;
use crate::token::Token;

/// Renewals due within this time go in one batch.
const BATCH: Duration = Duration::from_millis(5);
/// An answer is waited for at least so long, however short the TTL.
const SHORTEST_ANSWER: Duration = Duration::from_millis(50);
/// A lease that is renewed for so long is worth one warning: a holder may hang.
const LONG: Duration = Duration::from_secs(600);

/// The leases of one client.
#[derive(Debug)]
pub(crate) struct Keeper {
    book: Mutex<Book>,
    /// Something is due earlier than the timer knows.
    wake: Arc<Notify>,
    /// An extension has been answered.
    settled: Notify,
}

#[derive(Debug)]
struct Book {
    entries: HashMap<Token, Entry>,
    due: BTreeSet<(Moment, Token)>,
    /// What the timer sleeps to.
    asleep_until: Moment,
    running: bool,
}

#[derive(Debug)]
struct Entry {
    holding: Arc<Holding>,
    renew_at: Moment,
    /// One extension at a time: two could overtake each other on the way.
    in_flight: bool,
    warn_at: Moment,
    due: Moment,
}

impl Entry {
    fn next_due(&self) -> Moment {
        let renewal = if self.in_flight { Moment::NEVER } else { self.renew_at };
        self.holding.valid_until().min(renewal).min(self.warn_at)
    }
}

/// A third of the TTL after the request that the lease counts from.
fn renewal_due(valid_until: Moment, claim: &Claim) -> Moment {
    valid_until - claim.ttl() * 2 / 3
}

impl Keeper {
    pub(crate) fn new() -> Self {
        Self {
            book: Mutex::new(Book {
                entries: HashMap::new(),
                due: BTreeSet::new(),
                asleep_until: Moment::NEVER,
                running: false,
            }),
            wake: Arc::new(Notify::new()),
            settled: Notify::new(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to keep a lease.
    pub(crate) fn keep(&self, session: &Arc<Session>, holding: &Arc<Holding>) {
        let renew_at = if holding.renew {
            renewal_due(holding.valid_until(), &holding.claim)
        } else {
            Moment::NEVER
        };
        let warn_at = if holding.renew { holding.since + LONG } else { Moment::NEVER };
        let holding = holding.clone();
        let mut entry = Entry { holding, renew_at, in_flight: false, warn_at, due: Moment::NEVER };
        entry.due = entry.next_due();
        let (due, token) = (entry.due, entry.holding.claim.token);
        let mut book = self.book();
        book.due.insert((due, token));
        book.entries.insert(token, entry);
        let sooner = due < book.asleep_until;
        if !book.running {
            book.running = true;
            engine::spawn(run(Arc::downgrade(session), self.wake.clone()));
        } else if sooner {
            self.wake.notify_one();
        }
    }

    /// Stops keeping a lease.
    pub(crate) fn forget(&self, holding: &Holding) {
        self.book().remove(&holding.claim.token);
    }

    /// Whether this token is a lease's: a late message about it must not cancel it.
    pub(crate) fn holds(&self, token: &Token) -> bool {
        self.book().entries.contains_key(token)
    }

    /// Whether this client holds the lock of this name.
    pub(crate) fn holds_name(&self, name: &str) -> bool {
        self.book().entries.values().any(|entry| &*entry.holding.claim.name == name)
    }

    /// Takes every lease out, to be released.
    pub(crate) fn drain(&self) -> Vec<Arc<Holding>> {
        let mut book = self.book();
        book.due.clear();
        book.entries.drain().map(|(_, entry)| entry.holding).collect()
    }

    /// The timer has nothing to keep any more.
    pub(crate) fn stop(&self) {
        self.wake.notify_one();
    }

    /// Renews one lease at once, after an extension of it that is under way.
    pub(crate) async fn renew_now(
        &self,
        session: &Arc<Session>,
        holding: &Arc<Holding>,
    ) -> Result<()> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if let Some(reason) = holding.loss() {
                return Err(Error::lost(reason));
            }
            match self.book().take_for_renewal(&holding.claim.token) {
                Some(true) => break,
                Some(false) => {}
                None => return Err(Error::not_held("the lease was released")),
            }
            settled.await;
        }
        let (session, holding) = (session.clone(), holding.clone());
        // A task of its own: given up halfway, the extension would be under way for ever, and the
        // lease never be renewed again.
        let renewal = tokio::spawn(async move { renew(&session, vec![holding]).await });
        let failure = renewal.await.unwrap_or_else(|error| Some(engine::given_up(&error)));
        failure.map_or(Ok(()), Err)
    }
}

impl Book {
    fn remove(&mut self, token: &Token) {
        if let Some(entry) = self.entries.remove(token) {
            self.due.remove(&(entry.due, *token));
        }
    }

    /// Changes an entry and files it under what is due next.
    fn update(&mut self, token: &Token, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(token) {
            self.due.remove(&(entry.due, *token));
            change(entry);
            entry.due = entry.next_due();
            self.due.insert((entry.due, *token));
        }
    }

    /// Marks an extension as under way; false if one is already, `None` without such a lease.
    fn take_for_renewal(&mut self, token: &Token) -> Option<bool> {
        let free = !self.entries.get(token)?.in_flight;
        self.update(token, |entry| entry.in_flight = true);
        Some(free)
    }

    /// Does what is due: gives the leases to renew now, and when to look again.
    fn turn(&mut self, now: Moment) -> (Vec<Arc<Holding>>, Moment) {
        let horizon = now + BATCH;
        let due: Vec<Token> =
            self.due.iter().take_while(|(at, _)| *at <= horizon).map(|(_, token)| *token).collect();
        let mut renewals = Vec::new();
        for token in due {
            let Some(entry) = self.entries.get(&token) else {
                continue;
            };
            if entry.holding.loss().is_some() {
                self.remove(&token);
            } else if !entry.in_flight && entry.renew_at <= horizon {
                renewals.push(entry.holding.clone());
                self.update(&token, |entry| entry.in_flight = true);
            } else if entry.warn_at <= now {
                tracing::warn!(
                    lock = &*entry.holding.claim.name,
                    "a lease has been renewed for 10 minutes; if that is not meant, give max_hold"
                );
                self.update(&token, |entry| entry.warn_at = Moment::NEVER);
            }
        }
        let next = self.due.first().map_or(Moment::NEVER, |(at, _)| *at);
        self.asleep_until = next;
        (renewals, next)
    }
}

/// The timer of one client's leases; ends with the client.
async fn run(session: Weak<Session>, wake: Arc<Notify>) {
    loop {
        let next = {
            let Some(session) = session.upgrade() else {
                return;
            };
            let (renewals, next) = session.keeper.book().turn(Moment::now());
            if !renewals.is_empty() {
                let session = session.clone();
                engine::spawn(async move { drop(renew(&session, renewals).await) });
            }
            next
        };
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep_until(next.for_timer()) => {}
        }
    }
}

/// Extends leases in one batch; gives the first error.
async fn renew(session: &Arc<Session>, holdings: Vec<Arc<Holding>>) -> Option<Error> {
    let claims: Vec<Arc<Claim>> = holdings.iter().map(|holding| holding.claim.clone()).collect();
    let shortest = claims.iter().map(|claim| claim.ttl()).min().unwrap_or_default();
    // Soon enough for another try, on another connection, within the lease.
    let by = session.answer_by((shortest / 3).max(SHORTEST_ANSWER));
    let answers = session.backend.extend(&claims, by).await;
    let now = Moment::now();
    let mut first = None;
    for (holding, answer) in holdings.iter().zip(answers) {
        let error = session.keeper.book().settle(holding, answer, now);
        first = first.or(error);
    }
    session.keeper.settled.notify_waiters();
    session.keeper.wake.notify_one();
    first
}

impl Book {
    /// Notes how an extension ended.
    fn settle(
        &mut self,
        holding: &Holding,
        answer: Result<Option<Moment>>,
        now: Moment,
    ) -> Option<Error> {
        let token = &holding.claim.token;
        match answer {
            Ok(Some(until)) => {
                holding.prolong(until);
                self.update(token, |entry| {
                    entry.in_flight = false;
                    if holding.renew {
                        entry.renew_at = renewal_due(until, &holding.claim);
                    }
                });
                None
            }
            Ok(None) => {
                self.remove(token);
                // A release that overtook the extension makes this no loss: `lose` then does
                // nothing, for the lease is not held any more.
                holding.lose(LossReason::Refused).then(|| Error::lost(LossReason::Refused))
            }
            Err(error) => {
                let ttl = holding.claim.ttl();
                let pause = (ttl / 20).clamp(Duration::from_millis(10), Duration::from_secs(1));
                tracing::warn!(lock = &*holding.claim.name, "a lease was not renewed: {error}");
                self.update(token, |entry| {
                    entry.in_flight = false;
                    if holding.renew {
                        entry.renew_at = now + pause;
                    }
                });
                Some(error)
            }
        }
    }
}
