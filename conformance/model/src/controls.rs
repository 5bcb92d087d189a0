//! Bugs put in on purpose, one at a time: the searches that find nothing must find each of them.

use fencelock::model::Flaw;

use crate::lab::{Bug, Rule, Slip};
use crate::search::{Report, search};
use crate::suite::named;

/// A bug on purpose, and the rules of which one must catch it.
#[derive(Clone, Copy)]
pub struct Control {
    /// What the bug is.
    pub name: &'static str,
    /// Which rules may catch it.
    pub caught_by: &'static [Rule],
    setting: &'static str,
    bug: Bug,
    blind: Option<Rule>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Control").field(&self.name).finish()
    }
}

impl Control {
    /// Searches with the bug, until it is found or there were `enough` states.
    ///
    /// # Panics
    ///
    /// If the setting does not exist.
    pub fn run(&self, enough: usize) -> Report {
        match named(self.setting) {
            Some(setting) => search(&setting, Some(self.bug), self.blind, enough),
            None => Report::none(self.setting),
        }
    }
}

/// Puts something else in the place of a text, in every script that has it.
fn put(text: &str, find: &str, put: &str) -> String {
    text.replace(find, put)
}

fn plain_del(_: &str, text: &str) -> String {
    put(text, "if call('GET', KEYS[1]) ~= ARGV[1] then return 0 end", "")
}

fn fence_by_incr(_: &str, text: &str) -> String {
    let counted = put(
        text,
        "math.max((last and tonumber(last.fence) or 0) + 1, now_us)",
        "(last and tonumber(last.fence) or 0) + 1",
    );
    put(
        &counted,
        "local taken = redis.pcall('SET'",
        "if true then return nil end\n  local taken = redis.pcall('SET'",
    )
}

fn extend_anybodys(name: &str, text: &str) -> String {
    if name != "extend" {
        return text.to_owned();
    }
    put(text, "if call('GET', L) ~= token then return 0 end", "")
}

fn walk_of_two(_: &str, text: &str) -> String {
    put(text, "QUEUE_LIFE = 1000, 10000", "QUEUE_LIFE = 2, 10000")
}

fn cap_of_foreign(_: &str, text: &str) -> String {
    put(text, "if last and last.token == holder and (", "if last and (")
}

fn barging(_: &str, text: &str) -> String {
    put(text, "if call('EXISTS', KEYS[3]) == 0 then return quick end", "do return quick end")
}

/// Each bug; the first nine are those that the project set out to catch.
pub fn controls() -> Vec<Control> {
    use Bug::{Flaw as Logic, Scripts, Slip as Shell};
    let control =
        |name, setting, bug, caught_by| Control { name, setting, bug, caught_by, blind: None };
    let network = "two clients on a bad network";
    let plain = "leases that are not renewed";
    let forgets = "a server that forgets";
    vec![
        control(
            "a release by plain DEL",
            plain,
            Scripts(plain_del),
            &[Rule::Kept, Rule::Exclusion],
        ),
        control(
            "a fence by INCR across a lossy fail-over",
            forgets,
            Scripts(fence_by_incr),
            &[Rule::Fence, Rule::Store],
        ),
        control(
            "an extension without a look at the owner",
            "extensions that are late",
            Scripts(extend_anybodys),
            &[Rule::Kept, Rule::Exclusion],
        ),
        control(
            "a deadline from a message's arrival",
            plain,
            Logic(Flaw::DeadlineFromMessage),
            &[Rule::Deadline, Rule::Kept, Rule::Exclusion],
        ),
        control(
            "a deadline from the reply",
            plain,
            Logic(Flaw::DeadlineFromReply),
            &[Rule::Deadline, Rule::Kept, Rule::Exclusion],
        ),
        control(
            "a walk bounded at two",
            "the dead in the queue",
            Scripts(walk_of_two),
            &[Rule::HandOn],
        ),
        control(
            "a token reused after gone",
            "messages apart from answers",
            Logic(Flaw::TokenReused),
            &[Rule::Kept, Rule::Exclusion, Rule::Deadline],
        ),
        control(
            "the cap applied to foreign values",
            "a foreign holder",
            Scripts(cap_of_foreign),
            &[Rule::Kept, Rule::Exclusion],
        ),
        control(
            "a cancel sent on another connection",
            "two who change their minds",
            Shell(Slip::CancelElsewhere),
            &[Rule::Rest],
        ),
        Control {
            blind: Some(Rule::Kept),
            ..control(
                "a release by plain DEL, seen by its victims",
                plain,
                Scripts(plain_del),
                &[Rule::Exclusion],
            )
        },
        Control {
            blind: Some(Rule::Deadline),
            ..control(
                "a deadline from the reply, seen at the server",
                plain,
                Logic(Flaw::DeadlineFromReply),
                &[Rule::Kept],
            )
        },
        control("barging past the queue", plain, Scripts(barging), &[Rule::Order]),
        control(
            "a fence that was not granted",
            network,
            Shell(Slip::FenceFromElsewhere),
            &[Rule::Store],
        ),
        control("a room that is not woken", network, Shell(Slip::NotWoken), &[Rule::Rescue]),
        control("a keeper that does not look", plain, Shell(Slip::KeeperAsleep), &[Rule::Told]),
        control(
            "a lease forgotten before its release is answered",
            network,
            Shell(Slip::ForgottenEarly),
            &[Rule::Truth],
        ),
    ]
}
