//! Results on their way to an event loop: whoever adds the first one wakes it.

use std::mem::{replace, take};
use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug)]
struct State<T> {
    results: Vec<T>,
    /// Whether the reader has been woken, or is looking anyway.
    woken: bool,
    closed: bool,
}

impl<T> std::fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

impl<T> Inbox<T> {
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let state = State { results: Vec::new(), woken: false, closed: false };
        Self { state: Mutex::new(state), wake: Box::new(wake) }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake(&self) {
        (self.wake)();
    }

    /// Adds a result, and wakes the reader unless that has been done. Dropped if there is none
    /// any more.
    pub(crate) fn send(&self, result: T) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            drop(result);
            return;
        }
        state.results.push(result);
        let first = !replace(&mut state.woken, true);
        drop(state);
        if first {
            self.wake();
        }
    }

    /// Takes the loop's turn, and everything that is there then.
    pub(crate) fn fetch(&self, turn: impl FnOnce()) -> Vec<T> {
        // What comes from here on is found below.
        self.state().woken = true;
        turn();
        let mut state = self.state();
        state.woken = false;
        take(&mut state.results)
    }

    /// Drops what was not fetched, and what comes later.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let results = take(&mut state.results);
        drop(state);
        drop(results);
    }
}
