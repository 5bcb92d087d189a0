//! The wire protocol (`docs/protocol.md`), pure: builds commands, reads replies, and says when
//! to look again. Knows no socket.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use redis::{Cmd, RedisError, RedisWrite, Value};

use super::denied;
use super::scripts;
use super::scripts::Script;
use crate::backend::look::{at_expiry, heartbeat, window};
use crate::backend::{Answer, Claim, Holder, Inspection, Mode, Released, Signal, not_understood};
use crate::clock::{Moment, valid_until};
use crate::error::{Error, ErrorKind, Result};
use crate::flaw::{self, Flaw};
use crate::options::hash_tag;
use crate::token::Token;

/// How this client hears of grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushMode {
    /// By messages on its channel.
    Channel,
    /// Not at all: it polls at the head of the queue.
    None,
}

impl PushMode {
    fn letter(self) -> &'static str {
        match self {
            Self::Channel => "P",
            Self::None => "-",
        }
    }
}

/// What every command of one client has in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Speaker {
    /// Names the client to the server.
    pub client: String,
    /// Before every lock's name.
    pub prefix: String,
}

/// The channel on which a client hears of grants.
pub fn channel(client: &str) -> String {
    format!("fl:c:{client}")
}

/// Room for the arguments of most commands, so that they are not moved while they grow.
const ARGS: usize = 16;
const BYTES: usize = 384;

const DIAGNOSE: &str = include_str!("lua/diagnose.lua");

/// A command with the script that it calls.
#[derive(Debug)]
pub struct Call {
    /// EVALSHA with the script's hash, keys and arguments.
    pub cmd: Cmd,
    script: &'static Script,
}

impl Call {
    /// The hash of the script, its keys and its arguments.
    #[cfg(feature = "model")]
    pub fn parts(&self) -> (&'static str, Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let args = self.cmd.args_iter().filter_map(|arg| match arg {
            redis::Arg::Simple(arg) => Some(arg.to_vec()),
            _ => None,
        });
        // Behind EVALSHA and the hash.
        let mut args = args.skip(2);
        let count = args.next().and_then(|count| std::str::from_utf8(&count).ok()?.parse().ok());
        let keys = args.by_ref().take(count.unwrap_or(0)).collect();
        (&self.script.sha1, keys, args.collect())
    }

    /// Asks which commands the user may not run in scripts on this lock.
    pub(super) fn diagnosis(&self) -> Cmd {
        let mut eval = redis::cmd("EVAL");
        eval.arg(DIAGNOSE).arg(1);
        // Behind EVALSHA, the hash and the number of keys.
        if let Some(redis::Arg::Simple(lock)) = self.cmd.args_iter().nth(3) {
            eval.arg(lock);
        }
        eval
    }

    /// The same with the script's text, for a server that does not know its hash.
    pub(super) fn with_source(&self) -> Cmd {
        let mut eval = redis::cmd("EVAL");
        eval.arg(&self.script.source);
        for arg in self.cmd.args_iter().skip(2) {
            if let redis::Arg::Simple(arg) = arg {
                eval.arg(arg);
            }
        }
        eval
    }
}

/// Adds the lock's key and its side keys of these letters, all in one hash slot. A name with a
/// hash tag gets another infix than one without, else `x` and `{x}` would share them.
fn add_keys(cmd: &mut Cmd, lock: &str, letters: &str) {
    cmd.arg(lock);
    // Put together by hand: formatting would cost more than the rest of the command.
    let mut side = String::with_capacity(lock.len() + ":flt:q{}".len());
    if hash_tag(lock).is_some() {
        side.push_str(lock);
        side.push_str(":flt:");
    } else {
        side.push('{');
        side.push_str(lock);
        side.push_str("}:fl:");
    }
    for letter in letters.chars() {
        side.push(letter);
        cmd.arg(&side);
        side.pop();
    }
}

impl Speaker {
    /// Puts a script's command together, its keys first.
    fn call(&self, script: &'static Script, name: &str, letters: &str) -> Call {
        let mut cmd = Cmd::with_capacity(ARGS, BYTES);
        cmd.arg("EVALSHA").arg(&script.sha1).arg(1 + letters.len());
        self.add_keys(&mut cmd, name, letters);
        Call { cmd, script }
    }

    fn add_keys(&self, cmd: &mut Cmd, name: &str, letters: &str) {
        if self.prefix.is_empty() {
            add_keys(cmd, name, letters);
        } else {
            add_keys(cmd, &[&self.prefix, name].concat(), letters);
        }
    }

    /// The client as whose a claim waits: each of its connections is one to the server, with a
    /// channel and heartbeats of its own.
    pub(super) fn listener(&self, number: u32) -> Cow<'_, str> {
        match number {
            0 => Cow::Borrowed(&self.client),
            number => Cow::Owned(format!("{}.{number}", self.client)),
        }
    }

    /// Takes the lock, or with `queue` a place in its queue. `mode` is how the engine hears of
    /// grants; another listener is one because it is told.
    pub fn acquire(&self, claim: &Claim, queue: bool, mode: PushMode) -> Call {
        let Mode::Exclusive = claim.mode;
        let mode = if claim.listener == 0 { mode } else { PushMode::Channel };
        let mut call = self.call(scripts::acquire(), &claim.name, "fqw");
        call.cmd.arg(claim.token.as_bytes()).arg(claim.ttl_ms);
        if queue {
            // One string and not four, and no empty label: the server pays for each, however short.
            let (client, window) = (self.listener(claim.listener), millis(window(claim.ttl())));
            let (mode, ticket) = (mode.letter(), claim.ticket);
            // A list that grows takes it all.
            let _ = write!(call.cmd.writer_for_next_arg(), "{client} {mode} {window} {ticket}");
        } else {
            call.cmd.arg("");
        }
        if !claim.label.is_empty() {
            call.cmd.arg(&*claim.label);
        }
        call
    }

    /// All claims are on one lock, and have one listener.
    pub fn poll(&self, claims: &[std::sync::Arc<Claim>]) -> Call {
        let (name, longest) = claims.iter().fold(("", Duration::ZERO), |(_, longest), claim| {
            (&*claim.name, longest.max(claim.ttl()))
        });
        let mut call = self.call(scripts::poll(), name, "fqw");
        let listener = claims.first().map_or(0, |claim| claim.listener);
        call.cmd.arg(&*self.listener(listener)).arg(millis(window(longest)));
        for claim in claims {
            call.cmd.arg(claim.token.as_bytes()).arg(claim.ttl_ms);
        }
        call
    }

    /// Gives the lock back.
    pub fn release(&self, claim: &Claim) -> Call {
        let mut call = self.call(scripts::release(), &claim.name, "fqw");
        call.cmd.arg(claim.token.as_bytes());
        call
    }

    /// Undoes an acquire.
    pub fn cancel(&self, claim: &Claim) -> Call {
        let mut call = self.call(scripts::cancel(), &claim.name, "fqw");
        call.cmd.arg(claim.token.as_bytes());
        call
    }

    /// Renews leases.
    pub fn extend(&self, claims: &[impl AsRef<Claim>]) -> Call {
        let script = scripts::extend();
        let mut cmd = Cmd::with_capacity(3 + 4 * claims.len(), BYTES * claims.len());
        cmd.arg("EVALSHA").arg(&script.sha1).arg(2 * claims.len());
        for claim in claims {
            self.add_keys(&mut cmd, &claim.as_ref().name, "f");
        }
        for claim in claims.iter().map(AsRef::as_ref) {
            cmd.arg(claim.token.as_bytes()).arg(claim.ttl_ms);
        }
        Call { cmd, script }
    }

    pub(super) fn inspect(&self, name: &str) -> Call {
        self.call(scripts::inspect(), name, "fqw")
    }

    /// Reads a message: `G <token> <fence> <ttl> <lock>`, the lock last as it may hold any byte.
    pub fn read_message(&self, payload: &[u8]) -> Option<Signal> {
        let mut parts = payload.splitn(5, |&byte| byte == b' ');
        if parts.next()? != b"G" {
            return None;
        }
        let token = Token::parse(parts.next()?)?;
        let fence = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let _ttl = parts.next()?;
        let key = std::str::from_utf8(parts.next()?).ok()?;
        let name = key.strip_prefix(self.prefix.as_str())?.to_owned();
        Some(Signal::Granted { name, token, fence })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn int(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Int(number) => Some(*number),
        other => text(Some(other))?.parse().ok(),
    }
}

fn unsigned(value: Option<&Value>) -> Option<u64> {
    int(value).and_then(|number| u64::try_from(number).ok())
}

fn text(value: Option<&Value>) -> Option<&str> {
    match value? {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

/// When to look at a claim in the queue again (protocol, "The client's part", 5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) rank: u64,
    /// ms; −1 without expiry, −2 when nobody holds the lock.
    pub(super) remaining: i64,
    pub(super) foreign: bool,
    pub(super) mode: PushMode,
    /// 0 to 1: how much of the heartbeat's tenth is taken off.
    pub(super) jitter: f64,
}

impl Look {
    pub(super) fn after(&self, ttl: Duration) -> Duration {
        let mut after = heartbeat(ttl, self.jitter);
        let step = Duration::from_millis(50);
        let rank = u32::try_from(self.rank).unwrap_or(u32::MAX);
        if self.remaining == -2 {
            after = after.min(step.saturating_mul(rank.saturating_add(1)));
        }
        if let Ok(remaining) = u64::try_from(self.remaining)
            && let Some(expiry) = at_expiry(Duration::from_millis(remaining), self.rank)
        {
            after = after.min(expiry);
        }
        let poll = Duration::from_millis(100);
        if self.mode == PushMode::None {
            // Nobody tells it that it has come to the head.
            after = after.min(poll.saturating_mul(rank.saturating_add(1)));
        }
        if rank == 0 && self.foreign {
            after = after.min(poll);
        }
        after
    }
}

/// What an answer is read with.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Before the request entered any queue of ours.
    pub sent: Moment,
    /// When the answer came.
    pub now: Moment,
    /// How this client hears of grants.
    pub mode: PushMode,
    /// 0 to 1: how much of the heartbeat's tenth is taken off.
    pub jitter: f64,
}

impl Asked {
    /// Until when a lease of this TTL is valid that the answer grants.
    fn valid_until(&self, ttl: Duration) -> Moment {
        let counts_from = if flaw::has(Flaw::DeadlineFromReply) { self.now } else { self.sent };
        valid_until(counts_from, ttl)
    }

    fn queued(&self, claim: &Claim, ticket: Option<u64>, look: Look) -> Answer {
        Answer::Queued {
            ticket,
            look_at: self.now + look.after(claim.ttl()),
            granted_until: self.valid_until(claim.ttl()),
        }
    }

    fn granted(&self, claim: &Claim, fence: u64) -> Answer {
        Answer::Granted { fence, valid_until: self.valid_until(claim.ttl()) }
    }

    fn look(&self, rank: u64, remaining: i64, foreign: bool) -> Look {
        Look { rank, remaining, foreign, mode: self.mode, jitter: self.jitter }
    }
}

/// The answer to an acquire.
///
/// # Errors
///
/// `Backend` for a full queue or an answer that is none.
pub fn read_acquire(claim: &Claim, asked: Asked, value: &Value) -> Result<Answer> {
    let read = || {
        // Held: the fence alone.
        if let Some(fence) = text(Some(value)) {
            return Some(asked.granted(claim, fence.parse().ok()?));
        }
        let parts = list(value)?;
        Some(match text(parts.first())? {
            "busy" => Answer::Busy,
            "queued" => {
                let rank = unsigned(parts.get(1))?;
                let look = asked.look(rank, int(parts.get(2))?, int(parts.get(3))? != 0);
                asked.queued(claim, Some(unsigned(parts.get(4))?), look)
            }
            _ => return None,
        })
    };
    if list(value).and_then(|parts| text(parts.first())) == Some("full") {
        return Err(Error::new(
            ErrorKind::Backend,
            "10000 waiters are in the queue, and it takes no more",
            "let fewer callers wait for one lock, or split it into several",
        ));
    }
    read().ok_or_else(|| not_understood("acquire"))
}

/// The answer to a poll, for each of its claims.
///
/// # Errors
///
/// `Backend` for an answer that is none.
pub fn read_poll(
    claims: &[std::sync::Arc<Claim>],
    asked: Asked,
    value: &Value,
) -> Result<Vec<Answer>> {
    let read = || {
        let parts = list(value)?;
        let (remaining, foreign) = (int(parts.first())?, int(parts.get(1))? != 0);
        let states = parts.get(2..).filter(|states| states.len() == claims.len())?;
        claims
            .iter()
            .zip(states)
            .map(|(claim, state)| {
                let state = list(state)?;
                Some(match text(state.first())? {
                    "held" => asked.granted(claim, unsigned(state.get(1))?),
                    "queued" => {
                        let look = asked.look(unsigned(state.get(1))?, remaining, foreign);
                        asked.queued(claim, None, look)
                    }
                    "gone" => Answer::Gone,
                    _ => return None,
                })
            })
            .collect::<Option<Vec<Answer>>>()
    };
    read().ok_or_else(|| not_understood("poll"))
}

/// The answer to a release.
///
/// # Errors
///
/// `Backend` for an answer that is none.
pub fn read_release(value: &Value) -> Result<Released> {
    match int(Some(value)) {
        Some(0) => Ok(Released::NotHeld),
        Some(1) => Ok(Released::Freed),
        Some(2) => Ok(Released::HandedOn),
        _ => Err(not_understood("release")),
    }
}

/// The answer to an extension: until when the lease is valid now, `None` where it was refused.
///
/// # Errors
///
/// `Backend` for an answer that is none.
pub fn read_extend(claim: &Claim, asked: Asked, value: &Value) -> Result<Option<Moment>> {
    match int(Some(value)) {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(asked.valid_until(claim.ttl()))),
        _ => Err(not_understood("extend")),
    }
}

/// The answer to the extension of more than one lease: what was said of each.
pub(super) fn each_extended(answer: Result<Value>, count: usize) -> Vec<Result<Value>> {
    let error = match answer {
        Ok(answer) if count == 1 => return vec![Ok(answer)],
        Ok(Value::Array(each)) if each.len() == count => {
            let read =
                |value: Value| value.extract_error().map_err(|error| read_error(&error, true));
            return each.into_iter().map(read).collect();
        }
        Ok(_) => not_understood("extend"),
        Err(error) => error,
    };
    vec![Err(error); count]
}

pub(crate) fn read_inspect(name: &str, value: &Value) -> Result<Inspection> {
    let read = || {
        let parts = list(value)?;
        let id = text(parts.first())?;
        let remaining = int(parts.get(4))?;
        let label = match parts.get(5)? {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => text(Some(other))?.to_owned(),
        };
        let holder = (!id.is_empty()).then(|| Holder {
            id: id.to_owned(),
            foreign: int(parts.get(1)).is_some_and(|foreign| foreign != 0),
            fence: unsigned(parts.get(2)),
            ttl: unsigned(parts.get(3)).filter(|&ttl| ttl > 0).map(Duration::from_millis),
            remaining: u64::try_from(remaining).ok().map(Duration::from_millis),
            label,
        });
        Some(Inspection { name: name.to_owned(), holder, waiters: unsigned(parts.get(6))? })
    };
    read().ok_or_else(|| not_understood("inspect"))
}

/// Codes of a server that can't serve just now. None of them means granted.
const NOT_NOW: [&str; 10] = [
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "NOREPLICAS",
    "READONLY",
    "OOM",
    "MISCONF",
    "UNBLOCKED",
];
const DENIED: [&str; 2] = ["NOAUTH", "WRONGPASS"];

/// What a failed command means. `sent` says whether it may have reached the server.
pub(crate) fn read_error(error: &RedisError, sent: bool) -> Error {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    // Redis 6.2 wraps the error of a command inside a script: "ERR Error running script
    // (call to f_...): @user_script:1: -OOM command not allowed ...", WRONGTYPE without the dash.
    let is = |known: &&str| {
        code == *known || code == "ERR" && detail.split([' ', '-']).any(|word| word == *known)
    };
    if let Some(error) = denied::read(code, detail) {
        return error;
    }
    if DENIED.iter().any(is) || error.kind() == redis::ErrorKind::AuthenticationFailed {
        return Error::new(
            ErrorKind::Denied,
            format!("the server refused: {}", shown(code, detail, error)),
            "check user and password",
        );
    }
    if let Some(code) = NOT_NOW.iter().find(|known| is(known)) {
        return Error::new(
            ErrorKind::Unavailable,
            format!("the server can't serve now: {}", shown(code, detail, error)),
            "wait until the server has recovered, then try again",
        );
    }
    if matches!(code, "MOVED" | "ASK") {
        return Error::new(
            ErrorKind::Unsupported,
            "the server is a node of a Redis Cluster",
            "give the URL of a single Redis or Valkey",
        );
    }
    if is(&"WRONGTYPE") {
        return Error::new(
            ErrorKind::Backend,
            "its key holds something that is no lock (WRONGTYPE), and was left as it is",
            "give the lock another name, or the client a prefix",
        );
    }
    if code == "FENCELIMIT" {
        return Error::new(
            ErrorKind::Backend,
            "its fences have reached 2^53, so nothing was granted",
            "delete the key that ends in :f once it is known why a fence so large was written",
        );
    }
    if code.is_empty() {
        let error = Error::unavailable(format!("the connection failed: {error}"));
        return if sent { error.maybe_done() } else { error };
    }
    Error::new(
        ErrorKind::Backend,
        format!("the server answered with an error: {}", shown(code, detail, error)),
        "look the error up in the server's documentation",
    )
}

/// What the server said, without the full stop that some errors end with: our text goes on.
fn shown(code: &str, detail: &str, error: &RedisError) -> String {
    let detail = detail.trim_end_matches('.');
    match (code, detail) {
        ("", "") => error.to_string(),
        ("", detail) => detail.to_owned(),
        (code, detail) => format!("{code} {detail}"),
    }
}

/// Whether the server does not know a script's hash: then nothing was executed.
pub(super) fn is_noscript(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
