//! What locking costs the server: script calls per critical section, as promised. What the scripts
//! do in their turn is counted in `core/tests/scripts/cost.rs`.

use fencelock_conformance::backend::Backend;
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

use crate::{between, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::solo("an_uncontended_section_costs_two_calls", an_uncontended_section)
        .on(Backend::Redis),
    Scenario::pair("a_contended_section_costs_two_calls", a_contended_section).on(Backend::Redis),
    Scenario::pair("a_crowd_costs_two_calls_each", a_crowd).on(Backend::Redis),
    Scenario::pair("a_wait_costs_nothing", a_wait_costs_nothing).on(Backend::Redis),
    Scenario::solo("a_renewal_costs_one_call", a_renewal_costs_one_call).on(Backend::Redis),
];

/// A TTL by which neither a renewal nor a heartbeat is due in between.
const LONG: u64 = 30_000;

fn an_uncontended_section(stage: &Stage) {
    let party = stage.party(0);
    party.acquire("x").ttl(LONG).sections(5).finish();
    stage.redis::<()>(&["CONFIG", "RESETSTAT"]);
    party.acquire("x").ttl(LONG).sections(100).finish();
    assert_eq!([stage.calls("evalsha"), stage.calls("eval")], [200, 0]);
}

fn a_contended_section(stage: &Stage) {
    let parties = [stage.party(0), stage.party(1)];
    let both = |n| {
        let running = parties.each_ref().map(|party| party.acquire("x").ttl(LONG).sections(n));
        running.into_iter().for_each(fencelock_conformance::party::Sections::finish);
    };
    both(5);
    stage.redis::<()>(&["CONFIG", "RESETSTAT"]);
    both(100);
    assert!(stage.calls("publish") > 0, "they met");
    assert_eq!([stage.calls("evalsha"), stage.calls("eval")], [400, 0]);
}

/// Sixteen in two processes: each hand-off is one message, whoever else waits.
fn a_crowd(stage: &Stage) {
    let parties = [stage.party(0), stage.party(1)];
    let all = |n| {
        let crowd = parties.iter().flat_map(|party| std::iter::repeat_n(party, 8));
        let running: Vec<_> = crowd.map(|party| party.acquire("x").ttl(LONG).sections(n)).collect();
        running.into_iter().for_each(fencelock_conformance::party::Sections::finish);
    };
    all(2);
    stage.redis::<()>(&["CONFIG", "RESETSTAT"]);
    all(20);
    assert_eq!([stage.calls("evalsha"), stage.calls("eval")], [640, 0]);
    let messages = stage.calls("publish");
    assert!((160..=320).contains(&messages), "{messages} messages for 320 sections");
}

fn a_wait_costs_nothing(stage: &Stage) {
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(LONG).lease();
    let waiting = waiter.acquire("x").ttl(LONG).start();
    stage.await_queue("x", 1);
    let before = stage.calls("evalsha");
    let begun = boot_nanos();
    while between(begun, boot_nanos()) < millis(700) {
        assert!(lease.is_held() && !waiting.is_over());
    }
    assert_eq!(stage.calls("evalsha"), before, "nobody polls");
    lease.release().unwrap();
    waiting.lease().release().unwrap();
}

fn a_renewal_costs_one_call(stage: &Stage) {
    const TTL: u64 = 3_000;
    let lease = stage.party(0).acquire("x").ttl(TTL).lease();
    // So that the server knows the script.
    lease.renew().unwrap();
    stage.redis::<()>(&["CONFIG", "RESETSTAT"]);
    let begun = boot_nanos();
    while between(begun, boot_nanos()) < 2 * millis(TTL) {
        assert!(lease.is_held());
    }
    let calls = stage.calls("evalsha");
    assert!((4..=7).contains(&calls), "{calls} renewals in two TTLs");
}
