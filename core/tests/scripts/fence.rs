//! The fence: greater at every grant, whatever is lost or found in its key.

use crate::stage::{DAY, Stage, TTL, impatient, polling, wish};

const LIMIT: i64 = 1 << 53;

#[test]
fn fences_grow_even_when_every_key_is_lost() {
    let stage = Stage::new();
    let mut last = 0;
    for lost in ["L", "L F", "L F Q W", "F"] {
        let fence = stage.acquire(&impatient("a")).fence();
        assert!(fence > last, "after losing {lost}");
        last = fence;
        let _: i64 = stage.send(&format!("DEL {lost}"));
    }
    assert!(stage.acquire(&impatient("a")).fence() > last);
}

#[test]
fn a_fence_is_the_clock_or_one_more_than_the_last() {
    let stage = Stage::new();
    let before = stage.now_ms() * 1000;
    let fence = stage.acquire(&impatient("a")).fence();
    assert!((before..=(stage.now_ms() + 1) * 1000).contains(&fence));
    stage.release(&wish("a"));
    // The clock has stepped back: the last fence lies a day ahead.
    let ahead = fence + DAY * 1000;
    stage.set_record(&format!("{ahead} 10000 token "));
    assert_eq!(stage.acquire(&impatient("a")).fence(), ahead + 1);
    // And so in a hand-off.
    stage.acquire(&polling("b"));
    let _: i64 = stage.send("DEL L");
    assert_eq!(stage.poll(&polling("b")).states, [crate::stage::State::Held(ahead + 2)]);
}

#[test]
fn what_cannot_be_read_counts_as_absent() {
    let stage = Stage::new();
    // This number could be a last fence; most texts are not the record that it would stand in.
    let number = 9_000_000_000_000_000_i64;
    for end in ["", " ", " x y", " 10", ".5 10 fl1-x", "x 10 fl1-x", "\u{0}"] {
        for garbage in [format!("{number}{end}"), format!("x{number} 10 fl1-x"), String::new()] {
            let fence_is_the_clock = |what: &str| {
                stage.set_record(&garbage);
                let clock = stage.now_ms() * 1000;
                let fence = stage.acquire(&impatient("a")).fence();
                assert!((clock..clock + 60_000_000).contains(&fence), "{garbage}: {what}");
                assert!(stage.record().unwrap().ends_with(&format!("{TTL} {} ", wish("a").token)));
            };
            fence_is_the_clock("first");
            fence_is_the_clock("on a retry");
            stage.release(&wish("a"));
        }
    }
    let make_it_a_list = || {
        let _: i64 = stage.send("DEL F");
        let _: i64 = stage.send("RPUSH F x");
    };
    make_it_a_list();
    let fence = stage.acquire(&impatient("a")).fence();
    make_it_a_list();
    assert!(stage.acquire(&impatient("a")).fence() > fence);
    make_it_a_list();
    assert_eq!(stage.extend(&wish("a"), 2 * TTL), 1);
}

#[test]
fn at_the_limit_nothing_is_granted() {
    let stage = Stage::new();
    let last = |fence: i64| format!("{fence} 10000 token ");
    stage.set_record(&last(LIMIT - 2));
    assert_eq!(stage.acquire(&impatient("a")).fence(), LIMIT - 1);
    assert_eq!(stage.release(&wish("a")), 1);
    // The last but one is a text that comes before the clock's.
    for fence in [LIMIT - 1, LIMIT, 10_i64.pow(16), 10 * LIMIT + 1] {
        stage.set_record(&last(fence));
        let error = stage.refused(&impatient("a"));
        assert_eq!(error.code(), Some("FENCELIMIT"));
        assert_eq!((stage.holder(), stage.record()), (None, Some(last(fence))));
        assert!(stage.send::<i64>("PTTL F") > 30 * DAY, "kept while it is ahead of the clock");
    }
}

#[test]
fn at_the_limit_a_waiter_learns_it_and_a_release_frees() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let mut b = stage.queued(&wish("b"));
    stage.set_record(&format!("{LIMIT} 10000 token "));
    assert_eq!(stage.release(&wish("a")), 1);
    assert_eq!(stage.holder(), None);
    b.heard_nothing();
    let poll = stage.poll_command("b", 10_000, &[&wish("b")]);
    assert_eq!(stage.call(&poll).unwrap_err().code(), Some("FENCELIMIT"));
    assert_eq!(stage.refused(&impatient("c")).code(), Some("FENCELIMIT"));
    assert_eq!(stage.holder(), None);
    assert_eq!(stage.queue(), [wish("b").token]);
}

#[test]
fn a_fence_ahead_of_the_clock_is_remembered_until_the_clock_has_caught_up() {
    let stage = Stage::new();
    let ahead = (stage.now_ms() + 30 * DAY) * 1000;
    stage.set_record(&format!("{ahead} 10000 token "));
    assert_eq!(stage.acquire(&impatient("a")).fence(), ahead + 1);
    let lives: i64 = stage.send("PTTL F");
    assert!((37 * DAY - 5000..=37 * DAY + 5000).contains(&lives), "{lives}");
    // An extension's record does not shorten that.
    assert_eq!(stage.extend(&wish("a"), 2 * TTL), 1);
    let lives: i64 = stage.send("PTTL F");
    assert!((37 * DAY - 5000..=37 * DAY + 5000).contains(&lives), "{lives}");
}
