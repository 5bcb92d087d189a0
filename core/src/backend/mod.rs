//! The one trait between the engine and what it locks with. The engine owns waiting and the use
//! of deadlines; a backend answers and signals.

pub(crate) mod embedded;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod look;
pub(crate) mod redis;
pub(crate) mod target;
pub(crate) mod withdrawal;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::token::Token;

pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a lock is wished for. Only `Exclusive` is served so far; the others show the room that
/// the protocol keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// By one at a time.
    Exclusive,
}

/// One wish to hold a lock, the same through every retry: a backend grants it once per token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The lock.
    pub name: Arc<str>,
    /// Proves that it is ours.
    pub token: Token,
    /// How the lock is wished for.
    pub mode: Mode,
    /// How long a lease lasts without renewal, in ms.
    pub ttl_ms: u64,
    /// What `inspect` shows of the holder.
    pub label: Arc<str>,
    /// The place in the queue that an earlier token of this wish had; 0 for none.
    pub ticket: u64,
    /// Which of the client's connections hears of its grant: 0 for the engine's, else one of the
    /// caller's thread, event loop or runtime.
    pub listener: u32,
}

impl Claim {
    /// A new wish for an exclusive lock.
    pub fn new(name: Arc<str>, token: Token, ttl_ms: u64, label: Arc<str>) -> Self {
        Self { name, token, mode: Mode::Exclusive, ttl_ms, label, ticket: 0, listener: 0 }
    }

    /// How long a lease lasts without renewal.
    pub fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    /// The same wish under a new token, at the place in the queue that the old one had. The engine
    /// hears of its grant.
    pub(crate) fn renamed(&self, token: Token, ticket: u64) -> Self {
        Self { token, ticket, listener: 0, ..self.clone() }
    }
}

/// What a backend says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Held.
    Granted {
        /// With this fence.
        fence: u64,
        /// Until this moment by our clock.
        valid_until: Moment,
    },
    /// Somebody else holds it, and the claim is not in the queue.
    Busy,
    /// In the queue.
    Queued {
        /// The place there, if it was told now.
        ticket: Option<u64>,
        /// When to poll, if no signal comes before.
        look_at: Moment,
        /// Until when the lease is valid if a signal says that it was granted.
        granted_until: Moment,
    },
    /// Not in the queue any more: the token is spent.
    Gone,
}

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Released {
    /// Nobody holds it now.
    Freed,
    /// The first waiter holds it now.
    HandedOn,
    /// It was not held with this token.
    NotHeld,
}

/// What a backend tells of its own accord.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// A claim was granted.
    Granted {
        /// On this lock.
        name: String,
        /// With this token.
        token: Token,
        /// And with this fence.
        fence: u64,
    },
    /// Signals may have been missed: look at every claim.
    LookAll,
    /// This listener hears nothing any more.
    Deaf(u32),
}

/// Takes signals, on any thread; must not block.
pub(crate) type SignalSink = Arc<dyn Fn(Signal) + Send + Sync>;

/// Whether a caller that blocks wants to stop waiting, asked a few times each 100 ms.
pub(crate) type Interrupt<'a> = &'a mut (dyn FnMut() -> bool + Send);

/// What a lock looks like to an observer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The lock's name.
    pub name: String,
    /// Who holds it, if anybody does.
    pub holder: Option<Holder>,
    /// How many wait in its queue, the dead that were not found yet included.
    pub waiters: u64,
}

/// The present holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// A short hash of the owner token, the same for the length of one lease. Not the token.
    pub id: String,
    /// Whether it is a client of another library.
    pub foreign: bool,
    /// The fence of its lease; a foreign holder has none.
    pub fence: Option<u64>,
    /// The lease's TTL; a foreign holder's is not known.
    pub ttl: Option<Duration>,
    /// How long the lock stays held unless renewed; `None` without end.
    pub remaining: Option<Duration>,
    /// The label that the holder gave.
    pub label: String,
}

/// What locks are kept in.
///
/// `by` is when an answer is of no use any more; past it a call fails with `Unavailable`. An
/// error that `is_ambiguous` says that the command may have been carried out.
pub(crate) trait Backend: std::fmt::Debug + Send + Sync {
    /// Whether signals arrive, so that a claim may join the queue at its first attempt.
    fn listening(&self) -> bool;

    /// The listener that a claim may name whose caller is a task of the runtime that this is called
    /// on; 0 for the engine's.
    fn listener(&self) -> u32 {
        0
    }

    /// Whether this listener hears of grants.
    fn hears(&self, _listener: u32) -> bool {
        true
    }

    /// Connects, and returns when signals arrive (or can't here, and claims are polled for instead).
    fn listen(&self, by: Moment) -> Boxed<'_, Result<()>>;

    /// Takes the lock if it is free; else joins the queue, if told to. Idempotent per token.
    ///
    /// Dropped before it is done, it withdraws the claim in the background, behind itself on
    /// the same connection: a withdrawal elsewhere could overtake it and leave a lock that
    /// nobody holds.
    fn attempt<'a>(
        &'a self,
        claim: &'a Arc<Claim>,
        queue: bool,
        by: Moment,
    ) -> Boxed<'a, Result<Answer>>;

    /// Asks after claims that are in the queue of one lock, with one listener; also says that they
    /// are alive.
    fn poll<'a>(&'a self, claims: &'a [Arc<Claim>], by: Moment) -> Boxed<'a, Result<Vec<Answer>>>;

    /// Leaves the queue, and hands the lock on if it was granted meanwhile.
    fn withdraw<'a>(&'a self, claim: &'a Claim, by: Moment) -> Boxed<'a, Result<()>>;

    /// Gives the lock up, to the first live waiter if there is one. `sent` if it was asked for
    /// before, and the answer lost: that nobody holds the lock means then that it was heard.
    fn release<'a>(
        &'a self,
        claim: &'a Claim,
        sent: bool,
        by: Moment,
    ) -> Boxed<'a, Result<Released>>;

    /// Renews leases: until when each is valid now, `None` where the server refused.
    fn extend<'a>(
        &'a self,
        claims: &'a [Arc<Claim>],
        by: Moment,
    ) -> Boxed<'a, Vec<Result<Option<Moment>>>>;

    /// What a lock looks like.
    fn inspect<'a>(&'a self, name: &'a str, by: Moment) -> Boxed<'a, Result<Inspection>>;

    /// The fast path for callers that block, if the backend has one.
    fn direct(&self) -> Option<&dyn Direct>;

    /// The fast path for callers on this event loop, if it is open; if not, it is opened in the
    /// background where that is possible.
    fn pipeline(&self, _event_loop: &EventLoop) -> Option<Arc<dyn Pipeline>> {
        None
    }

    /// Opens that fast path, where that is possible. It need not succeed.
    fn open_pipeline(&self, _event_loop: &EventLoop) -> Boxed<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// As [`open_pipeline`](Self::open_pipeline), for the runtime that this is called on.
    fn open_here(&self) -> Boxed<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Closes every connection. Nothing is called after it.
    fn shut(&self);
}

/// What is called with an answer.
pub(crate) type Done<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// The fast path for callers on an event loop: the loop's thread sends the command, and reads the
/// answer at one of its turns. Called on the loop's thread, or a runtime's; what is called back runs
/// in a turn, or on the engine's thread if the connection is closed. It is dropped if the loop is.
pub(crate) trait Pipeline: Send + Sync {
    /// As [`Backend::attempt`]; the ticket serves to give it up. If the loop is dropped first the
    /// claim is withdrawn in the background.
    fn attempt(&self, claim: &Arc<Claim>, queue: bool, by: Moment, done: Done<Answer>) -> u64;

    /// The listener that a claim may name which is attempted here; 0 for the engine's.
    fn listener(&self) -> u32;

    /// Gives an attempt up, if it was not answered yet: withdraws the claim behind it, and drops
    /// what was to be called.
    fn give_up(&self, ticket: u64);

    /// As [`Backend::release`], sent once.
    fn release(&self, claim: &Claim, by: Moment, done: Done<Released>);
}

/// The fast path for a caller that blocks: it writes the command and reads the reply itself.
pub(crate) trait Direct {
    /// As [`Backend::attempt`]. When `interrupt` says so it ends with `Cancelled`, and the claim
    /// is withdrawn in the background behind the attempt.
    fn attempt(
        &self,
        claim: &Claim,
        queue: bool,
        by: Moment,
        interrupt: Interrupt<'_>,
    ) -> Attempted;

    /// As [`Backend::release`]. When `interrupt` says so it ends with `Cancelled`, and the server
    /// may carry it out or not: the caller repeats it.
    fn release(&self, claim: &Claim, by: Moment, interrupt: Interrupt<'_>) -> Result<Released>;
}

/// What came of an attempt on a caller's own connection.
pub(crate) struct Attempted {
    pub(crate) answer: Result<Answer>,
    /// The claim's listener, if it is in the queue.
    pub(crate) listener: u32,
    /// The connection, if the claim is in the queue and the caller can wait there.
    pub(crate) ear: Option<Box<dyn Ear>>,
}

impl From<Result<Answer>> for Attempted {
    fn from(answer: Result<Answer>) -> Self {
        Self { answer, listener: 0, ear: None }
    }
}

/// The connection of a caller that blocks, who waits on it: reading the message itself spares the
/// hop from the engine's thread, which costs as much as the server's whole part.
pub(crate) trait Ear: Send {
    /// Wakes the one who listens.
    fn waker(&self) -> Waker;

    /// Waits for a message, a wake-up, a signal of the operating system, or so long. After an
    /// error it hears nothing any more.
    fn hear(&mut self, within: Option<Duration>) -> Result<Heard>;
}

/// What was heard.
#[derive(Debug)]
pub(crate) enum Heard {
    Signal(Signal),
    /// Something that is not the caller's concern.
    Noise,
    /// Nothing for so long.
    Silence,
}

/// The error of a backend that does not know what it was answered.
pub(crate) fn not_understood(what: &str) -> Error {
    Error::new(
        crate::error::ErrorKind::Backend,
        format!("the server's answer to {what} was not understood"),
        "check that the URL names a Redis or Valkey, with nothing in between that rewrites answers",
    )
}
