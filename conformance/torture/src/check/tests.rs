//! Made-up logs: one that is fine, and for every invariant one that is not.

use super::*;
use crate::kind::Kind;

const MS: u64 = 1_000_000;
const BOUNDS: Bounds =
    Bounds { lease: 100 * MS, heartbeat: 50 * MS, slack: 50 * MS, apart: 10 * MS };

/// A log that is being made up. Times are ms.
#[derive(Default)]
struct Story(Vec<Event>);

impl Story {
    fn at(mut self, ms: u64, what: What) -> Self {
        self.0.push(Event { at: ms * MS, what });
        self
    }

    fn ask(self, ms: u64, worker: &str) -> Self {
        let (worker, lock) = (worker.to_owned(), "x".to_owned());
        self.at(ms, What::Ask { worker, lock, waits: true })
    }

    /// A lease of 100 ms, of which so much is left, under the worker's own name.
    fn grant_for(self, ms: u64, worker: &str, fence: u64, remaining: u64) -> Self {
        let what = What::Grant {
            worker: worker.to_owned(),
            lock: "x".to_owned(),
            lease: worker.to_owned(),
            driver: format!("driver of {worker}"),
            fence,
            remaining: remaining * MS,
            ttl: 100 * MS,
            renew: false,
        };
        self.at(ms, what)
    }

    fn grant(self, ms: u64, worker: &str, fence: u64) -> Self {
        self.grant_for(ms, worker, fence, 90)
    }

    fn held(self, ms: u64, lease: &str, remaining: u64) -> Self {
        self.at(ms, What::Held { lease: lease.to_owned(), remaining: remaining * MS })
    }

    fn unheld(self, ms: u64, lease: &str) -> Self {
        self.at(ms, What::Unheld { lease: lease.to_owned() })
    }

    fn lost(self, ms: u64, lease: &str) -> Self {
        self.at(ms, What::Lost { lease: lease.to_owned(), reason: "expired".to_owned() })
    }

    fn end(self, ms: u64, lease: &str) -> Self {
        self.at(ms, What::End { lease: lease.to_owned(), how: "release".to_owned() })
    }

    fn fault(self, begin: u64, end: u64, kind: Kind, lock: Option<&str>) -> Self {
        let fault = begin;
        let lock = lock.map(str::to_owned);
        self.at(begin, What::Begin { fault, kind, lock, driver: None })
            .at(end, What::Over { fault, worked: true, extra: 0 })
    }

    fn read(self, ms: u64, fence: u64, accepted: bool) -> Self {
        self.at(ms, What::Read { lock: "x".to_owned(), fence, accepted })
    }

    fn write(self, ms: u64, fence: u64, accepted: bool, seen: u64, version: u64) -> Self {
        let lock = "x".to_owned();
        self.at(ms, What::Write { lock, fence, accepted, seen, version, lost: !accepted })
    }

    fn judged(self) -> Verdict {
        check(self.0, &BOUNDS)
    }

    /// The one thing that is wrong.
    fn wrong(self) -> String {
        let verdict = self.judged();
        assert_eq!(verdict.violations.len(), 1, "{:?}", verdict.violations);
        verdict.violations.concat()
    }

    fn fine(self) -> Verdict {
        let verdict = self.judged();
        assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
        verdict
    }

    /// A asks at 5, B at 20.
    fn a_asks_and_b() -> Self {
        Self::default().ask(5, "a").ask(20, "b")
    }

    /// A holds from 10; B asks at 20.
    fn a_holds() -> Self {
        Self::default().ask(5, "a").grant(10, "a", 1).ask(20, "b")
    }
}

#[test]
fn a_run_in_which_all_is_well() {
    let verdict = Story::a_holds()
        .read(11, 1, true)
        .held(12, "a", 80)
        .write(13, 1, true, 0, 0)
        .end(30, "a")
        .grant(31, "b", 2)
        .read(32, 2, true)
        .write(33, 2, true, 1, 1)
        .end(40, "b")
        .fine();
    assert_eq!((verdict.asks, verdict.grants, verdict.writes), (2, 2, 2));
    assert_eq!((verdict.looks, verdict.operations), (1, 9));
}

#[test]
fn i1_two_claims_at_once() {
    let wrong = Story::a_holds().grant(50, "b", 2).end(60, "a").end(61, "b").wrong();
    assert!(wrong.starts_with("I1"), "{wrong}");
}

#[test]
fn i1_a_renewed_claim_is_longer() {
    let story = || Story::a_holds().held(60, "a", 49).end(109, "a");
    story().grant(109, "b", 2).end(131, "b").fine();
    let wrong = story().grant(108, "b", 2).end(131, "b").judged().violations;
    assert!(wrong.iter().any(|wrong| wrong.starts_with("I1")), "{wrong:?}");
}

#[test]
fn i1_who_is_killed_or_told_of_the_loss_claims_nothing() {
    let killed = What::Killed { driver: "driver of a".to_owned() };
    Story::a_holds().at(40, killed).grant(41, "b", 2).end(60, "b").fine();
    Story::a_holds().lost(40, "a").grant(41, "b", 2).end(60, "b").fine();
    Story::a_holds().unheld(40, "a").grant(41, "b", 2).end(60, "b").fine();
}

#[test]
fn i1_who_is_being_killed_holds_until_it_is_dead() {
    let killed = What::Killed { driver: "driver of a".to_owned() };
    let looked = || Story::a_holds().at(40, killed.clone()).held(42, "a", 50);
    looked().grant(42, "b", 2).end(60, "b").fine();
    let wrong = looked().grant(41, "b", 2).end(60, "b").wrong();
    assert!(wrong.starts_with("I1"), "{wrong}");
    let wrong = Story::a_holds().at(40, killed.clone()).lost(41, "a").held(42, "a", 50).wrong();
    assert!(wrong.starts_with("I7"), "{wrong}");
    let granted = || Story::default().ask(5, "a").ask(6, "b").at(9, killed.clone());
    granted().grant(10, "a", 1).grant(11, "b", 2).end(60, "b").fine();
    let wrong = granted().grant(10, "a", 1).held(12, "a", 50).grant(11, "b", 2).end(60, "b");
    assert!(wrong.wrong().starts_with("I1"));
}

#[test]
fn i1_a_lease_that_was_over_when_it_was_had_claims_nothing() {
    // A stood still from its grant until long after B had the lock.
    Story::default()
        .ask(5, "a")
        .ask(20, "b")
        .grant(120, "b", 2)
        .grant_for(130, "a", 1, 0)
        .unheld(131, "a")
        .end(140, "b")
        .fine();
}

#[test]
fn i1_only_a_fault_outside_the_promise_explains_an_overlap() {
    let overlap = |kind, lock| {
        let story = Story::a_holds().fault(30, 35, kind, lock);
        story.grant(50, "b", 2).end(60, "a").end(61, "b").judged()
    };
    for kind in Kind::ALL {
        let verdict = overlap(kind, None);
        assert_eq!(verdict.overlaps_outside, u64::from(kind.outside()), "{kind:?}");
        assert_eq!(verdict.overlaps_inside, u64::from(!kind.outside()), "{kind:?}");
    }
    assert_eq!(overlap(Kind::Evict, Some("x")).overlaps_outside, 1);
    assert_eq!(overlap(Kind::Evict, Some("y")).overlaps_inside, 1);
}

#[test]
fn i1_a_fault_explains_nothing_that_was_granted_after_it_or_had_before() {
    let fault = |begin, end| Story::default().fault(begin, end, Kind::EvictAll, None);
    // Both were asked for after it.
    let after = fault(1, 3).ask(5, "a").grant(10, "a", 1).ask(20, "b").grant(50, "b", 2);
    assert_eq!(after.end(60, "a").judged().overlaps_inside, 1);
    // Both were had before it.
    let before = Story::a_holds().grant(50, "b", 2).fault(55, 56, Kind::EvictAll, None);
    assert_eq!(before.end(60, "a").judged().overlaps_inside, 1);
}

#[test]
fn i1_a_fault_explains_nothing_that_was_only_waited_for_meanwhile() {
    // Both were asked for before it, and what was left of them says that they were granted later.
    let story = Story::a_asks_and_b().fault(30, 35, Kind::EvictAll, None);
    assert_eq!(story.grant(47, "a", 1).grant(50, "b", 2).end(60, "a").judged().overlaps_inside, 1);
    let story = Story::a_asks_and_b().fault(30, 35, Kind::EvictAll, None);
    assert_eq!(story.grant(45, "a", 1).grant(50, "b", 2).end(60, "a").judged().overlaps_outside, 1);
}

#[test]
fn i2_a_fence_that_comes_twice_or_falls() {
    let next = |fence| Story::a_holds().end(15, "a").grant(31, "b", fence).end(40, "b");
    next(2).fine();
    let twice = next(1).judged().violations;
    assert!(twice.iter().any(|wrong| wrong.contains("came twice")), "{twice:?}");
    let fell = next(0).judged().violations;
    assert!(fell.iter().any(|wrong| wrong.starts_with("I2")), "{fell:?}");
}

#[test]
fn i2_a_fall_is_seen_in_the_order_of_holding_too() {
    // B asked before A had it, so only that A held it first says that B's fence must be greater.
    let story = Story::default().ask(5, "a").ask(6, "b").grant(10, "a", 2).end(20, "a");
    let wrong = story.grant(30, "b", 1).end(40, "b").wrong();
    assert!(wrong.starts_with("I2"), "{wrong}");
}

#[test]
fn i2_no_fault_explains_a_fence_that_fell_from_one_who_had_it_to_one_who_asked_then() {
    let story = Story::default().ask(5, "a").grant(10, "a", 2).end(15, "a");
    let story = story.fault(16, 17, Kind::ServerRestartEmpty, None);
    let wrong = story.ask(20, "b").grant(30, "b", 1).end(40, "b").judged().violations;
    assert!(wrong.iter().any(|wrong| wrong.starts_with("I2")), "{wrong:?}");
}

#[test]
fn i3_an_older_fence_that_was_taken() {
    let wrong = Story::default().read(1, 2, true).write(2, 1, true, 0, 0).wrong();
    assert!(wrong.starts_with("I3"), "{wrong}");
    let verdict = Story::default().read(1, 2, true).write(2, 1, false, 0, 0).fine();
    assert_eq!((verdict.refused_old, verdict.lost_updates), (1, 1));
}

#[test]
fn i3_an_update_that_was_lost() {
    let story = Story::default().read(1, 1, true).write(2, 1, true, 0, 0);
    let wrong = story.read(3, 2, true).write(4, 2, true, 0, 1).wrong();
    assert!(wrong.starts_with("I3"), "{wrong}");
}

#[test]
fn i3_what_the_fence_refused_of_an_overlap() {
    let story = |accepted| {
        Story::a_holds()
            .read(11, 1, true)
            .fault(30, 35, Kind::Evict, Some("x"))
            .grant(50, "b", 2)
            .read(51, 2, true)
            .write(52, 1, accepted, 0, 0)
            .end(60, "a")
            .end(61, "b")
    };
    let verdict = story(false).fine();
    assert_eq!((verdict.overlaps_outside, verdict.overlaps_refused), (1, 1));
    let verdict = story(true).judged();
    assert_eq!((verdict.overlaps_outside, verdict.overlaps_accepted), (1, 1));
    assert!(verdict.violations.iter().any(|wrong| wrong.contains("did not refuse")));
}

#[test]
fn i4_a_lock_that_nobody_gets_after_a_fault() {
    // 200 ms are allowed.
    let story = |had, until| {
        let story = Story::default().ask(5, "a").fault(10, 20, Kind::ServerStop, None);
        story.grant(had, "a", 1).end(until, "a").judged()
    };
    let verdict = story(219, 225);
    assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
    let after = verdict.worst_recovery.map(|worst| (worst.took, worst.bound, worst.after));
    assert_eq!(after, Some((199 * MS, 200 * MS, "server-stop")));
    let wrong = story(221, 225).violations;
    assert!(wrong.concat().starts_with("I4"), "{wrong:?}");
}

#[test]
fn i4_a_lock_that_nobody_ever_gets() {
    let story = Story::default().ask(5, "a").fault(10, 20, Kind::ServerStop, None);
    let wrong = story.at(230, What::Stall { took: 1 }).wrong();
    assert!(wrong.starts_with("I4"), "{wrong}");
    // The next fault came too early to judge.
    let story = Story::default().ask(5, "a").fault(10, 20, Kind::ServerStop, None);
    let verdict = story.fault(200, 230, Kind::ServerStop, None).fine();
    assert_eq!(verdict.recoveries, 0);
}

#[test]
fn i5_what_is_left_and_who_grows() {
    let wrong = Story::default().at(1, What::Left { what: "a key".to_owned() }).wrong();
    assert!(wrong.starts_with("I5"), "{wrong}");
    let uses = |end, descriptors, memory_kib| What::Uses {
        driver: "d".to_owned(),
        end,
        descriptors,
        memory_kib,
    };
    let grown = |descriptors, memory| {
        Story::default().at(1, uses(false, 10, 1000)).at(2, uses(true, descriptors, memory))
    };
    assert_eq!(grown(16, 2000).fine().growth.map(|growth| growth.memory_kib), Some((1000, 2000)));
    assert!(grown(17, 1000).wrong().starts_with("I5"));
    assert!(grown(10, 67_000).wrong().starts_with("I5"));
}

/// A waits from 110, B from 130, and others hold until 150: it is quiet since the beginning.
fn two_wait() -> Story {
    Story::default().ask(1, "0").grant(2, "0", 1).end(150, "0").unheld(92, "0").ask(110, "a")
}

#[test]
fn i6_who_came_later_is_served_first() {
    let fine = two_wait().ask(130, "b").grant(151, "a", 2).end(152, "a").grant(153, "b", 3);
    assert_eq!(fine.end(154, "b").fine().orders, 1);
    let unfair = |asked| {
        let story = two_wait().ask(asked, "b").grant(151, "b", 2).end(152, "b");
        story.grant(153, "a", 3).end(154, "a")
    };
    assert!(unfair(130).wrong().starts_with("I6"));
    // Nobody knows who joined first of those who came at about the same time.
    unfair(119).fine();
    // A fault may have cost A its place.
    unfair(130).fault(140, 141, Kind::Disconnect, None).fine();
}

#[test]
fn i7_a_loss_that_is_told_late() {
    let end = |ms| Story::default().ask(1, "a").grant(2, "a", 1).lost(ms, "a");
    let verdict = end(142).fine();
    assert_eq!((verdict.ends, verdict.worst_telling), (1, 50 * MS));
    assert!(end(143).wrong().starts_with("I7"));
    // The machine stood still meanwhile.
    end(143).at(120, What::Stall { took: 30 * MS }).fine();
}

#[test]
fn i7_a_lease_that_comes_back_or_lasts_too_long() {
    let back = Story::a_holds().lost(30, "a").held(31, "a", 10);
    let wrong = back.judged().violations;
    assert!(wrong.iter().any(|wrong| wrong.starts_with("I7")), "{wrong:?}");
    let beyond = Story::default().ask(1, "a").grant(2, "a", 1).held(50, "a", 90).end(51, "a");
    assert_eq!(beyond.fine().grants, 1, "no longer than it was asked for, and it was let go");
    let longer = Story::default().ask(1, "a").grant(2, "a", 1).held(50, "a", 101).end(51, "a");
    assert!(longer.wrong().starts_with("I7"));
    let renewed = Story::default().ask(1, "a").grant(2, "a", 1).held(50, "a", 90).lost(139, "a");
    assert!(renewed.wrong().starts_with("I7"));
}

#[test]
fn i8_who_does_not_answer() {
    let (worker, op) = ("w".to_owned(), "held".to_owned());
    let wrong = Story::default().at(1, What::Hung { worker, op }).wrong();
    assert!(wrong.starts_with("I8"), "{wrong}");
}

#[test]
fn faults_count_when_they_have_done_something() {
    let (fault, kind) = (7, Kind::Deaf);
    let story = Story::default().fault(1, 2, Kind::Pause, None);
    let story = story.at(3, What::Begin { fault, kind, lock: None, driver: None });
    let verdict = story.at(4, What::Over { fault, worked: false, extra: 0 }).fine();
    assert_eq!(verdict.faults.into_iter().collect::<Vec<_>>(), [("pause", 1)]);
}
