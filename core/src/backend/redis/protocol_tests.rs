use std::sync::Arc;

use super::*;

fn claim(name: &str) -> Claim {
    Claim { ticket: 7, ..Claim::new(name.into(), Token::generate().unwrap(), 10_000, "".into()) }
}

fn speaker(prefix: &str) -> Speaker {
    Speaker { client: "c".to_owned(), prefix: prefix.to_owned() }
}

fn asked() -> Asked {
    let sent = Moment::from_nanos(1_000_000_000);
    Asked { sent, now: sent + Duration::from_millis(1), mode: PushMode::Channel, jitter: 0.0 }
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn keys(lock: &str, letters: &str) -> Vec<String> {
    let mut cmd = Cmd::new();
    add_keys(&mut cmd, lock, letters);
    let text = |arg: redis::Arg<&[u8]>| match arg {
        redis::Arg::Simple(arg) => String::from_utf8(arg.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    cmd.args_iter().map(text).collect()
}

#[test]
fn a_name_and_its_hash_tag_have_different_side_keys() {
    assert_eq!(keys("x", "fq"), ["x", "{x}:fl:f", "{x}:fl:q"]);
    assert_eq!(keys("{x}", "q"), ["{x}", "{x}:flt:q"]);
    assert_eq!(keys("a{x}b", "f"), ["a{x}b", "a{x}b:flt:f"]);
}

#[test]
fn the_prefix_is_part_of_every_key() {
    let call = speaker("p:").release(&claim("x"));
    let command = String::from_utf8(call.cmd.get_packed_command()).unwrap();
    assert!(command.contains("\r\np:x\r\n") && command.contains("\r\n{p:x}:fl:w\r\n"));
}

#[test]
fn a_message_counts_only_when_it_is_whole_and_ours() {
    let token = Token::generate().unwrap();
    let token_text = String::from_utf8(token.as_bytes().to_vec()).unwrap();
    let message = format!("G {token_text} 42 1000 p:a name with spaces");
    let granted = Signal::Granted { name: "a name with spaces".to_owned(), token, fence: 42 };
    assert_eq!(speaker("p:").read_message(message.as_bytes()), Some(granted));
    assert_eq!(speaker("q:").read_message(message.as_bytes()), None);
    for cut in 0..message.find("p:").unwrap() {
        assert_eq!(speaker("p:").read_message(&message.as_bytes()[..cut]), None);
    }
    assert_eq!(speaker("").read_message(b"G foreign 1 2 x"), None);
}

#[test]
fn a_lease_counts_from_the_moment_of_sending() {
    let (claim, asked) = (claim("x"), asked());
    let value = bulk("9007199254740991");
    let answer = read_acquire(&claim, asked, &value).unwrap();
    let valid_until = asked.sent + Duration::from_millis(10_000 - 100 - 2);
    assert_eq!(answer, Answer::Granted { fence: 9_007_199_254_740_991, valid_until });
}

#[test]
fn garbage_never_means_granted() {
    let claim = claim("x");
    let garbage = [
        Value::Nil,
        Value::Okay,
        Value::Int(1),
        Value::Array(vec![]),
        Value::Array(vec![bulk("held")]),
        bulk("-1"),
        bulk(""),
        bulk("OK"),
        Value::Array(vec![bulk("queued"), Value::Int(0)]),
        Value::Array(vec![bulk("else")]),
    ];
    for value in garbage {
        assert!(read_acquire(&claim, asked(), &value).is_err(), "{value:?}");
        let claims = [Arc::new(claim.clone())];
        assert!(read_poll(&claims, asked(), &value).is_err(), "{value:?}");
    }
}

#[test]
fn a_full_queue_is_an_error_of_its_own() {
    let full = Value::Array(vec![bulk("full")]);
    let error = read_acquire(&claim("x"), asked(), &full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert!(error.to_string().contains("10000 waiters"));
}

fn look(rank: u64, remaining: i64, foreign: bool) -> u128 {
    let look = Look { rank, remaining, foreign, mode: PushMode::Channel, jitter: 0.0 };
    look.after(Duration::from_secs(9)).as_millis()
}

#[test]
fn the_first_four_look_when_the_lease_runs_out() {
    assert_eq!(look(0, 500, false), 502);
    assert_eq!(look(3, 500, false), 652);
    assert_eq!(look(4, 500, false), 3000, "the rest at the heartbeat");
    assert_eq!(look(0, 9000, false), 3000);
}

#[test]
fn a_missing_lock_is_looked_at_in_turn() {
    assert_eq!(look(0, -2, false), 50);
    assert_eq!(look(9, -2, false), 500);
}

#[test]
fn only_the_head_polls_for_a_foreign_holder() {
    assert_eq!(look(0, 8000, true), 100);
    assert_eq!(look(1, 8000, true), 3000);
    assert_eq!(look(0, -1, true), 100);
    assert_eq!(look(1, -1, true), 3000, "no expiry sets no timer");
}

#[test]
fn the_heartbeat_follows_the_ttl_and_is_jittered() {
    let look = |ttl, jitter| {
        let look = Look { rank: 9, remaining: -1, foreign: false, mode: PushMode::Channel, jitter };
        look.after(Duration::from_millis(ttl)).as_millis()
    };
    assert_eq!((look(50, 0.0), look(86_400_000, 0.0)), (1000, 10_000));
    assert_eq!(look(3000, 1.0), 900);
}

#[test]
fn without_messages_the_head_polls_and_who_is_near_it() {
    let after = |rank| {
        let look =
            Look { rank, remaining: 9000, foreign: false, mode: PushMode::None, jitter: 0.0 };
        look.after(Duration::from_secs(9)).as_millis()
    };
    assert_eq!([0, 1, 9, 29, 100].map(after), [100, 200, 1000, 3000, 3000]);
}

#[test]
fn the_source_takes_the_hashs_place() {
    let call = speaker("").release(&claim("x"));
    let eval = call.with_source().get_packed_command();
    let text = String::from_utf8_lossy(&eval);
    assert!(text.contains("EVAL\r\n") && text.contains(&call.script.source));
    assert!(!text.contains(&call.script.sha1));
    assert!(text.contains("{x}:fl:w"));
}

#[test]
fn errors_of_the_server_have_kinds() {
    let kind = |line: &str| {
        let error = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        let error = error.and_then(Value::extract_error).unwrap_err();
        read_error(&error, true).kind()
    };
    for line in ["NOAUTH Authentication required.", "NOPERM no", "WRONGPASS invalid"] {
        assert_eq!(kind(line), ErrorKind::Denied, "{line}");
    }
    for code in NOT_NOW {
        assert_eq!(kind(&format!("{code} x")), ErrorKind::Unavailable, "{code}");
    }
    assert_eq!(kind("WRONGTYPE Operation"), ErrorKind::Backend);
    let wrapped = "ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation";
    assert_eq!(kind(wrapped), ErrorKind::Backend);
    for lacking in [
        "ERR The user executing the script can't run this command or subcommand",
        "ERR ACL failure in script: User u has no permissions to run the 'get' command",
    ] {
        assert_eq!(kind(lacking), ErrorKind::Denied);
    }
    assert_eq!(kind("MOVED 1 127.0.0.1:1"), ErrorKind::Unsupported);
    let wrapped =
        "ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed";
    assert_eq!(kind(wrapped), ErrorKind::Unavailable);
}

#[cfg(feature = "model")]
#[test]
fn a_deadline_from_the_reply_is_a_bug_on_purpose() {
    use crate::flaw::{Flaw, with_flaw};

    let (claim, asked) = (claim("a"), asked());
    let extended = || read_extend(&claim, asked, &Value::Int(1)).unwrap();
    assert_eq!(extended(), Some(valid_until(asked.sent, claim.ttl())));
    let flawed = with_flaw(Some(Flaw::DeadlineFromReply), extended);
    assert_eq!(flawed, Some(valid_until(asked.now, claim.ttl())));
}
