//! One holder: acquire, its retries, extend, release, the cap, inspect.

use redis::{ConnectionLike, Value};

use crate::scripts;
use crate::stage::{DAY, Stage};
use crate::stage::{State, TTL, Taken, impatient, polling, wish};

#[test]
fn a_free_lock_is_held_and_recorded() {
    let stage = Stage::new();
    let taken = stage.acquire(&impatient("a"));
    let fence = taken.fence();
    assert_eq!(taken, Taken::Held { fence });
    assert_eq!(stage.holder(), Some(wish("a").token));
    assert_eq!(stage.record(), Some(format!("{fence} {TTL} {} ", wish("a").token)));
    assert!((TTL - 1000..=TTL).contains(&stage.send("PTTL L")));
    assert!((7 * DAY - 1000..=7 * DAY).contains(&stage.send("PTTL F")));
}

#[test]
fn a_retry_is_answered_with_the_grants_fence_and_a_full_ttl() {
    let stage = Stage::new();
    let fence = stage.acquire(&wish("a")).fence();
    let _: () = stage.send("PEXPIRE L 700");
    assert_eq!(stage.acquire(&wish("a")), Taken::Held { fence });
    assert!((TTL - 500..=TTL).contains(&stage.send("PTTL L")));
    let _: () = stage.send("PEXPIRE L 700");
    let polled = stage.poll(&wish("a"));
    assert_eq!(polled.states, [State::Held(fence)]);
    assert!((TTL - 500..=TTL).contains(&polled.remaining));
    assert!((TTL - 500..=TTL).contains(&stage.send("PTTL L")));
}

#[test]
fn a_retry_leaves_no_place_in_the_queue() {
    let stage = Stage::new();
    for retry in 0..2 {
        stage.acquire(&wish("b"));
        stage.acquire(&polling("a")).place();
        let _: () = stage.send(&format!("SET L {} PX 5000", wish("a").token));
        if retry == 0 {
            stage.acquire(&polling("a")).fence();
        } else {
            assert!(matches!(stage.poll(&polling("a")).states[..], [State::Held(_)]));
        }
        assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
        let _: () = stage.send("DEL L");
    }
}

#[test]
fn a_retry_with_another_ttl_is_recorded() {
    let stage = Stage::new();
    let fence = stage.acquire(&wish("a")).fence();
    let longer = crate::stage::Wish { ttl: 40_000, label: b"x".to_vec(), ..wish("a") };
    assert_eq!(stage.acquire(&longer), Taken::Held { fence });
    assert_eq!(stage.record(), Some(format!("{fence} 40000 {} ", longer.token)));
}

#[test]
fn a_retry_does_not_shorten_an_extension() {
    let stage = Stage::new();
    let fence = stage.acquire(&wish("a")).fence();
    assert_eq!(stage.extend(&wish("a"), 60_000), 1);
    assert_eq!(stage.poll(&wish("a")).states, [State::Held(fence)]);
    stage.acquire(&wish("a")).fence();
    assert!(stage.send::<i64>("PTTL L") > 50_000);
    assert_eq!(stage.record(), Some(format!("{fence} 60000 {} ", wish("a").token)));
}

#[test]
fn a_retry_after_the_record_was_lost_gets_a_greater_fence() {
    let stage = Stage::new();
    let fence = stage.acquire(&wish("a")).fence();
    let _: () = stage.send("DEL F");
    let second = stage.acquire(&wish("a")).fence();
    assert!(second > fence);
    assert_eq!(stage.acquire(&wish("a")).fence(), second);
}

#[test]
fn another_is_busy_or_queued() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    match stage.acquire(&impatient("b")) {
        Taken::Busy { remaining, foreign: 0 } => assert!((1..=TTL).contains(&remaining)),
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
    match stage.acquire(&wish("b")) {
        Taken::Queued { rank: 0, remaining, foreign: 0, ticket: 1 } => {
            assert!((1..=TTL).contains(&remaining));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn release_frees_only_what_the_token_holds() {
    let stage = Stage::new();
    assert_eq!(stage.release(&wish("a")), 0);
    stage.acquire(&wish("a"));
    assert_eq!(stage.release(&wish("b")), 0);
    assert_eq!(stage.holder(), Some(wish("a").token));
    assert_eq!(stage.release(&wish("a")), 1);
    assert_eq!(stage.release(&wish("a")), 0);
    assert_eq!(stage.holder(), None);
}

#[test]
fn extend_is_for_the_holder_only() {
    let stage = Stage::new();
    assert_eq!(stage.extend(&wish("a"), TTL), 0);
    stage.acquire(&wish("a"));
    assert_eq!(stage.extend(&wish("b"), 60_000), 0);
    assert!(stage.send::<i64>("PTTL L") <= TTL);
    let _: () = stage.send("PEXPIRE L 500");
    assert_eq!(stage.extend(&wish("a"), TTL), 1);
    assert!(stage.send::<i64>("PTTL L") > TTL - 1000);
    let _: () = stage.send("DEL L");
    assert_eq!(stage.extend(&wish("a"), TTL), 0);
    assert_eq!(stage.holder(), None);
}

#[test]
fn extend_never_shortens_and_records_what_is_in_force() {
    let stage = Stage::new();
    let fence = stage.acquire(&wish("a")).fence();
    let record = |ttl| Some(format!("{fence} {ttl} {} ", wish("a").token));
    assert_eq!(stage.extend(&wish("a"), 60_000), 1);
    assert_eq!(stage.record(), record(60_000));
    assert_eq!(stage.extend(&wish("a"), 20_000), 1);
    assert!(stage.send::<i64>("PTTL L") > 50_000);
    assert_eq!(stage.record(), record(60_000));
    // When the longer one has nearly run out, the shorter one is what is in force.
    let _: () = stage.send("PEXPIRE L 5000");
    assert_eq!(stage.extend(&wish("a"), 20_000), 1);
    assert!((19_000..=20_000).contains(&stage.send("PTTL L")));
    assert_eq!(stage.record(), record(20_000));
}

#[test]
fn an_extension_under_a_clock_that_stepped_back_is_recorded() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let _: () = stage.send("PEXPIRE L 3600000");
    assert_eq!(stage.extend(&wish("a"), 60_000), 1);
    // The cap must leave the holder what it was just promised.
    stage.acquire(&impatient("b"));
    assert!((59_000..=60_000).contains(&stage.send("PTTL L")));
}

#[test]
fn extend_keeps_the_fence_remembered() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let _: () = stage.send("PEXPIRE F 90000000");
    assert_eq!(stage.extend(&wish("a"), TTL), 1);
    assert!(stage.send::<i64>("PTTL F") <= 90_000_000);
    let _: () = stage.send("PEXPIRE F 80000000");
    assert_eq!(stage.extend(&wish("a"), TTL), 1);
    assert!(stage.send::<i64>("PTTL F") > 7 * DAY - 1000);
    // A new record does not make the key live for ever.
    assert_eq!(stage.extend(&wish("a"), 2 * TTL), 1);
    assert!((7 * DAY - 1000..=7 * DAY).contains(&stage.send("PTTL F")));
}

#[test]
fn extensions_can_be_pipelined() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let mut pipe = redis::pipe();
    pipe.add_command(stage.extend_command(&wish("a"), 20_000));
    pipe.add_command(stage.extend_command(&wish("b"), 20_000));
    pipe.add_command(stage.extend_command(&wish("a"), 30_000));
    let replies: Vec<i64> = pipe.query(&mut stage.server.connection()).unwrap();
    assert_eq!(replies, [1, 0, 1]);
    assert!(stage.send::<i64>("PTTL L") > 29_000);
}

#[test]
fn many_are_extended_by_one_call_and_each_for_itself() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    assert_eq!(stage.extend(&wish("a"), TTL), 1);
    let _: () = stage.send("RPUSH list x");
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(&scripts::extend().sha1).arg(6);
    cmd.arg("list").arg("{list}:fl:f").arg(&stage.keys()[..2]).arg("free").arg("{free}:fl:f");
    for _ in 0..3 {
        cmd.arg(&wish("a").token).arg(20_000);
    }
    let Value::Array(each) = stage.server.connection().req_command(&cmd).unwrap() else {
        panic!("no list")
    };
    assert_eq!(each[1..], [Value::Int(1), Value::Int(0)]);
    let refused = each[0].clone().extract_error().unwrap_err().to_string();
    assert!(refused.contains("WRONGTYPE"), "{refused}");
    assert!(stage.send::<i64>("PTTL L") > 19_000);
}

#[test]
fn a_remainder_above_the_recorded_ttl_is_cut() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let stepped_back = ["PEXPIRE L 3600000", "PERSIST L"];
    for disturb in stepped_back {
        let _: () = stage.send(disturb);
        match stage.acquire(&impatient("b")) {
            Taken::Busy { remaining, .. } => assert!((1..=TTL).contains(&remaining)),
            other => panic!("{other:?}"),
        }
        assert!((1..=TTL).contains(&stage.send("PTTL L")));
        let _: () = stage.send(disturb);
        assert!((1..=TTL).contains(&stage.poll(&wish("b")).remaining));
        assert!((1..=TTL).contains(&stage.send("PTTL L")));
    }
}

#[test]
fn an_extension_is_not_cut() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    assert_eq!(stage.extend(&wish("a"), 60_000), 1);
    stage.acquire(&impatient("b"));
    assert!(stage.send::<i64>("PTTL L") > 59_000);
}

#[test]
fn a_value_that_is_not_the_recorded_grant_is_never_cut() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    for other in ["foreign", &wish("c").token] {
        let _: () = stage.send(&format!("SET L {other} PX 3600000"));
        stage.acquire(&impatient("b"));
        stage.poll(&wish("b"));
        assert!(stage.send::<i64>("PTTL L") > 3_500_000, "{other}");
        let _: () = stage.send("PERSIST L");
        stage.acquire(&impatient("b"));
        assert_eq!(stage.poll(&wish("b")).remaining, -1, "{other}");
        assert_eq!(stage.send::<i64>("PTTL L"), -1, "{other}");
    }
}

#[test]
fn foreign_holders_are_told_apart_and_left_alone() {
    let stage = Stage::new();
    let _: () = stage.send("SET L foreign PX 5000");
    assert!(matches!(stage.acquire(&impatient("a")), Taken::Busy { foreign: 1, .. }));
    assert!(matches!(stage.acquire(&wish("a")), Taken::Queued { foreign: 1, .. }));
    assert_eq!(stage.poll(&wish("a")).foreign, 1);
    assert_eq!(stage.release(&wish("a")), 0);
    assert_eq!(stage.extend(&wish("a"), TTL), 0);
    assert_eq!(stage.cancel(&wish("a")), 1);
    assert_eq!(stage.holder(), Some("foreign".to_owned()));
    assert!((1..=5000).contains(&stage.send("PTTL L")));
}

/// Holder, foreign, fence, ttl, whether the remaining time is within it, label, waiters.
fn inspect(stage: &Stage) -> (String, i64, String, i64, i64, Vec<u8>, i64) {
    redis::from_redis_value(stage.call(&stage.inspect_command()).unwrap()).unwrap()
}

#[test]
fn inspect_tells_and_changes_nothing() {
    let stage = Stage::new();
    let nobody = (String::new(), 0, String::new(), 0, -2, vec![], 0);
    assert_eq!(inspect(&stage), nobody);

    let label = b"host 1 \0 {x}".to_vec();
    let holder = crate::stage::Wish { label: label.clone(), ..wish("a") };
    let fence = stage.acquire(&holder).fence();
    stage.acquire(&polling("b"));
    stage.acquire(&polling("c"));
    let (hash, foreign, shown, ttl, remaining, text, waiters) = inspect(&stage);
    assert_eq!(hash, sha1_smol::Sha1::from(&holder.token).digest().to_string()[..8]);
    assert_eq!((foreign, shown, ttl, text, waiters), (0, fence.to_string(), TTL, label, 2));
    assert!((1..=TTL).contains(&remaining));

    // Another's value: what is recorded of the last grant is not said of it.
    let _: () = stage.send("SET L foreign");
    let (hash, foreign, fence, ttl, remaining, label, waiters) = inspect(&stage);
    assert_eq!(hash, sha1_smol::Sha1::from("foreign").digest().to_string()[..8]);
    assert_eq!((foreign, &*fence, ttl, remaining, label, waiters), (1, "", 0, -1, vec![], 2));

    // Not even what could be cut.
    let _: () = stage.send(&format!("SET L {} PX 3600000", holder.token));
    assert!(inspect(&stage).4 > 3_500_000);
    assert!(stage.send::<i64>("PTTL L") > 3_500_000);
}

#[test]
fn the_scripts_are_named_by_their_hash() {
    let stage = Stage::new();
    for script in [
        scripts::acquire(),
        scripts::poll(),
        scripts::release(),
        scripts::cancel(),
        scripts::extend(),
        scripts::inspect(),
    ] {
        let loaded = stage.call(redis::cmd("SCRIPT").arg("LOAD").arg(&script.source)).unwrap();
        assert_eq!(loaded, Value::BulkString(script.sha1.clone().into_bytes()));
    }
}
