//! The boundary to C: no panic crosses it, and no pointer is followed unlooked at. What the
//! pointers of the exports must be, the header says at its top.

use std::any::Any;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::codes::FENCELOCK_OK;
use crate::error::{Failure, fencelock_error};

/// Does an export's work: gives its status, and describes a failure where that is asked for.
pub(crate) fn guard(
    export: &str,
    error: *mut *mut fencelock_error,
    work: impl FnOnce() -> Result<(), Failure>,
) -> i32 {
    match caught(export, work) {
        Ok(Ok(())) => FENCELOCK_OK,
        Ok(Err(failure)) | Err(failure) => failure.report(error),
    }
}

/// Does the work of an export that has an answer instead of a status: `otherwise` in need.
pub(crate) fn answer<T>(export: &str, otherwise: T, work: impl FnOnce() -> T) -> T {
    caught(export, work).unwrap_or(otherwise)
}

fn caught<T>(export: &str, work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(|| {
        inject(export);
        work()
    }))
    .map_err(|panic| {
        let failure = Failure::internal(format!("{export} panicked: {}", told(&*panic)));
        // Dropping what was thrown may panic as well.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
        failure
    })
}

fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

#[cfg(not(feature = "panic-injection"))]
fn inject(_: &str) {}

#[cfg(feature = "panic-injection")]
fn inject(export: &str) {
    let wanted = std::env::var_os("FENCELOCK_PANIC_IN");
    assert!(wanted.is_none_or(|name| name != export), "injected");
}

/// Where a result goes, on success only.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Refuses NULL: asked for before anything is done, so that nothing gets lost.
    pub(crate) fn new(pointer: *mut T, name: &str) -> Result<Self, Failure> {
        if pointer.is_null() {
            return Err(Failure::invalid(format!("{name} is NULL: the result has nowhere to go")));
        }
        Ok(Self(pointer))
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: not NULL; the header asks for a pointer that can be written to.
        unsafe { self.0.write(value) };
    }
}

/// Bytes by pointer and length.
pub(crate) fn bytes<'a>(
    pointer: *const c_char,
    length: usize,
    name: &str,
) -> Result<&'a [u8], Failure> {
    if length == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(Failure::invalid(format!("{name} is NULL, its length {length}")));
    }
    if isize::try_from(length).is_err() {
        return Err(Failure::invalid(format!("the length of {name} is {length}")));
    }
    // SAFETY: not NULL and of a possible length; the header asks for so many readable bytes, which
    // nobody changes during the call.
    Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), length) })
}

/// A text by pointer and length.
pub(crate) fn text<'a>(
    pointer: *const c_char,
    length: usize,
    name: &str,
) -> Result<&'a str, Failure> {
    utf8(bytes(pointer, length, name)?, name)
}

/// A text that ends at its first NUL.
pub(crate) fn c_text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Err(Failure::invalid(format!("{name} is NULL")));
    }
    // SAFETY: not NULL; the header asks for a text that ends in NUL.
    utf8(unsafe { CStr::from_ptr(pointer) }.to_bytes(), name)
}

fn utf8<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| Failure::invalid(format!("{name} is not UTF-8")))
}
