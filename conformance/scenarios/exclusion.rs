//! One holder at a time, whatever the languages; fences that grow.

use fencelock_conformance::backend::NOBODY;
use fencelock_conformance::line::Fields;
use fencelock_conformance::runner::Scenario;
use fencelock_conformance::stage::Stage;

pub(crate) const ALL: &[Scenario] = &[
    Scenario::pair("a_holder_excludes_others", a_holder_excludes_others),
    Scenario::solo("a_lock_is_not_reentrant", a_lock_is_not_reentrant),
    Scenario::pair("fences_grow_from_hand_to_hand", fences_grow_from_hand_to_hand),
    Scenario::pair("many_sections_never_overlap", many_sections_never_overlap),
    Scenario::pair("locks_are_apart", locks_are_apart),
    Scenario::pair("a_name_and_its_hash_tag_are_apart", a_name_and_its_hash_tag_are_apart),
    Scenario::pair("prefixes_are_apart", prefixes_are_apart),
    Scenario::pair("nobody_overtakes_the_queue", nobody_overtakes_the_queue),
];

fn a_holder_excludes_others(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let first = a.acquire("x").lease();
    assert!(b.acquire("x").attempt().is_none());
    assert_eq!(b.acquire("x").timeout(0).fault().kind, "acquire_timeout");
    assert!(first.is_held());
    first.release().unwrap();

    let second = b.acquire("x").attempt().expect("it is free");
    assert!(a.acquire("x").attempt().is_none());
    assert!(second.fence > first.fence);
    second.release().unwrap();
    stage.nothing_left("x");
}

fn a_lock_is_not_reentrant(stage: &Stage) {
    let a = stage.party(0);
    let lease = a.acquire("x").lease();
    assert!(a.acquire("x").attempt().is_none());
    assert_eq!(a.acquire("x").timeout(100).fault().kind, "acquire_timeout");
    lease.release().unwrap();
    stage.nothing_left("x");
}

fn fences_grow_from_hand_to_hand(stage: &Stage) {
    let parties = [stage.party(0), stage.party(1)];
    let mut last = 0;
    for round in 0..10 {
        let lease = parties[round % 2].acquire("x").lease();
        assert!(lease.fence > last, "{} after {last}", lease.fence);
        last = lease.fence;
        lease.release().unwrap();
    }
}

/// The history of every scenario is checked for overlaps; here there is much of it.
fn many_sections_never_overlap(stage: &Stage) {
    let parties = [stage.party(0), stage.party(1), stage.party(0)];
    let running: Vec<_> =
        parties.iter().map(|party| party.acquire("x").timeout(15_000).sections(60)).collect();
    for sections in running {
        sections.finish();
    }
    stage.nothing_left("x");
}

fn locks_are_apart(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let names = ["x", "{x}", "x y", "x%\n\u{0}é", "x:fl", "{user}:7", &"n".repeat(512)];
    let leases: Vec<_> = names.iter().map(|name| a.acquire(name).lease()).collect();
    for (name, lease) in names.iter().zip(leases) {
        assert!(b.acquire(name).attempt().is_none(), "{name:?}");
        lease.release().unwrap();
        let next = b.acquire(name).attempt().expect("only this one was released");
        assert!(next.fence > lease.fence, "{name:?}");
        next.release().unwrap();
    }
}

/// Named carelessly, `x` and `{x}` would share a queue.
fn a_name_and_its_hash_tag_are_apart(stage: &Stage) {
    let (a, b) = (stage.party(0), stage.party(1));
    let plain = a.acquire("x").lease();
    let tagged = a.acquire("{x}").lease();
    let waiting = b.acquire("x").start();
    stage.await_queue("x", 1);
    tagged.release().unwrap();
    assert!(a.acquire("{x}").attempt().is_some());
    assert!(!waiting.is_over());
    plain.release().unwrap();
    waiting.lease().release().unwrap();
}

fn prefixes_are_apart(stage: &Stage) {
    let plain = Fields::default().with("url", &stage.url);
    let a = stage.connect(stage.driver(0), &plain.clone().with("prefix", "app:")).unwrap();
    let b = stage.connect(stage.driver(1), &plain).unwrap();
    let lease = a.acquire("x").lease();
    let other = b.acquire("x").attempt().expect("another key");
    assert!(b.acquire("app:x").attempt().is_none(), "the same key");
    // Both claim what they call x: by right.
    stage.history.forgive("x");
    other.release().unwrap();
    lease.release().unwrap();
    let waiting = b.acquire("app:x").start();
    waiting.lease().release().unwrap();
}

fn nobody_overtakes_the_queue(stage: &Stage) {
    let (waiter, newcomer) = (stage.party(0), stage.party(1));
    // As a holder that crashed a moment ago.
    stage.plant("x", NOBODY, 60_000);
    let waiting = waiter.acquire("x").start();
    stage.await_queue("x", 1);
    stage.delete("x");
    assert!(newcomer.acquire("x").attempt().is_none(), "somebody waits already");
    waiting.lease().release().unwrap();
    stage.nothing_left("x");
}
