//! Holdings of locks, by number: an object for each would cost more than the lock does.

use fencelock::{LossReason, blocking, completion};
use napi_derive::napi;

use crate::error::Failure;
use crate::options::{millis, to_millis};
use crate::port::{Outcome, Port};

#[napi]
impl Port {
    /// Whether this lease is held, by the clock, at this moment.
    #[napi(catch_unwind)]
    pub fn is_held(&self, lease: u32) -> bool {
        self.lease(lease, blocking::Lease::is_held).unwrap_or(false)
    }

    /// How many ms it still lasts.
    #[napi(catch_unwind)]
    pub fn remaining(&self, lease: u32) -> f64 {
        self.lease(lease, |lease| to_millis(lease.remaining())).unwrap_or(0.0)
    }

    /// Why it was lost, if it was.
    #[napi(catch_unwind)]
    pub fn lost_reason(&self, lease: u32) -> Option<&'static str> {
        self.lease(lease, |lease| lease.loss().map(LossReason::name))?
    }

    /// What is wrong if it is not held.
    #[napi(catch_unwind)]
    pub fn check(&self, lease: u32) -> Option<Failure> {
        self.lease(lease, |lease| lease.check().err().map(Failure::from))?
    }

    /// What is wrong with a lease that was released before.
    #[napi(catch_unwind)]
    pub fn released(lock: String) -> Failure {
        completion::released(&lock).into()
    }

    /// Renews it now.
    #[napi(catch_unwind)]
    pub fn begin_renew(&self, lease: u32) -> u32 {
        self.begin_of(lease, |lease, number, _| lease.begin_renew(self.done(number)).map(Some))
    }

    /// Gives the lock back; the outcome comes after so many ms at most, or without limit. After an
    /// outcome without error its number is nobody's.
    #[napi(catch_unwind)]
    pub fn begin_release(&self, lease: u32, limit: Option<f64>) -> u32 {
        let limit = limit.map(millis);
        self.begin_of(lease, |held, number, event_loop| {
            let done = self.sending(number, move |()| Outcome::Released(lease));
            held.begin_release(event_loop, limit, done).map(|()| None)
        })
    }

    /// Tells why it was lost; nothing if it was released. It does not keep the loop alive.
    #[napi(catch_unwind)]
    pub fn begin_watch(&self, lease: u32) -> u32 {
        self.watch(|told| {
            let mut told = Some(told);
            let watched = |lease: &blocking::Lease| told.take().map(|told| lease.begin_watch(told));
            let begun = self.lease(lease, watched).flatten();
            // It was released: there is nothing to tell any more.
            if let Some(told) = told {
                told(None);
            }
            begun
        })
    }

    /// It was collected: that does not unlock. It is left to lapse, which the log tells.
    #[napi(catch_unwind)]
    pub fn discard(&self, lease: u32) {
        if let Some(lease) = self.take(lease) {
            lease.abandon();
        }
    }
}
