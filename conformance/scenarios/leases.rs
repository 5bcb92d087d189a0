//! A lease from its grant to its release.

use std::time::Duration;

use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::line::Fields;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::{Stage, eventually};

use crate::{SLACK, between, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("a_lease_is_renewed", a_lease_is_renewed),
    Scenario::solo("renewal_by_hand", renewal_by_hand),
    Scenario::pair("a_second_release_is_told", a_second_release_is_told).needs("release_twice"),
    Scenario::solo("a_released_lease_is_not_held", a_released_lease_is_not_held)
        .needs("release_twice"),
    Scenario::pair("dropping_a_lease_releases_it", dropping_a_lease_releases_it).needs("drop"),
    Scenario::pair("a_discarded_lease_lapses", a_discarded_lease_lapses).needs("discard"),
    Scenario::pair("a_blocked_program_keeps_its_lease", a_blocked_program_keeps_its_lease)
        .needs("block"),
    Scenario::pair("inspect_shows_holder_and_waiters", inspect_shows_holder_and_waiters),
    Scenario::pair("close_releases_what_is_held", close_releases_what_is_held),
];

fn a_lease_is_renewed(stage: &Stage) {
    const TTL: u64 = 3_000;
    let (holder, contender) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(TTL).lease();
    while between(lease.at, boot_nanos()) < 2 * millis(TTL) {
        assert!(lease.is_held());
        assert!(contender.acquire("x").attempt().is_none());
    }
    assert_eq!(lease.loss_within(Duration::ZERO), None);
    lease.check().unwrap();
    lease.release().unwrap();
    stage.nothing_left("x");
}

fn renewal_by_hand(stage: &Stage) {
    let holder = stage.party(0);
    let lease = holder.acquire("x").ttl(60_000).unrenewed().lease();
    stage.expire_in("x", 30_000);
    lease.renew().unwrap();
    assert!(stage.remaining("x") > 50_000);
    stage.delete("x");
    let fault = lease.renew().unwrap_err();
    assert_eq!((fault.kind.as_str(), fault.loss()), ("lost", Some("refused")));
    assert_eq!(stage.value("x"), None, "it is not made again");
    assert!(!lease.is_held());
}

fn a_second_release_is_told(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let first = a.acquire("x").lease();
    first.release().unwrap();
    let second = b.acquire("x").lease();
    assert_eq!(first.release().unwrap_err().kind, "not_held");
    assert!(second.is_held());
    assert!(a.acquire("x").attempt().is_none(), "the other's lock is untouched");
    second.release().unwrap();
    stage.nothing_left("x");
}

fn a_released_lease_is_not_held(stage: &Stage) {
    let lease = stage.party(0).acquire("x").lease();
    lease.check().unwrap();
    lease.release().unwrap();
    assert!(!lease.is_held());
    assert_eq!(lease.check().unwrap_err().kind, "not_held");
    assert_eq!(lease.renew().unwrap_err().kind, "not_held");
    assert_eq!(lease.loss_within(Duration::ZERO), None, "a release is no loss");
}

fn dropping_a_lease_releases_it(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let lease = a.acquire("x").ttl(60_000).lease();
    lease.discard();
    b.acquire("x").timeout(10_000).lease().release().unwrap();
    stage.nothing_left("x");
}

/// Where a collector decides when a lease goes, it must not be what unlocks.
fn a_discarded_lease_lapses(stage: &Stage) {
    const TTL: u64 = 600;
    let (a, b) = (stage.party(0), stage.party(1));
    let lease = a.acquire("x").ttl(TTL).lease();
    let begun = boot_nanos();
    lease.discard();
    assert!(b.acquire("x").attempt().is_none());
    let next = b.acquire("x").lease();
    assert!(between(begun, next.at) < millis(TTL) + SLACK);
    next.release().unwrap();
    stage.nothing_left("x");
}

fn a_blocked_program_keeps_its_lease(stage: &Stage) {
    const TTL: u64 = 2_000;
    let (a, b) = (stage.party(0), stage.party(1));
    let lease = a.acquire("x").ttl(TTL).lease();
    let blocked = a.driver().send("block", &Fields::default().with("ms", 2 * TTL));
    while !a.driver().has_answered(blocked) {
        assert!(b.acquire("x").attempt().is_none());
    }
    lease.check().unwrap();
    assert_eq!(lease.loss_within(Duration::ZERO), None);
    lease.release().unwrap();
    stage.nothing_left("x");
}

fn inspect_shows_holder_and_waiters(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let lease = a.acquire("x").label("host 7, é").lease();
    let waiting = b.acquire("x").start();
    stage.await_queue("x", 1);
    let seen = b.inspect("x");
    let shown = ["held", "foreign", "fence", "waiters", "label"].map(|key| seen.get(key));
    let fence = lease.fence.to_string();
    assert_eq!(shown, ["1", "0", &fence, "1", "host 7, é"].map(Some));
    lease.release().unwrap();
    waiting.lease().release().unwrap();
    assert_eq!(a.inspect("x").get("held"), Some("0"));
}

fn close_releases_what_is_held(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let lease = a.acquire("x").ttl(60_000).lease();
    let waiting = b.acquire("x").start();
    stage.await_queue("x", 1);
    a.close();
    assert_eq!(lease.lost().reason, "closed");
    let fault = lease.check().unwrap_err();
    assert_eq!((fault.kind.as_str(), fault.loss()), ("lost", Some("closed")));
    waiting.lease().release().unwrap();
    eventually("the queue is gone", || (stage.queue("x") == 0).then_some(()));
    stage.nothing_left("x");
}
