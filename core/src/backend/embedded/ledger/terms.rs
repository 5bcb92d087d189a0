//! What the ledger is asked, and what it answers.

use crate::token::Token;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) client: &'a str,
    pub(crate) process: &'a str,
}

/// A wish to hold, as the store keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The lock.
    pub name: &'a str,
    /// Proves that it is the holder's.
    pub token: Token,
    /// How long the lease is to last.
    pub ttl_ms: u64,
    /// What observers see.
    pub label: &'a str,
    /// The place in the queue that an earlier token had; 0 for none.
    pub ticket: u64,
}

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// So many are before it.
    pub rank: u64,
    /// What keeps the place.
    pub ticket: u64,
    /// How long the holder's lease lasts, in ns; `None` if nobody holds the lock.
    pub remaining: Option<u64>,
    /// Processes whose end may make it this waiter's turn.
    pub ahead: Vec<String>,
}

/// What an attempt or a poll came to, for one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds the lock.
    Held {
        /// By the grant with this fence.
        fence: u64,
    },
    /// Somebody else holds it, for so many ns.
    Busy {
        /// `None` if nobody holds the lock.
        remaining: Option<u64>,
    },
    /// It waits.
    Queued(Queued),
    /// The queue takes no more.
    Full,
    /// It neither holds nor waits.
    Gone,
}

/// Somebody who is to be told, once the transaction is through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The lock.
    pub name: String,
    /// Whose lease it is.
    pub token: Token,
    /// Its fence.
    pub fence: u64,
    /// The client that is to hear of it.
    pub client: String,
    /// And its process.
    pub process: String,
}

/// What an observer sees of a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its owner token; not to be shown.
    pub token: Token,
    /// Its fence.
    pub fence: u64,
    /// The lease's TTL.
    pub ttl_ms: u64,
    /// What is left of it, in ns.
    pub remaining: u64,
    /// The holder's label.
    pub label: String,
}
