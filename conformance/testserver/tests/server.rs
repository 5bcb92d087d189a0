//! The private server keeps its promises.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use fencelock_testserver::TestServer;

fn runs(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

fn ping(connection: &mut redis::Connection) -> redis::RedisResult<String> {
    redis::cmd("PING").query(connection)
}

fn config(server: &TestServer, name: &str) -> String {
    let mut connection = server.connection();
    let pair: Vec<String> =
        redis::cmd("CONFIG").arg("GET").arg(name).query(&mut connection).unwrap();
    pair[1].clone()
}

#[test]
fn a_dropped_server_leaves_no_process_and_no_directory() {
    let server = TestServer::start();
    let (pid, dir) = (server.pid(), PathBuf::from(config(&server, "dir")));
    assert_eq!(ping(&mut server.connection()).unwrap(), "PONG");
    assert!(runs(pid) && dir.exists());
    drop(server);
    assert!(!runs(pid) && !dir.exists());
}

#[test]
fn servers_are_private_and_nothing_persists() {
    let (one, two) = (TestServer::start(), TestServer::start());
    assert_ne!(one.port(), two.port());
    redis::cmd("SET").arg("x").arg(1).exec(&mut one.connection()).unwrap();
    let seen: Option<i32> = redis::cmd("GET").arg("x").query(&mut two.connection()).unwrap();
    assert_eq!(seen, None);
    assert_eq!((config(&one, "save"), config(&one, "appendonly")), (String::new(), "no".into()));
}

#[test]
fn arguments_reach_the_server_and_survive_a_restart() {
    let server = TestServer::start_with(&["--maxmemory", "7mb"]);
    assert_eq!(config(&server, "maxmemory"), "7340032");
    let (port, pid) = (server.port(), server.pid());
    redis::cmd("SET").arg("x").arg(1).exec(&mut server.connection()).unwrap();
    server.restart();
    assert_eq!((server.port(), runs(pid)), (port, false));
    assert_ne!(server.pid(), pid);
    assert_eq!(config(&server, "maxmemory"), "7340032");
    let seen: Option<i32> = redis::cmd("GET").arg("x").query(&mut server.connection()).unwrap();
    assert_eq!(seen, None);
}

#[test]
fn a_killed_server_refuses_and_can_be_restarted() {
    let server = TestServer::start();
    let mut connection = server.connection();
    server.kill();
    server.kill();
    assert!(ping(&mut connection).is_err());
    server.restart();
    assert_eq!(ping(&mut server.connection()).unwrap(), "PONG");
}

#[test]
fn a_paused_server_is_silent_until_resumed() {
    let server = TestServer::start();
    let mut connection = server.connection();
    server.pause();
    connection.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(ping(&mut connection).is_err());
    server.resume();
    assert_eq!(ping(&mut server.connection()).unwrap(), "PONG");
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let server = std::thread::spawn(TestServer::start).join().unwrap();
    assert_eq!(ping(&mut server.connection()).unwrap(), "PONG");
}

/// Starts the program and returns it with its server's address and process id.
fn program() -> (std::process::Child, u32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fencelock-testserver"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let mut connection = redis::Client::open(url.trim()).unwrap().get_connection().unwrap();
    let info: redis::InfoDict = redis::cmd("INFO").arg("server").query(&mut connection).unwrap();
    (child, info.get("process_id").unwrap())
}

#[test]
fn the_program_stops_its_server_when_its_input_closes() {
    let (mut child, server) = program();
    assert!(runs(server));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(!runs(server));
}

#[test]
fn the_program_stops_its_server_on_sigterm() {
    let (mut child, server) = program();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!runs(server));
}

#[test]
fn a_server_does_not_survive_a_killed_program() {
    let (mut child, server) = program();
    // Only the killed program could have removed this.
    let dir = format!("fencelock-testserver-{}-0", child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(std::env::temp_dir().join(dir)).unwrap();
    // The kernel's signal is sent before wait returns, but init reaps the server in its own time.
    let stat = PathBuf::from(format!("/proc/{server}/stat"));
    for _ in 0..1000 {
        match std::fs::read_to_string(&stat) {
            Ok(stat) if !stat.contains(") Z ") => std::thread::sleep(Duration::from_millis(5)),
            _ => return,
        }
    }
    panic!("the server still runs");
}
