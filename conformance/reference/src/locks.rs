//! One lock at the level of what is asked and answered, whichever backend keeps it.

use std::fmt;

/// Names a wish to hold the lock: an owner token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u8);

/// Names a client. A token belongs to one client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(pub u8);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'A' + self.0))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// A wish to hold the lock. Times are ms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Whose lease it would be.
    pub token: Token,
    /// Who asks.
    pub client: Client,
    /// How long the lease would be.
    pub ttl: i64,
    /// Stand in the queue if it is held.
    pub wait: bool,
    /// How soon the client must be heard of again.
    pub window: i64,
    /// The place it had in the queue; 0 for a newcomer.
    pub ticket: i64,
    /// It is told of its grant; else it fetches the lock by polling.
    pub told: bool,
    /// What is shown of the holder.
    pub label: &'static str,
}

/// What is asked of a lock, or befalls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The lock's clock steps by so many µs, back if negative.
    Clock(i64),
    /// The clock goes to where the next thing has expired, and so many µs further.
    ToExpiry(i64),
    /// Take the lock, or a place in its queue.
    Acquire(Wish),
    /// A client's heartbeat, with its window, for tokens with the TTL of each.
    Poll(Client, i64, Vec<(Token, i64)>),
    /// Give it back.
    Release(Token),
    /// Undo an acquire.
    Cancel(Token),
    /// Let the lease last for so many ms from now.
    Extend(Token, i64),
    /// Who holds?
    Inspect,
    /// A client can be told of grants from now on, or no more.
    Listen(Client, bool),
    /// Everything is forgotten.
    Forget,
    /// The record of the last grant is forgotten.
    ForgetRecord,
    /// A foreign client takes it if it is free, for so many ms or for ever.
    ForeignTake(Option<i64>),
    /// The foreign client gives it back.
    ForeignRelease,
    /// Somebody deletes whatever says that it is held.
    Delete,
}

/// How a lock stands to those who don't hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holding {
    /// What is left of the holder's time in ms; −1 for ever, −2 if nobody holds.
    pub remaining: i64,
    /// A foreign client holds.
    pub foreign: bool,
}

/// How a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It holds, by the grant with this fence.
    Held(i64),
    /// So many are before it.
    Queued(i64),
    /// Neither.
    Gone,
}

/// The answer to an [`Op`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// There is nothing to say.
    Nothing,
    /// Acquired, with this fence.
    Held(i64),
    /// Somebody else holds, and the caller would not wait.
    Busy(Holding),
    /// It has a place.
    Queued {
        /// How many are before it.
        rank: i64,
        /// What keeps the place.
        ticket: i64,
        /// How the lock stands.
        holding: Holding,
    },
    /// The answer to a poll, a standing for each token.
    Polled(Holding, Vec<Standing>),
    /// It was not the holder's: nothing was given back.
    NotHeld,
    /// Given back, and free.
    Freed,
    /// Given back, and the next has it.
    HandedOn,
    /// A cancel found nothing.
    NothingToCancel,
    /// A cancel took a place out of the queue.
    LeftQueue,
    /// A cancel found it held, and passed it on.
    PassedOn,
    /// Was the lease extended?
    Extended(bool),
    /// Who holds.
    Inspected {
        /// How the lock stands.
        holding: Holding,
        /// Of a grant that is known: fence, TTL and label.
        grant: Option<(i64, i64, String)>,
        /// How many stand in the queue.
        waiters: i64,
    },
    /// Did a foreigner get what it asked for?
    Foreign(bool),
}

/// A waiter that was told of its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// Who was told.
    pub client: Client,
    /// Of which wish.
    pub token: Token,
    /// The grant's fence.
    pub fence: i64,
    /// The lease's length in ms.
    pub ttl: i64,
}

/// What a backend knows of. Operations on what it does not are not asked of it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not, whatever the others are")]
pub struct Features {
    /// [`Op::ForeignTake`], [`Op::ForeignRelease`].
    pub foreigners: bool,
    /// [`Op::ForgetRecord`], [`Op::Delete`].
    pub eviction: bool,
    /// [`Op::Forget`].
    pub forgets: bool,
    /// A client lives only while it listens. Else [`Op::Listen`] is not asked, and all do.
    pub listeners: bool,
    /// Wishes that are not [`told`](Wish::told).
    pub fetching: bool,
    /// Fences are just max(last + 1, time in µs): none is skipped where a grant came to nothing.
    pub exact_fences: bool,
    /// Its clock may be set back.
    pub steps_back: bool,
    /// A queue that nobody is heard of in for 120 s is forgotten, and its tickets begin anew. Else
    /// the dead in it stay until they come to the head.
    pub queues_lapse: bool,
}

impl Features {
    /// All there is.
    pub const REDIS: Self = Self {
        foreigners: true,
        eviction: true,
        forgets: true,
        listeners: true,
        fetching: true,
        exact_fences: false,
        steps_back: true,
        queues_lapse: true,
    };
}

/// A lock that somebody keeps.
pub trait Locks {
    /// What it knows of.
    fn features(&self) -> Features;

    /// Sets its clock, in µs since 1970. What has expired by then is gone for good.
    fn set_clock(&mut self, now_us: i64);

    /// Carries out an operation, none of the clock's. Whom it told of a grant comes second.
    fn step(&mut self, op: &Op) -> (Answer, Vec<Told>);
}
