//! The C interface: any sequence of calls that keeps to the header's rules about pointers, with
//! handles that are stale, of another kind or made up. Every call answers with a status that the
//! header knows, writes results on success only, and describes its failure; a handle is refused
//! once it was freed.
#![expect(unsafe_code, reason = "it calls as C does")]

mod locks;
mod settings;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use fencelock_c::codes::{FENCELOCK_INTERNAL, FENCELOCK_INVALID_ARGUMENT, FENCELOCK_OK};
use fencelock_c::error::{
    fencelock_error, fencelock_error_ambiguous, fencelock_error_code, fencelock_error_free,
    fencelock_error_lock, fencelock_error_loss, fencelock_error_message, fencelock_error_retryable,
};
use fencelock_c::{cancel, client, client_options, events, inspection, lease, options};

use crate::bytes::Bytes;

/// More calls than that only take longer.
const CALLS_MOST: usize = 64;
/// Stands where a result is to come; no handle is like it.
const UNTOUCHED: usize = 0x5A5A;

/// Handles that the calls gave, freed ones among them.
#[derive(Default)]
struct Known {
    handles: Vec<usize>,
}

impl Known {
    /// Some handle as a pointer: one that was given, one like it, or NULL.
    fn pick<T>(&self, bytes: &mut Bytes<'_>) -> *mut T {
        let (way, which) = (bytes.byte(), usize::from(bytes.byte()));
        let handle = match (way % 16, self.handles.len()) {
            (0, _) | (_, 0) => 0,
            (1, _) => usize::try_from(bytes.number()).unwrap_or(0),
            (2, count) => self.handles[which % count] ^ (1 << (bytes.byte() % 64)),
            (_, count) => self.handles[count - 1 - which % count],
        };
        ptr::without_provenance_mut(handle)
    }
}

/// One call: where its result and its error go.
struct Call {
    out: Cell<usize>,
    error: Cell<*mut fencelock_error>,
    wants_out: bool,
    wants_error: bool,
    /// Whether the call was given a place for an error: those that free take none.
    told: Cell<bool>,
}

impl Call {
    fn new(bytes: &mut Bytes<'_>) -> Self {
        let wants = bytes.byte();
        Self {
            out: Cell::new(UNTOUCHED),
            error: Cell::new(ptr::null_mut()),
            wants_out: wants % 16 != 1,
            wants_error: wants % 4 != 2,
            told: Cell::new(false),
        }
    }

    /// Where a result of any type goes that is no larger than a pointer.
    fn out<T>(&self) -> *mut T {
        const { assert!(size_of::<T>() <= size_of::<usize>()) };
        if self.wants_out { self.out.as_ptr().cast() } else { ptr::null_mut() }
    }

    fn error(&self) -> *mut *mut fencelock_error {
        self.told.set(self.wants_error);
        if self.wants_error { self.error.as_ptr() } else { ptr::null_mut() }
    }

    /// Checks what came of it; gives the handle that was written, if it is one.
    fn ended(&self, status: i32) -> Option<usize> {
        let known = (FENCELOCK_OK..FENCELOCK_INTERNAL).contains(&status);
        assert!(known, "status {status}, or a panic");
        let (out, error) = (self.out.get(), self.error.get());
        if status == FENCELOCK_OK {
            assert!(error.is_null(), "an error of a success");
            // Neither a number nor an address begins like this.
            return (out >> 62 == 0b10).then_some(out);
        }
        assert_eq!(out, UNTOUCHED, "a result of a failure");
        if self.told.get() {
            describe(error, status);
        } else {
            assert!(error.is_null());
        }
        None
    }
}

/// Reads an error as a program would, and frees it.
fn describe(error: *mut fencelock_error, status: i32) {
    assert!(!error.is_null(), "a failure without an error");
    let (mut retryable, mut ambiguous, mut loss) = (-1, -1, -1);
    let (mut name, mut length): (*const c_char, usize) = (ptr::null(), 1);
    // SAFETY: the error is live until it is freed, and so are its texts; the rest is ours.
    unsafe {
        assert_eq!(fencelock_error_code(error), status);
        let message = CStr::from_ptr(fencelock_error_message(error)).to_str();
        assert!(message.is_ok_and(|text| !text.is_empty() && !text.contains('\n')));
        assert_eq!(fencelock_error_retryable(error, &raw mut retryable), FENCELOCK_OK);
        assert_eq!(fencelock_error_ambiguous(error, &raw mut ambiguous), FENCELOCK_OK);
        assert_eq!(fencelock_error_loss(error, &raw mut loss), FENCELOCK_OK);
        assert_eq!(fencelock_error_lock(error, &raw mut name, &raw mut length), FENCELOCK_OK);
        assert!(!name.is_null() || length == 0, "a name without text");
        assert_eq!(fencelock_error_free(error), FENCELOCK_OK);
        assert_eq!(fencelock_error_free(error), FENCELOCK_INVALID_ARGUMENT);
    }
    assert!((0..=1).contains(&retryable) && (0..=1).contains(&ambiguous));
    assert!((0..=6).contains(&loss), "{loss}");
}

pub(crate) fn run(data: &[u8]) {
    let (mut bytes, mut known) = (Bytes::new(data), Known::default());
    for _ in 0..CALLS_MOST {
        if bytes.is_empty() {
            break;
        }
        let call = Call::new(&mut bytes);
        let status = match bytes.byte() % 8 {
            0 => settings::of_lock(&mut bytes, &known, &call),
            1 => settings::of_client(&mut bytes, &known, &call),
            2 => locks::client(&mut bytes, &known, &call),
            3 => locks::inspection(&mut bytes, &known, &call),
            4 => locks::event(&mut bytes, &known, &call),
            _ => locks::lease(&mut bytes, &known, &call),
        };
        known.handles.extend(call.ended(status));
    }
    for handle in known.handles {
        free_all(ptr::without_provenance_mut(handle));
    }
}

/// Frees what a handle stands for: of the kinds at most one knows it.
fn free_all(handle: *mut c_void) {
    // SAFETY: any number may be given as a handle.
    let statuses = unsafe {
        [
            events::fencelock_event_free(handle.cast()),
            lease::fencelock_lease_free(handle.cast()),
            inspection::fencelock_inspection_free(handle.cast()),
            options::fencelock_options_free(handle.cast()),
            client_options::fencelock_client_options_free(handle.cast()),
            cancel::fencelock_cancel_free(handle.cast()),
            client::fencelock_client_free(handle.cast()),
        ]
    };
    assert!(statuses.iter().filter(|&&status| status == FENCELOCK_OK).count() <= 1);
    assert!(statuses.iter().all(|s| [FENCELOCK_OK, FENCELOCK_INVALID_ARGUMENT].contains(s)));
}
