//! A small TCP proxy in front of a server that does harm when told: it holds a request or its
//! reply back, cuts the connection between the two, drops messages, or delays requests.
//!
//! A rule is for the next piece of a request stream that contains a text, such as a lock's name.
//! Commands are small and written at once, so that a command is never spread over two pieces.
#![expect(
    clippy::panic,
    reason = "a scenario without its proxy has nothing better to do than to fail"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::driver::LIMIT;
use crate::kit::{boot_nanos, open};

/// A running proxy. Its threads end with its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    rules: Arc<Mutex<Vec<Rule>>>,
    weather: Arc<Weather>,
}

/// What befalls everything that passes.
#[derive(Debug, Default)]
struct Weather {
    /// Whether grants that the server tells of its own accord are dropped.
    deaf: AtomicBool,
    /// Up to how many ms a request is delayed, each connection's for itself.
    delay: AtomicU64,
    /// Likewise a reply.
    reply_delay: AtomicU64,
    /// How many replies are still to be dropped, their connections cut.
    cuts: AtomicU64,
    /// How many holes there were, the present one counted; odd while nothing passes.
    holes: Mutex<u64>,
    hole_ended: Condvar,
    harm: HarmDone,
    open: Mutex<Vec<TcpStream>>,
}

/// What [`Weather`] has done, in pieces; a proof that it was there.
#[derive(Debug, Default)]
struct HarmDone {
    delayed: AtomicU64,
    cut: AtomicU64,
    swallowed: AtomicU64,
    deafened: AtomicU64,
}

impl Weather {
    /// Stays while nothing passes; says whether that was so.
    fn sit_out(&self) -> bool {
        let holes = open(&self.holes);
        let swallowed = !holes.is_multiple_of(2);
        if swallowed {
            self.harm.swallowed.fetch_add(1, Ordering::Relaxed);
        }
        let hole = |holes: &mut u64| !holes.is_multiple_of(2);
        drop(self.hole_ended.wait_while(holes, hole));
        swallowed
    }

    /// Stays for a while, up to so many ms.
    fn dawdle(&self, longest: &AtomicU64) {
        let longest = longest.load(Ordering::Relaxed);
        if longest > 0 {
            self.harm.delayed.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(boot_nanos() / 1000 % (longest + 1)));
        }
    }

    /// Takes one of the cuts that are still to be made.
    fn takes_cut(&self) -> bool {
        let less = |cuts: u64| cuts.checked_sub(1);
        let took = self.cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if took {
            self.harm.cut.fetch_add(1, Ordering::Relaxed);
        }
        took
    }
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
        let weather = Arc::<Weather>::default();
        let of_listener = (rules.clone(), weather.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                serve(client, server, &of_listener.0, &of_listener.1);
            }
        });
        Self { port, rules, weather }
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

    /// Drops every message about a grant from now on.
    pub fn drop_messages(&self) {
        self.weather.deaf.store(true, Ordering::Relaxed);
    }

    /// Drops no more messages; how many were dropped since the start.
    pub fn pass_messages(&self) -> u64 {
        self.weather.deaf.store(false, Ordering::Relaxed);
        self.weather.harm.deafened.load(Ordering::Relaxed)
    }

    /// Delays each request by up to so many ms, so that those on different connections overtake
    /// each other.
    pub fn delay_requests(&self, ms: u64) {
        self.weather.delay.store(ms, Ordering::Relaxed);
    }

    /// Delays each reply, and each message, by up to so many ms.
    pub fn delay_replies(&self, ms: u64) {
        self.weather.reply_delay.store(ms, Ordering::Relaxed);
    }

    /// How many pieces have been delayed since the start.
    pub fn delayed(&self) -> u64 {
        self.weather.harm.delayed.load(Ordering::Relaxed)
    }

    /// Drops the next so many replies, of whatever requests, and cuts their connections; how many
    /// of those asked for before were never needed.
    pub fn cut_replies(&self, count: u64) -> u64 {
        self.weather.cuts.swap(count, Ordering::Relaxed)
    }

    /// How many replies were cut off by that since the start.
    pub fn replies_cut(&self) -> u64 {
        self.weather.harm.cut.load(Ordering::Relaxed)
    }

    /// Lets nothing pass any more, without a sign; new connections seem to succeed.
    pub fn open_hole(&self) {
        let mut holes = open(&self.weather.holes);
        *holes += u64::from(holes.is_multiple_of(2));
    }

    /// Lets everything pass again on new connections; those that were there are reset, as by a
    /// router that has forgotten them. How many pieces were swallowed since the start.
    pub fn close_hole(&self) -> u64 {
        let mut holes = open(&self.weather.holes);
        *holes += u64::from(!holes.is_multiple_of(2));
        drop(holes);
        self.cut_all();
        self.weather.hole_ended.notify_all();
        self.swallowed()
    }

    /// How many pieces a hole has swallowed since the start.
    pub fn swallowed(&self) -> u64 {
        self.weather.harm.swallowed.load(Ordering::Relaxed)
    }

    /// Cuts every connection; how many there were.
    pub fn cut_all(&self) -> usize {
        let streams = std::mem::take(&mut *open(&self.weather.open));
        let cut = |stream: &TcpStream| stream.shutdown(Shutdown::Both).is_ok();
        streams.iter().filter(|stream| cut(stream)).count() / 2
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

/// The piece without its messages about grants. They are small and written at once, so none is
/// spread over two pieces.
fn without_messages(piece: &[u8]) -> Vec<u8> {
    let mut left = piece.to_vec();
    for start in [&b">3\r\n$7\r\nmessage\r\n"[..], b"*3\r\n$7\r\nmessage\r\n"] {
        let mut from = 0;
        while let Some(at) = find(&left[from..], start).map(|at| at + from) {
            let Some(end) = end_of_message(&left, at + start.len()) else { break };
            if find(&left[at..end], b"\r\nG fl1-").is_some() {
                left.drain(at..end);
                from = at;
            } else {
                from = end;
            }
        }
    }
    left
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Where a message ends: behind its channel and its payload, `$LENGTH\r\nTEXT\r\n` each.
fn end_of_message(text: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..2 {
        let line = find(text.get(at..)?, b"\r\n")? + at;
        let length: usize = std::str::from_utf8(text.get(at + 1..line)?).ok()?.parse().ok()?;
        at = line + 2 + length + 2;
    }
    (at <= text.len()).then_some(at)
}

fn serve(client: TcpStream, server: u16, rules: &Arc<Mutex<Vec<Rule>>>, weather: &Arc<Weather>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else {
        // As a server that is away: the connection is closed.
        return;
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let clones = [client.try_clone(), server.try_clone()];
    {
        let mut known = open(&weather.open);
        // What was closed meanwhile has no peer.
        known.retain(|stream| stream.peer_addr().is_ok());
        known.extend(clones.into_iter().map_while(Result::ok));
    }
    let (Ok(to_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    // What is to become of the reply to the request that was forwarded last.
    let of_reply = Arc::<Mutex<Option<Rule>>>::default();
    let (for_reply, rules) = (of_reply.clone(), rules.clone());
    let (of_requests, of_replies) = (weather.clone(), weather.clone());
    thread::spawn(move || {
        pump(client, &to_server, |piece| {
            of_requests.dawdle(&of_requests.delay);
            match rule_for(&rules, piece) {
                Some(rule) if rule.harm == Harm::Hold => rule.hold(),
                Some(rule) => *open(&for_reply) = Some(rule),
                None => {}
            }
            (!of_requests.sit_out()).then(|| piece.to_vec())
        });
    });
    thread::spawn(move || {
        pump(server, &to_client, |piece| {
            of_replies.dawdle(&of_replies.reply_delay);
            let deaf = of_replies.deaf.load(Ordering::Relaxed);
            let mut kept = piece.to_vec();
            if deaf {
                kept = without_messages(piece);
                let dropped = u64::from(kept.len() < piece.len());
                of_replies.harm.deafened.fetch_add(dropped, Ordering::Relaxed);
            }
            if of_replies.sit_out() || of_replies.takes_cut() {
                return None;
            }
            let piece = kept;
            let Some(rule) = open(&of_reply).take() else { return Some(piece) };
            match rule.harm {
                Harm::CutReply => rule.set(Progress::Over),
                Harm::Hold | Harm::HoldReply => rule.hold(),
            }
            (rule.harm != Harm::CutReply).then_some(piece)
        });
    });
}

/// Forwards what is made of what comes, until a piece is not to be; then closes both sides.
fn pump(
    mut from: TcpStream,
    mut to: &TcpStream,
    mut forward: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let Some(piece) = forward(&buffer[..count]) else { break };
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    for stream in [&from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
