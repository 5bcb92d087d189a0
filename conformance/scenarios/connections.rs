//! Connections that break, and scripts that the server forgets.

use fencelock_conformance::backend::Backend;
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

use crate::{SLACK, between, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("connections_killed_while_waiting", connections_killed_while_waiting)
        .on(Backend::Redis),
    Scenario::solo("connections_killed_while_holding", connections_killed_while_holding)
        .on(Backend::Redis),
    Scenario::pair("connections_killed_again_and_again", connections_killed_again_and_again)
        .on(Backend::Redis),
    Scenario::pair("script_flush", script_flush).on(Backend::Redis),
    Scenario::pair("script_flush_again_and_again", script_flush_again_and_again).on(Backend::Redis),
    Scenario::pair("a_server_that_restarts_under_a_waiter", a_server_that_restarts)
        .on(Backend::Redis),
];

fn kill_connections(stage: &Stage) {
    for kind in ["normal", "pubsub"] {
        stage.redis::<()>(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
    }
}

fn connections_killed_while_waiting(stage: &Stage) {
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").lease();
    // Its next heartbeat is 9 s away.
    let waiting = waiter.acquire("x").ttl(30_000).start();
    stage.await_queue("x", 1);
    kill_connections(stage);
    lease.release().unwrap();
    let next = waiting.lease();
    let took = between(lease.claimed_until(), next.at);
    assert!(took < SLACK, "{took:?}");
    next.release().unwrap();
    stage.nothing_left("x");
}

fn connections_killed_while_holding(stage: &Stage) {
    const TTL: u64 = 3_000;
    let party = stage.party(0);
    let lease = party.acquire("x").ttl(TTL).lease();
    kill_connections(stage);
    while between(lease.at, boot_nanos()) < millis(TTL * 3 / 2) {
        assert!(lease.is_held());
    }
    kill_connections(stage);
    lease.release().unwrap();
    stage.nothing_left("x");
    assert!(party.acquire("x").attempt().is_some());
}

fn connections_killed_again_and_again(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let sections = |party: &fencelock_conformance::party::Party| {
        party.acquire("x").timeout(15_000).sections(200)
    };
    let running = [sections(&a), sections(&b)];
    while running.iter().any(|sections| !sections.is_over()) {
        kill_connections(stage);
        // Not so often that a repeated release is hit again: that would be told.
        std::thread::sleep(millis(200));
    }
    for sections in running {
        sections.finish();
    }
    stage.await_free("x");
}

fn script_flush(stage: &Stage) {
    let flush = || stage.redis::<()>(&["SCRIPT", "FLUSH"]);
    let (holder, waiter) = (stage.party(0), stage.party(1));
    let lease = holder.acquire("x").ttl(3_000).lease();
    flush();
    let waiting = waiter.acquire("x").start();
    stage.await_queue("x", 1);
    flush();
    lease.renew().unwrap();
    flush();
    // Renewed in the background with nothing left on the server to call.
    while between(lease.at, boot_nanos()) < millis(4_000) {
        assert!(lease.is_held());
    }
    flush();
    lease.release().unwrap();
    flush();
    waiting.lease().release().unwrap();
    stage.nothing_left("x");
}

fn script_flush_again_and_again(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let running = [
        a.acquire("x").timeout(15_000).sections(100),
        b.acquire("x").timeout(15_000).sections(100),
    ];
    while running.iter().any(|sections| !sections.is_over()) {
        stage.redis::<()>(&["SCRIPT", "FLUSH"]);
    }
    for sections in running {
        sections.finish();
    }
    stage.nothing_left("x");
}

fn a_server_that_restarts(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let lease = a.acquire("x").lease();
    let waiting = b.acquire("x").start();
    stage.await_queue("x", 1);
    // A round trip of its own: it has read by then that it is in the queue. A wait that was
    // never answered may give up.
    b.inspect("x");
    stage.server.kill();
    assert!(!waiting.is_over());
    stage.server.restart();
    let next = waiting.lease();
    assert!(next.fence > lease.fence);
    next.release().unwrap();
    // The server forgot the holder: outside the promise.
    stage.history.forgive("x");
}
