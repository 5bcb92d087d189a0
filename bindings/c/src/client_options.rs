//! Options of a client.

use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fencelock::{ClientOptions, Pem, TlsVersion};

use crate::boundary::{Out, bytes, c_text, guard, text};
use crate::cancel::{Cancel, fencelock_cancel};
use crate::error::{Failure, fencelock_error};
use crate::handle::{self, Kind, Registry};
use crate::options::{change, token};

/// How a client connects. What is not set has its default.
#[derive(Debug)]
pub struct fencelock_client_options {
    _opaque: [u8; 0],
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ClientSettings {
    pub(crate) options: ClientOptions,
    pub(crate) cancel: Option<Arc<Cancel>>,
    pub(crate) lazy: bool,
}

impl Kind for ArcSwap<ClientSettings> {
    type Opaque = fencelock_client_options;
    const NUMBER: u64 = 7;
    const NAME: &'static str = "fencelock_client_options";

    fn registry() -> &'static Registry<Self> {
        static OPTIONS: Registry<ArcSwap<ClientSettings>> = Registry::new();
        &OPTIONS
    }
}

impl ClientSettings {
    /// As [`LockSettings::of`].
    pub(crate) fn of(handle: *const fencelock_client_options) -> Result<Self, Failure> {
        let found = handle::find_or_none::<ArcSwap<Self>>(handle)?;
        Ok(found.map_or_else(Self::default, |options| Self::clone(&options.load())))
    }
}

/// Changes a client's options.
fn change_client(
    export: &str,
    options: *mut fencelock_client_options,
    error: *mut *mut fencelock_error,
    how: impl FnOnce(ClientOptions) -> Result<ClientOptions, Failure>,
) -> i32 {
    change(export, options, error, |settings: &mut ClientSettings| {
        settings.options = how(settings.options.clone())?;
        Ok(())
    })
}

/// Makes options of a client with nothing set; free them with `fencelock_client_options_free`. Any
/// thread; who changes them in two threads at once loses one of the changes.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if `options` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_new(
    options: *mut *mut fencelock_client_options,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_client_options_new", error, || {
        let options = Out::new(options, "options")?;
        options.set(handle::hand_out(ArcSwap::from_pointee(ClientSettings::default()))?);
        Ok(())
    })
}

/// Put before every lock's name to make the key: UTF-8, copied. Clients with different prefixes do not
/// exclude each other. The URL's `prefix` parameter says the same. Default none. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_prefix(
    options: *mut fencelock_client_options,
    prefix: *const c_char,
    prefix_len: usize,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_prefix", options, error, |options| {
        Ok(options.prefix(text(prefix, prefix_len, "prefix")?))
    })
}

/// How long connecting may take, in ms: 1 to 3,600,000. Default 5,000. On behalf of a lease it is
/// never longer than the lease allows. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_connect_timeout_ms(
    options: *mut fencelock_client_options,
    timeout_ms: u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_connect_timeout_ms", options, error, |options| {
        Ok(options.connect_timeout(Duration::from_millis(timeout_ms)))
    })
}

/// How long an answer may take, in ms: 1 to 3,600,000. Default 5,000. On behalf of a lease it is
/// never longer than the lease allows. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_response_timeout_ms(
    options: *mut fencelock_client_options,
    timeout_ms: u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_response_timeout_ms", options, error, |options| {
        Ok(options.response_timeout(Duration::from_millis(timeout_ms)))
    })
}

/// The CA certificates to trust instead of the system's. As all that begins with `set_tls_`, it is
/// for `rediss://` URLs and refused with others. `path` ends in NUL, and names a file in PEM that
/// is read when connecting. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_tls_ca_file(
    options: *mut fencelock_client_options,
    path: *const c_char,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_tls_ca_file", options, error, |options| {
        Ok(options.tls_ca(Pem::file(c_text(path, "path")?)))
    })
}

/// As `fencelock_client_options_set_tls_ca_file`, the PEM text itself: copied. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_tls_ca_pem(
    options: *mut fencelock_client_options,
    pem: *const c_char,
    pem_len: usize,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_tls_ca_pem", options, error, |options| {
        Ok(options.tls_ca(Pem::text(bytes(pem, pem_len, "pem")?)))
    })
}

/// The client certificate to show, its chain after it; goes with `set_tls_key_…`. `path` ends in NUL, and
/// names a file in PEM that is read when connecting. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_tls_cert_file(
    options: *mut fencelock_client_options,
    path: *const c_char,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_tls_cert_file", options, error, |options| {
        Ok(options.tls_cert(Pem::file(c_text(path, "path")?)))
    })
}

/// As `fencelock_client_options_set_tls_cert_file`, the PEM text itself: copied. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_tls_cert_pem(
    options: *mut fencelock_client_options,
    pem: *const c_char,
    pem_len: usize,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_tls_cert_pem", options, error, |options| {
        Ok(options.tls_cert(Pem::text(bytes(pem, pem_len, "pem")?)))
    })
}

/// The private key of the client certificate, not encrypted. `path` ends in NUL, and
/// names a file in PEM that is read when connecting. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_tls_key_file(
    options: *mut fencelock_client_options,
    path: *const c_char,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_tls_key_file", options, error, |options| {
        Ok(options.tls_key(Pem::file(c_text(path, "path")?)))
    })
}

/// As `fencelock_client_options_set_tls_key_file`, the PEM text itself: copied. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_tls_key_pem(
    options: *mut fencelock_client_options,
    pem: *const c_char,
    pem_len: usize,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_tls_key_pem", options, error, |options| {
        Ok(options.tls_key(Pem::text(bytes(pem, pem_len, "pem")?)))
    })
}

/// The name that the server's certificate must be for, and that is sent as SNI; ends in NUL. Default:
/// the URL's host. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_tls_server_name(
    options: *mut fencelock_client_options,
    name: *const c_char,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_tls_server_name", options, error, |options| {
        Ok(options.tls_server_name(c_text(name, "name")?))
    })
}

/// The oldest version of TLS to speak: "1.2" or "1.3"; ends in NUL. Default "1.2". Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_tls_min_version(
    options: *mut fencelock_client_options,
    version: *const c_char,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client("fencelock_client_options_set_tls_min_version", options, error, |options| {
        Ok(options.tls_min_version(TlsVersion::parse(c_text(version, "version")?)?))
    })
}

/// Not 0 takes whoever answers for the server: anybody on the way can read the password, and grant
/// locks. For trying things out. Default 0. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_danger_accept_invalid_certs(
    options: *mut fencelock_client_options,
    accept: i32,
    error: *mut *mut fencelock_error,
) -> i32 {
    change_client(
        "fencelock_client_options_set_danger_accept_invalid_certs",
        options,
        error,
        |options| Ok(options.danger_accept_invalid_certs(accept != 0)),
    )
}

/// Not 0: `fencelock_connect` only checks what it is given, and the client connects when it is used
/// first. Default 0. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_lazy(
    options: *mut fencelock_client_options,
    lazy: i32,
    error: *mut *mut fencelock_error,
) -> i32 {
    change("fencelock_client_options_set_lazy", options, error, |settings: &mut ClientSettings| {
        settings.lazy = lazy != 0;
        Ok(())
    })
}

/// The token that ends `fencelock_connect`; NULL for none. It may be freed afterwards. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_set_cancel(
    options: *mut fencelock_client_options,
    cancel: *mut fencelock_cancel,
    error: *mut *mut fencelock_error,
) -> i32 {
    change(
        "fencelock_client_options_set_cancel",
        options,
        error,
        |settings: &mut ClientSettings| {
            settings.cancel = token(cancel)?;
            Ok(())
        },
    )
}

/// Frees options; NULL is none. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if they were freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_client_options_free(
    options: *mut fencelock_client_options,
) -> i32 {
    guard("fencelock_client_options_free", std::ptr::null_mut(), || {
        handle::free::<ArcSwap<ClientSettings>>(options)
    })
}
