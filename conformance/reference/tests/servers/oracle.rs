//! The scripts do as the protocol says: on the fake server, and on a real one.

use std::cell::RefCell;

use fencelock_reference::compare::{START_US, cases, check, compare, sequence};
use fencelock_reference::locks::Features;
use fencelock_reference::scripted::KEYS;
use fencelock_reference::{FakeServer, Keyspace, Scripted, Scripts};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::real::Real;

#[test]
fn the_scripts_do_as_the_oracle() {
    let locks = RefCell::new(Scripted { server: FakeServer::new(Scripts::new()) });
    check(cases(3000), &sequence(Features::REDIS), |ops| {
        let locks = &mut *locks.borrow_mut();
        locks.server.keyspace = Keyspace::new(START_US);
        compare(locks, &ops).map_err(|disagreement| disagreement.to_string())
    });
}

#[test]
fn the_scripts_do_as_the_oracle_on_a_real_server() {
    let keys = KEYS.map(|key| key.as_bytes().to_vec());
    let locks = RefCell::new(Scripted { server: Real::start(&keys) });
    check(cases(120), &sequence(Features::REDIS), |ops| {
        let locks = &mut *locks.borrow_mut();
        locks.server.reset(START_US);
        compare(locks, &ops).map_err(|disagreement| disagreement.to_string())
    });
}

/// Bugs on purpose: in all scripts, or in this one, this text becomes that.
const BUGS: [(&str, &str, &str); 9] = [
    ("release", "if call('GET', KEYS[1]) ~= ARGV[1] then return 0 end", ""),
    ("extend", "if call('GET', L) ~= token then return 0 end", ""),
    ("acquire", "if not granted and call('EXISTS', Q) == 0", "if not granted"),
    ("", "if remaining < ttl then call('PEXPIRE', L, ttl) end", "call('PEXPIRE', L, ttl)"),
    ("", "last and last.token == holder and (remaining", "last and (remaining"),
    ("", "+ 1, now_us)", "+ 1, 1)"),
    ("", "math.max(deadline or 0, now + window)", "now + window"),
    ("", "WALK_LIMIT, QUEUE_LIMIT, QUEUE_LIFE = 1000,", "WALK_LIMIT, QUEUE_LIMIT, QUEUE_LIFE = 1,"),
    ("poll", "if heard(client) then hear(client, window, 0) end", ""),
];

#[test]
fn a_bug_in_a_script_is_seen() {
    for (name, text, bug) in BUGS {
        let scripts = Scripts::with(|script, source| {
            let here = name.is_empty() || name == script;
            if here { source.replace(text, bug) } else { source.to_owned() }
        });
        let mut locks = Scripted { server: FakeServer::new(scripts) };
        let (mut runner, ops) = (TestRunner::deterministic(), sequence(Features::REDIS));
        let seen = (0..10_000).find_map(|_| {
            locks.server.keyspace = Keyspace::new(START_US);
            compare(&mut locks, &ops.new_tree(&mut runner).unwrap().current()).err()
        });
        assert!(seen.is_some(), "nobody sees it: {bug:?} for {text:?}");
    }
}
