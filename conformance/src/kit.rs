//! What the Rust drivers share: reading a request's arguments, writing answers, logging.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fencelock::{Error, Inspection, LossReason};

use crate::line::{Answer, Fault, Fields, Said};

/// The clock of every `at=`: the same in all processes, and running in suspend.
pub fn boot_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// What a mutex holds, also after a thread has panicked with it.
pub fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs everything to standard error, where the runner looks for secrets; nothing if
/// `FENCELOCK_DRIVER_QUIET` is set, for runs that last.
pub fn log_everything() {
    if std::env::var_os("FENCELOCK_DRIVER_QUIET").is_some() {
        return;
    }
    // Not `io::stderr`: a lock that another thread held at a fork would stay locked in the child.
    let writer = || Unlocked;
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(writer)
        .init();
}

struct Unlocked;

impl Write for Unlocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(rustix::stdio::stderr(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one line to the runner.
pub fn say(said: &Said) {
    let mut out = io::stdout().lock();
    // A runner that is gone wants no answer.
    let _ = writeln!(out, "{said}").and_then(|()| out.flush());
}

/// Tells that a lease was lost.
pub fn say_lost(lease: &str, reason: LossReason) {
    let fields = Fields::default()
        .with("lease", lease)
        .with("reason", reason.name())
        .with("at", boot_nanos());
    say(&Said::Event("lost".to_owned(), fields));
}

/// The arguments of `acquire`, `try` and `sections`; what is not given is left to the API.
#[derive(Clone, Debug)]
pub struct Wish {
    /// `client=`
    pub client: String,
    /// `name=`
    pub name: String,
    /// `ttl=`
    pub ttl: Option<Duration>,
    /// `renew=`
    pub renew: Option<bool>,
    /// `max_hold=`
    pub max_hold: Option<Duration>,
    /// `label=`
    pub label: Option<String>,
    /// `timeout=`
    pub timeout: Option<Duration>,
}

impl Wish {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// `usage`.
    pub fn read(fields: &Fields) -> Result<Self, Fault> {
        let read = || {
            Ok::<_, String>(Self {
                client: fields.text("client")?.to_owned(),
                name: fields.text("name")?.to_owned(),
                ttl: fields.millis("ttl")?,
                renew: fields.get("renew").map(|renew| renew == "1"),
                max_hold: fields.millis("max_hold")?,
                label: fields.get("label").map(ToOwned::to_owned),
                timeout: fields.millis("timeout")?,
            })
        };
        read().map_err(Fault::usage)
    }
}

/// Describes a lock: the two Rust APIs have the same methods.
#[macro_export]
macro_rules! describe {
    ($client:expr, $wish:expr) => {{
        let mut lock = $client.lock($wish.name.as_str());
        if let Some(ttl) = $wish.ttl {
            lock = lock.ttl(ttl);
        }
        if let Some(renew) = $wish.renew {
            lock = lock.renew(renew);
        }
        if let Some(time) = $wish.max_hold {
            lock = lock.max_hold(time);
        }
        if let Some(label) = &$wish.label {
            lock = lock.label(label.as_str());
        }
        lock
    }};
}

/// The options of `connect`.
///
/// # Errors
///
/// `usage`.
pub fn client_options(fields: &Fields) -> Result<fencelock::ClientOptions, Fault> {
    let mut options = fencelock::ClientOptions::new();
    if let Some(prefix) = fields.get("prefix") {
        options = options.prefix(prefix);
    }
    if let Some(time) = fields.millis("response_timeout").map_err(Fault::usage)? {
        options = options.response_timeout(time);
    }
    Ok(options)
}

/// A lease as `acquire`, `try` and `held` tell it. `at` is read first, so that `at + remaining`
/// is never later than the lease's end.
pub fn lease_fields(at: u64, fence: u64, remaining: Duration) -> Fields {
    Fields::default().with("at", at).with("fence", fence).with("remaining", remaining.as_nanos())
}

/// An inspection as `inspect` tells it.
pub fn inspection_fields(seen: &Inspection) -> Fields {
    let fields = Fields::default()
        .with("held", u8::from(seen.holder.is_some()))
        .with("waiters", seen.waiters);
    let Some(holder) = &seen.holder else {
        return fields;
    };
    let fields = fields.with("foreign", u8::from(holder.foreign)).with("label", &holder.label);
    match holder.fence {
        Some(fence) => fields.with("fence", fence),
        None => fields,
    }
}

/// An error as every driver tells it.
pub fn fault(error: &Error) -> Fault {
    let mut fields = Fields::default()
        .with("code", error.kind().code())
        .with("message", error)
        .with("retryable", u8::from(error.is_retryable()))
        .with("ambiguous", u8::from(error.is_ambiguous()));
    if let Some(reason) = error.loss() {
        fields = fields.with("loss", reason.name());
    }
    Fault { kind: error.kind().name().to_owned(), fields }
}

/// Forks, lets the child carry something out, and gives the child's answer.
///
/// # Errors
///
/// The child's fault, or `usage` when it could not tell.
#[expect(unsafe_code, reason = "fork has no safe interface")]
pub fn in_child(work: impl FnOnce() -> Answer) -> Answer {
    let failed = |error: io::Error| Fault::usage(format!("no child: {error}"));
    let (read, write) = rustix::pipe::pipe().map_err(|error| failed(error.into()))?;
    // SAFETY: the child writes to its pipe and ends without returning; it uses nothing of other
    // threads but what fencelock itself must get right after a fork.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(failed(io::Error::last_os_error())),
        0 => {
            let said = Said::Answer(0, work());
            let written = File::from(write).write_all(said.to_string().as_bytes());
            // SAFETY: ends this process, without the parent's exit handlers.
            unsafe { libc::_exit(i32::from(written.is_err())) }
        }
        child => child,
    };
    drop(write);
    let mut line = String::new();
    let told = File::from(read).read_to_string(&mut line);
    // SAFETY: waits for our own child; no status is asked for.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    told.map_err(failed)?;
    match Said::read(&line) {
        Ok(Said::Answer(_, answer)) => answer,
        _ => Err(Fault::usage(format!("the child said {line:?}"))),
    }
}
