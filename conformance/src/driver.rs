//! A running driver, as the runner sees it.
#![expect(
    clippy::panic,
    reason = "a scenario without its driver has nothing better to do than to fail"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, kill_process, prlimit,
    set_parent_process_death_signal, waitpid,
};

use crate::line::{Answer, Fault, Fields, Request, Said};

/// How long anything may take that is not about time. Generous: machines are loaded.
pub const LIMIT: Duration = Duration::from_secs(20);

/// How much of what a quiet driver said is kept: a run that lasts says more than memory holds.
const QUIET_TRANSCRIPT: usize = 16 * 1024;

/// A driver's language: how it is started, and what it can do.
#[derive(Debug)]
pub struct Language {
    /// The name that its `hello` gives.
    pub name: &'static str,
    /// The program.
    pub program: fn() -> Command,
    /// What it can do beyond what every driver can, as its `hello` says, sorted.
    pub can: &'static [&'static str],
    /// What to do when it does not start.
    pub setup: &'static str,
}

/// A driver process. Dropping it kills it.
#[derive(Debug)]
pub struct Driver {
    name: String,
    child: Mutex<Child>,
    stdin: Mutex<Option<ChildStdin>>,
    inbox: Arc<Inbox>,
    last_id: AtomicU64,
}

/// What a driver has said.
#[derive(Debug, Default)]
struct Inbox {
    quiet: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<u64, Answer>,
    events: Vec<(String, Fields)>,
    transcript: String,
    ended: bool,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is found in what was said; `None` when time is over, or when the
    /// driver ended without having said it.
    fn find<T>(&self, limit: Duration, mut look: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let give_up = Instant::now() + limit;
        let mut state = self.state();
        loop {
            if let Some(found) = look(&mut state) {
                return Some(found);
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take_out(&self, line: &str) {
        let mut state = self.state();
        match Said::read(line) {
            Ok(Said::Answer(id, answer)) => {
                state.answers.insert(id, answer);
            }
            Ok(Said::Event(event, fields)) => state.events.push((event, fields)),
            // Shown in the transcript, and noticed by whoever waits for what it should have been.
            Err(_) => {}
        }
        drop(state);
        self.changed.notify_all();
    }

    fn write(&self, mark: &str, line: &str) {
        let mut state = self.state();
        while self.quiet && state.transcript.len() > QUIET_TRANSCRIPT {
            let line = state.transcript.find('\n').map_or(usize::MAX, |end| end + 1);
            let line = line.min(state.transcript.len());
            state.transcript.drain(..line);
        }
        // Writing to a String cannot fail.
        let _ = writeln!(state.transcript, "{mark} {line}");
    }

    fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }
}

impl Driver {
    /// Starts a driver, and checks that it is what it should be.
    pub fn start(language: &Language, name: &str) -> Self {
        Self::start_as(language, (language.program)(), name, false)
    }

    /// As [`start`](Self::start), without its log: for runs that last, and meet busier times.
    pub fn start_quiet(language: &Language, name: &str) -> Self {
        Self::start_as(language, (language.program)(), name, true)
    }

    /// As [`start`](Self::start), under a tool that runs the command behind its own arguments.
    pub fn start_under(mut tool: Command, language: &Language, name: &str) -> Self {
        let program = (language.program)();
        tool.arg(program.get_program()).args(program.get_args());
        Self::start_as(language, tool, name, false)
    }

    fn start_as(language: &Language, command: Command, name: &str, quiet: bool) -> Self {
        let driver = match Self::spawn(command, name, quiet) {
            Ok(driver) => driver,
            Err(error) => panic!("driver {name} can't be started: {error}; {}", language.setup),
        };
        let id = driver.send("hello", &Fields::default());
        let limit = if quiet { LIMIT * 6 } else { LIMIT };
        let Some(hello) = driver.answer_within(id, limit) else {
            let said = driver.transcript();
            panic!("driver {name} did not start; {}; it said:\n{said}", language.setup)
        };
        let said = hello.map(|fields| {
            let said = |key| fields.get(key).unwrap_or_default().to_owned();
            (said("name"), said("can"))
        });
        let expected = (language.name.to_owned(), language.can.join(","));
        assert_eq!(said, Ok(expected), "hello of driver {name}");
        driver
    }

    fn spawn(mut command: Command, name: &str, quiet: bool) -> io::Result<Self> {
        if quiet {
            command.env("FENCELOCK_DRIVER_QUIET", "1");
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_remove("FENCELOCK_URL");
        die_with_us(&mut command);
        let mut child = command.spawn()?;
        let inbox = Arc::new(Inbox { quiet, ..Inbox::default() });
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            let said = inbox.clone();
            thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    said.write(">", &line);
                    said.take_out(&line);
                }
                said.end();
            });
            let logged = inbox.clone();
            thread::spawn(move || {
                for line in BufReader::new(err).lines().map_while(Result::ok) {
                    logged.write("|", &line);
                }
            });
        }
        Ok(Self {
            name: name.to_owned(),
            stdin: Mutex::new(child.stdin.take()),
            child: Mutex::new(child),
            inbox,
            last_id: AtomicU64::new(0),
        })
    }

    /// The name that the scenario gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a request; gives its number. A driver that is gone shows when its answer is
    /// waited for.
    pub fn send(&self, op: &str, fields: &Fields) -> u64 {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let request = Request { id, op: op.to_owned(), fields: fields.clone() };
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stdin) = stdin.as_mut() {
            let _ = writeln!(stdin, "{request}").and_then(|()| stdin.flush());
        }
        id
    }

    /// Waits for the answer to a request.
    ///
    /// # Errors
    ///
    /// What the driver said.
    pub fn answer(&self, id: u64) -> Answer {
        let answer = self.answer_within(id, LIMIT);
        answer.unwrap_or_else(|| panic!("driver {} gave no answer to request {id}", self.name))
    }

    /// The answer to a request, if it comes within this time and before the driver ends.
    pub fn answer_within(&self, id: u64, limit: Duration) -> Option<Answer> {
        self.inbox.find(limit, |state| state.answers.remove(&id))
    }

    /// Takes out what happened by itself since the last time.
    pub fn take_events(&self) -> Vec<(String, Fields)> {
        std::mem::take(&mut self.inbox.state().events)
    }

    /// Whether its output has ended.
    pub fn is_gone(&self) -> bool {
        self.inbox.state().ended
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Whether the answer to a request is there, or will never be.
    pub fn has_answered(&self, id: u64) -> bool {
        let state = self.inbox.state();
        state.ended || state.answers.contains_key(&id)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// What the driver said.
    pub fn call(&self, op: &str, fields: &Fields) -> Answer {
        let id = self.send(op, fields);
        self.answer(id)
    }

    /// As [`call`](Self::call), for a request that cannot fail.
    pub fn must(&self, op: &str, fields: &Fields) -> Fields {
        match self.call(op, fields) {
            Ok(fields) => fields,
            Err(Fault { kind, fields }) => panic!("driver {}: {op}: {kind}{fields}", self.name),
        }
    }

    /// Waits for an event of this kind on this lease.
    pub fn event(&self, event: &str, lease: &str, limit: Duration) -> Option<Fields> {
        let is = |(e, fields): &&(String, Fields)| e == event && fields.get("lease") == Some(lease);
        let found = |state: &mut State| state.events.iter().find(is).map(|(_, f)| f.clone());
        self.inbox.find(limit, found)
    }

    /// Everything that the driver wrote so far.
    pub fn transcript(&self) -> String {
        self.inbox.state().transcript.clone()
    }

    /// Kills it (SIGKILL) and returns when it is gone.
    pub fn kill(&self) {
        let mut child = self.child();
        // Both fail only if the process is gone, which is what we want.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Lets its files grow to so many bytes, as on a disk without room for more.
    pub fn limit_files(&self, bytes: u64) {
        let current = (bytes < u64::MAX).then_some(bytes);
        let limit = Rlimit { current, maximum: None };
        let set = prlimit(Some(Pid::from_child(&self.child())), Resource::Fsize, limit);
        assert!(set.is_ok(), "prlimit: {set:?}");
    }

    /// Stops its clockwork (SIGSTOP), and returns when it stands still: until the signal has
    /// reached every thread, the others run on.
    pub fn stop(&self) {
        assert!(self.try_stop(), "driver {} did not stop", self.name);
    }

    /// As [`stop`](Self::stop), of a driver that may be gone; whether it stands still.
    pub fn try_stop(&self) -> bool {
        if !self.try_signal(Signal::STOP) {
            return false;
        }
        let pid = Pid::from_child(&self.child());
        matches!(
            waitpid(Some(pid), WaitOptions::UNTRACED),
            Ok(Some((_, status))) if status.stopped()
        )
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        assert!(self.try_resume(), "driver {} can't be resumed", self.name);
    }

    /// As [`resume`](Self::resume), of a driver that may be gone; whether it is there.
    pub fn try_resume(&self) -> bool {
        self.try_signal(Signal::CONT)
    }

    /// Waits until the process has ended by itself.
    pub fn ended(&self, limit: Duration) -> Option<ExitStatus> {
        let give_up = Instant::now() + limit;
        while Instant::now() < give_up {
            if let Ok(Some(status)) = self.child().try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signals it, unless it is gone.
    fn try_signal(&self, signal: Signal) -> bool {
        let mut child = self.child();
        // A process that has been waited for no longer owns its id: never signal that.
        let runs = matches!(child.try_wait(), Ok(None));
        runs && kill_process(Pid::from_child(&child), signal).is_ok()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A driver that is stopped would not see that its input was closed.
#[expect(unsafe_code, reason = "the death signal can only be asked for by the child itself")]
fn die_with_us(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec; it makes two system calls and allocates
    // nothing.
    unsafe {
        command.pre_exec(|| {
            // A file that may not grow any more is an error, and not the end.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok::<(), io::Error>(set_parent_process_death_signal(Some(Signal::KILL))?)
        });
    }
}
