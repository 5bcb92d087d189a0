//! Taking locks.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use fencelock::{Error, blocking};

use crate::boundary::{Out, guard, text};
use crate::callbacks::refuse_inside;
use crate::client::{Client, fencelock_client};
use crate::codes::FENCELOCK_FOREVER;
use crate::error::{Failure, fencelock_error};
use crate::handle;
use crate::lease::{Lease, fencelock_lease};
use crate::options::{LockSettings, fencelock_options};

/// What an acquire was asked for with.
struct Wish {
    client: Arc<Client>,
    lock: blocking::Lock,
    settings: LockSettings,
}

impl Wish {
    fn read(
        client: *mut fencelock_client,
        name: *const c_char,
        name_len: usize,
        options: *const fencelock_options,
    ) -> Result<Self, Failure> {
        let client = Arc::clone(&*handle::find::<Arc<Client>>(client)?);
        let settings = LockSettings::of(options)?;
        let lock = settings.describe(client.inner.lock(text(name, name_len, "name")?));
        Ok(Self { client, lock, settings })
    }

    /// Blocks until it is decided, with what the token says as interrupt.
    fn carry_out<T>(
        &self,
        call: impl FnOnce(Option<&mut (dyn FnMut() -> bool + Send)>) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        refuse_inside()?;
        let answer = match &self.settings.cancel {
            None => call(None),
            Some(cancel) if cancel.is_fired() => return Err(Failure::cancelled(self.lock.name())),
            Some(cancel) => call(Some(&mut || cancel.is_fired())),
        };
        Ok(answer?)
    }
}

fn patience(timeout_ms: u64) -> Option<Duration> {
    (timeout_ms != FENCELOCK_FOREVER).then(|| Duration::from_millis(timeout_ms))
}

/// Takes a lock, waiting in line for it: at most `timeout_ms` ms; 0 makes one attempt,
/// `FENCELOCK_FOREVER` waits without limit. Blocks for so long. Not reentrant: a thread that has
/// the lock already waits for itself.
///
/// `name` is UTF-8 of `name_len` bytes, 1 to 512 with the client's prefix; no NUL is needed.
/// `options` may be NULL for the defaults (TTL 10 s, renewed), and may be freed or changed
/// afterwards. On success `*lease` is a lease, to be freed with `fencelock_lease_free`. Any thread.
///
/// Errors: `FENCELOCK_ACQUIRE_TIMEOUT`, `FENCELOCK_UNAVAILABLE`, `FENCELOCK_DENIED`,
/// `FENCELOCK_CANCELLED`, `FENCELOCK_CLOSED`, `FENCELOCK_INVALID_ARGUMENT`, `FENCELOCK_BACKEND`;
/// `FENCELOCK_WOULD_DEADLOCK` from a callback. Nothing is left behind then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_acquire(
    client: *mut fencelock_client,
    name: *const c_char,
    name_len: usize,
    timeout_ms: u64,
    options: *const fencelock_options,
    lease: *mut *mut fencelock_lease,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_acquire", error, || {
        let lease = Out::new(lease, "lease")?;
        let wish = Wish::read(client, name, name_len, options)?;
        let timeout = patience(timeout_ms);
        let taken = wish.carry_out(|interrupt| wish.lock.acquire_with(timeout, interrupt))?;
        lease.set(handle::hand_out(Lease::new(taken, &wish.client))?);
        Ok(())
    })
}

/// Takes a lock if it is free at this moment. If somebody has it or waits for it, that is a success
/// with NULL in `*lease`. Blocks for a round trip to the server. Everything else is as with
/// `fencelock_acquire`. Any thread.
///
/// Errors: as `fencelock_acquire`, less `FENCELOCK_ACQUIRE_TIMEOUT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_try_acquire(
    client: *mut fencelock_client,
    name: *const c_char,
    name_len: usize,
    options: *const fencelock_options,
    lease: *mut *mut fencelock_lease,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_try_acquire", error, || {
        let lease = Out::new(lease, "lease")?;
        let wish = Wish::read(client, name, name_len, options)?;
        let taken = wish.carry_out(|interrupt| wish.lock.try_acquire_with(interrupt))?;
        lease.set(match taken {
            None => std::ptr::null_mut(),
            Some(taken) => handle::hand_out(Lease::new(taken, &wish.client))?,
        });
        Ok(())
    })
}

/// Begins to take a lock, and returns at once: what comes of it is an event of the kind
/// `FENCELOCK_EVENT_ACQUIRE` with this `userdata`, exactly one, from `fencelock_next_event`. The
/// cancel token of the options ends it. Everything else is as with `fencelock_acquire`; timeout 0
/// makes one attempt. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, `FENCELOCK_CLOSED`, `FENCELOCK_INTERNAL`. There is no
/// event then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_begin_acquire(
    client: *mut fencelock_client,
    name: *const c_char,
    name_len: usize,
    timeout_ms: u64,
    options: *const fencelock_options,
    userdata: *mut c_void,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_begin_acquire", error, || {
        let wish = Wish::read(client, name, name_len, options)?;
        let queue = wish.client.events.queue()?;
        let cancel = wish.settings.cancel.as_deref();
        queue.acquire(
            &wish.client,
            &wish.lock,
            patience(timeout_ms),
            cancel,
            userdata.expose_provenance(),
        )
    })
}
