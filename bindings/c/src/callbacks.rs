//! The thread that calls back: engine threads must not wait for a program's code.

use std::cell::Cell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::{CString, c_char, c_void};
use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fencelock::LossReason;
use fencelock_bridge::{Event, PerProcess, Record, queue};

use crate::error::{Failure, loss_code};

/// Called when a lease is lost, with one of `FENCELOCK_LOSS_…`.
pub type fencelock_lost_callback = Option<unsafe extern "C" fn(userdata: *mut c_void, reason: i32)>;

/// Called for a line of the log, with one of `FENCELOCK_LOG_…`. The message ends in NUL, and is
/// there for the length of the call.
pub type fencelock_log_callback =
    Option<unsafe extern "C" fn(userdata: *mut c_void, level: i32, message: *const c_char)>;

/// A function to call, and what to call it with: an address in the program's hands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callback<F = unsafe extern "C" fn(*mut c_void, i32)> {
    pub(crate) function: F,
    pub(crate) userdata: usize,
}

pub(crate) type LogCallback = Callback<unsafe extern "C" fn(*mut c_void, i32, *const c_char)>;

/// What may be called, in this process.
#[derive(Debug, Default)]
pub(crate) struct Callbacks {
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    last: u64,
    lost: HashMap<u64, (Callback, Option<LossReason>)>,
    log: Option<LogCallback>,
    running: Option<Running>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Lost(u64),
    Log,
}

thread_local! {
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Fails on the thread that calls back: to block there would hold up every other callback, and
/// wait for ever where one of those is what it waits for.
pub(crate) fn refuse_inside() -> Result<(), Failure> {
    if CALLING.get() {
        return Err(Failure::would_deadlock(
            "called from a callback, which must not block; leave it to another thread",
        ));
    }
    Ok(())
}

/// Those of this process.
pub(crate) fn callbacks() -> Arc<Callbacks> {
    static CALLBACKS: PerProcess<Callbacks> = PerProcess::new();
    let Ok(callbacks) = CALLBACKS.get_or_try(|| Ok::<_, Infallible>(Callbacks::default()));
    callbacks
}

impl Callbacks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread, if it does not run yet.
    pub(crate) fn start(self: &Arc<Self>) -> Result<(), Failure> {
        let mut state = self.state();
        if state.started {
            return Ok(());
        }
        let callbacks = self.clone();
        std::thread::Builder::new()
            .name("fencelock-calls".to_owned())
            .spawn(move || callbacks.serve())
            .map_err(|error| Failure::internal(format!("no thread for callbacks: {error}")))?;
        state.started = true;
        Ok(())
    }

    fn serve(&self) {
        CALLING.set(true);
        // The queue is never stopped.
        while let Some(event) = queue().next() {
            match event {
                Event::Lost(number) => self.call_lost(number),
                Event::Log(record) => self.call_log(&record),
            }
        }
    }

    pub(crate) fn remember(&self, callback: Callback) -> u64 {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.lost.insert(number, (callback, None));
        number
    }

    /// A lease ended: it was lost, or released.
    pub(crate) fn ended(&self, number: u64, reason: Option<LossReason>) {
        let mut state = self.state();
        if reason.is_none() {
            state.lost.remove(&number);
        } else if let Some((_, known)) = state.lost.get_mut(&number) {
            *known = reason;
            drop(state);
            queue().push(Event::Lost(number));
        }
    }

    /// Calls it no more; waits for its end if it is just running.
    pub(crate) fn forget(&self, number: u64) {
        let mut state = self.state();
        state.lost.remove(&number);
        self.wait_for(state, Running::Lost(number));
    }

    /// Writes the log with another function, or with none.
    pub(crate) fn log_with(&self, log: Option<LogCallback>) {
        let mut state = self.state();
        state.log = log;
        self.wait_for(state, Running::Log);
    }

    fn wait_for(&self, mut state: MutexGuard<'_, State>, running: Running) {
        while state.running == Some(running) && !CALLING.get() {
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn call_lost(&self, number: u64) {
        let mut state = self.state();
        let Some((callback, reason)) = state.lost.remove(&number) else { return };
        state.running = Some(Running::Lost(number));
        drop(state);
        // SAFETY: the program gave both to be called with each other, and was not yet told that
        // the lease is freed.
        unsafe { (callback.function)(pointer(callback.userdata), loss_code(reason)) };
        self.done();
    }

    fn call_log(&self, record: &Record) {
        let (level, message) = line(record);
        let mut state = self.state();
        let Some(log) = state.log else { return };
        state.running = Some(Running::Log);
        drop(state);
        // SAFETY: the program gave both to be called with each other, and was not yet told that
        // they were taken back.
        unsafe { (log.function)(pointer(log.userdata), level, message.as_ptr()) };
        self.done();
    }

    fn done(&self) {
        self.state().running = None;
        self.over.notify_all();
    }
}

/// What the program gave, given back: its address, which only the program follows.
pub(crate) fn pointer(userdata: usize) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(userdata)
}

fn line(record: &Record) -> (i32, CString) {
    let mut text = record.message.clone();
    for (name, value) in &record.fields {
        // Writing to a String can't fail.
        let _ = write!(text, " {name}={value:?}");
    }
    let message = CString::new(text.replace('\0', "\\0")).unwrap_or_default();
    (crate::log::level_code(record.level), message)
}
