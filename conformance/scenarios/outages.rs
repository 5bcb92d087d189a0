//! A server that stands still, runs out of memory, or keeps cutting the connections that grants
//! are heard on.

use fencelock_conformance::backend::Backend;
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::{Stage, eventually};

use crate::{SLACK, between, long, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("a_server_stopped_for_two_ttls", a_server_stopped_for_two_ttls)
        .on(Backend::Redis),
    Scenario::pair("memory_that_runs_out_under_a_waiter", memory_that_runs_out_under_a_waiter)
        .on(Backend::Redis),
    Scenario::pair("push_connections_killed_each_second", push_connections_killed)
        .on(Backend::Redis),
];

fn a_server_stopped_for_two_ttls(stage: &Stage) {
    const TTL: u64 = 1_500;
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(TTL).lease();
    let waiting = waiter.acquire("x").ttl(10_000).start();
    stage.await_queue("x", 1);
    // A round trip of its own: it has read by then that it is in the queue.
    waiter.inspect("x");
    let paused = boot_nanos();
    stage.server.pause();
    assert_eq!(lease.lost().reason, "expired");
    eventually("two TTLs are over", || {
        (between(paused, boot_nanos()) > 2 * millis(TTL)).then_some(())
    });
    assert!(!lease.is_held());
    assert!(!waiting.is_over(), "nobody can have granted it");
    let resumed = boot_nanos();
    stage.server.resume();
    let next = waiting.lease();
    // At worst at its next heartbeat.
    let took = between(resumed, next.at);
    assert!(took < millis(10_000 / 3) + SLACK, "{took:?}");
    assert!(next.fence > lease.fence);
    assert!(!lease.is_held(), "it does not come back");
    next.release().unwrap();
    stage.nothing_left("x");
}

/// Who holds or waits goes on, newcomers are refused, and nothing is granted wrongly.
fn memory_that_runs_out_under_a_waiter(stage: &Stage) {
    const TTL: u64 = 3_000;
    let (holder, waiter) = (stage.party(0), stage.party(1));
    waiter.acquire("warm").lease().release().unwrap();
    let lease = holder.acquire("x").ttl(TTL).lease();
    let waiting = waiter.acquire("x").ttl(TTL).start();
    stage.await_queue("x", 1);
    stage.redis::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    stage.redis::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    // Renewals of the one and heartbeats of the other fall due.
    while between(lease.at, boot_nanos()) < millis(TTL * 3 / 2) {
        assert!(lease.is_held());
    }
    assert_eq!(waiter.acquire("y").attempt_fault().kind, "unavailable");
    assert_eq!(stage.value("y"), None);
    assert!(lease.is_held() && !waiting.is_over());
    lease.release().unwrap();
    let next = waiting.lease();
    let took = between(lease.claimed_until(), next.at);
    assert!(took < SLACK, "{took:?}");
    next.renew().unwrap();
    next.release().unwrap();
    stage.redis::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    waiter.acquire("y").lease().release().unwrap();
    stage.nothing_left("x");
    stage.nothing_left("y");
}

fn push_connections_killed(stage: &Stage) {
    let parties = [stage.party(0), stage.party(1)];
    let (mut killed, mut last) = (0, boot_nanos());
    while killed < long(4, 40) {
        let running =
            parties.each_ref().map(|party| party.acquire("x").timeout(15_000).sections(50));
        while running.iter().any(|sections| !sections.is_over()) {
            if between(last, boot_nanos()) > millis(1_000) {
                last = boot_nanos();
                killed +=
                    stage.redis::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"]);
            }
            std::thread::sleep(millis(5));
        }
        for sections in running {
            sections.finish();
        }
    }
    stage.await_free("x");
}
