//! Messages that are late, lost or out of order, made so by the proxy.

use fencelock_conformance::backend::Backend;
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::line::Fields;
use fencelock_conformance::party::Party;
use fencelock_conformance::proxy::Proxy;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::{Stage, eventually};

use crate::{SLACK, between, millis};

pub(crate) const ALL: &[Scenario] = &[
    Scenario::solo("reply_to_acquire_lost", reply_to_acquire_lost).on(Backend::Redis),
    Scenario::solo("reply_to_try_lost", reply_to_try_lost).on(Backend::Redis),
    Scenario::pair("reply_to_join_lost", reply_to_join_lost).on(Backend::Redis),
    Scenario::pair("reply_to_release_lost", reply_to_release_lost).on(Backend::Redis),
    Scenario::solo("reply_to_renewal_lost", reply_to_renewal_lost).on(Backend::Redis),
    Scenario::solo("cancel_overtaking_an_acquire", cancel_overtaking_an_acquire)
        .needs("cancel")
        .on(Backend::Redis),
    Scenario::solo("extend_crossing_a_release", extend_crossing_a_release)
        .needs("apart")
        .on(Backend::Redis),
    Scenario::pair("acquire_delivered_too_late", acquire_delivered_too_late).on(Backend::Redis),
    Scenario::pair("acquire_delivered_after_its_release", acquire_delivered_after_its_release)
        .on(Backend::Redis),
    Scenario::pair("late_grant_is_given_back", late_grant_is_given_back).on(Backend::Redis),
];

/// A party behind a proxy, whose scripts the server knows.
fn behind(stage: &Stage) -> (Proxy, Party) {
    let proxy = Proxy::start(stage.server.port());
    let party = stage.party_at(0, &proxy.url());
    party.acquire("warm").lease().release().unwrap();
    (proxy, party)
}

fn script_calls(stage: &Stage) -> u64 {
    stage.calls("evalsha") + stage.calls("eval")
}

fn last_fence(stage: &Stage, lock: &str) -> u64 {
    let record: Option<String> = stage.redis(&["GET", &format!("{{{lock}}}:fl:f")]);
    let fence = record.as_deref().and_then(|record| record.split(' ').next());
    fence.map_or(0, |fence| fence.parse().unwrap())
}

fn reply_to_acquire_lost(stage: &Stage) {
    let (proxy, party) = behind(stage);
    let cut = proxy.cut_reply("lost-reply");
    let lease = party.acquire("lost-reply").ttl(60_000).lease();
    cut.done();
    assert_eq!(last_fence(stage, "lost-reply"), lease.fence, "one grant");
    assert!(party.acquire("lost-reply").attempt().is_none());
    lease.release().unwrap();
    stage.nothing_left("lost-reply");
}

fn reply_to_try_lost(stage: &Stage) {
    let (proxy, party) = behind(stage);
    let cut = proxy.cut_reply("lost-reply");
    let lease = party.acquire("lost-reply").ttl(60_000).attempt().expect("it is free");
    cut.done();
    assert_eq!(last_fence(stage, "lost-reply"), lease.fence, "one grant");
    lease.release().unwrap();
    stage.nothing_left("lost-reply");
}

fn reply_to_join_lost(stage: &Stage) {
    let (proxy, waiter) = behind(stage);
    let holder = stage.party(1);
    let lease = holder.acquire("lost-reply").lease();
    let cut = proxy.cut_reply("lost-reply");
    let waiting = waiter.acquire("lost-reply").start();
    cut.done();
    stage.await_queue("lost-reply", 1);
    lease.release().unwrap();
    waiting.lease().release().unwrap();
    // A place in the queue that was taken twice would be handed the lock now.
    assert!(holder.acquire("lost-reply").timeout(10_000).lease().release().is_ok());
    stage.nothing_left("lost-reply");
}

fn reply_to_release_lost(stage: &Stage) {
    let (proxy, party) = behind(stage);
    let waiter = stage.party(1);
    let lease = party.acquire("lost-reply").ttl(60_000).lease();
    let waiting = waiter.acquire("lost-reply").ttl(60_000).start();
    stage.await_queue("lost-reply", 1);
    let cut = proxy.cut_reply("lost-reply");
    lease.release().unwrap();
    cut.done();
    let next = waiting.lease();
    assert!(next.fence > lease.fence);
    assert!(stage.value("lost-reply").is_some(), "the second release was for the first lease");
    next.release().unwrap();
    stage.nothing_left("lost-reply");
}

fn reply_to_renewal_lost(stage: &Stage) {
    const TTL: u64 = 2_000;
    let (proxy, party) = behind(stage);
    let lease = party.acquire("lost-reply").ttl(TTL).lease();
    let cut = proxy.cut_reply("lost-reply");
    while between(lease.at, boot_nanos()) < millis(TTL * 3 / 2) {
        assert!(lease.is_held());
    }
    cut.done();
    assert_eq!(lease.loss_within(millis(0)), None);
    lease.release().unwrap();
    stage.nothing_left("lost-reply");
}

fn cancel_overtaking_an_acquire(stage: &Stage) {
    let (proxy, party) = behind(stage);
    let held = proxy.hold("overtaken");
    let waiting = party.acquire("overtaken").ttl(60_000).cancellable().start();
    held.caught();
    waiting.cancel();
    assert_eq!(waiting.fault().kind, "cancelled");
    let begun = boot_nanos();
    // On the connection that a cancel would take that does not stay behind: it has been there.
    if stage.can(0, "apart") {
        party.inspect("other");
    }
    held.let_go();
    // Granted when it arrived, and given back by the cancel that came behind it.
    eventually("the acquire has arrived", || (last_fence(stage, "overtaken") > 0).then_some(()));
    stage.await_free("overtaken");
    let took = between(begun, boot_nanos());
    assert!(took < SLACK, "{took:?}");
}

fn extend_crossing_a_release(stage: &Stage) {
    let (proxy, party) = behind(stage);
    let lease = party.acquire("crossing").ttl(2_000).lease();
    let extend = proxy.hold("crossing");
    extend.caught();
    // The release is carried out, and its holder does not know yet ...
    let reply = proxy.hold_reply("crossing");
    let releasing = lease.start_release();
    reply.caught();
    // ... when the extension comes, and is refused.
    let before = script_calls(stage);
    extend.let_go();
    eventually("the extension has arrived", || (script_calls(stage) > before).then_some(()));
    assert_eq!(lease.loss_within(millis(200)), None, "a release is no loss");
    reply.let_go();
    releasing.outcome().unwrap();
    assert_eq!(lease.loss_within(millis(0)), None);
    stage.nothing_left("crossing");
}

/// A token whose caller left long ago gets into the queue, and is handed the lock.
fn late_grant_is_given_back(stage: &Stage) {
    let proxy = Proxy::start(stage.server.port());
    let options = Fields::default().with("url", proxy.url()).with("response_timeout", 1_500);
    let party = stage.connect(stage.driver(0), &options).unwrap();
    let other = stage.party(1);
    other.acquire("warm").lease().release().unwrap();
    let lease = other.acquire("late").lease();
    let join = proxy.hold("late");
    let waiting = party.acquire("late").ttl(60_000).timeout(5_000).start();
    join.caught();
    // Unavailable if the repetition was not answered in time, either.
    let kind = waiting.fault().kind;
    assert!(["acquire_timeout", "unavailable"].contains(&&*kind), "{kind}");
    // The join that is on its way is looked for at once and after 1 s. It comes later.
    let before = script_calls(stage);
    eventually("it has left a second time", || (script_calls(stage) > before).then_some(()));
    join.let_go();
    stage.await_queue("late", 1);
    lease.release().unwrap();
    let begun = boot_nanos();
    stage.await_free("late");
    let took = between(begun, boot_nanos());
    assert!(took < SLACK, "{took:?}");
}

fn acquire_delivered_too_late(stage: &Stage) {
    const TTL: u64 = 1_000;
    let (proxy, party) = behind(stage);
    let other = stage.party(1);
    let held = proxy.hold("too-late");
    let waiting = party.acquire("too-late").ttl(TTL).start();
    held.caught();
    // It goes on without that request, on another connection and under another token.
    let lease = waiting.lease();
    held.let_go();
    assert!(lease.is_held());
    lease.release().unwrap();
    // The late request may have taken a place in the queue; whoever gets it gives it back.
    let begun = boot_nanos();
    let next = other.acquire("too-late").timeout(10_000).lease();
    let took = between(begun, next.at);
    assert!(took < millis(TTL) + SLACK, "{took:?}");
    next.release().unwrap();
    stage.await_free("too-late");
}

/// The first request of an acquire that was repeated comes when all is over: what it is granted is
/// withdrawn 1 s after the release, long before it would lapse.
fn acquire_delivered_after_its_release(stage: &Stage) {
    const TTL: u64 = 60_000;
    let proxy = Proxy::start(stage.server.port());
    let options = Fields::default().with("url", proxy.url()).with("response_timeout", 1_000);
    let party = stage.connect(stage.driver(0), &options).unwrap();
    let other = stage.party(1);
    other.acquire("warm").lease().release().unwrap();
    let first = proxy.hold("much-too-late");
    let waiting = party.acquire("much-too-late").ttl(TTL).start();
    first.caught();
    let lease = waiting.lease();
    lease.release().unwrap();
    first.let_go();
    let granted = || (last_fence(stage, "much-too-late") > lease.fence).then_some(());
    eventually("it has arrived", granted);
    let begun = boot_nanos();
    let next = other.acquire("much-too-late").lease();
    let took = between(begun, next.at);
    assert!(took < millis(1_000) + SLACK, "{took:?}");
    assert!(next.fence > lease.fence);
    next.release().unwrap();
    stage.nothing_left("much-too-late");
}
