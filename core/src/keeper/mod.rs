//! Keeps leases alive and says when one is lost. One timer for all leases of a client: it sleeps
//! to the earliest moment at which anything is due, so that taking and giving back a lock does
//! not wake it.

pub(crate) mod book;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use self::book::{Book, Kept, Settled, answer_time};
use crate::backend::Claim;
use crate::client::Session;
use crate::clock::Moment;
use crate::engine;
use crate::error::{Error, LossReason, Result};
use crate::lease::Holding;
use crate::token::Token;

/// The leases of one client.
#[derive(Debug)]
pub(crate) struct Keeper {
    state: Mutex<State>,
    /// Something is due earlier than the timer knows.
    wake: Arc<Notify>,
    /// An extension has been answered.
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    book: Book<Arc<Holding>>,
    running: bool,
}

impl Keeper {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), wake: Arc::new(Notify::new()), settled: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to keep a lease.
    pub(crate) fn keep(&self, session: &Arc<Session>, holding: &Arc<Holding>) {
        let kept = Kept {
            ttl: holding.claim.ttl(),
            renew: holding.renew,
            since: holding.since,
            until: holding.valid_until(),
            ends_at: holding.ends_at,
        };
        let mut state = self.state();
        let sooner = state.book.keep(holding.claim.token, holding.clone(), kept);
        if !state.running {
            state.running = true;
            engine::spawn(run(Arc::downgrade(session), self.wake.clone()));
        } else if sooner {
            self.wake.notify_one();
        }
    }

    /// Renews a lease no more: its holder gives it up.
    pub(crate) fn leave(&self, holding: &Holding) {
        self.state().book.leave(&holding.claim.token);
    }

    /// Keeps a lease no longer: it is over.
    pub(crate) fn forget(&self, holding: &Holding) {
        self.state().book.forget(&holding.claim.token);
    }

    /// Whether this token is a lease's: a late message about it must not cancel it, nor overtake
    /// its release with a cancel, for then the release would find it lost.
    pub(crate) fn holds(&self, token: &Token) -> bool {
        self.state().book.holds(token)
    }

    /// Whether this client holds the lock of this name.
    pub(crate) fn holds_name(&self, name: &str) -> bool {
        self.state().book.holdings().any(|holding| &*holding.claim.name == name)
    }

    /// Takes every lease out, to be released.
    pub(crate) fn drain(&self) -> Vec<Arc<Holding>> {
        self.state().book.drain()
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
            match self.state().book.take_for_renewal(&holding.claim.token) {
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

/// The timer of one client's leases; ends with the client.
async fn run(session: Weak<Session>, wake: Arc<Notify>) {
    loop {
        let next = {
            let Some(session) = session.upgrade() else {
                return;
            };
            let due = session.keeper.state().book.turn(Moment::now());
            for holding in due.lapsed {
                // A look at it is what marks it lost.
                holding.loss();
            }
            for holding in due.long {
                tracing::warn!(
                    lock = &*holding.claim.name,
                    "a lease has been renewed for 10 minutes; if that is not meant, give max_hold"
                );
            }
            if !due.renewals.is_empty() {
                let session = session.clone();
                engine::spawn(async move { drop(renew(&session, due.renewals).await) });
            }
            due.next
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
    let by = session.answer_by(answer_time(claims.iter().map(|claim| &**claim)));
    let answers = session.backend.extend(&claims, by).await;
    let now = Moment::now();
    let mut first = None;
    for (holding, answer) in holdings.iter().zip(answers) {
        let error = session.keeper.settle(holding, answer, now);
        first = first.or(error);
    }
    session.keeper.settled.notify_waiters();
    session.keeper.wake.notify_one();
    first
}

impl Keeper {
    /// Notes how an extension ended.
    fn settle(
        &self,
        holding: &Holding,
        answer: Result<Option<Moment>>,
        now: Moment,
    ) -> Option<Error> {
        let token = &holding.claim.token;
        let mut state = self.state();
        match state.book.settle(token, answer, now) {
            Settled::Prolonged(until) => {
                holding.prolong(until);
                if holding.loss().is_some() {
                    // It was found to be over before; it never comes back.
                    state.book.forget(token);
                }
                None
            }
            // A release that overtook the extension makes this no loss: `lose` then does
            // nothing, for the lease is not held any more.
            Settled::Refused => {
                holding.lose(LossReason::Refused).then(|| Error::lost(LossReason::Refused))
            }
            Settled::Failed(error) => {
                tracing::warn!(lock = &*holding.claim.name, "a lease was not renewed: {error}");
                Some(error)
            }
        }
    }
}
