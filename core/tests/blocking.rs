//! The API for plain threads, on its direct connections.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use common::{Stage, eventually};
use fencelock::blocking::Client;
use fencelock::{ClientOptions, ErrorKind, LossReason};
use fencelock_testserver::TestServer;

#[test]
fn a_pair_is_two_calls_and_leaves_nothing() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let lock = client.lock("a");
    lock.acquire().unwrap().release().unwrap();
    let before = stage.calls();
    for _ in 0..100 {
        lock.acquire().unwrap().release().unwrap();
    }
    assert_eq!(stage.calls() - before, 200);
    assert!(stage.is_clean("a"));
}

#[test]
fn a_contended_section_is_two_calls() {
    let stage = Stage::new();
    let turns = 40;
    let done = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4).map(|_| Client::connect(&stage.url()).unwrap()).collect();
    for client in &clients {
        client.lock("a").acquire().unwrap().release().unwrap();
    }
    let before = stage.calls();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let done = done.clone();
            std::thread::spawn(move || {
                for _ in 0..turns {
                    let lease = client.lock("a").acquire().unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                    lease.release().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let sections = done.load(Ordering::Relaxed);
    assert_eq!(sections, 4 * turns);
    // A machine that stalls for a second makes a heartbeat; nothing else may add a call.
    assert!(stage.calls() - before <= 2 * sections + 4, "{}", stage.calls() - before);
    assert!(stage.is_clean("a"));
}

#[test]
fn a_second_release_is_told() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let lease = client.lock("a").acquire().unwrap();
    lease.release().unwrap();
    assert_eq!(lease.release().unwrap_err().kind(), ErrorKind::NotHeld);
    assert_eq!(lease.check().unwrap_err().kind(), ErrorKind::NotHeld);
    assert_eq!(lease.renew().unwrap_err().kind(), ErrorKind::NotHeld);
}

#[test]
fn an_interrupt_ends_the_wait_and_leaves_the_queue() {
    let stage = Stage::new();
    let (a, b) = (Client::connect(&stage.url()).unwrap(), Client::connect(&stage.url()).unwrap());
    let held = a.lock("a").acquire().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let waiting = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut interrupt = || stop.load(Ordering::Relaxed);
            b.lock("a").acquire_with(None, Some(&mut interrupt)).map(drop)
        }
    });
    eventually("one waits", || stage.waiters("a") == 1);
    stop.store(true, Ordering::Relaxed);
    assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    eventually("the queue is left", || stage.waiters("a") == 0);
    assert!(held.is_held());
}

#[test]
fn an_interrupt_during_the_attempt_withdraws_it_behind_itself() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let lock = client.lock("a").ttl(Duration::from_secs(60));
    lock.acquire().unwrap().release().unwrap();
    let before = stage.calls();
    stage.server.pause();
    let mut interrupt = || true;
    let outcome = lock.acquire_with(None, Some(&mut interrupt));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    stage.server.resume();
    // The server takes the lock for us when it runs again, and gives it back right after.
    eventually("the attempt was carried out", || stage.calls() > before);
    eventually("the lock is free", || stage.is_clean("a"));
}

#[test]
fn an_interrupt_ends_connecting() {
    // The kernel accepts, and nobody ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let options = ClientOptions::new().connect_timeout(Duration::from_secs(600));
    let mut asked = 0;
    let mut interrupt = || {
        asked += 1;
        asked == 2
    };
    let outcome = Client::connect_interruptible(&url, options, &mut interrupt);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn closing_in_the_middle_of_pairs_leaves_nothing() {
    let stage = Stage::new();
    for round in 0..100 {
        let client = Client::connect(&stage.url()).unwrap();
        let names = ["a", "b"];
        let pairs = names.map(|name| {
            let lock = client.lock(name);
            std::thread::spawn(move || while lock.acquire().and_then(|l| l.release()).is_ok() {})
        });
        let before = stage.calls();
        eventually("pairs are made", || stage.calls() > before + round);
        client.close();
        for thread in pairs {
            thread.join().unwrap();
        }
        assert!(names.iter().all(|name| stage.is_clean(name)), "round {round}");
    }
}

#[test]
fn on_lost_calls_back_once_with_the_reason() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let (send, receive) = mpsc::channel();
    let lease = client.lock("a").ttl(Duration::from_millis(100)).renew(false).acquire().unwrap();
    lease.on_lost(move |reason| send.send(reason).unwrap());
    assert_eq!(receive.recv_timeout(Duration::from_secs(5)), Ok(LossReason::Expired));

    let (send, receive) = mpsc::channel();
    let lease = client.lock("b").acquire().unwrap();
    lease.on_lost(move |reason| send.send(reason).unwrap());
    lease.release().unwrap();
    let outcome = receive.recv_timeout(Duration::from_secs(5));
    assert_eq!(outcome, Err(mpsc::RecvTimeoutError::Disconnected), "a release is no loss");
}

#[test]
fn a_server_that_forgot_its_scripts_is_not_noticed() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    for _ in 0..3 {
        let _: () = stage.ask("SCRIPT FLUSH");
        let lease = client.lock("a").acquire().unwrap();
        let _: () = stage.ask("SCRIPT FLUSH");
        lease.renew().unwrap();
        let _: () = stage.ask("SCRIPT FLUSH");
        lease.release().unwrap();
    }
}

#[test]
fn connections_that_the_server_closed_are_not_noticed() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let lock = client.lock("a");
    for _ in 0..5 {
        let _: u64 = stage.ask("CLIENT KILL TYPE normal");
        let lease = lock.acquire().unwrap();
        let _: u64 = stage.ask("CLIENT KILL TYPE normal");
        lease.release().unwrap();
    }
    eventually("nothing is left", || stage.is_clean("a"));
}

#[test]
fn a_server_that_comes_back_is_found() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let lease = client.lock("a").acquire().unwrap();
    stage.server.kill();
    let error = client.lock("b").acquire_timeout(Duration::from_secs(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    stage.server.restart();
    let fence = lease.fence();
    let again = client.lock("a").acquire().unwrap();
    assert!(again.fence() > fence, "the fence grows although the server forgot it");
    assert_eq!(lease.renew().unwrap_err().loss(), Some(LossReason::Refused));
}

#[test]
fn a_waiter_outlives_a_restart_of_the_server() {
    let stage = Stage::new();
    let (a, b) = (Client::connect(&stage.url()).unwrap(), Client::connect(&stage.url()).unwrap());
    let held = a.lock("a").acquire().unwrap();
    let waiting = std::thread::spawn(move || b.lock("a").acquire());
    eventually("one waits", || stage.waiters("a") == 1);
    stage.server.kill();
    stage.server.restart();
    let lease = waiting.join().unwrap().unwrap();
    assert!(lease.fence() > held.fence());
}

#[test]
fn a_stalled_server_ends_an_attempt_no_later_than_the_lease() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let lock = client.lock("a").ttl(Duration::from_millis(500));
    lock.acquire().unwrap().release().unwrap();
    stage.server.pause();
    let begun = Instant::now();
    let error = lock.acquire_timeout(Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    stage.server.resume();
    eventually("nothing is left", || stage.is_clean("a"));
}

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let stage = Stage::new();
    let kind = |error: fencelock::Error| error.kind();
    let client = Client::connect(&stage.url()).unwrap();
    let before = stage.calls();
    let long = "x".repeat(513);
    for lock in [
        client.lock(""),
        client.lock(long),
        client.lock("a:fl:q"),
        client.lock("a").ttl(Duration::from_millis(10)),
        client.lock("a").ttl(Duration::from_secs(10_000)),
        client.lock("a").max_hold(Duration::ZERO),
        client.lock("a").label("l".repeat(129)),
    ] {
        assert_eq!(kind(lock.check().unwrap_err()), ErrorKind::InvalidArgument);
        assert_eq!(kind(lock.acquire().unwrap_err()), ErrorKind::InvalidArgument);
        assert_eq!(kind(lock.try_acquire().unwrap_err()), ErrorKind::InvalidArgument);
    }
    assert_eq!(stage.calls(), before);
    let options = ClientOptions::new().connect_timeout(Duration::ZERO);
    assert_eq!(
        kind(Client::connect_with(&stage.url(), options).unwrap_err()),
        ErrorKind::InvalidArgument
    );
    assert_eq!(kind(Client::connect("redis://127.0.0.1:1").unwrap_err()), ErrorKind::Unavailable);
}

#[test]
fn a_wrong_password_is_denied_and_never_shown() {
    let stage = Stage::new();
    let _: () = stage.ask("CONFIG SET requirepass right");
    let url = stage.url().replace("redis://", "redis://:canary@");
    let error = Client::connect(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error} {error:?}").contains("canary"));
    let lazy = Client::lazy(&url, ClientOptions::new()).unwrap();
    let error = lazy.lock("a").acquire().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error} {error:?} {lazy:?}").contains("canary"));
    let right = stage.url().replace("redis://", "redis://:right@");
    Client::connect(&right).unwrap().lock("a").acquire().unwrap().release().unwrap();
}

#[test]
fn another_type_at_the_key_is_an_error_and_is_left_alone() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let _: u64 = stage.ask("RPUSH a 1");
    let error = client.lock("a").acquire().unwrap_err();
    assert_eq!((error.kind(), error.lock()), (ErrorKind::Backend, Some("a")));
    assert_eq!(stage.ask::<String>("TYPE a"), "list");
}

#[test]
fn databases_are_apart() {
    let stage = Stage::new();
    let other = stage.url().replace("/0", "/3");
    let (a, b) = (Client::connect(&stage.url()).unwrap(), Client::connect(&other).unwrap());
    let _held = a.lock("a").acquire().unwrap();
    let lease = b.lock("a").try_acquire().unwrap().unwrap();
    assert!(lease.is_held());
}

#[test]
fn a_server_without_push_is_served_over_a_second_connection() {
    let stage = Stage::new();
    let url = format!("{}?protocol=2", stage.url());
    let (a, b) = (Client::connect(&url).unwrap(), Client::connect(&url).unwrap());
    a.lock("a").acquire().unwrap().release().unwrap();
    let held = a.lock("a").acquire().unwrap();
    let waiting = std::thread::spawn(move || b.lock("a").acquire());
    eventually("one waits", || stage.waiters("a") == 1);
    let before = stage.calls();
    held.release().unwrap();
    let lease = waiting.join().unwrap().unwrap();
    let woken_by = stage.calls() - before;
    assert_eq!(woken_by, 1, "the message, not a poll");
    assert!(lease.is_held());
}

#[test]
fn a_foreign_holder_excludes_us_and_is_waited_for() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let _: () = stage.ask("SET a foreign PX 60000 NX");
    assert!(client.lock("a").try_acquire().unwrap().is_none());
    let waiting = std::thread::spawn(move || client.lock("a").acquire());
    eventually("one waits", || stage.waiters("a") == 1);
    let _: u64 = stage.ask("DEL a");
    assert!(waiting.join().unwrap().unwrap().is_held());
}

#[test]
fn where_no_message_arrives_the_head_polls() {
    let server = TestServer::start_with(&["--rename-command", "PUBLISH", ""]);
    let stage = Stage { server };
    let (a, b) = (Client::connect(&stage.url()).unwrap(), Client::connect(&stage.url()).unwrap());
    let held = a.lock("a").acquire().unwrap();
    let waiting = std::thread::spawn(move || b.lock("a").acquire());
    eventually("one waits", || stage.waiters("a") == 1);
    held.release().unwrap();
    let lease = waiting.join().unwrap().unwrap();
    assert!(lease.fence() > held.fence());
    lease.release().unwrap();
    assert!(stage.is_clean("a"));
}

#[test]
fn a_lease_outlives_a_broken_connection() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let lease = client.lock("a").ttl(Duration::from_secs(3)).acquire().unwrap();
    let end = Instant::now() + Duration::from_millis(4500);
    while Instant::now() < end {
        let _: u64 = stage.ask("CLIENT KILL TYPE normal");
        let _: u64 = stage.ask("CLIENT KILL TYPE pubsub");
        std::thread::sleep(Duration::from_millis(100));
        assert!(lease.is_held(), "{:?}", lease.loss());
    }
    lease.release().unwrap();
}

#[test]
fn an_interrupt_ends_any_call_on_a_silent_server() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).unwrap();
    let given_back = client.lock("a").acquire().unwrap();
    let kept = client.lock("b").ttl(Duration::from_secs(3)).acquire().unwrap();
    stage.server.pause();
    let errors = [
        client.inspect_with("a", Some(&mut || true)).unwrap_err(),
        kept.renew_with(Some(&mut || true)).unwrap_err(),
        given_back.release_with(Some(&mut || true)).unwrap_err(),
    ];
    stage.server.resume();
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Cancelled), "{errors:?}");
    assert_eq!(given_back.release().unwrap_err().kind(), ErrorKind::NotHeld);
    eventually("the release goes on in the background", || stage.is_clean("a"));
    // A renewal that nobody waits for any more must not be the last one.
    let end = Instant::now() + Duration::from_millis(4500);
    eventually("the lease is renewed beyond its TTL", || {
        assert!(kept.is_held());
        Instant::now() > end
    });
    kept.release().unwrap();
}
