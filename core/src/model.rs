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
//! | a caller begins, if [`Patience::queues`] | `enter(&claim, caller, until, now) -> id` | sends the acquire itself |
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
//! [`Effect::Expire`]: until [`Waiter::goodbye`] a cancel is given time, then [`Waiter::expired`]
//! says what the caller hears and what more is withdrawn. [`Effect::Withdraw`]: by a
//! [`Withdrawal`] that begins now. A withdrawal sends a cancel at `next()`, waits for the answer
//! until `by(now)`, and hears of it by `answered(&answer, now)`, until `next()` is `None`. It
//! goes on the engine's connection of the moment.
//!
//! # A caller's own attempts ([`Patience`])
//! `patience.next(answer, repeated)` after each attempt, which has a place in the queue if the
//! caller has entered the table; its answer is of use until `patience.by(since, by)` with
//! `by` = now + min(response timeout, TTL). [`Decision::Granted`]: `settle` if it has entered, else
//! keep the lease, which expects a straggler if `straggler`. [`Decision::Wait`]: `enter` (until
//! [`Patience::until`]) if it has not, then `stay`. [`Decision::Busy`] and
//! [`Decision::Failed`] with `withdraw`: a [`Withdrawal`] that is straggling.
//!
//! An attempt that is dropped before its answer (the caller gave up) is cancelled *behind* it on
//! the same connection, waited for max(1 s, TTL); if that fails, by a [`Withdrawal`] that is
//! straggling.
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
//! A release begins with [`Term::is_held`] and the step [`Event::ReleaseBegun`], then `leave`; a
//! lease that is lost is released all the same, and answered within min(response timeout, TTL).
//! On the wire a release is sent again while [`Tries::again`], and read by [`Tries::read`];
//! [`Outcome::of`] is what the holder hears. After [`Outcome::Over`]: step [`Event::Released`], then `forget`.
//! After [`Outcome::Open`] the same (with [`Tries`]) is begun at once and after each pause of
//! [`Repetition::again`], while now < [`Term::valid_until`]; then the same. A lease that is
//! dropped begins with this. With a straggler expected, its end sets [`Term::straggler_due`],
//! when a [`Withdrawal`] that is straggling begins.
//!
//! # On the wire
//! [`Speaker`] makes a [`Call`] of each request; [`Call::parts`] is (sha1, keys, arguments), and
//! [`scripts()`] are the texts. A reply is read by `read_acquire(&claim, asked, &value)`,
//! [`read_poll`], [`read_release`] or [`read_extend`]; [`Asked::sent`] is the time *before* the
//! request was sent. [`unavailable`] is the answer that a broken connection leaves.
//!
//! # The embedded store
//! [`EmbeddedStore`] is one that is told the time; [`Standing`] is what it answers.
//!
//! # Bugs on purpose
//! [`with_flaw`] runs something on this thread with a [`Flaw`] put back.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

pub use crate::attempt::{Decision, Patience};
pub use crate::backend::embedded::ledger::{Grant, Queued, Seen, Standing, Wish};
pub use crate::backend::embedded::told::Store as EmbeddedStore;
pub use crate::backend::redis::protocol::{
    Asked, Call, PushMode, Speaker, channel, read_acquire, read_extend, read_poll, read_release,
};
pub use crate::backend::redis::release::Tries;
pub use crate::backend::withdrawal::Withdrawal;
pub use crate::backend::{Answer, Claim, Mode, Released, Signal};
pub use crate::clock::{Moment, valid_until};
pub use crate::flaw::{Flaw, with_flaw};
pub use crate::keeper::book::{Book, Due, Kept, Settled, answer_time};
pub use crate::release::{Outcome, Repetition};
pub use crate::term::{Event, Phase, Term};
pub use crate::token::Token;
pub use crate::wait::table::{Answers, Effect, Plan, Table, Task};
pub use crate::wait::waiter::{Stage, Waiter};

pub use redis::Value;

use crate::backend::redis::protocol::read_error;
use crate::backend::redis::scripts;
use crate::error::{Error, Result};

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

/// What a server's reply is, the error that it may be told apart.
///
/// # Errors
///
/// That error.
pub fn received(reply: Value) -> Result<Value> {
    reply.extract_error().map_err(|error| read_error(&error, true))
}

/// A hash map's hash, whatever its order.
pub(crate) fn hash_map<K: Hash + Ord, V: Hash, S>(map: &HashMap<K, V, S>, state: &mut impl Hasher) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries.hash(state);
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use super::*;

    fn hash(map: &HashMap<u64, &str>) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash_map(map, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn a_maps_hash_is_that_of_its_entries_in_any_order() {
        let entries = || (0..100).map(|key| (key, "value"));
        let (up, mut down): (HashMap<_, _>, HashMap<_, _>) =
            (entries().collect(), entries().rev().collect());
        assert_eq!(hash(&up), hash(&down));
        down.insert(7, "another");
        assert_ne!(hash(&up), hash(&down));
    }
}
