//! The walk: who gets the lock that is given up, and who is passed over.

use crate::stage::{Listener, Stage, State, Taken, WINDOW, Wish, impatient, polling, wish};

/// A lock that "a" holds.
fn held() -> Stage {
    let stage = Stage::new();
    stage.acquire(&impatient("a")).fence();
    stage
}

#[test]
fn the_lock_is_handed_on_in_order_by_one_message() {
    let stage = held();
    let names = ["d", "b", "c"];
    let label = b"host 7".to_vec();
    let mut listeners =
        names.map(|name| stage.queued(&Wish { label: label.clone(), ..wish(name) }));
    let mut holder = wish("a");
    let _: () = stage.send("CONFIG RESETSTAT");
    for (i, name) in names.into_iter().enumerate() {
        let (last, _) = stage.last_grant();
        assert_eq!(stage.release(&holder), 2);
        holder = wish(name);
        let (fence, record) = stage.last_grant();
        assert!(fence > last);
        assert_eq!(record, format!("{fence} 10000 {} host 7", holder.token));
        assert_eq!(stage.holder(), Some(holder.token.clone()));
        assert!((9000..=10_000).contains(&stage.send("PTTL L")));
        let message = format!("G {} {fence} 10000 lock", holder.token);
        assert_eq!(String::from_utf8(listeners[i].next()).unwrap(), message);
        assert_eq!(stage.queue().len(), 2 - i);
        assert_eq!(stage.client(name), None);
    }
    assert_eq!(stage.calls("publish"), 3);
    listeners.iter_mut().for_each(Listener::heard_nothing);
    assert_eq!(stage.release(&holder), 1);
    assert_eq!(stage.send::<i64>("EXISTS L Q W"), 0);
}

#[test]
fn nobody_barges_past_a_living_waiter() {
    for newcomer in [impatient("c"), polling("c")] {
        let stage = held();
        let mut b = stage.queued(&wish("b"));
        let _: () = stage.send("DEL L");
        let taken = stage.acquire(&newcomer);
        let remaining = match taken {
            Taken::Busy { remaining, foreign: 0 }
            | Taken::Queued { rank: 0, remaining, foreign: 0, ticket: 1 } => remaining,
            other => panic!("{other:?}"),
        };
        assert!((9000..=10_000).contains(&remaining));
        assert_eq!(stage.holder(), Some(wish("b").token));
        assert!(b.next().starts_with(b"G "));
    }
}

#[test]
fn the_dead_bar_nobody() {
    let stage = held();
    stage.acquire(&wish("deaf"));
    let _: () = stage.send("DEL L");
    assert!(matches!(stage.acquire(&impatient("c")), Taken::Held { .. }));
    assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
}

/// Who is dead, by what was done to the waiter "b", whose client listens.
fn passed_over(kill: impl FnOnce(&Stage)) -> bool {
    let stage = held();
    let mut b = stage.queued(&wish("b"));
    let mut c = stage.queued(&wish("c"));
    kill(&stage);
    assert_eq!(stage.release(&wish("a")), 2);
    if stage.holder() == Some(wish("b").token) {
        assert!(b.next().starts_with(b"G "));
        return false;
    }
    assert_eq!(stage.holder(), Some(wish("c").token));
    assert!(c.next().starts_with(b"G "));
    b.heard_nothing();
    assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
    true
}

#[test]
fn a_waiter_whose_clients_deadline_has_passed_is_dead() {
    assert!(!passed_over(|_| {}));
    assert!(!passed_over(|stage| stage.set_client("b", stage.now_ms() + 500, 1)));
    assert!(passed_over(|stage| stage.set_client("b", stage.now_ms() - 1, 1)));
    assert!(passed_over(|stage| stage.send("HDEL W @b")));
    assert!(passed_over(|stage| stage.send("HSET W @b garbage")));
}

#[test]
fn a_waiter_without_meta_is_dead() {
    let token = wish("b").token;
    assert!(passed_over(|stage| stage.send(&format!("HDEL W {token} @b"))));
    assert!(passed_over(|stage| {
        let _: i64 = stage.send("HDEL W @b");
        let _: i64 = stage.send(&format!("HSET W {token} garbage"));
    }));
}

#[test]
fn a_waiter_that_nobody_listens_for_is_dead() {
    let stage = held();
    stage.acquire(&wish("b"));
    assert_eq!(stage.release(&wish("a")), 1);
    assert_eq!(stage.send::<i64>("EXISTS L Q W"), 0);
    assert_eq!(stage.poll(&wish("b")).states, [State::Gone]);
}

#[test]
fn a_listener_by_pattern_does_not_revive_the_dead() {
    let stage = held();
    let _everything = Listener::on(&stage, "PSUBSCRIBE", "*");
    stage.acquire(&wish("b"));
    let mut c = stage.queued(&wish("c"));
    assert_eq!(stage.release(&wish("a")), 2);
    assert_eq!(stage.holder(), Some(wish("c").token));
    assert!(c.next().starts_with(b"G "));
}

#[test]
fn a_client_is_asked_about_once_in_a_walk() {
    let stage = held();
    stage.fill_queue("deaf", 'P', 150);
    let _: () = stage.send("CONFIG RESETSTAT");
    assert_eq!(stage.release(&wish("a")), 1);
    // Once by the release's quick look at the head, once by the walk past all of them.
    assert_eq!(stage.calls("pubsub") + stage.calls("pubsub|numsub"), 2);
    assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
}

#[test]
fn the_walk_passes_a_thousand_dead() {
    let stage = held();
    stage.fill_queue("deaf", 'P', 1000);
    let listener = stage.listen("b");
    // By a ticket of its own, as joining would already drop some of them.
    let _: i64 = stage.send(&format!("ZADD Q 5000 {}", wish("b").token));
    let mut meta = redis::cmd("HSET");
    meta.arg(&stage.keys()[3]).arg(wish("b").token).arg("b 10000 P ");
    stage.call(&meta).unwrap();
    stage.set_client("b", stage.now_ms() + WINDOW, 1);
    assert_eq!(stage.release(&wish("a")), 2);
    assert_eq!(stage.holder(), Some(wish("b").token));
    assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
    drop(listener);
}

#[test]
fn nobody_barges_where_the_walk_ends_early() {
    let stage = held();
    stage.fill_queue("deaf", 'P', 2500);
    assert_eq!(stage.release(&wish("a")), 1);
    assert_eq!((stage.holder(), stage.queue().len()), (None, 1500));
    assert_eq!(stage.client("deaf").unwrap().1, 1500);
    let busy = Taken::Busy { remaining: -2, foreign: 0 };
    assert_eq!(stage.acquire(&impatient("c")), busy);
    assert_eq!((stage.holder(), stage.queue().len()), (None, 500));
    assert!(matches!(stage.acquire(&impatient("c")), Taken::Held { .. }));
}

#[test]
fn a_head_that_fetches_the_lock_itself_is_waited_for() {
    let stage = held();
    stage.acquire(&polling("b"));
    let mut c = stage.queued(&wish("c"));
    assert_eq!(stage.release(&wish("a")), 1);
    assert_eq!(stage.holder(), None);
    let free = stage.acquire(&polling("d"));
    assert_eq!(free, Taken::Queued { rank: 2, remaining: -2, foreign: 0, ticket: 3 });
    assert_eq!(stage.acquire(&impatient("e")), Taken::Busy { remaining: -2, foreign: 0 });
    let polled = stage.poll(&wish("c"));
    assert_eq!((polled.remaining, &polled.states[..]), (-2, &[State::Queued(1)][..]));
    assert!(matches!(stage.poll(&polling("b")).states[..], [State::Held(_)]));
    assert_eq!(stage.release(&wish("b")), 2);
    assert!(c.next().starts_with(format!("G {} ", wish("c").token).as_bytes()));
}

#[test]
fn a_head_that_fetches_the_lock_itself_can_die() {
    let stage = held();
    // So does one whose mode a later version may know.
    stage.acquire(&Wish { mode: 'X', ..wish("b") });
    let mut c = stage.queued(&wish("c"));
    assert_eq!(stage.release(&wish("a")), 1);
    c.heard_nothing();
    stage.set_client("b", stage.now_ms() - 1, 1);
    stage.poll(&wish("c"));
    assert_eq!(stage.holder(), Some(wish("c").token));
}

#[test]
fn deadlines_from_before_a_step_back_of_the_clock_are_cut() {
    let stage = held();
    stage.acquire(&polling("b"));
    stage.set_client("b", stage.now_ms() + 59_000, 1);
    let (deadline, _) = stage.client("b").unwrap();
    assert_eq!(stage.release(&wish("a")), 1);
    assert_eq!(stage.client("b").unwrap().0, deadline);
    stage.set_client("b", stage.now_ms() + 3_600_000, 1);
    assert_eq!(stage.acquire(&impatient("c")), Taken::Busy { remaining: -2, foreign: 0 });
    let (deadline, count) = stage.client("b").unwrap();
    let now = stage.now_ms();
    assert!((now + 29_000..=now + 30_000).contains(&deadline));
    assert_eq!(count, 1);
}

#[test]
fn a_hand_on_cuts_deadlines_from_before_a_step_back_of_the_clock() {
    let stage = held();
    let _b = stage.queued(&wish("b"));
    stage.set_client("b", stage.now_ms() + 3_600_000, 2);
    assert_eq!(stage.release(&wish("a")), 2);
    let (deadline, count) = stage.client("b").unwrap();
    assert!(deadline <= stage.now_ms() + 30_000);
    assert_eq!(count, 1);
}

#[test]
fn in_a_cluster_the_channel_is_in_the_queues_slot() {
    for (name, tag) in [("lock", "lock"), ("a{x y}b", "x y")] {
        let stage = Stage::named(name);
        let info: String = stage.send("INFO server");
        if info.contains("redis_version:6.") {
            return;
        }
        stage.acquire(&impatient("a"));
        stage.acquire(&Wish { mode: 'S', ..wish("deaf") });
        let channel = format!("fl:c:b:{{{tag}}}");
        let mut b = Listener::on(&stage, "SSUBSCRIBE", &channel);
        stage.acquire(&Wish { mode: 'S', ..wish("b") });
        assert_eq!(stage.release(&wish("a")), 2);
        let (fence, _) = stage.last_grant();
        let message = format!("G {} {fence} 10000 {name}", wish("b").token);
        assert_eq!(String::from_utf8(b.next()).unwrap(), message);
    }
}
