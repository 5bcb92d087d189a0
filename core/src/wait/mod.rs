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
use std::task::{Context, Poll};

use tokio::sync::Notify;

use self::table::{Effect, Plan, Table};
use self::waiter::Waiter;
use crate::backend::{Answer, Claim, Ear, Heard, Interrupt};
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
        let mut state = self.state();
        if !state.table.awaits(&token) && !engine::is_here() {
            drop(state);
            // The engine may be about to make a lease of it.
            let (session, name) = (session.clone(), name.to_owned());
            engine::spawn(async move { session.waiting.granted(&session, &name, token, fence) });
            return;
        }
        let effect = state.table.granted(name, token, fence, Moment::now(), kept);
        drop(state);
        self.carry_out(session, effect);
    }

    /// A listener hears nothing any more.
    pub(crate) fn deaf(&self, session: &Arc<Session>, listener: u32) {
        let effects = self.state().table.deaf(listener, Moment::now(), Token::generate);
        self.carry_out(session, effects);
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
    /// failed, or was not made because nobody listened for signals. `listener` is that of
    /// the first attempt.
    pub(crate) fn stay(&self, answer: &Result<Answer>, listener: u32) {
        let Some(session) = self.session.get() else {
            return;
        };
        let waiting = &session.waiting;
        let now = Moment::now();
        let effects = {
            let table = &mut waiting.state().table;
            table.listens(self.id, listener);
            table.stay(self.id, answer, now, Token::generate)
        };
        waiting.carry_out(session, effects);
        if !session.backend.hears(listener) {
            waiting.deaf(session, listener);
        }
    }

    /// Has the end of the wait told, perhaps now: on the thread that ends it. Dropping the place
    /// gives the wait up.
    pub(crate) fn tell(&self, call: impl FnOnce(Result<Lease>) + Send + 'static) {
        self.slot.tell(Box::new(call));
    }

    /// Waits for the end. Dropping the wait gives it up.
    pub(crate) async fn wait(self) -> Result<Lease> {
        poll_fn(|cx| self.slot.poll(cx)).await
    }

    /// As [`wait`](Self::wait), on the calling thread, which listens by itself if it has an ear.
    pub(crate) fn block(
        self,
        ear: Option<Box<dyn Ear>>,
        mut interrupt: Option<Interrupt<'_>>,
    ) -> Result<Lease> {
        if let Some(mut ear) = ear
            && let Some(outcome) = self.listen(&mut *ear, &mut interrupt)
        {
            return outcome;
        }
        self.slot.block(interrupt)
    }

    /// `None` if nothing is heard any more.
    fn listen(
        &self,
        ear: &mut dyn Ear,
        interrupt: &mut Option<Interrupt<'_>>,
    ) -> Option<Result<Lease>> {
        let waker = ear.waker();
        let within = interrupt.as_ref().map(|_| INTERRUPT_CHECK);
        loop {
            if let Poll::Ready(outcome) = self.slot.poll(&mut Context::from_waker(&waker)) {
                return Some(outcome);
            }
            match ear.hear(within) {
                Ok(Heard::Signal(signal)) => {
                    // This thread is awake.
                    self.slot.let_sleep();
                    self.session.get()?.signalled(signal);
                }
                Ok(Heard::Noise) => {}
                Ok(Heard::Silence) => {
                    if interrupt.as_mut().is_some_and(|interrupt| interrupt()) {
                        return Some(Err(interrupted()));
                    }
                }
                Err(error) => {
                    tracing::debug!("the engine goes on with a wait: {error}");
                    return None;
                }
            }
        }
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
