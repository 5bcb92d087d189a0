//! What the model checker (`conformance/model`) drives: the client's logic as shipped, without
//! clock, chance, threads and connections. Only with the feature `model`, and no public API.
//!
//! Every machine is told the time (`now`) and new tokens, and is `Clone + Debug + Eq + Hash`. A
//! client in the model is one [`Table`], one [`Book`], a [`Term`] for each lease, and what is
//! under way on its connections. What a client's shell does, the model does in its place:
//!
//! # Waiting ([`Table`])
//! | the shell's event | call | then |
//! |---|---|---|
//! | a caller begins, messages are heard | `enter(&claim, caller, until, now) -> id` | sends the acquire itself |
//! | its attempt was granted | `settle(id, keep)` | `keep` makes the lease and gives it to the [`Book`]; `None`: a message was first |
//! | its attempt ended otherwise | `stay(id, &answer, now, fresh)` | the engine looks after it from here |
//! | a caller gives up | `leave(id)` | an attempt of its own under way is cancelled behind it, on its connection |
//! | a message ([`Speaker::read_message`]) | `granted(name, token, fence, now, kept)` | `kept` is [`Book::holds`] |
//! | the connection for messages broke | `look_all(now)` | |
//! | the client is closed | `close()` | each claim is withdrawn once |
//! | [`Effect::Open`], [`Effect::Wake`], `Plan::next` has come, a request was answered | `plan(name, now, idle)` | `idle`: no request of this room is under way; `task` is the one to send; `None`: the room is closed |
//! | the answer to a [`Task`] | `apply(task.answered(answers), now, fresh)`, then `plan` | |
//!
//! A room has one request under way, on the engine's connection. Its answer is of use for
//! min(response timeout, `task.ttl()`). [`Effect`]s are carried out at once and in their order; no
//! message is taken between.
//!
//! # Keeping ([`Book`], [`Term`])
//! `keep(token, holding, Kept)` with each lease; `turn(now)` when [`Due::next`] has come, when
//! `keep` said true, and after each `settle`. Of [`Due`], `renewals` go in one batch on the
//! engine's connection, answered within min(response timeout, [`answer_time`]); for each of
//! `lapsed` look at [`Term::loss`]. `settle(token, answer, now)` for each answer:
//! [`Settled::Prolonged`]: [`Term::prolong`], and `forget` it if [`Term::loss`] says that it is
//! lost all the same; [`Settled::Refused`]: step [`Event::Lost`]. By hand: `take_for_renewal`
//! gives true, then the same.
//!
//! A release begins with [`Term::is_held`] and the step [`Event::ReleaseBegun`], then `forget`; a
//! lease that is lost is released all the same. Answered, or given up: step [`Event::Released`].
//! With a straggler expected, its end sets [`Term::straggler_due`], when its token is withdrawn.
//!
//! # On the wire
//! [`Speaker`] makes a [`Call`] of each request; [`Call::parts`] is (sha1, keys, arguments), and
//! [`scripts`] are the texts. A reply is read by `read_acquire(&claim, asked, &value)`,
//! [`read_poll`], [`read_release`] or [`read_extend`]; [`Asked::sent`] is the time *before* the
//! request was sent. [`unavailable`] is the answer that a broken connection leaves.
//!
//! # Bugs on purpose
//! [`with_flaw`] runs something on this thread with a [`Flaw`] put back.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

pub use crate::backend::redis::protocol::{
    Asked, Call, PushMode, Speaker, channel, read_acquire, read_extend, read_poll, read_release,
};
pub use crate::backend::{Answer, Claim, Mode, Released, Signal};
pub use crate::clock::{Moment, valid_until};
pub use crate::flaw::{Flaw, with_flaw};
pub use crate::keeper::book::{Book, Due, Kept, Settled, answer_time};
pub use crate::term::{Event, Phase, Term};
pub use crate::token::Token;
pub use crate::wait::table::{Answers, Effect, Plan, Table, Task};
pub use crate::wait::waiter::{Stage, Waiter};

pub use redis::Value;

use crate::backend::redis::scripts;
use crate::error::Error;

/// A script as it is sent to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Script {
    /// As its file is called, less `.lua`.
    pub name: &'static str,
    /// Its text, the shared functions put in.
    pub source: &'static str,
    /// The hash by which a [`Call`] names it.
    pub sha1: &'static str,
}

/// Every script.
pub fn scripts() -> [Script; 6] {
    [
        ("acquire", scripts::acquire()),
        ("poll", scripts::poll()),
        ("release", scripts::release()),
        ("cancel", scripts::cancel()),
        ("extend", scripts::extend()),
        ("inspect", scripts::inspect()),
    ]
    .map(|(name, script)| Script { name, source: &script.source, sha1: &script.sha1 })
}

/// The error of a request that a broken connection left without an answer; `sent` if the server
/// may have carried it out.
pub fn unavailable(sent: bool) -> Error {
    let error = Error::unavailable("the connection broke");
    if sent { error.maybe_done() } else { error }
}

/// A hash map's hash, whatever its order.
pub(crate) fn hash_map<K: Hash + Ord, V: Hash>(map: &HashMap<K, V>, state: &mut impl Hasher) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries.hash(state);
}
