//! Options of locks and of clients, and the texts that calls take.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use fencelock_c::client_options as of_client;
use fencelock_c::options as of_lock;

use super::{Call, Known};
use crate::bytes::Bytes;

/// A text by pointer and length: of the length that it has, or NULL.
pub(super) fn text<'a>(bytes: &mut Bytes<'a>) -> (*const c_char, usize) {
    let text: &'a [u8] = bytes.some();
    match (text.len(), bytes.byte()) {
        (0, 1) => (ptr::null(), 0),
        (_, 2) => (ptr::null(), text.len()),
        (_, 3) => (text.as_ptr().cast(), usize::MAX),
        (length, _) => (text.as_ptr().cast(), length),
    }
}

pub(super) fn c_text(bytes: &mut Bytes<'_>) -> CString {
    CString::new(bytes.line()).unwrap_or_default()
}

pub(super) fn of_lock(bytes: &mut Bytes<'_>, known: &Known, call: &Call) -> i32 {
    let (which, options) = (bytes.byte(), known.pick(bytes));
    // SAFETY: any number may be given as a handle; texts live for the length of the call, and are
    // as long as is said, or impossibly long; results have a place, or NULL.
    unsafe {
        match which % 8 {
            0 => of_lock::fencelock_options_free(options),
            1 => of_lock::fencelock_options_set_ttl_ms(options, bytes.size(), call.error()),
            2 => {
                of_lock::fencelock_options_set_renew(options, i32::from(bytes.byte()), call.error())
            }
            3 => of_lock::fencelock_options_set_max_hold_ms(options, bytes.size(), call.error()),
            4 => {
                let (label, length) = text(bytes);
                of_lock::fencelock_options_set_label(options, label, length, call.error())
            }
            5 => of_lock::fencelock_options_set_cancel(options, known.pick(bytes), call.error()),
            _ => of_lock::fencelock_options_new(call.out(), call.error()),
        }
    }
}

pub(super) fn of_client(bytes: &mut Bytes<'_>, known: &Known, call: &Call) -> i32 {
    let (which, handle) = (bytes.byte(), known.pick::<c_void>(bytes));
    let options = handle.cast();
    // SAFETY: as in `of_lock`.
    unsafe {
        match which % 14 {
            0 => of_client::fencelock_client_options_free(options),
            1 => {
                let (prefix, length) = text(bytes);
                of_client::fencelock_client_options_set_prefix(
                    options,
                    prefix,
                    length,
                    call.error(),
                )
            }
            2 => of_client::fencelock_client_options_set_connect_timeout_ms(
                options,
                bytes.size(),
                call.error(),
            ),
            3 => of_client::fencelock_client_options_set_response_timeout_ms(
                options,
                bytes.size(),
                call.error(),
            ),
            which @ 4..=6 => {
                let (pem, length) = text(bytes);
                let set = match which {
                    4 => of_client::fencelock_client_options_set_tls_ca_pem,
                    5 => of_client::fencelock_client_options_set_tls_cert_pem,
                    _ => of_client::fencelock_client_options_set_tls_key_pem,
                };
                set(options, pem, length, call.error())
            }
            which @ 7..=8 => {
                let value = c_text(bytes);
                let set = match which {
                    7 => of_client::fencelock_client_options_set_tls_server_name,
                    _ => of_client::fencelock_client_options_set_tls_min_version,
                };
                set(options, value.as_ptr(), call.error())
            }
            which @ 9..=10 => {
                let set = match which {
                    9 => of_client::fencelock_client_options_set_danger_accept_invalid_certs,
                    _ => of_client::fencelock_client_options_set_lazy,
                };
                set(options, i32::from(bytes.byte()), call.error())
            }
            11 => of_client::fencelock_client_options_set_cancel(
                options,
                known.pick(bytes),
                call.error(),
            ),
            _ => of_client::fencelock_client_options_new(call.out(), call.error()),
        }
    }
}
