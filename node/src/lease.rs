//! One holding of a lock.

use fencelock::{LossReason, blocking};
use napi_derive::napi;

use crate::error::Failure;
use crate::options::{millis, number, to_millis};
use crate::port::Port;

/// One holding of a lock, which a caller has: collecting it does not unlock.
#[napi]
#[derive(Debug)]
pub struct Lease {
    inner: blocking::Lease,
    port: Port,
}

impl Lease {
    pub(crate) fn new(inner: blocking::Lease, port: Port) -> Self {
        Self { inner, port }
    }
}

#[napi]
impl Lease {
    /// The lock's name.
    #[napi(getter, catch_unwind)]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The fencing token.
    #[napi(getter, catch_unwind)]
    pub fn fence(&self) -> f64 {
        number(self.inner.fence())
    }

    /// By the clock, at this moment.
    #[napi(catch_unwind)]
    pub fn is_held(&self) -> bool {
        self.inner.is_held()
    }

    /// ms.
    #[napi(catch_unwind)]
    pub fn remaining(&self) -> f64 {
        to_millis(self.inner.remaining())
    }

    /// Why it was lost, if it was.
    #[napi(catch_unwind)]
    pub fn lost_reason(&self) -> Option<&'static str> {
        self.inner.loss().map(LossReason::name)
    }

    /// What is wrong if it is not held.
    #[napi(catch_unwind)]
    pub fn check(&self) -> Option<Failure> {
        self.inner.check().err().map(Failure::from)
    }

    /// Renews it now.
    #[napi(catch_unwind)]
    pub fn begin_renew(&self) -> u32 {
        self.port.begin(|number, _| self.inner.begin_renew(self.port.done(number)))
    }

    /// Gives the lock back; the outcome comes after so many ms at most, or without limit.
    #[napi(catch_unwind)]
    pub fn begin_release(&self, limit: Option<f64>) -> u32 {
        let limit = limit.map(millis);
        self.port.begin_uncancelled(|number, event_loop| {
            self.inner.begin_release(event_loop, limit, self.port.done(number))
        })
    }

    /// Tells why the lease was lost; nothing if it was released. It does not keep the loop alive.
    #[napi(catch_unwind)]
    pub fn begin_watch(&self) -> u32 {
        self.port.watch(|told| self.inner.begin_watch(told))
    }
}

/// Collecting a lease that somebody had does not unlock: it is left to lapse, which the log tells.
impl Drop for Lease {
    fn drop(&mut self) {
        // When the environment ends, its clients are closed, and so is this.
        if self.port.is_open() {
            self.inner.abandon();
        }
    }
}
