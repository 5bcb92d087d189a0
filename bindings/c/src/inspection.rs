//! What a lock looks like to an observer.

use std::ffi::c_char;
use std::sync::Arc;

use fencelock::{Holder, Inspection};

use crate::boundary::{Out, guard, text};
use crate::callbacks::refuse_inside;
use crate::client::{Client, fencelock_client};
use crate::codes::FENCELOCK_FOREVER;
use crate::error::{Failure, fencelock_error};
use crate::handle::{self, Kind, Registry, Used};

/// Who held a lock, and how many waited.
#[derive(Debug)]
pub struct fencelock_inspection {
    _opaque: [u8; 0],
}

impl Kind for Inspection {
    type Opaque = fencelock_inspection;
    const NUMBER: u64 = 8;
    const NAME: &'static str = "fencelock_inspection";

    fn registry() -> &'static Registry<Self> {
        static INSPECTIONS: Registry<Inspection> = Registry::new();
        &INSPECTIONS
    }
}

fn holder(seen: &Used<Inspection>) -> Result<&Holder, Failure> {
    seen.holder.as_ref().ok_or_else(|| Failure::invalid("nobody held the lock"))
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Shows who holds a lock and how many wait, without taking part. Blocks for the response timeout
/// at most (default 5 s). `name` is as with `fencelock_acquire`. On success `*inspection` is to be
/// freed with `fencelock_inspection_free`. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, `FENCELOCK_UNAVAILABLE`, `FENCELOCK_DENIED`,
/// `FENCELOCK_CLOSED`, `FENCELOCK_BACKEND`; `FENCELOCK_WOULD_DEADLOCK` from a callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspect(
    client: *mut fencelock_client,
    name: *const c_char,
    name_len: usize,
    inspection: *mut *mut fencelock_inspection,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspect", error, || {
        let inspection = Out::new(inspection, "inspection")?;
        let client = Arc::clone(&*handle::find::<Arc<Client>>(client)?);
        let name = text(name, name_len, "name")?;
        refuse_inside()?;
        inspection.set(handle::hand_out(client.inner.inspect(name)?)?);
        Ok(())
    })
}

/// Whether anybody held it: 1 or 0. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_held(
    inspection: *const fencelock_inspection,
    held: *mut i32,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspection_held", error, || {
        let held = Out::new(held, "held")?;
        held.set(i32::from(handle::find::<Inspection>(inspection)?.holder.is_some()));
        Ok(())
    })
}

/// How many waited in line, the dead that were not found yet included. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_waiters(
    inspection: *const fencelock_inspection,
    waiters: *mut u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspection_waiters", error, || {
        let waiters = Out::new(waiters, "waiters")?;
        waiters.set(handle::find::<Inspection>(inspection)?.waiters);
        Ok(())
    })
}

/// The fence of the holder's lease; 0 for a client of another library, which has none. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_fence(
    inspection: *const fencelock_inspection,
    fence: *mut u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspection_fence", error, || {
        let fence = Out::new(fence, "fence")?;
        fence.set(holder(&handle::find(inspection)?)?.fence.unwrap_or(0));
        Ok(())
    })
}

/// Whether the holder is a client of another library: 1 or 0. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_foreign(
    inspection: *const fencelock_inspection,
    foreign: *mut i32,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspection_foreign", error, || {
        let foreign = Out::new(foreign, "foreign")?;
        foreign.set(i32::from(holder(&handle::find(inspection)?)?.foreign));
        Ok(())
    })
}

/// The TTL of the holder's lease in ms; 0 for a client of another library, whose TTL is not known.
/// Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_ttl_ms(
    inspection: *const fencelock_inspection,
    ttl_ms: *mut u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspection_ttl_ms", error, || {
        let ttl_ms = Out::new(ttl_ms, "ttl_ms")?;
        ttl_ms.set(holder(&handle::find(inspection)?)?.ttl.map_or(0, ms));
        Ok(())
    })
}

/// How long the lock stays held unless renewed, in ms; `FENCELOCK_FOREVER` without end. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_remaining_ms(
    inspection: *const fencelock_inspection,
    remaining_ms: *mut u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspection_remaining_ms", error, || {
        let remaining_ms = Out::new(remaining_ms, "remaining_ms")?;
        let remaining = holder(&handle::find(inspection)?)?.remaining;
        remaining_ms.set(remaining.map_or(FENCELOCK_FOREVER, ms));
        Ok(())
    })
}

/// The label that the holder gave: UTF-8 of this length, without a NUL behind it. It belongs to the
/// inspection, and is there until that is freed. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_label(
    inspection: *const fencelock_inspection,
    label: *mut *const c_char,
    label_len: *mut usize,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspection_label", error, || {
        let (label, length) = (Out::new(label, "label")?, Out::new(label_len, "label_len")?);
        let seen = handle::find(inspection)?;
        let holder = holder(&seen)?;
        label.set(holder.label.as_ptr().cast());
        length.set(holder.label.len());
        Ok(())
    })
}

/// A short text that is the same for the length of one lease, and tells holders apart; not the owner
/// token. Otherwise as `fencelock_inspection_label`. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`, also if nobody held it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_holder(
    inspection: *const fencelock_inspection,
    id: *mut *const c_char,
    id_len: *mut usize,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_inspection_holder", error, || {
        let (id, length) = (Out::new(id, "id")?, Out::new(id_len, "id_len")?);
        let seen = handle::find(inspection)?;
        let holder = holder(&seen)?;
        id.set(holder.id.as_ptr().cast());
        length.set(holder.id.len());
        Ok(())
    })
}

/// Frees what was seen; NULL is none. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_inspection_free(inspection: *mut fencelock_inspection) -> i32 {
    guard("fencelock_inspection_free", std::ptr::null_mut(), || {
        handle::free::<Inspection>(inspection)
    })
}
