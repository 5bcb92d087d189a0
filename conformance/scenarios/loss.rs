//! Leases that are lost: who is told, when and why.

use fencelock_conformance::backend::{Backend, NOBODY};
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::lease::Lease;
use fencelock_conformance::line::Fault;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::{Stage, eventually};

use crate::{SLACK, between, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("expiry", expiry),
    Scenario::pair("max_hold", max_hold),
    Scenario::solo("a_deleted_key_loses_the_lease", a_deleted_key_loses_the_lease),
    Scenario::solo("a_key_taken_by_another_loses_the_lease", a_key_taken_by_another),
    Scenario::pair("holder_stopped_past_its_ttl", holder_stopped_past_its_ttl),
    Scenario::solo("a_server_paused_too_long_loses_the_lease", a_server_paused_too_long)
        .on(Backend::Redis),
    Scenario::solo("a_short_pause_of_the_server_costs_nothing", a_short_pause_of_the_server)
        .on(Backend::Redis),
    Scenario::pair("a_server_that_forgot_everything", a_server_that_forgot_everything)
        .on(Backend::Redis),
];

fn told(result: Result<(), Fault>) -> (String, Option<String>) {
    let fault = result.unwrap_err();
    (fault.kind.clone(), fault.loss().map(ToOwned::to_owned))
}

/// Everything that a holder can ask says that the lease is lost, and why.
fn assert_lost(lease: &Lease, reason: &str) {
    let expected = ("lost".to_owned(), Some(reason.to_owned()));
    assert!(!lease.is_held());
    assert_eq!(told(lease.check()), expected);
    assert_eq!(told(lease.renew()), expected);
    assert_eq!(lease.lost().reason, reason);
    assert_eq!(told(lease.release()), expected);
}

fn expiry(stage: &Stage) {
    const TTL: u64 = 400;
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(TTL).unrenewed().lease();
    let waiting = waiter.acquire("x").start();
    stage.await_queue("x", 1);
    let next = waiting.lease();
    assert!(between(lease.at, next.at) < millis(TTL) + SLACK);
    assert!(between(lease.at, lease.lost().at) < millis(TTL) + SLACK);
    assert!(next.fence > lease.fence);
    assert_lost(&lease, "expired");
    // The late release has not touched what is another's now.
    assert!(next.is_held());
    assert!(holder.acquire("x").attempt().is_none());
    next.release().unwrap();
    stage.nothing_left("x");
}

fn max_hold(stage: &Stage) {
    const TTL: u64 = 2_000;
    const MOST: u64 = 3_000;
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(TTL).max_hold(MOST).lease();
    let waiting = waiter.acquire("x").start();
    stage.await_queue("x", 1);
    let next = waiting.lease();
    let held = between(lease.at, next.at);
    assert!(held < millis(TTL + MOST) + SLACK, "{held:?}");
    assert_lost(&lease, "max_hold");
    next.release().unwrap();
    stage.nothing_left("x");
}

fn a_deleted_key_loses_the_lease(stage: &Stage) {
    const TTL: u64 = 3_000;
    let lease = stage.party(0).acquire("x").ttl(TTL).lease();
    let begun = boot_nanos();
    stage.delete("x");
    let loss = lease.lost();
    assert!(between(begun, loss.at) < millis(TTL / 3) + SLACK);
    assert_lost(&lease, "refused");
    stage.nothing_left("x");
}

fn a_key_taken_by_another(stage: &Stage) {
    let lease = stage.party(0).acquire("x").ttl(3_000).lease();
    stage.plant("x", NOBODY, 60_000);
    assert_eq!(lease.lost().reason, "refused");
    assert_lost(&lease, "refused");
    assert_eq!(stage.value("x").as_deref(), Some(NOBODY));
    assert!(stage.remaining("x") > 30_000, "its time is untouched, too");
}

fn holder_stopped_past_its_ttl(stage: &Stage) {
    const TTL: u64 = 600;
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(TTL).lease();
    let waiting = waiter.acquire("x").start();
    stage.await_queue("x", 1);
    let begun = boot_nanos();
    holder.driver().stop();
    let next = waiting.lease();
    assert!(between(begun, next.at) < millis(TTL) + SLACK);
    assert!(next.fence > lease.fence);

    // The first thing that it does when it goes on is to look.
    let held = lease.start_check();
    holder.driver().resume();
    assert_eq!(told(held.outcome()), ("lost".to_owned(), Some("expired".to_owned())));
    assert_lost(&lease, "expired");
    assert!(next.is_held());
    next.release().unwrap();
    stage.nothing_left("x");
}

fn a_server_paused_too_long(stage: &Stage) {
    const TTL: u64 = 600;
    let party = stage.party(0);
    let lease = party.acquire("x").ttl(TTL).lease();
    stage.server.pause();
    // The server cannot say so: it is told by the clock.
    let loss = lease.lost();
    assert_eq!(loss.reason, "expired");
    assert!(between(lease.at, loss.at) < 2 * millis(TTL) + SLACK);
    assert!(!lease.is_held());
    stage.server.resume();
    assert_lost(&lease, "expired");
    let next = party.acquire("x").timeout(5_000).lease();
    assert!(next.fence > lease.fence);
    next.release().unwrap();
}

fn a_short_pause_of_the_server(stage: &Stage) {
    const TTL: u64 = 3_000;
    let lease = stage.party(0).acquire("x").ttl(TTL).lease();
    stage.server.pause();
    // A renewal falls into the pause.
    while between(lease.at, boot_nanos()) < millis(TTL / 2) {
        assert!(lease.is_held());
    }
    stage.server.resume();
    eventually("the time of the first grant is over", || {
        assert!(lease.is_held());
        (between(lease.at, boot_nanos()) > millis(TTL)).then_some(())
    });
    lease.release().unwrap();
    stage.nothing_left("x");
}

fn a_server_that_forgot_everything(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let lease = a.acquire("x").ttl(3_000).lease();
    let waiting = b.acquire("x").start();
    stage.await_queue("x", 1);
    // A round trip of its own: it has read by then that it is in the queue. A wait that was
    // never answered may give up.
    b.inspect("x");
    stage.server.restart();
    // Outside the promise: who holds is forgotten, and the waiter gets in.
    let next = waiting.lease();
    assert!(next.fence > lease.fence);
    let reason = lease.lost().reason;
    assert!(["refused", "expired"].contains(&reason.as_str()), "{reason}");
    assert_lost(&lease, &reason);
    assert!(next.is_held());
    next.release().unwrap();
    stage.nothing_left("x");
    stage.history.forgive("x");
}
