//! What the model checker (`conformance/model`) drives: the client's logic as shipped, without
//! clock, chance, threads and connections. Only with the feature `model`, and no public API.

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
