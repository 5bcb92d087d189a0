//! What befalls processes: killed, stopped, forked, ended.

use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

use crate::{SLACK, between, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("killed_holder", killed_holder),
    Scenario::pair("killed_waiter", killed_waiter),
    Scenario::pair("stopped_waiter", stopped_waiter),
    Scenario::pair("a_forked_child_has_no_lease", a_forked_child_has_no_lease).needs("fork"),
    Scenario::pair("exit_of_a_holder", exit_of_a_holder),
    Scenario::pair("exit_of_a_waiter", exit_of_a_waiter),
];

fn killed_holder(stage: &Stage) {
    const TTL: u64 = 600;
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(TTL).lease();
    let waiting = waiter.acquire("x").start();
    stage.await_queue("x", 1);
    let begun = boot_nanos();
    holder.kill();
    let next = waiting.lease();
    let took = between(begun, next.at);
    assert!(took < millis(TTL) + SLACK, "{took:?}");
    assert!(next.fence > lease.fence);
    next.release().unwrap();
    stage.nothing_left("x");
}

fn killed_waiter(stage: &Stage) {
    let (holder, killed, next) = (stage.party(0), stage.party(1), stage.party(0));
    let lease = holder.acquire("x").lease();
    killed.acquire("x").ttl(60_000).start();
    stage.await_queue("x", 1);
    let waiting = next.acquire("x").start();
    stage.await_queue("x", 2);
    killed.kill();
    lease.release().unwrap();
    let next = waiting.lease();
    // Skipped at once, neither its lease nor its heartbeat is waited for.
    let took = between(lease.claimed_until(), next.at);
    assert!(took < SLACK, "{took:?}");
    next.release().unwrap();
    stage.nothing_left("x");
}

/// A waiter that is stopped is granted the lock, since nobody can know. It does not believe so
/// when it goes on.
fn stopped_waiter(stage: &Stage) {
    const TTL: u64 = 1_500;
    let (holder, stopped, next) = (stage.party(0), stage.party(1), stage.party(0));
    let lease = holder.acquire("x").lease();
    let late = stopped.acquire("x").ttl(TTL).start();
    stage.await_queue("x", 1);
    let waiting = next.acquire("x").start();
    stage.await_queue("x", 2);
    stopped.driver().stop();
    lease.release().unwrap();
    let next = waiting.lease();
    let took = between(lease.claimed_until(), next.at);
    assert!(took < millis(TTL) + SLACK, "{took:?}");
    stopped.driver().resume();
    assert!(next.is_held());
    stage.await_queue("x", 1);
    assert!(!late.is_over());
    next.release().unwrap();
    let late = late.lease();
    assert!(late.fence > next.fence);
    late.release().unwrap();
    stage.nothing_left("x");
}

fn a_forked_child_has_no_lease(stage: &Stage) {
    let (parent, other) = (stage.party(0), stage.party(1));
    let lease = parent.acquire("x").ttl(2_000).lease();
    let found = lease.fork(parent.acquire("y").timeout(5_000));
    let shown = ["held", "check", "release"].map(|key| found.get(key));
    assert_eq!(shown, ["0", "forked", "forked"].map(Some));
    assert!(found.number("fence").unwrap() > 0, "its client connects anew");
    // The child has come and gone; the parent has not noticed.
    let begun = boot_nanos();
    while between(begun, boot_nanos()) < millis(3_000) {
        assert!(lease.is_held());
        assert!(other.acquire("x").attempt().is_none());
    }
    lease.release().unwrap();
    parent.acquire("y").lease().release().unwrap();
    stage.nothing_left("x");
    stage.nothing_left("y");
}

fn exit_of_a_holder(stage: &Stage) {
    const TTL: u64 = 900;
    let (holder, waiter) = (stage.party(0), stage.party(1));
    holder.acquire("x").ttl(TTL).lease();
    let waiting = waiter.acquire("x").start();
    stage.await_queue("x", 1);
    let begun = boot_nanos();
    let status = holder.exit().expect("it ends");
    assert!(status.success(), "{status}");
    let ended = between(begun, boot_nanos());
    assert!(ended < 2 * SLACK, "{ended:?}");
    let next = waiting.lease();
    assert!(between(begun, next.at) < millis(TTL) + SLACK);
    next.release().unwrap();
    stage.nothing_left("x");
}

fn exit_of_a_waiter(stage: &Stage) {
    let (waiter, holder) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").lease();
    waiter.acquire("x").ttl(60_000).start();
    stage.await_queue("x", 1);
    let status = waiter.exit().expect("it ends");
    assert!(status.success(), "{status}");
    let waiting = holder.acquire("x").start();
    lease.release().unwrap();
    let next = waiting.lease();
    assert!(between(lease.claimed_until(), next.at) < SLACK);
    next.release().unwrap();
    stage.nothing_left("x");
}
