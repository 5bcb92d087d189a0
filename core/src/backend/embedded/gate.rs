//! One thread at a time, and none during a fork: `SQLite` keeps locks of its own that a forked
//! child would find locked for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::clock::Moment;

/// Something that one thread at a time has.
#[derive(Debug)]
pub(super) struct Gate<T> {
    state: Mutex<State<T>>,
    freed: Condvar,
    /// Seized for the length of a fork.
    forking: AtomicBool,
}

#[derive(Debug)]
struct State<T> {
    taken: bool,
    waiting: u32,
    value: Option<T>,
}

/// The thread's turn; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a, T> {
    gate: &'a Gate<T>,
    /// What there is; may be taken out, or put in.
    pub(super) value: Option<T>,
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.gate.free(self.value.take());
    }
}

impl<T> Gate<T> {
    pub(super) fn new(value: Option<T>) -> Self {
        Self {
            state: Mutex::new(State { taken: false, waiting: 0, value }),
            freed: Condvar::new(),
            forking: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, so long.
    pub(super) fn turn(&self, until: Moment) -> Option<Turn<'_, T>> {
        let mut state = self.state();
        while state.taken {
            let left = until.since(Moment::now());
            if left.is_zero() {
                return None;
            }
            state.waiting += 1;
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
        state.taken = true;
        let value = state.value.take();
        Some(Turn { gate: self, value })
    }

    fn free(&self, value: Option<T>) {
        let mut state = self.state();
        state.taken = false;
        state.value = value;
        let waited = state.waiting > 0;
        drop(state);
        // A call to the system, which nobody waits for as a rule.
        if waited {
            self.freed.notify_one();
        }
    }

    /// Before a fork: lets nobody in until [`unseize`](Self::unseize). Gives the value if `close`;
    /// the child must not find it.
    pub(super) fn seize(&self, until: Moment, close: bool) -> Option<T> {
        if self.forking.load(Ordering::Acquire) {
            return None;
        }
        let mut turn = self.turn(until)?;
        let taken = if close { turn.value.take() } else { None };
        let kept = turn.value.take();
        std::mem::forget(turn);
        self.state().value = kept;
        self.forking.store(true, Ordering::Release);
        taken
    }

    /// After the fork, in the parent.
    pub(super) fn unseize(&self) {
        if self.forking.swap(false, Ordering::AcqRel) {
            let value = self.state().value.take();
            self.free(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn soon() -> Moment {
        Moment::now() + Duration::from_millis(20)
    }

    #[test]
    fn one_at_a_time_and_the_next_when_it_is_given_back() {
        let gate = Arc::new(Gate::new(Some(1)));
        let turn = gate.turn(soon()).unwrap();
        assert!(gate.turn(soon()).is_none(), "it is taken");
        let next = std::thread::spawn({
            let gate = gate.clone();
            move || gate.turn(Moment::NEVER).unwrap().value.take()
        });
        drop(turn);
        assert_eq!(next.join().unwrap(), Some(1));
    }

    #[test]
    fn nobody_gets_in_during_a_fork() {
        let gate = Gate::new(Some(1));
        assert_eq!(gate.seize(soon(), true), Some(1));
        assert!(gate.turn(soon()).is_none());
        gate.unseize();
        assert_eq!(gate.turn(soon()).unwrap().value, None, "it was taken out");
    }
}
