//! Clients of other libraries on the same key: redis-py's own lock.

use fencelock_conformance::backend::Backend;
use fencelock_conformance::line::Fields;
use fencelock_conformance::party::Party;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

use crate::cast::REDIS_PY;
use crate::{SLACK, between};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::solo("a_foreign_holder_excludes_us", a_foreign_holder_excludes_us).on(Backend::Redis),
    Scenario::solo("we_exclude_a_foreign_client", we_exclude_a_foreign_client).on(Backend::Redis),
    Scenario::solo("sections_mixed_with_foreign_ones", sections_mixed_with_foreign_ones)
        .on(Backend::Redis),
];

fn redis_py(stage: &Stage) -> Party {
    let options = Fields::default().with("url", stage.server.url());
    stage.connect(stage.start(&REDIS_PY), &options).unwrap()
}

fn a_foreign_holder_excludes_us(stage: &Stage) {
    let (ours, foreign) = (stage.party(0), redis_py(stage));
    // What the server remembers of us is no measure for others.
    ours.acquire("x").ttl(1_000).lease().release().unwrap();
    let lease = foreign.acquire("x").ttl(60_000).lease();
    assert!(ours.acquire("x").attempt().is_none());
    let seen = ours.inspect("x");
    assert_eq!([seen.get("held"), seen.get("foreign")], [Some("1"), Some("1")]);
    let waiting = ours.acquire("x").ttl(30_000).start();
    stage.await_queue("x", 1);
    assert!(stage.remaining("x") > 50_000, "its time is its own");
    lease.release().unwrap();
    let next = waiting.lease();
    // Nobody tells us: the head of the queue looks every 100 ms.
    let took = between(lease.claimed_until(), next.at);
    assert!(took < SLACK, "{took:?}");
    next.release().unwrap();
    stage.nothing_left("x");
}

fn we_exclude_a_foreign_client(stage: &Stage) {
    let (ours, foreign) = (stage.party(0), redis_py(stage));
    let lease = ours.acquire("x").lease();
    assert!(foreign.acquire("x").ttl(60_000).attempt().is_none());
    let waiting = foreign.acquire("x").ttl(60_000).start();
    assert!(lease.is_held());
    lease.release().unwrap();
    waiting.lease().release().unwrap();
    let next = ours.acquire("x").lease();
    assert!(next.fence > lease.fence);
    next.release().unwrap();
    stage.nothing_left("x");
}

fn sections_mixed_with_foreign_ones(stage: &Stage) {
    let (ours, foreign) = (stage.party(0), redis_py(stage));
    let running = [
        foreign.acquire("x").ttl(10_000).timeout(15_000).sections(30),
        ours.acquire("x").ttl(10_000).timeout(15_000).sections(30),
    ];
    for sections in running {
        sections.finish();
    }
    stage.nothing_left("x");
}
