//! What goes wrong between client and server, or with the server's clock; and great numbers.

use fencelock_conformance::backend::Backend;
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::party::Party;
use fencelock_conformance::proxy::Proxy;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::{Stage, eventually};
use fencelock_testserver::TestServer;

use crate::{SLACK, between, long, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("no_message_arrives", no_message_arrives).on(Backend::Redis),
    Scenario::pair("requests_overtake_each_other", requests_overtake_each_other).on(Backend::Redis),
    Scenario::pair("the_servers_clock_steps_back", the_servers_clock_steps_back).on(Backend::Redis),
    Scenario::pair("the_servers_clock_steps_forward", the_servers_clock_steps_forward)
        .on(Backend::Redis),
    Scenario::pair("very_many_waiters", very_many_waiters),
];

fn behind(stage: &Stage, proxy: &Proxy) -> [Party; 2] {
    [0, 1].map(|role| stage.party_at(role, &proxy.url()))
}

/// Each waiter finds its grant at its heartbeat, long before it would lapse.
fn no_message_arrives(stage: &Stage) {
    const TTL: u64 = 10_000;
    let proxy = Proxy::start(stage.server.port());
    let parties = behind(stage, &proxy);
    proxy.drop_messages();
    let mut last = parties[1].acquire("x").ttl(TTL).lease();
    let mut waiters = Vec::new();
    for (place, party) in (1..).zip(&parties) {
        waiters.push(party.acquire("x").ttl(TTL).start());
        stage.await_queue("x", place);
    }
    for waiting in waiters {
        last.release().unwrap();
        let next = waiting.lease();
        let took = between(last.claimed_until(), next.at);
        assert!(took < millis(TTL / 3) + SLACK, "{took:?}");
        last = next;
    }
    last.release().unwrap();
    stage.nothing_left("x");
}

fn requests_overtake_each_other(stage: &Stage) {
    let proxy = Proxy::start(stage.server.port());
    let parties = behind(stage, &proxy);
    proxy.delay_requests(20);
    let running = parties.map(|party| {
        // Two at a time in each process, so that its connections race, too.
        [(); 2].map(|()| party.acquire("x").timeout(60_000).sections(long(15, 300)))
    });
    for sections in running.into_iter().flatten() {
        sections.finish();
    }
    stage.await_free("x");
}

const HOUR: i64 = 3_600_000;

fn await_queue(server: &TestServer) {
    let mut connection = server.connection();
    eventually("one waits", || {
        let length = redis::cmd("ZCARD").arg("{x}:fl:q").query::<u64>(&mut connection);
        (length.unwrap() == 1).then_some(())
    });
}

/// Nobody loses anything, and nobody holds for an hour: what the server would keep so long is
/// cut to the TTL.
fn the_servers_clock_steps_back(stage: &Stage) {
    const TTL: u64 = 3_000;
    let server = TestServer::start_with_clock();
    let (holder, waiter) = (stage.party_at(0, &server.url()), stage.party_at(1, &server.url()));
    let lease = holder.acquire("x").ttl(TTL).lease();
    server.set_clock(-HOUR);
    while between(lease.at, boot_nanos()) < millis(TTL * 3 / 2) {
        assert!(lease.is_held());
    }
    let waiting = waiter.acquire("x").ttl(TTL).start();
    await_queue(&server);
    server.set_clock(-2 * HOUR);
    let killed = boot_nanos();
    holder.kill();
    let next = waiting.lease();
    let took = between(killed, next.at);
    assert!(took < millis(TTL + TTL / 3) + SLACK, "{took:?}");
    assert!(next.fence > lease.fence);
    next.release().unwrap();
}

/// Outside the promise: the server lets the lease lapse. The holder is told, and fences grow all
/// the same, also when the clock is set right again.
fn the_servers_clock_steps_forward(stage: &Stage) {
    const TTL: u64 = 3_000;
    let server = TestServer::start_with_clock();
    let (holder, waiter) = (stage.party_at(0, &server.url()), stage.party_at(1, &server.url()));
    let lease = holder.acquire("x").ttl(TTL).lease();
    let waiting = waiter.acquire("x").ttl(TTL).start();
    await_queue(&server);
    server.set_clock(HOUR);
    let next = waiting.lease();
    assert!(next.fence > lease.fence);
    let told = lease.lost();
    assert!(["refused", "expired"].contains(&told.reason.as_str()), "{told:?}");
    server.set_clock(0);
    next.renew().unwrap();
    assert!(next.is_held());
    next.release().unwrap();
    let again = waiter.acquire("x").ttl(TTL).lease();
    assert!(again.fence > next.fence, "the clock is behind the last fence");
    again.release().unwrap();
    stage.history.forgive("x");
}

/// First come, first served, and what each costs does not grow with the queue.
fn very_many_waiters(stage: &Stage) {
    let count = long(60, 1_000);
    let holder = stage.party(0);
    let parties = [stage.party(0), stage.party(1)];
    // No heartbeat falls due meanwhile (9 s), unless the machine is very slow.
    let wish = |party: &Party| party.acquire("x").ttl(60_000);
    let first = wish(&holder).lease();
    let mut waiters = Vec::new();
    for (place, party) in (1..=count).zip(parties.iter().cycle()) {
        waiters.push(wish(party).start());
        stage.await_queue("x", place);
    }
    let calls = || match stage.backend {
        Backend::Redis => stage.calls("evalsha") + stage.calls("eval"),
        // Nobody counts transactions.
        Backend::File => 0,
    };
    let (before, begun) = (calls(), boot_nanos());
    let mut last = first;
    let mut left = waiters.into_iter().peekable();
    while let Some(waiting) = left.next() {
        last.release().unwrap();
        let next = waiting.lease();
        assert!(left.peek().is_none_or(|after| !after.is_over()), "one at a time");
        assert!(next.fence > last.fence);
        last = next;
    }
    last.release().unwrap();
    // One release each; a heartbeat or renewal of each process about each 9 s, of 200 at most.
    let turns = between(begun, boot_nanos()).as_secs() / 9 + 1;
    let allowed = count + 1 + turns * 2 * (count / 200 + 2);
    let took = calls() - before;
    assert!(took <= allowed, "{took} calls, {allowed} allowed");
    stage.nothing_left("x");
}
