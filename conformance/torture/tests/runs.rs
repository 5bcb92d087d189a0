//! A short run on each backend, as `make torture` does it for longer, and runs with something wrong
//! in them, in which the checker must find it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use fencelock_conformance::backend::Backend;
use fencelock_torture::kind::Kind;
use fencelock_torture::report;
use fencelock_torture::run::{Config, Outcome, run};
use fencelock_torture::seat::RECKLESS;

fn config(name: &str, backend: Backend, seconds: u64) -> Config {
    let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
    let seed = u64::from(std::process::id());
    let mut config = Config::new(backend, Duration::from_secs(seconds), seed, log);
    config.processes = 1;
    // Every kind of fault in a short time.
    config.plan.pauses = [20..=200, 800..=2500];
    config
}

#[track_caller]
fn assert_clean(config: &Config, outcome: &Outcome) {
    let (verdict, text) = (&outcome.verdict, report::text(config, outcome));
    let log = config.log.display();
    assert!(verdict.violations.is_empty(), "log: {log}\n{text}");
    assert!(verdict.grants > 50 && verdict.writes > 50, "hardly anything happened:\n{text}");
    assert!(verdict.recoveries > 0, "no recovery was judged:\n{text}");
    assert_eq!((verdict.overlaps_inside, verdict.overlaps_accepted), (0, 0));
}

/// The checker must find all of these. What the faults meet is chance, so it may take some runs.
#[track_caller]
fn assert_finds(mut config: Config, signs: &[&str]) {
    let mut missing = signs.to_vec();
    let mut texts = String::new();
    for _ in 0..5 {
        let outcome = run(&config).unwrap();
        let found = |sign: &str| outcome.verdict.violations.iter().any(|text| text.contains(sign));
        missing.retain(|sign| !found(sign));
        if missing.is_empty() {
            return;
        }
        texts += &report::text(&config, &outcome);
        config.seed += 1;
    }
    panic!("no {missing:?} in\n{texts}");
}

#[test]
fn a_server_is_tortured() {
    let mut config = config("server", Backend::Redis, 20);
    config.plan.whole = true;
    let outcome = run(&config).unwrap();
    assert_clean(&config, &outcome);
    for kind in &config.plan.kinds {
        assert!(outcome.verdict.faults.contains_key(kind.name()), "never: {}", kind.name());
    }
}

#[test]
fn a_file_is_tortured() {
    let config = config("file", Backend::File, 10);
    assert_clean(&config, &run(&config).unwrap());
}

#[test]
fn callers_that_believe_a_lease_for_ever_are_found_and_a_store_that_takes_any_fence() {
    let mut config = config("credulous", Backend::Redis, 5);
    config.credulous = true;
    config.store_looks = false;
    config.plan.kinds = vec![Kind::ClientStopLong];
    assert_finds(config, &["I1: two held", "I3: "]);
}

#[test]
fn a_lock_that_anybody_releases_is_found_and_a_fence_that_is_only_counted() {
    let mut config = config("reckless", Backend::Redis, 5);
    config.languages = &RECKLESS;
    config.processes = 4;
    config.plan.kinds = vec![Kind::ClientStopLong, Kind::ServerRestartEmpty];
    assert_finds(config, &["I1: two held", "I2: "]);
}
