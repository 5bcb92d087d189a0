//! What a pair, an acquire and its release that nobody contends, costs its own process: system
//! calls, counted by strace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use fencelock_conformance::backend::Backend;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

pub(crate) const ALL: &[Scenario] =
    &[Scenario::solo("a_pair_makes_few_system_calls", a_pair_makes_few_system_calls)
        .on(Backend::Redis)];

/// Enough that what is called once, or by the clock, is less than half a call of each.
const PAIRS: u64 = 500;
/// Longer than all takes, also on a slow machine: no renewal comes in between.
const TTL: u64 = 300_000;

/// The most calls of a pair: today's. Who saves some lowers them, and the table in
/// `docs/performance.md`.
#[expect(clippy::match_same_arms, reason = "each has a reason of its own")]
fn allowed(language: &str, call: &str) -> u64 {
    match (language, call) {
        // Two round trips.
        (_, "sendto" | "recvfrom") => 2,
        // The owner token.
        (_, "getrandom") => 1,
        // The caller's event loop: waits for the answer, and then looks once more before it goes
        // on with the task that was woken. Node's looks first and then waits, if it must.
        ("rust-async" | "python-aio" | "node", "epoll_wait") => 4,
        // Python's own `get_running_loop`, up to 3.11.
        ("python-aio", "getpid") => 2,
        _ => 0,
    }
}

/// How often each call was begun, by what strace has written.
fn counts(log: &Path) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().lines() {
        // The thread, and the call with its arguments; or the rest of one that began before.
        let call = line.split_whitespace().nth(1).and_then(|call| call.split_once('('));
        let name = match call {
            Some(("epoll_pwait" | "epoll_pwait2", _)) => "epoll_wait",
            Some((name, _)) => name,
            None => continue,
        };
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

fn log_file(stage: &Stage) -> PathBuf {
    env::temp_dir().join(format!("fencelock-strace-{}-{}", stage.language(0), std::process::id()))
}

fn a_pair_makes_few_system_calls(stage: &Stage) {
    // TLS takes other calls, and from event loops more threads, whose number varies.
    if stage.url.starts_with("rediss") {
        return;
    }
    let log = log_file(stage);
    let mut strace = Command::new("strace");
    // Without fstat: by it the engine looks each few ms whether its descriptors are still its own.
    strace.args(["-f", "-qq", "-s0", "-esignal=none", "-etrace=!newfstatat,fstat", "-o"]).arg(&log);
    let party = stage.party_of(stage.driver_under(strace, 0), &stage.url);
    party.acquire("x").ttl(TTL).sections(20).finish();
    let before = counts(&log);
    party.acquire("x").ttl(TTL).sections(PAIRS).finish();
    let mut made = counts(&log);
    fs::remove_file(&log).unwrap();
    for (call, count) in before {
        made.entry(call).and_modify(|made| *made -= count);
    }
    for call in ["sendto", "recvfrom", "getrandom"] {
        assert!(made.contains_key(call), "strace has seen it: {made:?}");
    }
    made.retain(|call, count| *count > allowed(stage.language(0), call) * PAIRS + PAIRS / 2);
    assert!(made.is_empty(), "too many of these in {PAIRS} pairs: {made:?}");
}
