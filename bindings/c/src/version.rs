//! Which library this is.

use std::ffi::c_char;

use crate::boundary::answer;
use crate::codes::FENCELOCK_ABI_VERSION;

/// The library's version, such as "0.1.0". It is there for ever. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn fencelock_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    answer("fencelock_version", c"".as_ptr(), || VERSION.as_ptr().cast())
}

/// The number of the library's binary interface: that of the soname. A program that loads the
/// library by itself compares it with the `FENCELOCK_ABI_VERSION` that it was compiled with. Any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn fencelock_abi_version() -> u32 {
    answer("fencelock_abi_version", u32::MAX, || FENCELOCK_ABI_VERSION)
}
