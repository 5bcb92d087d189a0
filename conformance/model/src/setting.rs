//! What a search looks at: who is there, what may go wrong, and how far it goes.

use std::time::Duration;

use fencelock::model::{Patience, PushMode};

/// One client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    pub(crate) callers: u8,
    pub(crate) renew: bool,
    pub(crate) mode: PushMode,
    /// It has connected, and hears messages, before the story begins.
    pub(crate) connected: bool,
}

/// An ordinary one.
pub(crate) const PARTY: Party =
    Party { callers: 1, renew: true, mode: PushMode::Channel, connected: true };
/// One that hears of no grant.
pub(crate) const DEAF: Party = Party { mode: PushMode::None, ..PARTY };

/// What may go wrong, or is done that need not be; each time costs one of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What is on its way on a connection, in one direction, takes its time.
    Slow,
    /// A message is lost, the connection being whole.
    Drop,
    /// A message comes twice.
    Twice,
    /// The server closes a connection: what it has sent arrives before the end of it.
    Cut,
    /// The network breaks: the client hears at once, the server later, or not before it has
    /// carried out what was on its way.
    Reset,
    /// A process stands still: its timers are late.
    Stall,
    /// A process is killed.
    Crash,
    /// A host vanishes: the server does not hear that its connections are gone.
    Vanish,
    /// A caller gives up.
    GiveUp,
    /// A holder drops its lease.
    Discard,
    /// A holder abandons its lease.
    Abandon,
    /// A holder renews by hand.
    Renew,
    /// Three of another client join the queue, and that client dies.
    Ghosts,
    /// The server's clock is set back by half a minute.
    Back,
    /// The server's clock is set forward by 1 % of the TTL, which the drift allows for, once.
    Slew,
    /// The server's clock is set forward by half a minute.
    Forward,
    /// All keys are deleted.
    Flush,
    /// The lock's key is deleted, evicted or forced.
    Evict,
    /// The queue's key is evicted, but not its meta.
    EvictQueue,
    /// A replica takes over that had not heard of the last grant.
    Promote,
    /// The server comes back empty.
    Restart,
    /// The server has no memory left, for a while.
    Full,
    /// A client of another library takes the lock, for half a minute.
    Foreign,
}

/// What a search looks at.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) parties: Vec<Party>,
    pub(crate) ttl_ms: u64,
    /// How a caller may wait.
    pub(crate) patiences: &'static [Patience],
    /// How often each caller acquires.
    pub(crate) rounds: u8,
    pub(crate) faults: &'static [Fault],
    /// How much may go wrong on one path.
    pub(crate) budget: u8,
    /// Messages before the reply that they were sent with, as Redis 6.2 and 7.0 do.
    pub(crate) push_first: bool,
    /// Messages come on a connection of their own.
    pub(crate) resp2: bool,
    /// Callers hear of their grants on their own connections.
    pub(crate) ears: bool,
}

impl Setting {
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }

    /// Whether every client is like every other: then it does not matter which begins.
    pub(crate) fn symmetric(&self) -> bool {
        let like = |a: &Party, b: &Party| {
            (a.callers, a.renew, a.mode, a.connected) == (b.callers, b.renew, b.mode, b.connected)
        };
        self.parties.iter().all(|party| like(party, &self.parties[0]))
    }
}
