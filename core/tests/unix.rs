//! `redis+unix://`: locks work as by TCP.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Stage, eventually};
use fencelock::ErrorKind;
use fencelock::blocking::Client;

fn locks_work(url: &str) {
    let client = Client::connect(url).unwrap();
    let lock = client.lock("a");
    let lease = lock.acquire().unwrap();
    assert!(lock.try_acquire().unwrap().is_none());
    let waiting = std::thread::spawn(move || lock.acquire().unwrap());
    eventually("it waits", || client.inspect("a").unwrap().waiters == 1);
    lease.renew().unwrap();
    lease.release().unwrap();
    waiting.join().unwrap().release().unwrap();
}

#[test]
fn locks_work_in_every_spelling() {
    let stage = Stage::new();
    stage.ask::<String>("CONFIG SET requirepass secret");
    let plain = stage.server.unix_url();
    let path = plain.strip_prefix("redis+unix://").unwrap().strip_suffix("?db=0").unwrap();
    for url in [
        format!("redis+unix://{path}?db=0&pass=secret"),
        format!("unix://:secret@{path}?db=3"),
        format!("unix://default:secret@{path}?protocol=2"),
    ] {
        locks_work(&url);
    }
    let error = Client::connect(&plain).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[test]
fn databases_are_kept_apart() {
    let stage = Stage::new();
    let url = stage.server.unix_url();
    let connect = |url: &str| Client::connect(url).unwrap();
    let (zero, one) = (connect(&url), connect(&url.replace("db=0", "db=1")));
    let lease = zero.lock("a").acquire().unwrap();
    one.lock("a").acquire().unwrap().release().unwrap();
    assert!(connect(&stage.url()).lock("a").try_acquire().unwrap().is_none());
    lease.release().unwrap();
}

#[test]
fn a_missing_socket_is_told() {
    let error = Client::connect("unix:///nowhere/redis.sock").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("/nowhere/redis.sock"), "{error}");
}

#[test]
fn what_is_held_and_waited_for_survives_its_connections() {
    let stage = Stage::new();
    let client = Client::connect(&stage.server.unix_url()).unwrap();
    common::survives_its_connections(&client, &stage.server);
}

#[test]
fn an_interrupted_wait_leaves_nothing_behind() {
    let stage = Stage::new();
    let client = Client::connect(&stage.server.unix_url()).unwrap();
    common::interrupted_while_unanswered(&client, &stage.server);
}
