//! A small TCP proxy in front of a server that does harm when told: it holds a request or its
//! reply back, or cuts the connection between the two.
//!
//! A rule is for the next piece of a request stream that contains a text, such as a lock's name.
//! Commands are small and written at once, so that a command is never spread over two pieces.
#![expect(
    clippy::panic,
    reason = "a scenario without its proxy has nothing better to do than to fail"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::driver::LIMIT;

/// A running proxy. Its threads end with its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    rules: Arc<Mutex<Vec<Rule>>>,
}

/// A harm to be done once.
#[derive(Clone, Debug)]
pub struct Rule {
    text: Vec<u8>,
    harm: Harm,
    progress: Arc<(Mutex<Progress>, Condvar)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Hold,
    HoldReply,
    CutReply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Armed,
    Caught,
    Over,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rule {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        open(&self.progress.0)
    }

    fn set(&self, progress: Progress) {
        *self.progress() = progress;
        self.progress.1.notify_all();
    }

    /// Stays until it is let go.
    fn hold(&self) {
        self.set(Progress::Caught);
        self.wait(Progress::Over, LIMIT * 3);
    }

    fn wait(&self, until: Progress, limit: Duration) {
        let reached = |now: &mut Progress| *now != until && *now != Progress::Over;
        let waited = self.progress.1.wait_timeout_while(self.progress(), limit, reached);
        let now = *waited.unwrap_or_else(PoisonError::into_inner).0;
        assert!(
            now == until || now == Progress::Over,
            "the proxy saw no {:?}",
            String::from_utf8_lossy(&self.text)
        );
    }

    /// Waits until what is to be held back has come.
    pub fn caught(&self) {
        self.wait(Progress::Caught, LIMIT);
    }

    /// Waits until the harm is done.
    pub fn done(&self) {
        self.wait(Progress::Over, LIMIT);
    }

    /// Lets go on what is held back.
    pub fn let_go(&self) {
        self.set(Progress::Over);
    }
}

impl Proxy {
    /// Starts a proxy in front of a server on 127.0.0.1.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.unwrap_or_else(|error| panic!("no proxy: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let rules = Arc::<Mutex<Vec<Rule>>>::default();
        let of_listener = rules.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                serve(client, server, &of_listener);
            }
        });
        Self { port, rules }
    }

    /// Its address, in place of the server's.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Holds back the next request that contains this text, and what comes behind it on its
    /// connection. Other connections are not held up.
    pub fn hold(&self, text: &str) -> Rule {
        self.arm(text, Harm::Hold)
    }

    /// Lets the next request that contains this text reach the server, and holds the reply back.
    pub fn hold_reply(&self, text: &str) -> Rule {
        self.arm(text, Harm::HoldReply)
    }

    /// Lets the next request that contains this text reach the server, and cuts the connection
    /// in place of the reply.
    pub fn cut_reply(&self, text: &str) -> Rule {
        self.arm(text, Harm::CutReply)
    }

    fn arm(&self, text: &str, harm: Harm) -> Rule {
        let rule = Rule {
            text: text.as_bytes().to_vec(),
            harm,
            progress: Arc::new((Mutex::new(Progress::Armed), Condvar::new())),
        };
        open(&self.rules).push(rule.clone());
        rule
    }
}

/// Takes out the first rule that is for this piece.
fn rule_for(rules: &Mutex<Vec<Rule>>, piece: &[u8]) -> Option<Rule> {
    let mut rules = open(rules);
    let meant = |rule: &Rule| piece.windows(rule.text.len()).any(|part| part == rule.text);
    let index = rules.iter().position(meant)?;
    Some(rules.remove(index))
}

fn serve(client: TcpStream, server: u16, rules: &Arc<Mutex<Vec<Rule>>>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else {
        // As a server that is away: the connection is closed.
        return;
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (Ok(to_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    // What is to become of the reply to the request that was forwarded last.
    let of_reply = Arc::<Mutex<Option<Rule>>>::default();
    let (for_reply, rules) = (of_reply.clone(), rules.clone());
    thread::spawn(move || {
        pump(client, &to_server, |piece| {
            match rule_for(&rules, piece) {
                Some(rule) if rule.harm == Harm::Hold => rule.hold(),
                Some(rule) => *open(&for_reply) = Some(rule),
                None => {}
            }
            true
        });
    });
    thread::spawn(move || {
        pump(server, &to_client, |_| {
            let Some(rule) = open(&of_reply).take() else { return true };
            match rule.harm {
                Harm::CutReply => rule.set(Progress::Over),
                Harm::Hold | Harm::HoldReply => rule.hold(),
            }
            rule.harm != Harm::CutReply
        });
    });
}

/// Forwards what comes until a piece is not to be; then closes both sides.
fn pump(mut from: TcpStream, mut to: &TcpStream, mut forward: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..count];
        if !forward(piece) || to.write_all(piece).is_err() {
            break;
        }
    }
    for stream in [&from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
