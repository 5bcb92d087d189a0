//! What the scripts cost the server: exactly these commands, so that one that grows is noticed. Who
//! saves some changes the figures, and the table in `docs/performance.md`.

use crate::stage::{Listener, Stage, TTL, impatient, wish};

/// The commands that a piece of work made the server carry out, in the order of their names.
fn spent(stage: &Stage, work: impl FnOnce()) -> Vec<String> {
    let _: () = stage.send("CONFIG RESETSTAT");
    work();
    let stats: String = stage.send("INFO commandstats");
    let mut spent: Vec<String> = stats
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        // Redis 6.2 does not name what is behind the stroke.
        .map(|(name, rest)| (name.split('|').next().unwrap(), rest.split(',').next().unwrap()))
        // Of this test.
        .filter(|(name, _)| !["config", "script"].contains(name))
        .map(|(name, calls)| format!("{name} {calls}"))
        .collect();
    spent.sort_unstable();
    spent
}

/// A lock that "a" holds and these wait for, each of a client that listens. Scripts are loaded.
fn waited_for(names: &[String]) -> (Stage, Vec<Listener>) {
    let stage = Stage::new();
    stage.acquire(&impatient("a")).fence();
    let waiting = names.iter().map(|name| stage.queued(&wish(name))).collect();
    stage.release(&wish("nobody"));
    (stage, waiting)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("w{number}")).collect()
}

#[test]
fn an_uncontended_pair_costs_seven_commands() {
    let stage = Stage::new();
    let pair = || {
        stage.acquire(&wish("a")).fence();
        assert_eq!(stage.release(&wish("a")), 1);
    };
    pair();
    assert_eq!(spent(&stage, pair), ["del 1", "evalsha 2", "exists 2", "get 1", "set 2", "time 1"]);
}

#[test]
fn a_waiter_costs_the_same_however_many_wait() {
    for others in [1, 10, 100] {
        let (stage, _waiting) = waited_for(&names(others));
        let join = spent(&stage, || _ = stage.acquire(&wish("last")).place());
        let known = "evalsha 1, get 2, hget 2, hmget 1, hset 2, pexpire 2, pttl 1, pubsub 1, set 1, \
                     time 2, zadd 1, zcard 1, zrange 2, zrank 1";
        assert_eq!(join.join(", "), known, "behind {others}");
    }
}

#[test]
fn a_hand_off_costs_the_same_however_many_wait() {
    for waiting in [2, 10, 100] {
        let (stage, _waiting) = waited_for(&names(waiting));
        let hand_off = spent(&stage, || assert_eq!(stage.release(&impatient("a")), 2));
        let known = "evalsha 1, exists 1, get 1, hdel 1, hget 2, publish 1, pubsub 1, set 2, \
                     time 1, zrange 1, zrem 1";
        assert_eq!(hand_off.join(", "), known, "to one of {waiting}");
    }
}

#[test]
fn a_renewal_costs_few_commands() {
    let stage = Stage::new();
    stage.acquire(&wish("a")).fence();
    let renew = || assert_eq!(stage.extend(&wish("a"), TTL), 1);
    renew();
    let _: () = stage.send("PEXPIRE L 5000");
    assert_eq!(spent(&stage, renew), ["evalsha 1", "get 2", "pexpire 1", "pttl 1"]);
}
