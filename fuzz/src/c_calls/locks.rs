//! Clients, cancel tokens, locks, leases, events and inspections.

use std::ffi::{CString, c_void};

use fencelock_c::cancel as token;
use fencelock_c::{client, events, inspection as seen, lease as held, lock};

use super::settings::{c_text, text};
use super::{Call, Known};
use crate::bytes::Bytes;

/// The longest wait, in ms: more only takes longer.
const WAIT_MOST: u64 = 1;

/// Nothing that would look for a server, or leave a file.
fn url(bytes: &mut Bytes<'_>) -> CString {
    match bytes.byte() % 4 {
        0 => c"memory:fuzz?prefix=p".into(),
        1 => CString::new([b"memory:", c_text(bytes).as_bytes()].concat()).unwrap_or_default(),
        _ => c"memory:fuzz".into(),
    }
}

/// What the caller makes of an event; no handle is like it.
fn userdata(bytes: &mut Bytes<'_>) -> *mut c_void {
    std::ptr::without_provenance_mut(usize::from(bytes.byte()))
}

unsafe extern "C" fn on_lost(_: *mut c_void, reason: i32) {
    assert!((1..=6).contains(&reason), "{reason}");
}

pub(super) fn client(bytes: &mut Bytes<'_>, known: &Known, call: &Call) -> i32 {
    let (which, handle) = (bytes.byte(), known.pick::<c_void>(bytes));
    // SAFETY: any number may be given as a handle; texts live for the length of the call, and are
    // as long as is said, or impossibly long; results have a place, or NULL.
    unsafe {
        match which % 16 {
            0 => client::fencelock_client_close(handle.cast(), call.error()),
            1 => client::fencelock_client_fd(handle.cast(), call.out(), call.error()),
            2 => client::fencelock_client_free(handle.cast()),
            3..=6 => token::fencelock_cancel_new(call.out(), call.error()),
            7 => token::fencelock_cancel_fire(handle.cast(), call.error()),
            8 => token::fencelock_cancel_free(handle.cast()),
            _ => {
                let url = url(bytes);
                let options = handle.cast();
                client::fencelock_connect(url.as_ptr(), options, call.out(), call.error())
            }
        }
    }
}

pub(super) fn inspection(bytes: &mut Bytes<'_>, known: &Known, call: &Call) -> i32 {
    let (which, handle) = (bytes.byte(), known.pick::<c_void>(bytes));
    let (inspection, mut length) = (handle.cast(), 0);
    // SAFETY: as in `client`.
    unsafe {
        match which % 16 {
            0 => seen::fencelock_inspection_held(inspection, call.out(), call.error()),
            1 => seen::fencelock_inspection_waiters(inspection, call.out(), call.error()),
            2 => seen::fencelock_inspection_fence(inspection, call.out(), call.error()),
            3 => seen::fencelock_inspection_foreign(inspection, call.out(), call.error()),
            4 => seen::fencelock_inspection_ttl_ms(inspection, call.out(), call.error()),
            5 => seen::fencelock_inspection_remaining_ms(inspection, call.out(), call.error()),
            6 => seen::fencelock_inspection_label(
                inspection,
                call.out(),
                &raw mut length,
                call.error(),
            ),
            7 => seen::fencelock_inspection_holder(
                inspection,
                call.out(),
                &raw mut length,
                call.error(),
            ),
            8 => seen::fencelock_inspection_free(inspection),
            _ => {
                let (name, length) = text(bytes);
                let client = handle.cast();
                seen::fencelock_inspect(client, name, length, call.out(), call.error())
            }
        }
    }
}

pub(super) fn lease(bytes: &mut Bytes<'_>, known: &Known, call: &Call) -> i32 {
    let (which, handle) = (bytes.byte(), known.pick::<c_void>(bytes));
    let lease = handle.cast();
    // SAFETY: as in `client`; the callback may be called with any userdata.
    unsafe {
        match which % 32 {
            0 => held::fencelock_lease_fence(lease, call.out(), call.error()),
            1 => held::fencelock_lease_is_held(lease, call.out(), call.error()),
            2 => held::fencelock_lease_remaining_ms(lease, call.out(), call.error()),
            3 => held::fencelock_lease_lost_reason(lease, call.out(), call.error()),
            4 => held::fencelock_lease_check(lease, call.error()),
            5 => held::fencelock_lease_renew(lease, call.error()),
            6..=9 => held::fencelock_release(lease, call.error()),
            10 => held::fencelock_begin_release(lease, userdata(bytes), call.error()),
            11 => held::fencelock_lease_watch(lease, userdata(bytes), call.error()),
            12 => {
                let callback = (bytes.byte() & 7 != 0).then_some(on_lost as _);
                held::fencelock_lease_on_lost(lease, callback, userdata(bytes), call.error())
            }
            13 => held::fencelock_lease_abandon(lease, call.error()),
            14..=15 => held::fencelock_lease_free(lease),
            which => take(bytes, known, call, which, handle),
        }
    }
}

/// The calls that take locks.
///
/// # Safety
///
/// As the calls': what `call` points to must be there.
unsafe fn take(
    bytes: &mut Bytes<'_>,
    known: &Known,
    call: &Call,
    which: u8,
    handle: *mut c_void,
) -> i32 {
    let (client, (name, length), options) = (handle.cast(), text(bytes), known.pick(bytes));
    let wait = bytes.size() % (WAIT_MOST + 1);
    // SAFETY: as in `client`.
    unsafe {
        match which {
            16..=19 => {
                lock::fencelock_try_acquire(client, name, length, options, call.out(), call.error())
            }
            20..=23 => lock::fencelock_begin_acquire(
                client,
                name,
                length,
                bytes.size(),
                options,
                userdata(bytes),
                call.error(),
            ),
            _ => lock::fencelock_acquire(
                client,
                name,
                length,
                wait,
                options,
                call.out(),
                call.error(),
            ),
        }
    }
}

pub(super) fn event(bytes: &mut Bytes<'_>, known: &Known, call: &Call) -> i32 {
    let (which, handle) = (bytes.byte(), known.pick::<c_void>(bytes));
    let event = handle.cast();
    // SAFETY: as in `client`.
    unsafe {
        match which % 8 {
            0 => events::fencelock_event_kind(event, call.out(), call.error()),
            1 => events::fencelock_event_userdata(event, call.out(), call.error()),
            2..=3 => events::fencelock_event_outcome(event, call.out(), call.error()),
            4 => events::fencelock_event_free(event),
            _ => events::fencelock_next_event(handle.cast(), call.out(), call.error()),
        }
    }
}
