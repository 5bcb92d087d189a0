//! The permissions that docs/protocol.md lists suffice for a client's whole life; each that is
//! missing is named in the error.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{Stage, eventually};
use fencelock::blocking::Client;
use fencelock::{ClientOptions, Error, ErrorKind, Result};

const TTL: Duration = Duration::from_secs(3);

/// Not missed by a client like this one. The rest of the line is needed by each.
const NOT_MISSED: [&str; 10] = [
    // For TLS, where no password is sent; always allowed, or for later, by their purpose.
    "+ping",
    "+hello",
    "+auth",
    "+spublish",
    "+pubsub|shardnumsub",
    "+script|load",
    // Not where others have sent the scripts.
    "+eval",
    "+unsubscribe",
    // Only where an acquire is repeated after its answer was lost, and where a fence is ahead.
    "+zscore",
    "+hmget",
];

fn rules(stage: &Stage) -> Vec<String> {
    let page = include_str!("../../docs/protocol.md");
    let line = page.lines().find_map(|line| line.strip_prefix("    ACL SETUSER app on >secret "));
    assert!(include_str!("../../SECURITY.md").contains(line.unwrap()), "the same line is there");
    let old = stage.ask::<String>("INFO server").contains("redis_version:6.");
    let known = |rule: &&str| !old || !["+spublish", "+pubsub|shardnumsub"].contains(rule);
    line.unwrap().split(' ').filter(known).map(str::to_owned).collect()
}

/// Makes a user, who locks what is named after it.
fn grant(stage: &Stage, user: &str, rules: &[String]) {
    stage.ask::<String>(&format!("ACL SETUSER {user} on >secret {}", rules.join(" ")));
}

fn connect(stage: &Stage, user: &str, query: &str) -> Result<Client> {
    let url = format!("redis://{user}:secret@127.0.0.1:{}/1{query}", stage.server.port());
    let soon = Duration::from_secs(5);
    Client::connect_with(&url, ClientOptions::new().response_timeout(soon))
}

/// Everything that a client does, up to the first error.
fn life(stage: &Stage, user: &str, query: &str) -> Result<()> {
    let (holder, other) = (connect(stage, user, query)?, connect(stage, user, query)?);
    let lock = |client: &Client| client.lock(user).ttl(TTL);
    let lease = lock(&holder).acquire()?;
    let waiter = lock(&other);
    let waiting = std::thread::spawn(move || waiter.acquire_timeout(Duration::from_secs(8)));
    let mut seen = Ok(());
    eventually("it waits, or can't", || {
        waiting.is_finished()
            || match holder.inspect(user) {
                Ok(looked) => looked.waiters == 1,
                Err(error) => {
                    seen = Err(error);
                    true
                }
            }
    });
    // A third of the TTL, and the waiter polls.
    let end = Instant::now() + TTL / 3 + Duration::from_millis(300);
    eventually("it polls", || waiting.is_finished() || Instant::now() > end);
    let renewed = lease.renew();
    let released = lease.release();
    let next = waiting.join().unwrap();
    let polled = next.and_then(|lease| lease.release());
    seen.and(renewed).and(released).and(polled)
}

fn denied(error: &Error, rule: &str) {
    assert_eq!(error.kind(), ErrorKind::Denied, "without {rule}: {error}");
    let text = error.to_string();
    // Redis 6.2 knows no subcommands.
    let named = rule.split('|').next().unwrap();
    assert!(text.contains(&format!("lacks the permission {named}")), "without {rule}: {text}");
    assert!(text.contains("ACL SETUSER"), "{text}");
}

#[test]
fn the_documented_line_suffices() {
    let stage = Stage::new();
    let rules = rules(&stage);
    grant(&stage, "app", &rules);
    for query in ["", "?protocol=2"] {
        life(&stage, "app", query).unwrap();
    }
}

#[test]
fn each_missing_command_is_named() {
    let stage = Stage::new();
    let all = rules(&stage);
    let commands: Vec<&String> = all.iter().filter(|rule| rule.starts_with('+')).collect();
    assert!(commands.len() > 25, "{commands:?}");
    std::thread::scope(|scope| {
        for (number, missing) in commands.into_iter().enumerate() {
            let rest: Vec<String> = all.iter().filter(|rule| *rule != missing).cloned().collect();
            let stage = &stage;
            scope.spawn(move || {
                let user = format!("app{number}");
                grant(stage, &user, &rest);
                match life(stage, &user, "") {
                    Ok(()) => assert!(NOT_MISSED.contains(&missing.as_str()), "{missing}"),
                    Err(error) => denied(&error, missing),
                }
            });
        }
    });
}

#[test]
fn a_server_that_forgot_the_scripts_is_sent_their_text() {
    let stage = Stage::new();
    let mut rules = rules(&stage);
    rules.retain(|rule| rule != "+eval");
    grant(&stage, "app", &rules);
    denied(&life(&stage, "app", "").unwrap_err(), "+eval");
}

#[test]
fn missing_channels_and_keys_are_named() {
    let stage = Stage::new();
    let all = rules(&stage);
    for (taken, query) in [("&fl:c:*", ""), ("&fl:c:*", "?protocol=2"), ("~*", "")] {
        let other = format!("{}other:*", &taken[..1]);
        let rest: Vec<String> = all
            .iter()
            .map(|rule| if rule == taken { other.clone() } else { rule.clone() })
            .collect();
        stage.ask::<i64>("ACL DELUSER app");
        grant(&stage, "app", &rest);
        denied(&life(&stage, "app", query).unwrap_err(), taken);
    }
}

#[test]
fn a_prefix_keeps_a_user_to_its_own_keys() {
    let stage = Stage::new();
    let mut rules = rules(&stage);
    rules.retain(|rule| rule != "~*");
    rules.extend(["~app:*".to_owned(), "~{app:*".to_owned()]);
    grant(&stage, "app", &rules);
    life(&stage, "app", "?prefix=app%3A").unwrap();
    denied(&life(&stage, "app", "").unwrap_err(), "~");
}

#[test]
fn a_wrong_password_is_no_missing_permission() {
    let stage = Stage::new();
    grant(&stage, "app", &rules(&stage));
    let url = format!("redis://app:canary@127.0.0.1:{}/1", stage.server.port());
    let Err(error) = Client::connect(&url) else { panic!("it was let in") };
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("password") && !error.to_string().contains("canary"));
}
