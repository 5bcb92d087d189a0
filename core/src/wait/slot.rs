//! Where one waiting caller, a future or a blocked thread, finds how its wait ended.

use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::backend::Interrupt;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::Lease;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// How often a blocked thread asks whether it is interrupted: twice within the 100 ms that a
/// Ctrl-C may take.
pub(crate) const INTERRUPT_CHECK: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
    filled: Condvar,
}

/// What is called with the outcome.
type Call = Box<dyn FnOnce(Result<Lease>) + Send>;

#[derive(Default)]
struct State {
    outcome: Option<Result<Lease>>,
    waker: Option<Waker>,
    call: Option<Call>,
    /// A thread sleeps, or is about to: without one, waking would be a system call for nothing.
    blocked: bool,
    abandoned: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the wait. A lease for somebody who left is dropped, and so released.
    pub(crate) fn fill(&self, outcome: Result<Lease>) {
        let mut state = self.state();
        if state.abandoned {
            drop(state);
            drop(outcome);
            return;
        }
        if let Some(call) = state.call.take() {
            drop(state);
            return call(outcome);
        }
        state.outcome = Some(outcome);
        let (waker, blocked) = (state.waker.take(), state.blocked);
        drop(state);
        if blocked {
            self.filled.notify_one();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The caller left; what came too late is given back.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        let late = (state.outcome.take(), state.call.take());
        drop(state);
        drop(late);
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Lease>> {
        let mut state = self.state();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Has the end told, at once if it has come.
    pub(super) fn tell(&self, call: Call) {
        let mut state = self.state();
        match state.outcome.take() {
            Some(outcome) => {
                drop(state);
                call(outcome);
            }
            None => state.call = Some(call),
        }
    }

    /// Nobody is to be woken, until it is polled again.
    pub(super) fn let_sleep(&self) {
        self.state().waker = None;
    }

    pub(super) fn block(&self, interrupt: Option<Interrupt<'_>>) -> Result<Lease> {
        let mut state = self.state();
        state.blocked = true;
        let Some(interrupt) = interrupt else {
            loop {
                if let Some(outcome) = state.outcome.take() {
                    return outcome;
                }
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        };
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            let (back, timed_out) = self
                .filled
                .wait_timeout(state, INTERRUPT_CHECK)
                .unwrap_or_else(PoisonError::into_inner);
            if timed_out.timed_out() && back.outcome.is_none() {
                // Asked without the lock: the answer may take a while (Python's GIL), and the
                // engine must not wait for it.
                drop(back);
                if interrupt() {
                    return Err(interrupted());
                }
                state = self.state();
            } else {
                state = back;
            }
        }
    }
}

pub(crate) fn interrupted() -> Error {
    Error::new(ErrorKind::Cancelled, "the wait was interrupted", "acquire again if still wanted")
}
