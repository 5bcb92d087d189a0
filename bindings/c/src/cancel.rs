//! What ends a wait from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use fencelock::fork_generation;

use crate::boundary::{Out, guard};
use crate::error::fencelock_error;
use crate::events::Begun;
use crate::handle::{self, Kind, Registry};

/// A cancel token: fired once, it ends every wait that was given it, and every later one at once.
#[derive(Debug)]
pub struct fencelock_cancel {
    _opaque: [u8; 0],
}

#[derive(Debug)]
pub(crate) struct Cancel {
    fired: AtomicBool,
    /// What was begun with it, and is to be told.
    begun: Mutex<Vec<Weak<Begun>>>,
    generation: u64,
}

impl Cancel {
    fn new() -> Self {
        let fired = AtomicBool::new(false);
        Self { fired, begun: Mutex::default(), generation: fork_generation() }
    }

    pub(crate) fn is_fired(&self) -> bool {
        self.fired.load(Ordering::Acquire)
    }

    /// Ends this, too, when it is fired.
    pub(crate) fn covers(&self, begun: &Arc<Begun>) {
        // What the parent began does not go on here, and the list may be locked for ever.
        if self.generation == fork_generation() {
            let mut list = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            if list.len() % 64 == 63 {
                list.retain(|begun| begun.strong_count() > 0);
            }
            list.push(Arc::downgrade(begun));
        }
        // Fired in between it may have missed this one.
        if self.is_fired() {
            begun.cancel();
        }
    }

    fn fire(&self) {
        self.fired.store(true, Ordering::Release);
        if self.generation != fork_generation() {
            return;
        }
        let mut list = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = std::mem::take(&mut *list);
        drop(list);
        begun.iter().filter_map(Weak::upgrade).for_each(|begun| begun.cancel());
    }
}

impl Kind for Arc<Cancel> {
    type Opaque = fencelock_cancel;
    const NUMBER: u64 = 2;
    const NAME: &'static str = "fencelock_cancel";

    fn registry() -> &'static Registry<Self> {
        static TOKENS: Registry<Arc<Cancel>> = Registry::new();
        &TOKENS
    }
}

/// Makes a cancel token; free it with `fencelock_cancel_free`. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if `cancel` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_cancel_new(
    cancel: *mut *mut fencelock_cancel,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_cancel_new", error, || {
        let cancel = Out::new(cancel, "cancel")?;
        cancel.set(handle::hand_out(Arc::new(Cancel::new()))?);
        Ok(())
    })
}

/// Fires a token: every call that waits with it ends with `FENCELOCK_CANCELLED` within about
/// 50 ms, and leaves nothing behind; what `fencelock_begin_acquire` began with it is decided at
/// once. A call that has its lease already keeps it. Firing again does nothing. Any thread; not
/// from a signal handler.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_cancel_fire(
    cancel: *mut fencelock_cancel,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_cancel_fire", error, || {
        let cancel = Arc::clone(&*handle::find::<Arc<Cancel>>(cancel)?);
        cancel.fire();
        Ok(())
    })
}

/// Frees a token, without firing it; NULL is none. Options that it was given to keep it. Any
/// thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_cancel_free(cancel: *mut fencelock_cancel) -> i32 {
    guard("fencelock_cancel_free", std::ptr::null_mut(), || handle::free::<Arc<Cancel>>(cancel))
}
