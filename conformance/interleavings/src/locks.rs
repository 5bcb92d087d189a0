//! loom's locks, and time that passes: a wait with a time-out is over at any moment, for loom's own
//! never is.

use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use loom::sync;
use loom::thread;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

/// Locked until it is dropped.
pub(crate) struct MutexGuard<'a, T> {
    /// Always there, but while a condition is waited for.
    inner: Option<sync::MutexGuard<'a, T>>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the standard library's")]
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(MutexGuard { inner: Some(inner), mutex: self })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.inner {
            Some(inner) => inner,
            None => unreachable!(),
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.inner {
            Some(inner) => inner,
            None => unreachable!(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

pub(crate) struct TimedOut;

impl TimedOut {
    #[expect(clippy::unused_self, reason = "as the standard library's")]
    pub(crate) fn timed_out(&self) -> bool {
        true
    }
}

impl Condvar {
    #[expect(clippy::unnecessary_wraps, reason = "as the standard library's")]
    pub(crate) fn wait<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
    ) -> LockResult<MutexGuard<'a, T>> {
        if let Some(inner) = guard.inner.take() {
            guard.inner = Some(self.0.wait(inner).unwrap_or_else(PoisonError::into_inner));
        }
        Ok(guard)
    }

    /// Over at once: others may come before it has the lock again.
    #[expect(clippy::unused_self, reason = "as the standard library's")]
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, TimedOut)> {
        let mutex = guard.mutex;
        drop(guard);
        thread::yield_now();
        mutex.lock().map(|guard| (guard, TimedOut)).map_err(|_| unreachable!())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
