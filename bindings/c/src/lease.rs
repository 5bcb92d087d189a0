//! One holding of a lock.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fencelock::{blocking, completion, fork_generation};

use crate::boundary::{Out, guard};
use crate::callbacks::{Callback, callbacks, fencelock_lost_callback, refuse_inside};
use crate::client::Client;
use crate::error::{Failure, fencelock_error, loss_code};
use crate::handle::{self, Kind, Registry};

/// One holding of a lock, from its grant until it is released or lost. It is renewed in the
/// background.
#[derive(Debug)]
pub struct fencelock_lease {
    _opaque: [u8; 0],
}

pub(crate) struct Lease {
    pub(crate) inner: Arc<blocking::Lease>,
    client: Arc<Client>,
    generation: u64,
    /// Whether its handle is still there: who is not to be told any more asks this.
    pub(crate) wanted: Arc<AtomicBool>,
    watches: Mutex<Vec<completion::Operation>>,
    callbacks: Mutex<Vec<u64>>,
}

impl Lease {
    pub(crate) fn new(inner: blocking::Lease, client: &Arc<Client>) -> Self {
        Self {
            inner: Arc::new(inner),
            client: client.clone(),
            generation: fork_generation(),
            wanted: Arc::new(AtomicBool::new(true)),
            watches: Mutex::default(),
            callbacks: Mutex::default(),
        }
    }

    /// Keeps a list of this lease, which no fork has left locked.
    fn keep<T>(&self, list: &Mutex<Vec<T>>, item: T) {
        if self.generation == fork_generation() {
            list.lock().unwrap_or_else(PoisonError::into_inner).push(item);
        }
    }
}

impl Kind for Lease {
    type Opaque = fencelock_lease;
    const NUMBER: u64 = 4;
    const NAME: &'static str = "fencelock_lease";

    fn registry() -> &'static Registry<Self> {
        static LEASES: Registry<Lease> = Registry::new();
        &LEASES
    }

    fn retire(&self) {
        self.wanted.store(false, Ordering::Release);
        if self.generation == fork_generation() {
            let mut numbers = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
            let numbers = std::mem::take(&mut *numbers);
            for number in numbers {
                callbacks().forget(number);
            }
        }
    }
}

/// The fence: larger than that of every earlier lease of this lock, and below 2^53. Give it to
/// what you write to, and let that refuse smaller ones. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_fence(
    lease: *const fencelock_lease,
    fence: *mut u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_fence", error, || {
        let fence = Out::new(fence, "fence")?;
        fence.set(handle::find::<Lease>(lease)?.inner.fence());
        Ok(())
    })
}

/// Whether the lock is held at this moment: 1 or 0. Costs a look at the clock, no round trip. Any
/// thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`; that the lease is lost or released is none, see
/// `fencelock_lease_check`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_is_held(
    lease: *const fencelock_lease,
    held: *mut i32,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_is_held", error, || {
        let held = Out::new(held, "held")?;
        held.set(i32::from(handle::find::<Lease>(lease)?.inner.is_held()));
        Ok(())
    })
}

/// How many whole ms the lease still lasts unless it is renewed; 0 once it is not held. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_remaining_ms(
    lease: *const fencelock_lease,
    remaining_ms: *mut u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_remaining_ms", error, || {
        let remaining_ms = Out::new(remaining_ms, "remaining_ms")?;
        let remaining = handle::find::<Lease>(lease)?.inner.remaining().as_millis();
        remaining_ms.set(u64::try_from(remaining).unwrap_or(u64::MAX));
        Ok(())
    })
}

/// Why the lease was lost: one of `FENCELOCK_LOSS_…`, `FENCELOCK_LOSS_NONE` if it was not. Any
/// thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_lost_reason(
    lease: *const fencelock_lease,
    reason: *mut i32,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_lost_reason", error, || {
        let reason = Out::new(reason, "reason")?;
        reason.set(loss_code(handle::find::<Lease>(lease)?.inner.loss()));
        Ok(())
    })
}

/// Succeeds while the lock is held; ask before each step of the protected work. No round trip. Any
/// thread.
///
/// Errors: `FENCELOCK_LOST`, `FENCELOCK_NOT_HELD` after a release, `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_check(
    lease: *const fencelock_lease,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_check", error, || Ok(handle::find::<Lease>(lease)?.inner.check()?))
}

/// Renews the lease now, for its full TTL. Blocks for the response timeout at most (default 5 s).
/// Any thread.
///
/// Errors: `FENCELOCK_LOST` if the server refused or the time was over, `FENCELOCK_UNAVAILABLE` if
/// it could not be reached (the lease is held until its deadline all the same),
/// `FENCELOCK_NOT_HELD`, `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_WOULD_DEADLOCK` from a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_renew(
    lease: *mut fencelock_lease,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_renew", error, || {
        let lease = handle::find::<Lease>(lease)?;
        refuse_inside()?;
        Ok(lease.inner.renew()?)
    })
}

/// Gives the lock back, to the first waiter if there is one, and tells how that went. Blocks for
/// the response timeout at most (default 5 s, never longer than the TTL). The lease has to be freed
/// all the same. Any thread.
///
/// Errors: `FENCELOCK_LOST` if it was not held any more; `FENCELOCK_UNAVAILABLE` if the server did
/// not confirm: the release is then repeated in the background until the lease ends by itself;
/// `FENCELOCK_NOT_HELD` if it was released before; `FENCELOCK_INVALID_ARGUMENT`;
/// `FENCELOCK_WOULD_DEADLOCK` from a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_release(
    lease: *mut fencelock_lease,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_release", error, || {
        let lease = handle::find::<Lease>(lease)?;
        refuse_inside()?;
        Ok(lease.inner.release()?)
    })
}

/// Begins to give the lock back, and returns at once: the lease is not held any more, and how it
/// went is an event of the kind `FENCELOCK_EVENT_RELEASE` with this `userdata` from
/// `fencelock_next_event`. The lease may be freed before that. Any thread.
///
/// Errors: `FENCELOCK_NOT_HELD` if it was released before, `FENCELOCK_LOST` in a forked child,
/// `FENCELOCK_INVALID_ARGUMENT`. There is no event then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_begin_release(
    lease: *mut fencelock_lease,
    userdata: *mut c_void,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_begin_release", error, || {
        let lease = handle::find::<Lease>(lease)?;
        lease.client.events.queue()?.release(&lease.inner, userdata.expose_provenance())
    })
}

/// Has the loss of this lease told as an event of the kind `FENCELOCK_EVENT_LOST` with this
/// `userdata` from `fencelock_next_event`: once, and not after the lease was released or freed.
/// Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, `FENCELOCK_INTERNAL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_watch(
    lease: *mut fencelock_lease,
    userdata: *mut c_void,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_watch", error, || {
        let lease = handle::find::<Lease>(lease)?;
        let watch = lease.client.events.queue()?.watch(&lease, userdata.expose_provenance());
        lease.keep(&lease.watches, watch);
        Ok(())
    })
}

/// Calls back once when this lease is lost, with `userdata` and one of `FENCELOCK_LOSS_…`, on a
/// thread of fencelock that does nothing else; one callback at a time. It may block, and may call
/// every function that does not block. There is no call after the lease was released. When
/// `fencelock_lease_free` has returned, none is under way either, unless that was called from
/// within it. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_INTERNAL` if no thread can be started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_on_lost(
    lease: *mut fencelock_lease,
    callback: fencelock_lost_callback,
    userdata: *mut c_void,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_on_lost", error, || {
        let function = callback.ok_or_else(|| Failure::invalid("callback is NULL"))?;
        let lease = handle::find::<Lease>(lease)?;
        let callbacks = callbacks();
        callbacks.start()?;
        let number =
            callbacks.remember(Callback { function, userdata: userdata.expose_provenance() });
        lease.keep(&lease.callbacks, number);
        if !lease.wanted.load(Ordering::Acquire) {
            // Freed meanwhile by another thread, which may have missed this one.
            callbacks.forget(number);
        }
        let watch = lease.inner.begin_watch(move |reason| callbacks.ended(number, reason));
        lease.keep(&lease.watches, watch);
        Ok(())
    })
}

/// Stops renewing without releasing: the lock stays taken until its TTL is over. For languages
/// whose garbage collector finds a lease that nobody released: to free it would unlock what somebody
/// may still rely on. The lease has to be freed all the same. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_abandon(
    lease: *mut fencelock_lease,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_lease_abandon", error, || {
        handle::find::<Lease>(lease)?.inner.abandon();
        Ok(())
    })
}

/// Frees a lease; NULL is none. If it was not released, it is in the background; how that goes is
/// not told. Waits for a callback of this lease that is just running; does not block otherwise. Any
/// thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_lease_free(lease: *mut fencelock_lease) -> i32 {
    guard("fencelock_lease_free", std::ptr::null_mut(), || handle::free::<Lease>(lease))
}
