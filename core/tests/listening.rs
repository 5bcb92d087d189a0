//! Threads that hear of their grants on their own connections.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Stage, eventually, is_own};
use fencelock::ErrorKind;
use fencelock::blocking::{Client, Lease};

type Waiting = JoinHandle<fencelock::Result<Lease>>;

fn waits(client: &Client) -> Waiting {
    let lock = client.lock("a");
    std::thread::spawn(move || lock.acquire())
}

/// One holds the lock, and the other waits for it.
fn contended(stage: &Stage, a: &Client, b: &Client) -> (Lease, Waiting) {
    let held = a.lock("a").acquire().unwrap();
    let waiting = waits(b);
    eventually("one waits", || stage.waiters("a") == 1);
    (held, waiting)
}

/// Whoever waits gets the lock, and gives it back.
fn hand_over(held: &Lease, waiting: Waiting) {
    held.release().unwrap();
    waiting.join().unwrap().unwrap().release().unwrap();
}

/// A holder, and a client that has waited once, so that its connection listens.
fn stage() -> (Stage, Client, Client) {
    let stage = Stage::new();
    let (a, b) = (Client::connect(&stage.url()).unwrap(), Client::connect(&stage.url()).unwrap());
    let held = a.lock("a").acquire().unwrap();
    let waiting = waits(&b);
    eventually("its connection listens", || stage.own_channels() == 1);
    assert!(!stage.one_listens_itself(), "the first wait is the engine's");
    hand_over(&held, waiting);
    (stage, a, b)
}

#[test]
fn the_second_wait_is_told_on_the_callers_connection_alone() {
    let (stage, a, b) = stage();
    for _ in 0..3 {
        let (held, waiting) = contended(&stage, &a, &b);
        assert!(stage.one_listens_itself());
        let before = stage.calls();
        held.release().unwrap();
        let lease = waiting.join().unwrap().unwrap();
        assert_eq!(stage.calls() - before, 1, "the message, not a poll");
        lease.check().unwrap();
        lease.release().unwrap();
    }
    assert!(stage.is_clean("a"));
}

#[test]
fn the_engine_goes_on_with_a_wait_whose_connection_breaks() {
    let (stage, a, b) = stage();
    let (held, waiting) = contended(&stage, &a, &b);
    assert!(stage.one_listens_itself());
    let connections: String = stage.ask("CLIENT LIST TYPE pubsub");
    let id = |line: &str| line.split(['=', ' ']).nth(1).and_then(|id| id.parse::<u64>().ok());
    // The engines' connections were there first.
    let last = connections.lines().filter_map(id).max().unwrap();
    let _: u64 = stage.ask(&format!("CLIENT KILL ID {last}"));
    eventually(
        "the engine waits in its place",
        || matches!(&stage.listeners()[..], [one] if !is_own(one)),
    );
    hand_over(&held, waiting);
    eventually("nothing is left", || stage.is_clean("a"));
}

#[test]
fn every_connection_may_break_at_once() {
    let (stage, a, b) = stage();
    for _ in 0..5 {
        let (held, waiting) = contended(&stage, &a, &b);
        let _: u64 = stage.ask("CLIENT KILL TYPE pubsub");
        let _: u64 = stage.ask("CLIENT KILL TYPE normal");
        hand_over(&held, waiting);
    }
    eventually("nothing is left", || stage.is_clean("a"));
}

#[test]
fn an_acquire_on_a_listening_connection_that_the_server_closed_is_repeated() {
    let (stage, a, b) = stage();
    let held = a.lock("a").acquire().unwrap();
    let _: u64 = stage.ask("CLIENT KILL TYPE pubsub");
    let waiting = waits(&b);
    eventually("one waits", || stage.waiters("a") == 1);
    hand_over(&held, waiting);
    eventually("nothing is left", || stage.is_clean("a"));
}

#[test]
fn the_engine_ends_a_wait_that_it_does_not_listen_for() {
    let (stage, a, b) = stage();
    // A foreign holder tells nobody: the engine polls, and is granted the lock.
    let _: () = stage.ask("SET a foreign PX 60000 NX");
    let waiting = waits(&b);
    eventually("one waits", || stage.waiters("a") == 1);
    assert!(stage.one_listens_itself());
    let _: u64 = stage.ask("DEL a");
    waiting.join().unwrap().unwrap().release().unwrap();
    // Its time is over.
    let held = a.lock("a").acquire().unwrap();
    let late = b.lock("a").acquire_timeout(Duration::from_millis(150)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::AcquireTimeout);
    // It is interrupted.
    let stop = Arc::new(AtomicBool::new(false));
    let waiting = std::thread::spawn({
        let (lock, stop) = (b.lock("a"), stop.clone());
        move || lock.acquire_with(None, Some(&mut || stop.load(Ordering::Relaxed))).map(drop)
    });
    eventually("one waits", || stage.waiters("a") == 1);
    stop.store(true, Ordering::Relaxed);
    assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    eventually("the queue is left", || stage.waiters("a") == 0);
    // The client is closed.
    let waiting = waits(&b);
    eventually("one waits", || stage.waiters("a") == 1);
    b.close();
    assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    held.release().unwrap();
    eventually("nothing is left", || stage.is_clean("a"));
    assert_eq!(stage.own_channels(), 0);
}

#[test]
fn a_few_of_many_listen_and_all_are_served_in_order() {
    let (stage, a, b) = stage();
    for round in 0..3 {
        let held = a.lock("a").acquire().unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let most = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..20)
            .map(|number| {
                let (lock, served, most) = (b.lock("a"), served.clone(), most.clone());
                let thread = std::thread::spawn(move || {
                    let lease = lock.acquire().unwrap();
                    assert_eq!(most.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                    served.lock().unwrap().push(number);
                    most.fetch_sub(1, Ordering::SeqCst);
                    lease.release().unwrap();
                });
                eventually("it waits", || stage.waiters("a") == number + 1);
                thread
            })
            .collect();
        let own = stage.listeners().iter().filter(|client| is_own(client)).count();
        assert!(own <= 8, "{own} in round {round}");
        assert!(round == 0 || own > 1, "{own} in round {round}");
        held.release().unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*served.lock().unwrap(), (0..20).collect::<Vec<u64>>());
    }
    assert!(stage.is_clean("a"));
}

#[test]
fn a_server_that_refuses_subscriptions_to_callers_is_served_by_the_engine() {
    let stage = Stage::new();
    let (a, b) = (Client::connect(&stage.url()).unwrap(), Client::connect(&stage.url()).unwrap());
    let channels: Vec<String> = stage.ask("PUBSUB CHANNELS fl:c:*");
    assert_eq!(channels.len(), 2);
    let allowed: Vec<String> = channels.iter().map(|channel| format!("&{channel}")).collect();
    let _: () = stage.ask(&format!("ACL SETUSER default resetchannels {}", allowed.join(" ")));
    for _ in 0..3 {
        let (held, waiting) = contended(&stage, &a, &b);
        assert!(!stage.one_listens_itself());
        hand_over(&held, waiting);
    }
    assert!(stage.is_clean("a"));
}

#[test]
fn a_runtime_hears_of_its_tasks_grants_after_their_first_wait() {
    let stage = Stage::new();
    let url = stage.url();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let a = fencelock::Client::connect(&url).await.unwrap();
        let b = fencelock::Client::connect(&url).await.unwrap();
        let comes = async |what: &str, is: &dyn Fn() -> bool| {
            let end = Instant::now() + Duration::from_secs(10);
            while !is() {
                assert!(Instant::now() < end, "it did not come about: {what}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        for breaks in [false, true, false] {
            // Its connection is opened in the background, and listens after the first wait there.
            let end = Instant::now() + Duration::from_secs(10);
            let mut own = false;
            while !own {
                assert!(Instant::now() < end, "its connection does not listen");
                let held = a.lock("a").acquire().await.unwrap();
                let lock = b.lock("a");
                let waiting = tokio::spawn(async move { lock.acquire().await });
                comes("one waits", &|| stage.waiters("a") == 1).await;
                own = stage.one_listens_itself();
                if own && breaks {
                    let _: u64 = stage.ask("CLIENT KILL TYPE pubsub");
                }
                held.release().await.unwrap();
                waiting.await.unwrap().unwrap().release().await.unwrap();
            }
        }
        a.close().await;
        b.close().await;
    });
    drop(runtime);
    eventually("nothing is left", || stage.is_clean("a") && stage.own_channels() == 0);
}
