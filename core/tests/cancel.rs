//! An acquire that is dropped, at any moment, leaves nothing behind.

mod common;

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Stage, eventually};
use fencelock::Client;

/// Drops the future inside after so many polls.
struct DropAfter<F>(Option<F>, usize);

impl<F: Future + Unpin> Future for DropAfter<F> {
    /// What came before the drop.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.1 == 0 {
            self.0 = None;
            return Poll::Ready(None);
        }
        self.1 -= 1;
        let Some(future) = self.0.as_mut() else { return Poll::Ready(None) };
        match Pin::new(future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.1 == 0 => {
                self.0 = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A lock whose lease would not end by itself within the test.
fn lock(client: &Client) -> fencelock::Lock {
    client.lock("a").ttl(Duration::from_secs(60))
}

/// Nobody holds or waits.
fn settles(stage: &Stage, name: &str) {
    eventually("nothing is left", || stage.is_clean(name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_at_any_await_of_a_free_lock() {
    let stage = Stage::new();
    for fresh in [true, false] {
        for polls in 0..12 {
            let client = Client::connect(&stage.url()).await.unwrap();
            if !fresh {
                client.lock("warm").acquire().await.unwrap().release().await.unwrap();
            }
            let acquire = lock(&client).acquire().into_future();
            let outcome = DropAfter(Some(acquire), polls).await;
            drop(outcome.transpose().unwrap());
            settles(&stage, "a");
            // The lock is good for use: nothing is on its way that would take or free it.
            let lease = lock(&client).acquire().await.unwrap();
            assert!(lease.is_held());
            lease.release().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_when_the_server_has_the_request_but_has_not_answered() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).await.unwrap();
    lock(&client).acquire().await.unwrap().release().await.unwrap();
    let before = stage.calls();
    stage.server.pause();
    let acquire = lock(&client).acquire().into_future();
    assert!(tokio::time::timeout(Duration::from_millis(100), acquire).await.is_err());
    stage.server.resume();
    eventually("the acquire was carried out", || stage.calls() > before);
    settles(&stage, "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_at_any_await_of_a_held_lock() {
    let stage = Stage::new();
    let holder = Client::connect(&stage.url()).await.unwrap();
    for polls in 0..8 {
        let held = lock(&holder).acquire().await.unwrap();
        let client = Client::connect(&stage.url()).await.unwrap();
        let acquire = lock(&client).acquire().into_future();
        let dropping = DropAfter(Some(acquire), polls);
        let outcome = tokio::time::timeout(Duration::from_millis(300), dropping).await;
        assert!(!matches!(outcome, Ok(Some(_))), "it was held by another");
        eventually("the queue is left", || stage.waiters("a") == 0);
        assert!(held.is_held());
        held.release().await.unwrap();
        settles(&stage, "a");
    }
}

/// Whether this was the last command of a connection that is not the engine's, which subscribes.
fn ran_apart(stage: &Stage, command: &str) -> bool {
    stage.connections_that_ran(command).iter().any(|line| line.contains(" sub=0 "))
}

#[tokio::test]
async fn a_dropped_acquire_is_withdrawn_behind_itself() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).await.unwrap();
    // Until the runtime's own connection is there, the engine's serves.
    let opening = async {
        while !ran_apart(&stage, "evalsha") {
            client.lock("warm").acquire().await.unwrap().release().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), opening).await.unwrap();
    stage.server.pause();
    let mut acquire = lock(&client).acquire().into_future();
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut acquire).poll(&mut nobody).is_pending());
    drop(acquire);
    stage.server.resume();
    eventually("it was granted, and is free", || {
        stage.ask::<u64>("EXISTS {a}:fl:f") == 1 && stage.is_clean("a")
    });
    // By another way it could have overtaken the acquire.
    assert!(ran_apart(&stage, "eval"));
}

/// The answer has come, and whoever waits for it is dropped before it looks.
#[tokio::test]
async fn a_grant_that_came_and_was_not_taken_is_given_back() {
    let stage = Stage::new();
    let client = Client::connect(&stage.url()).await.unwrap();
    let other = client.lock("other");
    other.acquire().await.unwrap().release().await.unwrap();
    for waits in [true, false] {
        let (lock, polls) = (lock(&client), Waker::noop());
        let mut acquire: Pin<Box<dyn Future<Output = bool>>> = if waits {
            Box::pin(async { lock.acquire().await.is_ok() })
        } else {
            Box::pin(async { lock.try_acquire().await.is_ok() })
        };
        assert!(acquire.as_mut().poll(&mut Context::from_waker(polls)).is_pending());
        // Answers come in the order of the requests: once this has its own, that one's is there.
        other.acquire().await.unwrap().release().await.unwrap();
        assert!(!stage.is_clean("a"), "it was granted");
        drop(acquire);
        settles(&stage, "a");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drops_that_race_grants_lose_nothing() {
    let stage = Stage::new();
    let inside = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for number in 0..8_u64 {
        let client = Client::connect(&stage.url()).await.unwrap();
        let inside = inside.clone();
        tasks.push(tokio::spawn(async move {
            let mut held = 0;
            for round in 0..150_u64 {
                let patience = Duration::from_micros((number * 397 + round * 193) % 4000);
                let acquire = lock(&client).acquire().into_future();
                let Ok(lease) = tokio::time::timeout(patience, acquire).await else { continue };
                let lease = lease.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                held += 1;
                lease.release().await.unwrap();
            }
            held
        }));
    }
    let mut held = 0;
    for task in tasks {
        held += task.await.unwrap();
    }
    assert!(held > 0, "nobody got the lock at all");
    settles(&stage, "a");
}

#[test]
fn a_runtime_that_ends_leaves_nothing() {
    let stage = Stage::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(&stage.url())).unwrap();
    let lease = runtime.block_on(client.lock("held").acquire().into_future()).unwrap();
    stage.server.pause();
    runtime.spawn(lock(&client).acquire().into_future());
    // Gone with an acquire on its way, and the connection that it went by.
    runtime.shutdown_timeout(Duration::from_secs(1));
    stage.server.resume();
    settles(&stage, "a");
    assert!(lease.is_held(), "leases are kept by the engine");
    let other = tokio::runtime::Runtime::new().unwrap();
    other.block_on(lease.release()).unwrap();
    settles(&stage, "held");
}
