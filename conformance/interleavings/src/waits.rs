//! A waiting caller and the engine: a lease reaches the caller or is given back, whoever leaves when.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Notify;
use loom::thread;

use crate::error::{ErrorKind, Result};
use crate::lease::Lease;
use crate::slot::Slot;
use crate::{every_interleaving, join};

/// A caller's slot, and how many leases were given back.
#[derive(Clone, Default)]
struct Wait {
    slot: Arc<Slot>,
    back: Arc<AtomicUsize>,
}

impl Wait {
    /// The engine ends the wait with a lease, on a thread of its own.
    fn grant(&self) -> thread::JoinHandle<()> {
        let wait = self.clone();
        thread::spawn(move || wait.slot.fill(Ok(Lease(wait.back))))
    }

    fn given_back(&self) -> usize {
        self.back.load(Ordering::Relaxed)
    }

    /// Got, the lease is given back by its holder once; not got, by whoever came last.
    fn ended(&self, outcome: Result<Lease>, granting: thread::JoinHandle<()>) {
        let got = outcome.is_ok();
        assert!(!got || self.given_back() == 0, "given back while held");
        // As a place does when its wait is over.
        self.slot.abandon();
        join(granting);
        assert_eq!(self.given_back(), usize::from(!got));
        if let Err(error) = &outcome {
            assert_eq!(error.0, ErrorKind::Cancelled);
        }
        drop(outcome);
        assert_eq!(self.given_back(), 1);
    }
}

/// A blocked thread.
pub fn a_blocked_caller_gets_its_lease() {
    every_interleaving(|| {
        let wait = Wait::default();
        let granting = wait.grant();
        let outcome = wait.slot.block(None);
        assert!(outcome.is_ok());
        wait.ended(outcome, granting);
    });
}

/// A blocked thread that is interrupted when it has asked twice.
pub fn an_interrupted_caller_leaves_no_lease() {
    every_interleaving(|| {
        let wait = Wait::default();
        let granting = wait.grant();
        let mut asked = 0;
        let outcome = wait.slot.block(Some(&mut || {
            asked += 1;
            asked == 2
        }));
        wait.ended(outcome, granting);
    });
}

/// An event loop's caller, who is told and may leave at once.
pub fn a_caller_that_is_told_gets_its_lease_or_it_is_given_back() {
    every_interleaving(|| {
        let wait = Wait::default();
        let granting = wait.grant();
        let told = Arc::new(Mutex::new(None));
        let call = told.clone();
        wait.slot.tell(Box::new(move |outcome| {
            *call.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        }));
        wait.slot.abandon();
        join(granting);
        let got = told.lock().unwrap_or_else(PoisonError::into_inner).take();
        assert_eq!(wait.given_back(), usize::from(got.is_none()));
        drop(got);
        assert_eq!(wait.given_back(), 1);
    });
}

struct Task(Notify);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// A future that is polled when it is woken, and once without reason.
pub fn a_future_is_woken_for_its_lease() {
    every_interleaving(|| {
        let wait = Wait::default();
        let task = Arc::new(Task(Notify::new()));
        let waker = Waker::from(task.clone());
        let granting = wait.grant();
        let mut polled = wait.slot.poll(&mut Context::from_waker(Waker::noop()));
        let outcome = loop {
            if let Poll::Ready(outcome) = polled {
                break outcome;
            }
            polled = wait.slot.poll(&mut Context::from_waker(&waker));
            if polled.is_pending() {
                task.0.wait();
                polled = wait.slot.poll(&mut Context::from_waker(&waker));
            }
        };
        wait.ended(outcome, granting);
    });
}

/// A thread that listens on its own connection, hears something else first, and is not woken for
/// what comes while it looks at that.
pub fn a_caller_that_listens_by_itself_misses_no_end() {
    every_interleaving(|| {
        let wait = Wait::default();
        let task = Arc::new(Task(Notify::new()));
        let waker = Waker::from(task.clone());
        let granting = wait.grant();
        let mut heard = false;
        let outcome = loop {
            if let Poll::Ready(outcome) = wait.slot.poll(&mut Context::from_waker(&waker)) {
                break outcome;
            }
            if heard {
                task.0.wait();
            }
            wait.slot.let_sleep();
            heard = true;
        };
        wait.ended(outcome, granting);
    });
}

/// A future that is dropped while the lease comes.
pub fn a_dropped_future_leaves_no_lease() {
    every_interleaving(|| {
        let wait = Wait::default();
        let granting = wait.grant();
        let polled = wait.slot.poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(outcome) = polled else {
            wait.slot.abandon();
            join(granting);
            assert_eq!(wait.given_back(), 1);
            return;
        };
        wait.ended(outcome, granting);
    });
}
