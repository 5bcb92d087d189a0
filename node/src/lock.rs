//! The description of a lock.

use fencelock::blocking;
use napi::Either;
use napi_derive::napi;

use crate::client::Client;
use crate::error::Failure;
use crate::options::{LockParts, millis};
use crate::port::Port;

/// A lock that may be held.
#[napi]
#[derive(Debug)]
pub struct Lock {
    inner: blocking::Lock,
    port: Port,
}

#[napi]
impl Lock {
    /// Describes a lock, and refuses what can't be served.
    #[napi(catch_unwind)]
    pub fn describe(
        port: &Port,
        client: &Client,
        name: String,
        parts: LockParts,
    ) -> Either<Lock, Failure> {
        let mut inner = client.inner.lock(name);
        if let Some(ms) = parts.ttl {
            inner = inner.ttl(millis(ms));
        }
        if let Some(renew) = parts.renew {
            inner = inner.renew(renew);
        }
        if let Some(ms) = parts.max_hold {
            inner = inner.max_hold(millis(ms));
        }
        if let Some(label) = parts.label {
            inner = inner.label(label);
        }
        match inner.check() {
            Ok(()) => Either::A(Self { inner, port: port.clone() }),
            Err(error) => Either::B(error.into()),
        }
    }

    /// Takes the lock, waiting so many ms for it, or without limit.
    #[napi(catch_unwind)]
    pub fn begin_acquire(&self, timeout: Option<f64>) -> u32 {
        let timeout = timeout.map(millis);
        self.port.begin(|number, event_loop| {
            self.inner.begin_acquire(event_loop, timeout, self.port.granted(number))
        })
    }

    /// Takes the lock if it is free.
    #[napi(catch_unwind)]
    pub fn begin_try_acquire(&self) -> u32 {
        self.port.begin(|number, event_loop| {
            self.inner.begin_try_acquire(event_loop, self.port.tried(number))
        })
    }
}
