//! Waiting for a lock. The one wait loop of each lock ([`room`]) looks after every waiter of
//! this client on it: *a signal or a moment to look, then poll*.
//!
//! A [`Waiter`] enters before its acquire is sent, so that a grant that overtakes the answer
//! finds it, and leaves when it is granted, has waited long enough, failed, or was given up.
//!
//! What happens to a waiter is decided in [`table`], which knows no clock and no thread; here is
//! the shell that locks it, tells it the time, and carries out what it says.

mod room;
mod slot;
pub(crate) mod table;
pub(crate) mod waiter;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::table::{Effect, Plan, Table};
use self::waiter::Waiter;
use crate::backend::{Answer, Claim, Interrupt};
use crate::client::Session;
use crate::clock::Moment;
use crate::engine;
use crate::error::Result;
use crate::fork::Native;
use crate::lease::{Holding, Lease};
use crate::options::LockOptions;
use crate::token::Token;

pub(crate) use slot::{INTERRUPT_CHECK, Slot, interrupted};
pub(crate) use waiter::timed_out;

/// Everybody of one client who waits.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: Table<Caller>,
    /// Wakes the loop of each room.
    rooms: HashMap<Arc<str>, Arc<Notify>>,
}

/// Who waits, and with which options the lease is to be made.
#[derive(Debug)]
struct Caller {
    options: Arc<LockOptions>,
    slot: Arc<Slot>,
}

/// A caller's place among the waiting. Dropped before the wait is over, it gives the wait up.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    slot: Arc<Slot>,
    session: Native<Arc<Session>>,
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a claim known to signals. Called before its acquire is sent.
    pub(crate) fn enter(
        &self,
        session: &Arc<Session>,
        claim: &Arc<Claim>,
        options: &Arc<LockOptions>,
        until: Moment,
    ) -> Place {
        let slot = Arc::new(Slot::default());
        let caller = Caller { options: options.clone(), slot: slot.clone() };
        let id = self.state().table.enter(claim, caller, until, Moment::now());
        Place { id, slot, session: Native::new(session.clone()) }
    }

    /// A signal says that a claim was granted.
    pub(crate) fn granted(&self, session: &Arc<Session>, name: &str, token: Token, fence: u64) {
        let kept = |token: &Token| session.keeper.holds(token);
        let effect = self.state().table.granted(name, token, fence, Moment::now(), kept);
        self.carry_out(session, effect);
    }

    /// Signals may have been missed: everybody looks.
    pub(crate) fn look_all(&self, session: &Arc<Session>) {
        let effects = self.state().table.look_all(Moment::now());
        self.carry_out(session, effects);
    }

    /// Ends every wait with `Closed`.
    pub(crate) async fn close(&self, session: &Arc<Session>, by: Moment) {
        let effects = self.state().table.close();
        let mut tasks = tokio::task::JoinSet::new();
        for effect in &effects {
            if let Effect::Fail { waiter, .. } = effect {
                let (session, claim) = (session.clone(), waiter.claim.clone());
                tasks.spawn(async move { session.backend.withdraw(&claim, by).await });
            }
        }
        self.carry_out(session, effects);
        while tasks.join_next().await.is_some() {}
    }

    /// Decides what a room does now; `None` when it is closed.
    fn plan(&self, name: &str, idle: bool) -> Option<Plan<Caller>> {
        let mut state = self.state();
        let plan = state.table.plan(name, Moment::now(), idle);
        if plan.is_none() {
            state.rooms.remove(name);
        }
        plan
    }

    fn carry_out(&self, session: &Arc<Session>, effects: impl IntoIterator<Item = Effect<Caller>>) {
        for effect in effects {
            match effect {
                Effect::Lease { waiter, fence, valid_until, straggler } => {
                    let Caller { options, slot } = waiter.caller;
                    let holding = Holding::new(waiter.claim, &options, fence, valid_until);
                    let lease = Lease::new(session, holding);
                    if straggler {
                        lease.expect_straggler();
                    }
                    slot.fill(Ok(lease));
                }
                Effect::Fail { waiter, error } => waiter.caller.slot.fill(Err(error)),
                Effect::Expire(waiter) => engine::spawn(room::give_up(session.clone(), waiter)),
                Effect::Withdraw { claim, straggling } => {
                    let session = session.clone();
                    engine::spawn(async move { session.withdraw(&claim, straggling).await });
                }
                Effect::Open(name) => {
                    let changed = Arc::new(Notify::new());
                    self.state().rooms.insert(name.clone(), changed.clone());
                    engine::spawn(room::run(session.clone(), name, changed));
                }
                Effect::Wake(name) => {
                    if let Some(changed) = self.state().rooms.get(&name) {
                        changed.notify_one();
                    }
                }
                Effect::Tell(name) => {
                    if session.keeper.holds_name(&name) {
                        tracing::warn!(
                            lock = &*name,
                            "this process has waited 10 s for a lock that it holds itself"
                        );
                    }
                }
            }
        }
    }
}

impl Place {
    /// Leaves with a lease, because the caller's own attempt was granted; back comes the place,
    /// where a signal was first and the wait ends with the lease that it brought.
    pub(crate) fn settle(self, lease: impl FnOnce() -> Lease) -> std::result::Result<Lease, Self> {
        let Some(session) = self.session.get() else {
            return Err(self);
        };
        let lease = session.waiting.state().table.settle(self.id, lease);
        lease.ok_or(self)
    }

    /// Lets the engine look after the wait from here: after the first attempt was answered, or
    /// failed, or was not made because nobody listened for signals.
    pub(crate) fn stay(&self, answer: &Result<Answer>) {
        let Some(session) = self.session.get() else {
            return;
        };
        let waiting = &session.waiting;
        let effects = waiting.state().table.stay(self.id, answer, Moment::now(), Token::generate);
        waiting.carry_out(session, effects);
    }

    /// Waits for the end. Dropping the wait gives it up.
    pub(crate) async fn wait(self) -> Result<Lease> {
        poll_fn(|cx| self.slot.poll(cx)).await
    }

    /// As [`wait`](Self::wait), on the calling thread.
    pub(crate) fn block(self, interrupt: Option<Interrupt<'_>>) -> Result<Lease> {
        self.slot.block(interrupt)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // In a forked child the table may be locked for ever: it is not looked at.
        let Some(session) = self.session.get() else {
            return;
        };
        self.slot.abandon();
        let effect = session.waiting.state().table.leave(self.id);
        session.waiting.carry_out(session, effect);
    }
}

#[cfg(test)]
mod tests;
