//! Private Redis and Valkey servers for tests and benchmarks.
//!
//! Every [`TestServer`] is a process of its own on a free port of 127.0.0.1, with an empty
//! temporary directory and no persistence. It ends when its value is dropped, and also when the
//! test's process is killed. The server's binary is the one named by `FENCELOCK_REDIS_SERVER`, or
//! else `redis-server` from `PATH`; the latter always
//! where TLS is asked for.
//!
//! A test cannot go on without its server, so every failure here is a panic that says what went
//! wrong and shows the server's log.
#![expect(
    clippy::panic,
    reason = "a test without its server has nothing better to do than to fail"
)]

mod clock;
mod process;
mod program;
mod tls;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clock::Clock;
pub use program::compile;
pub use tls::{Authority, Issued};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to answer its first PING; generous, for loaded machines.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The Unix socket's name in the server's directory.
const SOCKET: &str = "socket";
/// How often a server is started on another port when somebody took the first one meanwhile.
const PORT_ATTEMPTS: u32 = 5;

/// A running private server; dropping it stops the server and removes its directory.
#[derive(Debug)]
pub struct TestServer {
    port: u16,
    tls_port: Option<u16>,
    dir: PathBuf,
    args: Vec<String>,
    clock: Option<Clock>,
    child: Mutex<Child>,
}

impl TestServer {
    /// Starts a server and returns when it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments, such as `["--maxmemory", "4mb"]`.
    pub fn start_with(args: &[&str]) -> Self {
        Self::start_as(args.iter().map(ToString::to_string).collect(), false, false)
    }

    /// Starts a server whose clock can be set, with [`set_clock`](Self::set_clock).
    pub fn start_with_clock() -> Self {
        Self::start_as(Vec::new(), false, true)
    }

    /// Starts a server that has each write on disk before it answers, so that a
    /// [`restart`](Self::restart) finds it, and whose clock can be set.
    pub fn start_durable() -> Self {
        let args = ["--appendonly", "yes", "--appendfsync", "always"];
        Self::start_as(args.map(str::to_owned).to_vec(), false, true)
    }

    /// Starts a server that speaks TLS, too, on another port, and shows this certificate.
    /// Clients need one of the authority's, if `clients` says so.
    pub fn start_tls(authority: &Authority, shown: &Issued, clients: bool) -> Self {
        Self::start_tls_with(authority, shown, clients, "TLSv1.2 TLSv1.3")
    }

    /// As [`start_tls`](Self::start_tls), with these versions of TLS alone.
    pub fn start_tls_with(
        authority: &Authority,
        shown: &Issued,
        clients: bool,
        versions: &str,
    ) -> Self {
        let args = format!(
            "--tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {} \
             --tls-auth-clients {} --tls-protocols",
            shown.cert.display(),
            shown.key.display(),
            authority.ca().display(),
            if clients { "yes" } else { "no" },
        );
        let args = args.split_whitespace().chain([versions]).map(str::to_owned).collect();
        Self::start_as(args, true, false)
    }

    fn start_as(mut fixed: Vec<String>, tls: bool, clocked: bool) -> Self {
        let dir = create_dir();
        let clock = clocked.then(|| Clock::new(&dir));
        let socket = dir.join(SOCKET).display().to_string();
        fixed.extend(["--unixsocket".to_owned(), socket]);
        let mut failure = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let (port, tls_port) = (free_port(), tls.then(free_port));
            let mut args = fixed.clone();
            if let Some(port) = tls_port {
                args.extend(["--tls-port".to_owned(), port.to_string()]);
            }
            match launch(port, &dir, &args, clock.as_ref()) {
                Ok(child) => {
                    let child = Mutex::new(child);
                    return Self { port, tls_port, dir, args, clock, child };
                }
                Err(reason) => failure = reason,
            }
        }
        let _ = fs::remove_dir_all(&dir);
        panic!("{failure}")
    }

    /// The server's address, `redis://127.0.0.1:PORT/0`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The server's address by TLS.
    pub fn tls_url(&self) -> String {
        match self.tls_port {
            Some(port) => format!("rediss://127.0.0.1:{port}/0"),
            None => panic!("the server was started without TLS"),
        }
    }

    /// The server's address by its Unix socket.
    pub fn unix_url(&self) -> String {
        format!("redis+unix://{}?db=0", self.dir.join(SOCKET).display())
    }

    /// The server's port on 127.0.0.1; it stays the same over a [`restart`](Self::restart).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The present server's process id.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// A new blocking connection for commands that the test sends itself.
    pub fn connection(&self) -> redis::Connection {
        match self.try_connection() {
            Ok(connection) => connection,
            Err(error) => panic!("no connection to {}: {error}", self.url()),
        }
    }

    /// As [`connection`](Self::connection), to a server that may not answer.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub fn try_connection(&self) -> redis::RedisResult<redis::Connection> {
        connect(self.port)
    }

    /// Stops the server's clockwork (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused server go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Lets the server's time of day differ from ours by so many ms, from now on.
    pub fn set_clock(&self, ahead_ms: i64) {
        match &self.clock {
            Some(clock) => clock.set(ahead_ms),
            None => panic!("the server was started without a clock of its own"),
        }
    }

    /// Lets the server's time of day stand still at so many µs since 1970, from now on.
    pub fn stop_clock_at(&self, now_us: i64) {
        match &self.clock {
            Some(clock) => clock.stop_at(now_us),
            None => panic!("the server was started without a clock of its own"),
        }
    }

    /// Kills the server (SIGKILL) and returns when it is gone; does nothing if it is gone already.
    pub fn kill(&self) {
        kill_and_reap(&mut self.child());
    }

    /// Kills the server if it still runs, and starts it again on the same port, with what it has
    /// on disk: nothing, but for one of [`start_durable`](Self::start_durable).
    pub fn restart(&self) {
        let mut child = self.child();
        kill_and_reap(&mut child);
        // The port may be taken for a moment by somebody's outgoing connection.
        let give_up = Instant::now() + START_LIMIT;
        loop {
            match launch(self.port, &self.dir, &self.args, self.clock.as_ref()) {
                Ok(started) => break *child = started,
                Err(reason) if Instant::now() > give_up => panic!("{reason}"),
                Err(_) => {}
            }
        }
    }

    /// As [`restart`](Self::restart), and a server of [`start_durable`](Self::start_durable) has
    /// lost what it had on disk.
    pub fn restart_empty(&self) {
        self.kill();
        // Redis 7 and later have a folder, earlier ones a file.
        let _ = fs::remove_dir_all(self.dir.join("appendonlydir"));
        let _ = fs::remove_file(self.dir.join("appendonly.aof"));
        self.restart();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        let mut child = self.child();
        // A process that has been waited for no longer owns its id: never signal that.
        let runs = matches!(child.try_wait(), Ok(None));
        assert!(runs, "the server on port {} does not run", self.port);
        if let Err(error) = kill_process(Pid::from_child(&child), signal) {
            panic!("the server on port {} can't be signalled: {error}", self.port)
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn kill_and_reap(child: &mut Child) {
    // Both fail only if the process is gone, which is what we want.
    let _ = child.kill();
    let _ = child.wait();
}

/// A number that this process gives once.
fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A new empty directory; the number makes it unique among the servers of this process.
fn create_dir() -> PathBuf {
    loop {
        let name = format!("fencelock-testserver-{}-{}", std::process::id(), next_number());
        let dir = std::env::temp_dir().join(name);
        match fs::create_dir(&dir) {
            Ok(()) => return dir,
            // Left over by a killed process that had our id.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("no directory {}: {error}", dir.display()),
        }
    }
}

/// A port that was free a moment ago; `launch` notices if somebody else got it meanwhile.
fn free_port() -> u16 {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()) {
        Ok(address) => address.port(),
        Err(error) => panic!("no free port: {error}"),
    }
}

/// Starts the server's process and waits until this very process answers on the port.
fn launch(port: u16, dir: &Path, args: &[String], clock: Option<&Clock>) -> Result<Child, String> {
    let environment = clock.map(Clock::environment).unwrap_or_default();
    let mut child = process::spawn(port, dir, args, &environment)?;
    let give_up = Instant::now() + START_LIMIT;
    let reason = loop {
        if matches!(answering_process(port), Ok(pid) if pid == child.id()) {
            return Ok(child);
        }
        match child.try_wait() {
            Ok(None) if Instant::now() < give_up => {}
            Ok(None) => break "gave no answer in time".to_owned(),
            Ok(Some(status)) => break format!("ended with {status}"),
            Err(error) => break format!("can't be watched: {error}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    kill_and_reap(&mut child);
    let log = fs::read_to_string(dir.join(process::LOG)).unwrap_or_default();
    Err(format!("the server on port {port} {reason}; its log:\n{log}"))
}

fn connect(port: u16) -> redis::RedisResult<redis::Connection> {
    let client = redis::Client::open(("127.0.0.1", port))?;
    client.get_connection_with_timeout(Duration::from_secs(5))
}

/// Who answers on this port: another test's server may have got it first.
fn answering_process(port: u16) -> redis::RedisResult<u32> {
    let mut connection = connect(port)?;
    let info: redis::InfoDict = redis::cmd("INFO").arg("server").query(&mut connection)?;
    let pid = info.get("process_id").unwrap_or_default();
    redis::cmd("PING").exec(&mut connection)?;
    Ok(pid)
}
