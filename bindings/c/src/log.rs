//! fencelock's log, for C.

use std::ffi::c_void;

use tracing::Level;
use tracing::level_filters::LevelFilter;

use crate::boundary::guard;
use crate::callbacks::{Callback, callbacks, fencelock_log_callback};
use crate::codes::{
    FENCELOCK_LOG_DEBUG, FENCELOCK_LOG_ERROR, FENCELOCK_LOG_INFO, FENCELOCK_LOG_OFF,
    FENCELOCK_LOG_TRACE, FENCELOCK_LOG_WARN,
};
use crate::error::{Failure, fencelock_error};

/// Writes fencelock's log through a callback: what is at least as grave as `level`, one of
/// `FENCELOCK_LOG_…`. It is called on a thread of fencelock, one line at a time, and must not call
/// functions that block. There is one such callback in a process; the next call puts another in its
/// place, and NULL none, whatever the level. When this has returned, the earlier one is not under
/// way any more, unless this was called from within it. Passwords and owner tokens are never
/// logged. A program that has forked sets it again in the child. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` for a level that there is not; `FENCELOCK_INTERNAL` if no
/// thread can be started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_set_log(
    level: i32,
    callback: fencelock_log_callback,
    userdata: *mut c_void,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_set_log", error, || {
        let filter = filter(level)?;
        let callbacks = callbacks();
        let Some(function) = callback else {
            fencelock_bridge::log::forward(LevelFilter::OFF);
            callbacks.log_with(None);
            return Ok(());
        };
        callbacks.start()?;
        callbacks.log_with(Some(Callback { function, userdata: userdata.expose_provenance() }));
        fencelock_bridge::log::forward(filter);
        Ok(())
    })
}

fn filter(level: i32) -> Result<LevelFilter, Failure> {
    Ok(match level {
        FENCELOCK_LOG_OFF => LevelFilter::OFF,
        FENCELOCK_LOG_ERROR => LevelFilter::ERROR,
        FENCELOCK_LOG_WARN => LevelFilter::WARN,
        FENCELOCK_LOG_INFO => LevelFilter::INFO,
        FENCELOCK_LOG_DEBUG => LevelFilter::DEBUG,
        FENCELOCK_LOG_TRACE => LevelFilter::TRACE,
        _ => return Err(Failure::invalid(format!("there is no log level {level}"))),
    })
}

pub(crate) fn level_code(level: Level) -> i32 {
    match level {
        Level::ERROR => FENCELOCK_LOG_ERROR,
        Level::WARN => FENCELOCK_LOG_WARN,
        Level::INFO => FENCELOCK_LOG_INFO,
        Level::DEBUG => FENCELOCK_LOG_DEBUG,
        _ => FENCELOCK_LOG_TRACE,
    }
}
