//! The queue: joining, polling, leaving, and the books kept about clients.

use crate::stage::{Polled, Stage, State, Taken, WINDOW, Wish, impatient, polling, wish};

/// A lock that "a" holds.
fn held() -> Stage {
    let stage = Stage::new();
    stage.acquire(&impatient("a")).fence();
    stage
}

#[test]
fn waiters_stand_in_the_order_they_came() {
    let stage = held();
    for (place, name) in (0..).zip(["d", "b", "c"]) {
        assert_eq!(stage.acquire(&polling(name)).place(), (place, place + 1));
    }
    assert_eq!(stage.queue(), ["d", "b", "c"].map(|name| wish(name).token));
    let polled = stage.poll(&polling("c"));
    assert_eq!((polled.foreign, &polled.states[..]), (0, &[State::Queued(2)][..]));
    assert!((1..=10_000).contains(&polled.remaining));
}

#[test]
fn a_repeated_acquire_keeps_its_place_and_is_counted_once() {
    let stage = held();
    stage.acquire(&polling("b"));
    stage.acquire(&polling("c"));
    assert_eq!(stage.acquire(&polling("b")).place(), (0, 1));
    assert_eq!(stage.queue().len(), 2);
    assert_eq!(stage.client("b").unwrap().1, 1);
}

#[test]
fn a_ticket_brings_back_the_old_place() {
    let stage = held();
    for name in ["b", "c", "d"] {
        stage.acquire(&polling(name));
    }
    let (_, ticket) = stage.acquire(&polling("c")).place();
    assert_eq!(stage.cancel(&wish("c")), 1);
    let again = Wish { ticket, ..polling("c2") };
    assert_eq!(stage.acquire(&again).place(), (1, ticket));
    // Also when the others lost theirs, and with the next newcomer behind all.
    let _: () = stage.send("DEL Q W");
    assert_eq!(stage.acquire(&Wish { ticket: 3, ..polling("d2") }).place(), (0, 3));
    assert_eq!(stage.acquire(&Wish { ticket: 2, ..polling("c3") }).place(), (0, 2));
    assert_eq!(stage.acquire(&polling("e")).place(), (2, 4));
}

#[test]
fn joining_and_polling_keep_the_queue_for_two_minutes() {
    let stage = held();
    stage.acquire(&polling("b"));
    for poll in [false, true] {
        for key in ["Q", "W"] {
            let life: i64 = stage.send(&format!("PTTL {key}"));
            assert!((119_000..=120_000).contains(&life), "{key} {poll} {life}");
            let _: () = stage.send(&format!("PEXPIRE {key} 5000"));
        }
        stage.poll(&polling("b"));
    }
}

#[test]
fn an_empty_queue_leaves_nothing() {
    let stage = held();
    stage.acquire(&Wish { client: "x".into(), ..polling("b") });
    stage.acquire(&Wish { client: "x".into(), ..polling("c") });
    assert_eq!(stage.client("x").unwrap().1, 2);
    assert_eq!(stage.cancel(&wish("b")), 1);
    assert_eq!(stage.client("x").unwrap().1, 1);
    // The last one leaves by a grant.
    let _: () = stage.send("DEL L");
    assert!(matches!(
        stage.poll(&Wish { client: "x".into(), ..polling("c") }).states[..],
        [State::Held(_)]
    ));
    assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
}

#[test]
fn what_an_evicted_queue_left_behind_is_not_counted() {
    let stage = held();
    stage.acquire(&polling("b"));
    let _: () = stage.send("DEL Q");
    stage.acquire(&Wish { client: "b".into(), ..polling("c") });
    assert_eq!(stage.client("b").unwrap().1, 1);
    assert_eq!(stage.send::<i64>("HLEN W"), 2);
}

#[test]
fn a_shorter_window_never_takes_back_a_promise() {
    let stage = held();
    let client = |name: &str, window| Wish { window, client: "x".into(), ..polling(name) };
    stage.acquire(&client("b", 20_000));
    let (deadline, _) = stage.client("x").unwrap();
    assert!((stage.now_ms() + 19_000..=stage.now_ms() + 20_000).contains(&deadline));
    stage.acquire(&client("c", 50));
    assert_eq!(stage.client("x"), Some((deadline, 2)));
    stage.poll(&client("c", 50));
    assert_eq!(stage.client("x"), Some((deadline, 2)));
    // A longer one renews it.
    stage.poll(&client("c", 25_000));
    assert!(stage.client("x").unwrap().0 > deadline);
}

#[test]
fn one_poll_speaks_for_all_waiters_of_a_client() {
    let stage = held();
    let of_x = |name: &str| Wish { client: "x".into(), ..polling(name) };
    let wishes: Vec<Wish> = (0..200).map(|i| of_x(&format!("w{i}"))).collect();
    for wish in &wishes {
        stage.acquire(wish);
    }
    stage.set_client("x", stage.now_ms() + 5, 200);
    let poll = stage.poll_command("x", WINDOW, &wishes.iter().collect::<Vec<_>>());
    let polled = crate::stage::read_polled(stage.call(&poll).unwrap());
    assert_eq!(polled.states, (0..200).map(State::Queued).collect::<Vec<_>>());
    assert!(stage.client("x").unwrap().0 > stage.now_ms() + 9000);
}

#[test]
fn a_poll_says_gone_and_clears_away() {
    let stage = held();
    stage.acquire(&polling("z"));
    let gone = |name: &str| {
        assert_eq!(stage.poll(&polling(name)).states, [State::Gone]);
        assert_eq!(stage.queue(), [wish("z").token]);
        assert_eq!(stage.send::<i64>("HLEN W"), 2);
    };
    gone("never");
    stage.acquire(&polling("b"));
    let _: i64 = stage.send(&format!("ZREM Q {}", wish("b").token));
    gone("b");
    stage.acquire(&polling("c"));
    let _: i64 = stage.send(&format!("HDEL W {} @c", wish("c").token));
    gone("c");
    // It never puts anyone into the queue.
    let _: () = stage.send("DEL Q W");
    assert_eq!(stage.poll(&polling("z")).states, [State::Gone]);
    assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
}

#[test]
fn a_poll_finds_the_free_lock_and_takes_it_unpublished() {
    let stage = held();
    let mut b = stage.queued(&wish("b"));
    let _: () = stage.send("DEL L");
    let polled = stage.poll(&wish("b"));
    let fence = stage.last_grant().0;
    let want = Polled { remaining: polled.remaining, foreign: 0, states: vec![State::Held(fence)] };
    assert_eq!(polled, want);
    assert!((9000..=10_000).contains(&polled.remaining));
    assert_eq!(stage.holder(), Some(wish("b").token));
    b.heard_nothing();
}

#[test]
fn a_repeated_acquire_finds_the_free_lock_and_takes_it_unpublished() {
    let stage = held();
    let mut b = stage.queued(&wish("b"));
    let _c = stage.queued(&wish("c"));
    let _: () = stage.send("DEL L");
    // Even if its client was thought dead: it is asking.
    stage.set_client("b", 1, 1);
    stage.acquire(&wish("b")).fence();
    assert_eq!(stage.queue(), [wish("c").token]);
    b.heard_nothing();
}

#[test]
fn a_poll_that_finds_the_free_lock_hands_it_to_the_head() {
    let stage = held();
    let mut b = stage.queued(&wish("b"));
    let mut c = stage.queued(&wish("c"));
    let _: () = stage.send("DEL L");
    let polled = stage.poll(&wish("c"));
    assert_eq!(polled.states, [State::Queued(0)]);
    assert!((9000..=10_000).contains(&polled.remaining));
    assert_eq!(stage.holder(), Some(wish("b").token));
    assert!(b.next().starts_with(format!("G {} ", wish("b").token).as_bytes()));
    c.heard_nothing();
}

#[test]
fn joining_and_polling_drop_eight_dead_at_the_head() {
    let stage = held();
    stage.fill_queue("dead", '-', 20);
    stage.set_client("dead", 1, 20);
    assert_eq!(stage.acquire(&polling("b")).place(), (12, 21));
    assert_eq!(stage.client("dead"), Some((1, 12)));
    assert_eq!(stage.poll(&polling("b")).states, [State::Queued(4)]);
    assert_eq!(stage.poll(&polling("b")).states, [State::Queued(0)]);
    assert_eq!(stage.client("dead"), None);
    // The living are left alone.
    assert_eq!(stage.poll(&polling("b")).states, [State::Queued(0)]);
}

#[test]
fn cancel_undoes_an_acquire_in_each_state() {
    let stage = Stage::new();
    assert_eq!(stage.cancel(&wish("a")), 0);
    stage.acquire(&wish("a"));
    assert_eq!(stage.cancel(&wish("b")), 0);
    assert_eq!(stage.holder(), Some(wish("a").token));
    let mut b = stage.queued(&wish("b"));
    stage.acquire(&polling("c"));
    assert_eq!(stage.cancel(&wish("c")), 1);
    assert_eq!(stage.client("c"), None);
    assert_eq!(stage.cancel(&wish("c")), 0);
    // Granted meanwhile: passed on, with its message.
    assert_eq!(stage.cancel(&wish("a")), 2);
    assert_eq!(stage.holder(), Some(wish("b").token));
    assert!(b.next().starts_with(b"G "));
    assert_eq!(stage.cancel(&wish("b")), 2);
    assert_eq!(stage.send::<i64>("EXISTS L Q W"), 0);
}

#[test]
fn a_cancelled_head_does_not_leave_the_lock_lying() {
    let stage = held();
    stage.acquire(&polling("b"));
    let mut c = stage.queued(&wish("c"));
    // Free, but kept for the head, which would have polled.
    assert_eq!(stage.release(&wish("a")), 1);
    c.heard_nothing();
    assert_eq!(stage.cancel(&wish("b")), 1);
    assert_eq!(stage.holder(), Some(wish("c").token));
    assert!(c.next().starts_with(b"G "));
}

#[test]
fn a_full_queue_takes_no_more() {
    let stage = held();
    stage.fill_queue("x", '-', 9999);
    assert_eq!(stage.acquire(&polling("b")).place(), (9999, 10_000));
    let _: () = stage.send("CONFIG RESETSTAT");
    assert_eq!(stage.acquire(&polling("c")), Taken::Full);
    assert_eq!(stage.queue().len(), 10_000);
    assert_eq!(stage.client("c"), None);
    // Whoever is in it stays in it.
    assert_eq!(stage.acquire(&polling("b")).place(), (9999, 10_000));
    // Who does not wait is not told of queues.
    assert!(matches!(stage.acquire(&impatient("c")), Taken::Busy { .. }));
}
