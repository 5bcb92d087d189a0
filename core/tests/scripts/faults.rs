//! What the scripts do where the server, its user or the keys are not as wished.

use redis::{Cmd, ConnectionLike, RedisError, Value};

use crate::stage::{
    Listener, Stage, State, TTL, Wish, impatient, polling, read_polled, read_taken, wish,
};

fn number(value: Value) -> i64 {
    redis::from_redis_value(value).unwrap()
}

/// Redis 6.2 puts the error of a command inside a script into a sentence of its own.
fn is(error: &RedisError, code: &str) -> bool {
    error.code() == Some(code) || error.to_string().contains(&format!("{code} "))
}

#[test]
fn without_memory_a_release_still_hands_on() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let mut b = stage.queued(&wish("b"));
    let (release, again) = (stage.release_command(&wish("a")), stage.release_command(&wish("b")));
    stage.out_of_memory();
    assert_eq!(number(stage.call(&release).unwrap()), 2);
    assert!(b.next().starts_with(b"G "));
    assert_eq!(number(stage.call(&again).unwrap()), 1);
    assert_eq!(stage.holder(), None);
}

#[test]
fn without_memory_a_cancel_still_leaves_or_passes_on() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let mut b = stage.queued(&wish("b"));
    stage.acquire(&Wish { client: "x".into(), ..polling("c") });
    stage.acquire(&Wish { client: "x".into(), ..polling("d") });
    let cancels = [stage.cancel_command(&wish("c")), stage.cancel_command(&wish("a"))];
    stage.out_of_memory();
    assert_eq!(cancels.map(|cancel| number(stage.call(&cancel).unwrap())), [1, 2]);
    assert_eq!(stage.client("x").unwrap().1, 1);
    assert!(b.next().starts_with(b"G "));
}

#[test]
fn without_memory_a_poll_answers_and_counts_as_a_heartbeat() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    stage.acquire(&polling("b"));
    let poll = stage.poll_command("b", 10_000, &[&wish("b")]);
    stage.set_client("b", stage.now_ms() + 500, 1);
    stage.out_of_memory();
    let states = |value: Value| read_polled(value).states;
    assert_eq!(states(stage.call(&poll).unwrap()), [State::Queued(0)]);
    assert!(stage.client("b").unwrap().0 > stage.now_ms() + 9000);
    // A lock that fell free is found, too.
    let _: () = stage.send("DEL L");
    assert!(matches!(states(stage.call(&poll).unwrap())[..], [State::Held(_)]));
}

#[test]
fn without_memory_nothing_is_granted_and_no_lease_is_lost() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let free = Stage::new();
    let (try_b, join_b) =
        (stage.acquire_command(&impatient("b")), stage.acquire_command(&wish("b")));
    let again = stage.acquire_command(&wish("a"));
    let (same, longer) =
        (stage.extend_command(&wish("a"), TTL), stage.extend_command(&wish("a"), 60_000));
    let try_free = free.acquire_command(&impatient("b"));
    stage.out_of_memory();
    free.out_of_memory();
    assert!(is(&free.call(&try_free).unwrap_err(), "OOM"));
    assert_eq!(free.send::<i64>("EXISTS L F"), 0);
    assert!(is(&stage.call(&join_b).unwrap_err(), "OOM"));
    assert_eq!(stage.send::<i64>("EXISTS Q W"), 0);
    read_taken(stage.call(&try_b).unwrap());
    let _: () = stage.send("PEXPIRE L 500");
    assert_eq!(number(stage.call(&same).unwrap()), 1);
    read_taken(stage.call(&again).unwrap()).fence();
    assert!(stage.send::<i64>("PTTL L") > TTL - 1000);
    // What could not be recorded would be cut by the next look at the lock.
    assert!(is(&stage.call(&longer).unwrap_err(), "OOM"));
    assert!(stage.send::<i64>("PTTL L") <= TTL);
}

#[test]
fn a_shorter_extension_needs_no_record() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    assert_eq!(stage.extend(&wish("a"), 60_000), 1);
    let shorter = stage.extend_command(&wish("a"), TTL);
    let _: () = stage.send("PEXPIRE L 500");
    stage.out_of_memory();
    assert_eq!(number(stage.call(&shorter).unwrap()), 1);
    assert!(stage.send::<i64>("PTTL L") > TTL - 1000);
}

/// Runs a command as a user who may not use the named ones.
fn denied(stage: &Stage, commands: &[&str], cmd: &Cmd) -> i64 {
    number(stage.without(commands).req_command(cmd).unwrap())
}

#[test]
fn a_lock_given_up_is_free_even_if_it_cannot_be_granted() {
    for denies in ["set", "hdel"] {
        let stage = Stage::new();
        stage.acquire(&wish("a"));
        let _b = stage.queued(&wish("b"));
        assert!(denied(&stage, &[denies], &stage.release_command(&wish("a"))) == 1, "{denies}");
        assert_eq!(stage.holder(), None, "{denies}");
    }
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let _b = stage.queued(&wish("b"));
    assert_eq!(denied(&stage, &["set"], &stage.cancel_command(&wish("a"))), 2);
    assert_eq!(stage.holder(), None);
}

#[test]
fn a_refused_message_counts_as_no_receiver() {
    let stage = Stage::new();
    stage.acquire(&wish("a"));
    let mut b = stage.queued(&wish("b"));
    stage.acquire(&polling("c"));
    assert_eq!(denied(&stage, &["publish"], &stage.release_command(&wish("a"))), 1);
    assert_eq!((stage.holder(), stage.queue()), (None, vec![wish("c").token]));
    b.heard_nothing();
    // And so where the walk is not the last thing to do: the caller's own wish comes next.
    assert_eq!(stage.cancel(&wish("c")), 1);
    stage.acquire(&impatient("a")).fence();
    stage.acquire(&wish("b"));
    let _: () = stage.send("DEL L");
    let taken = stage.without(&["publish"]).req_command(&stage.acquire_command(&impatient("d")));
    read_taken(taken.unwrap()).fence();
    assert_eq!(stage.holder(), Some(wish("d").token));
}

#[test]
fn a_wrong_type_is_an_error_and_stays_as_it_is() {
    let stage = Stage::new();
    let _: i64 = stage.send("RPUSH L x");
    let commands = [
        stage.acquire_command(&impatient("a")),
        stage.acquire_command(&wish("a")),
        stage.poll_command("a", 10_000, &[&wish("a")]),
        stage.release_command(&wish("a")),
        stage.cancel_command(&wish("a")),
        stage.extend_command(&wish("a"), TTL),
        stage.inspect_command(),
    ];
    for (i, command) in commands.iter().enumerate() {
        assert!(is(&stage.call(command).unwrap_err(), "WRONGTYPE"), "{i}");
        assert_eq!(stage.send::<Vec<String>>("LRANGE L 0 -1"), ["x"], "{i}");
        assert_eq!(stage.send::<i64>("DBSIZE"), 1, "{i}");
        assert_eq!(stage.send::<i64>("PTTL L"), -1, "{i}");
    }
}

#[test]
fn any_byte_may_be_in_a_name_or_a_label() {
    let names: [&[u8]; 5] =
        [b"a b  c ", b"\0\n\r\xff\xfe", b"{user 1}:job", b"G x 1 2 y", b"%d(.-)[]"];
    let label = b" \0 label\xff\n ".to_vec();
    for name in names {
        let stage = Stage::named(name);
        stage.acquire(&impatient("a")).fence();
        let mut b = stage.queued(&Wish { label: label.clone(), ..wish("b") });
        assert_eq!(stage.poll(&wish("b")).states, [State::Queued(0)]);
        assert_eq!(stage.release(&wish("a")), 2);
        let record: Vec<u8> = stage.send("GET F");
        let text = String::from_utf8_lossy(&record).into_owned();
        let fence = text.split(' ').next().unwrap();
        let token = wish("b").token;
        let start = format!("G {token} {fence} {TTL} ");
        assert_eq!(b.next(), [start.as_bytes(), name].concat());
        let start = format!("{fence} {TTL} {token} ");
        assert_eq!(record, [start.as_bytes(), &label].concat());
        assert_eq!(stage.extend(&wish("b"), 2 * TTL), 1);
        let start = format!("{fence} {} {token} ", 2 * TTL);
        assert_eq!(stage.send::<Vec<u8>>("GET F"), [start.as_bytes(), &label].concat());
        assert_eq!(stage.release(&wish("b")), 1);
        assert_eq!(stage.send::<i64>("EXISTS L Q W"), 0);
        assert_eq!(stage.send::<i64>("DBSIZE"), 1);
    }
}

#[test]
fn the_permissions_that_are_documented_suffice() {
    // As in docs/protocol.md, "Permissions".
    let page = include_str!("../../../docs/protocol.md");
    let rule = page.lines().find_map(|line| line.strip_prefix("    ACL SETUSER app on >secret "));
    let mut rule = rule.unwrap().to_owned();
    let stage = Stage::new();
    let info: String = stage.send("INFO server");
    if info.contains("redis_version:6.") {
        rule = rule.replace("+spublish +pubsub|shardnumsub ", "");
    }
    let _: () = stage.send(&format!("ACL SETUSER app on nopass {rule}"));
    let mut app = stage.as_user("app");
    let mut run = |cmd: Cmd| app.req_command(&cmd).unwrap().extract_error().unwrap();
    let mut b = stage.listen("b");
    run(stage.acquire_command(&wish("a")));
    run(stage.acquire_command(&wish("a")));
    run(stage.acquire_command(&polling("c")));
    run(stage.acquire_command(&wish("dead")));
    run(stage.acquire_command(&wish("b")));
    run(stage.poll_command("c", 10_000, &[&wish("c")]));
    run(stage.inspect_command());
    assert_eq!(number(run(stage.extend_command(&wish("a"), 20_000))), 1);
    let _: () = stage.send("PEXPIRE F 1000");
    assert_eq!(number(run(stage.extend_command(&wish("a"), TTL))), 1);
    let _: () = stage.send("PERSIST L");
    assert_eq!(number(run(stage.cancel_command(&wish("c")))), 1);
    assert_eq!(number(run(stage.release_command(&wish("a")))), 2);
    assert!(b.next().starts_with(b"G "));
    assert_eq!(number(run(stage.release_command(&wish("b")))), 1);
    // And are not much more than what is needed.
    let mut flush = redis::cmd("FLUSHALL");
    assert!(is(&app.req_command(&flush).unwrap().extract_error().unwrap_err(), "NOPERM"));
    flush = redis::cmd("SUBSCRIBE");
    assert!(is(
        &app.req_command(flush.arg("other")).unwrap().extract_error().unwrap_err(),
        "NOPERM"
    ));
    let mut channel = redis::cmd("SUBSCRIBE");
    app.send_packed_command(&channel.arg("fl:c:b").get_packed_command()).unwrap();
    assert!(app.recv_response().is_ok());
    drop(Listener::on(&stage, "SUBSCRIBE", "x"));
}
