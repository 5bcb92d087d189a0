//! Options of the locks that are taken. They are put together by calls, so that new ones need no new
//! layout.

use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fencelock::blocking;

use crate::boundary::{Out, guard, text};
use crate::cancel::{Cancel, fencelock_cancel};
use crate::codes::FENCELOCK_FOREVER;
use crate::error::{Failure, fencelock_error};
use crate::handle::{self, Kind, Registry};

/// How a lock is taken and held. What is not set has its default.
#[derive(Debug)]
pub struct fencelock_options {
    _opaque: [u8; 0],
}

#[derive(Clone, Debug, Default)]
pub(crate) struct LockSettings {
    ttl: Option<Duration>,
    renew: Option<bool>,
    max_hold: Option<Duration>,
    label: Option<String>,
    pub(crate) cancel: Option<Arc<Cancel>>,
}

impl Kind for ArcSwap<LockSettings> {
    type Opaque = fencelock_options;
    const NUMBER: u64 = 6;
    const NAME: &'static str = "fencelock_options";

    fn registry() -> &'static Registry<Self> {
        static OPTIONS: Registry<ArcSwap<LockSettings>> = Registry::new();
        &OPTIONS
    }
}

impl LockSettings {
    /// Those behind a handle as they are now; NULL: the defaults.
    pub(crate) fn of(handle: *const fencelock_options) -> Result<Self, Failure> {
        let found = handle::find_or_none::<ArcSwap<Self>>(handle)?;
        Ok(found.map_or_else(Self::default, |options| Self::clone(&options.load())))
    }

    pub(crate) fn describe(&self, mut lock: blocking::Lock) -> blocking::Lock {
        if let Some(ttl) = self.ttl {
            lock = lock.ttl(ttl);
        }
        if let Some(renew) = self.renew {
            lock = lock.renew(renew);
        }
        if let Some(time) = self.max_hold {
            lock = lock.max_hold(time);
        }
        if let Some(label) = &self.label {
            lock = lock.label(label.as_str());
        }
        lock
    }
}

/// Changes what is behind a handle.
pub(crate) fn change<T: Clone>(
    export: &str,
    options: *mut <ArcSwap<T> as Kind>::Opaque,
    error: *mut *mut fencelock_error,
    how: impl FnOnce(&mut T) -> Result<(), Failure>,
) -> i32
where
    ArcSwap<T>: Kind,
{
    guard(export, error, || {
        let options = handle::find::<ArcSwap<T>>(options)?;
        let mut changed = T::clone(&options.load());
        how(&mut changed)?;
        options.store(Arc::new(changed));
        Ok(())
    })
}

pub(crate) fn token(cancel: *mut fencelock_cancel) -> Result<Option<Arc<Cancel>>, Failure> {
    Ok(handle::find_or_none::<Arc<Cancel>>(cancel)?.map(|cancel| Arc::clone(&cancel)))
}

/// Makes options with nothing set; free them with `fencelock_options_free`. They may be used for
/// any number of calls and locks. Any thread; who changes them in two threads at once loses one of
/// the changes.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if `options` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_options_new(
    options: *mut *mut fencelock_options,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_options_new", error, || {
        let options = Out::new(options, "options")?;
        options.set(handle::hand_out(ArcSwap::from_pointee(LockSettings::default()))?);
        Ok(())
    })
}

/// How long a lease lasts without renewal, and so how long a crashed holder blocks others, in ms:
/// 50 to 86,400,000 (24 h), with renewal at most 3,600,000 (1 h); looked at when a lock is taken.
/// Default 10,000. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_options_set_ttl_ms(
    options: *mut fencelock_options,
    ttl_ms: u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    change("fencelock_options_set_ttl_ms", options, error, |settings: &mut LockSettings| {
        settings.ttl = Some(Duration::from_millis(ttl_ms));
        Ok(())
    })
}

/// Whether the lease is renewed in the background at each third of its TTL: 0 or not 0. Off, it ends
/// at its TTL. Default 1. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_options_set_renew(
    options: *mut fencelock_options,
    renew: i32,
    error: *mut *mut fencelock_error,
) -> i32 {
    change("fencelock_options_set_renew", options, error, |settings: &mut LockSettings| {
        settings.renew = Some(renew != 0);
        Ok(())
    })
}

/// The longest time that a lease is kept by renewal, in ms, at least 50; then it is lost with the
/// reason `FENCELOCK_LOSS_MAX_HOLD`. `FENCELOCK_FOREVER`: no limit, the default. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_options_set_max_hold_ms(
    options: *mut fencelock_options,
    max_hold_ms: u64,
    error: *mut *mut fencelock_error,
) -> i32 {
    change("fencelock_options_set_max_hold_ms", options, error, |settings: &mut LockSettings| {
        settings.max_hold =
            (max_hold_ms != FENCELOCK_FOREVER).then(|| Duration::from_millis(max_hold_ms));
        Ok(())
    })
}

/// A text that `fencelock_inspect` shows of the holder: UTF-8 of at most 128 bytes, copied. Default
/// empty. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_options_set_label(
    options: *mut fencelock_options,
    label: *const c_char,
    label_len: usize,
    error: *mut *mut fencelock_error,
) -> i32 {
    change("fencelock_options_set_label", options, error, |settings: &mut LockSettings| {
        settings.label = Some(text(label, label_len, "label")?.to_owned());
        Ok(())
    })
}

/// The token that ends waits with these options; NULL for none. It may be freed afterwards. Any
/// thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_options_set_cancel(
    options: *mut fencelock_options,
    cancel: *mut fencelock_cancel,
    error: *mut *mut fencelock_error,
) -> i32 {
    change("fencelock_options_set_cancel", options, error, |settings: &mut LockSettings| {
        settings.cancel = token(cancel)?;
        Ok(())
    })
}

/// Frees options; NULL is none. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if they were freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_options_free(options: *mut fencelock_options) -> i32 {
    guard("fencelock_options_free", std::ptr::null_mut(), || {
        handle::free::<ArcSwap<LockSettings>>(options)
    })
}
