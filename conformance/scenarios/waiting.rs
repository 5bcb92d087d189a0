//! Waiting in line, and leaving it.

use std::thread;

use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

use crate::{SLACK, between, long, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("fifo", fifo),
    Scenario::pair("a_wait_ends_at_its_timeout", a_wait_ends_at_its_timeout),
    Scenario::pair("the_rest_moves_up", the_rest_moves_up),
    Scenario::pair("a_cancelled_wait_leaves_nothing", a_cancelled_wait_leaves_nothing)
        .needs("cancel"),
    Scenario::pair("cancel_races_a_grant", cancel_races_a_grant).needs("cancel"),
    Scenario::pair("timeout_races_a_grant", timeout_races_a_grant),
    Scenario::pair("close_ends_waits", close_ends_waits),
];

fn fifo(stage: &Stage) {
    let holder = stage.party(0).acquire("x").lease();
    let parties = [stage.party(0), stage.party(1)];
    let mut waiters = Vec::new();
    for place in 0..6 {
        waiters.push(parties[place % 2].acquire("x").start());
        stage.await_queue("x", place as u64 + 1);
    }
    holder.release().unwrap();
    while !waiters.is_empty() {
        let lease = waiters.remove(0).lease();
        assert!(waiters.iter().all(|waiter| !waiter.is_over()), "one at a time");
        lease.release().unwrap();
    }
    stage.nothing_left("x");
}

fn a_wait_ends_at_its_timeout(stage: &Stage) {
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").lease();
    let begun = boot_nanos();
    let fault = waiter.acquire("x").timeout(300).fault();
    let took = between(begun, boot_nanos());
    assert_eq!(fault.kind, "acquire_timeout");
    assert!(took >= millis(300) && took < millis(300) + SLACK, "{took:?}");
    stage.await_queue("x", 0);
    lease.release().unwrap();
    stage.nothing_left("x");
}

fn the_rest_moves_up(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let lease = a.acquire("x").lease();
    let short = b.acquire("x").timeout(1_000).start();
    stage.await_queue("x", 1);
    let long = a.acquire("x").start();
    stage.await_queue("x", 2);
    assert_eq!(short.fault().kind, "acquire_timeout");
    stage.await_queue("x", 1);
    lease.release().unwrap();
    long.lease().release().unwrap();
    stage.nothing_left("x");
}

fn a_cancelled_wait_leaves_nothing(stage: &Stage) {
    let (waiter, holder) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").lease();
    let waiting = waiter.acquire("x").cancellable().start();
    stage.await_queue("x", 1);
    waiting.cancel();
    assert_eq!(waiting.fault().kind, "cancelled");
    stage.await_queue("x", 0);
    assert!(lease.is_held());
    lease.release().unwrap();
    stage.nothing_left("x");
    // And the one that was cancelled works on.
    waiter.acquire("x").lease().release().unwrap();
}

fn cancel_races_a_grant(stage: &Stage) {
    let (waiter, holder) = (stage.party(0), stage.party(1));
    // An interrupt may fall between the grant and the assignment of its lease: then that lapses.
    let ttl = if stage.can(0, "exact_cancel") { 60_000 } else { 1_500 };
    for round in 0..long(30, 1_200) {
        let lease = holder.acquire("x").timeout(10_000).lease();
        let waiting = waiter.acquire("x").ttl(ttl).unrenewed().cancellable().start();
        stage.await_queue("x", 1);
        let releasing = lease.start_release();
        // From well before the grant arrives to well after.
        thread::sleep(std::time::Duration::from_micros(round % 30 * 30));
        waiting.cancel();
        releasing.outcome().unwrap();
        match waiting.outcome() {
            Ok(lease) => lease.release().unwrap(),
            Err(fault) => assert_eq!(fault.kind, "cancelled"),
        }
    }
    holder.acquire("x").timeout(10_000).lease().release().unwrap();
    stage.nothing_left("x");
}

fn timeout_races_a_grant(stage: &Stage) {
    let (waiter, holder) = (stage.party(0), stage.party(1));
    for round in 0..15 {
        let lease = holder.acquire("x").timeout(10_000).lease();
        let waiting = waiter.acquire("x").ttl(60_000).timeout(20).start();
        thread::sleep(millis(13 + round));
        lease.release().unwrap();
        match waiting.outcome() {
            Ok(lease) => lease.release().unwrap(),
            // So soon that the answer to the first attempt may not be there.
            Err(fault) => assert!(["acquire_timeout", "unavailable"].contains(&&*fault.kind)),
        }
    }
    holder.acquire("x").timeout(10_000).lease().release().unwrap();
    stage.nothing_left("x");
}

fn close_ends_waits(stage: &Stage) {
    let (waiter, holder) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").lease();
    let waiting = waiter.acquire("x").start();
    stage.await_queue("x", 1);
    waiter.close();
    assert_eq!(waiting.fault().kind, "closed");
    stage.await_queue("x", 0);
    lease.release().unwrap();
    stage.nothing_left("x");
}
