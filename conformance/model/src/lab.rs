//! What a run has beside the states: the Lua, what was seen, and the rule that was found broken.

use std::collections::BTreeMap;
use std::fmt;

use fencelock::model::{Flaw, Speaker};
use fencelock_reference::Scripts;

use crate::server::Runner;
use crate::setting::Setting;
use crate::wire::name;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// No two valid leases, inside the promise.
    Exclusion,
    /// What a holder believes to have, the server has kept for it, inside the promise.
    Kept,
    /// Fences are unique, and grow in the order of the grants.
    Fence,
    /// A store that refuses smaller fences never takes an older holder's write after a newer's.
    Store,
    /// Nobody waits without a request under way, or a moment at which to look.
    Rescue,
    /// Nobody is passed over who lives and came first.
    Order,
    /// Whoever leaves the lock free leaves nobody who lives waiting for a message.
    HandOn,
    /// No lease is valid for longer than its TTL, less the drift, after the server last said so.
    Deadline,
    /// A lease whose time is over is told to be lost.
    Told,
    /// Who gives back in time what it holds is not told that it was lost.
    Truth,
    /// Nothing is left behind.
    Rest,
}

/// A rule that was found broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// What must have been seen, lest a search pass because nothing happened in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// A lease by a caller's own attempt.
    GrantByReply,
    /// A lease by a message.
    GrantByMessage,
    /// A lease by a poll or a repeated acquire of the engine's.
    GrantByPoll,
    /// A release that handed the lock on.
    HandOn,
    /// A message that came too late to be believed, so that the client asked first.
    OldMessage,
    /// A message that nobody waited for.
    StrayMessage,
    /// A message lost on its way, or with nobody there.
    LostMessage,
    /// An extension that the server granted.
    Renewal,
    /// An extension that the server refused.
    Refusal,
    /// A lease that was lost because its time was over.
    Expiry,
    /// A lock that lapsed at the server.
    Lapse,
    /// A wait that went on under a new token.
    Renamed,
    /// A wait that went on by the engine when the connection broke on which it had listened.
    Deaf,
    /// A wait that ended by its timeout.
    Timeout,
    /// A request that was not answered in time.
    Unanswered,
    /// A request that was repeated on another connection.
    Repeated,
    /// A request that arrived after its connection had broken.
    Straggler,
    /// A withdrawal that found something to withdraw.
    Withdrawn,
    /// A caller that found the lock taken and did not wait.
    Busy,
    /// A dead waiter that was skipped.
    Skipped,
    /// A foreign holder.
    Foreign,
    /// A path that was played to its end, where nothing was left behind.
    Drained,
}

impl Seen {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::GrantByReply,
        Self::GrantByMessage,
        Self::GrantByPoll,
        Self::HandOn,
        Self::OldMessage,
        Self::StrayMessage,
        Self::LostMessage,
        Self::Renewal,
        Self::Refusal,
        Self::Expiry,
        Self::Lapse,
        Self::Renamed,
        Self::Deaf,
        Self::Timeout,
        Self::Unanswered,
        Self::Repeated,
        Self::Straggler,
        Self::Withdrawn,
        Self::Busy,
        Self::Skipped,
        Self::Foreign,
        Self::Drained,
    ];
}

/// How often each was seen.
pub type Tally = BTreeMap<Seen, u64>;

/// Bugs on purpose in what stands for the client's shell here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    /// An attempt that is given up is withdrawn by another connection than its own.
    CancelElsewhere,
    /// A room is not woken.
    NotWoken,
    /// The keeper does not look at a lease that lapses.
    KeeperAsleep,
    /// A fence is read from somewhere else than the grant.
    FenceFromElsewhere,
    /// A lease is forgotten when its release begins, not when it is over.
    ForgottenEarly,
}

/// A bug on purpose.
#[derive(Clone, Copy)]
pub(crate) enum Bug {
    /// In the client's logic.
    Flaw(Flaw),
    /// In what stands for its shell.
    Slip(Slip),
    /// In the scripts: given each one's name and text.
    Scripts(fn(&str, &str) -> String),
}

/// What a run has beside the states.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) runner: Runner,
    pub(crate) speakers: Vec<Speaker>,
    pub(crate) tally: Tally,
    /// What happens, for people to read.
    pub(crate) notes: Option<Vec<String>>,
    pub(crate) slip: Option<Slip>,
    pub(crate) violation: Option<Violation>,
    /// A rule that is not looked at, to see that another one catches the same.
    pub(crate) blind: Option<Rule>,
}

impl Lab {
    pub(crate) fn new(setting: &Setting, bug: Option<Bug>) -> Self {
        let scripts = match bug {
            Some(Bug::Scripts(change)) => Scripts::with(change),
            _ => Scripts::new(),
        };
        let slip = match bug {
            Some(Bug::Slip(slip)) => Some(slip),
            _ => None,
        };
        let speaker = |client| Speaker { client: name(client).into(), prefix: String::new() };
        Self {
            runner: Runner::new(scripts),
            speakers: (0..setting.parties.len()).map(speaker).collect(),
            tally: Tally::new(),
            notes: None,
            slip,
            violation: None,
            blind: None,
        }
    }

    pub(crate) fn saw(&mut self, what: Seen) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.push(what());
        }
    }

    pub(crate) fn broken(&mut self, rule: Rule, what: impl Into<String>) {
        if self.blind != Some(rule) {
            self.violation.get_or_insert(Violation { rule, what: what.into() });
        }
    }
}
