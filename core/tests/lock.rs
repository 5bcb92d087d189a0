//! Taking, keeping and giving back, from async Rust. What every language shares is tested by the
//! conformance suite; this is what only Rust has, and what is quickest seen here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Stage, eventually};
use fencelock::{Client, ClientOptions, ErrorKind, Lease, LossReason};

async fn client(stage: &Stage) -> Client {
    Client::connect(&stage.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_leaves_nothing_and_fences_grow() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let lock = client.lock("a");
    let first = lock.acquire().await.unwrap();
    assert!(first.is_held() && first.remaining() > Duration::from_secs(9));
    assert!(lock.try_acquire().await.unwrap().is_none());
    let fence = first.fence();
    first.release().await.unwrap();
    assert!(stage.is_clean("a"));
    let second = lock.try_acquire().await.unwrap().unwrap();
    assert!(second.fence() > fence);
    second.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_gets_the_lock_from_the_release() {
    let stage = Stage::new();
    let (a, b) = (client(&stage).await, client(&stage).await);
    let held = a.lock("a").acquire().await.unwrap();
    let fence = held.fence();
    let lock = b.lock("a");
    let waiting = tokio::spawn(async move { lock.acquire().await });
    eventually("one waits", || stage.waiters("a") == 1);
    held.release().await.unwrap();
    let lease = waiting.await.unwrap().unwrap();
    assert!(lease.is_held() && lease.fence() > fence);
    assert_eq!(stage.waiters("a"), 0);
    lease.release().await.unwrap();
    assert!(stage.is_clean("a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_leases_are_renewed_in_few_calls_and_one_that_is_gone_takes_no_other_along() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let ttl = Duration::from_secs(6);
    // At once: on a slow machine those acquired one by one would be due one by one.
    let acquiring = (0..450).map(|number| {
        let lock = client.lock(format!("l{number}")).ttl(ttl);
        tokio::spawn(async move { lock.acquire().await })
    });
    let acquiring: Vec<_> = acquiring.collect();
    let mut leases = Vec::new();
    for lease in acquiring {
        leases.push(lease.await.unwrap().unwrap());
    }
    stage.ask::<u64>("DEL l7");
    stage.ask::<u64>("DEL l8");
    stage.ask::<u64>("RPUSH l8 not-a-lock");
    let before = stage.calls();
    assert_eq!(leases[7].lost().await, LossReason::Refused);
    // The error leaves it until its deadline; by then the others are renewed for the second time.
    assert_eq!(leases[8].lost().await, LossReason::Expired);
    let lost: Vec<&str> = leases.iter().filter(|lease| !lease.is_held()).map(Lease::name).collect();
    assert_eq!(lost, ["l7", "l8"]);
    // Some 900 extensions, and a try each 0.3 s for the one that fails.
    let calls = stage.calls() - before;
    assert!(calls < 200, "{calls} calls");
}

/// What tasks of a runtime begin while others are ready goes to the server in one write.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_many_tasks_begin_is_sent_together() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let reads = || {
        let stats = stage.ask::<String>("INFO stats");
        let reads = stats.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
        reads.unwrap().parse::<u64>().unwrap()
    };
    let before = reads();
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let lock = client.lock(format!("t{number}"));
            tokio::spawn(async move {
                for _ in 0..10 {
                    lock.acquire().await.unwrap().release().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let reads = reads() - before;
    // Of 2,000 requests.
    assert!(reads < 500, "{reads} reads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_of_one_client_take_turns() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let counter = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (lock, counter) = (client.lock("a"), counter.clone());
            tokio::spawn(async move {
                let lease = lock.acquire().await.unwrap();
                let seen = counter.load(std::sync::atomic::Ordering::SeqCst);
                tokio::task::yield_now().await;
                counter.store(seen + 1, std::sync::atomic::Ordering::SeqCst);
                lease.release().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counter.load(std::sync::atomic::Ordering::SeqCst), 50);
    assert!(stage.is_clean("a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_is_told_and_leaves_the_queue() {
    let stage = Stage::new();
    let (a, b) = (client(&stage).await, client(&stage).await);
    let held = a.lock("a").acquire().await.unwrap();
    let error = b.lock("a").acquire().timeout(Duration::from_millis(60)).await.unwrap_err();
    assert_eq!((error.kind(), error.lock()), (ErrorKind::AcquireTimeout, Some("a")));
    eventually("the queue is empty", || stage.waiters("a") == 0);
    let error = b.lock("a").acquire().timeout(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AcquireTimeout);
    assert!(held.is_held());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_past_its_ttl() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let lease = client.lock("a").ttl(Duration::from_secs(1)).acquire().await.unwrap();
    let lost = tokio::time::timeout(Duration::from_millis(2500), lease.lost()).await;
    assert!(lost.is_err() && lease.is_held());
    lease.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_renewal_a_lease_expires_before_the_servers_copy() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let lock = client.lock("a").ttl(Duration::from_millis(400)).renew(false);
    let lease = lock.acquire().await.unwrap();
    assert_eq!(lease.lost().await, LossReason::Expired);
    assert!(!lease.is_held());
    assert_eq!(lease.remaining(), Duration::ZERO);
    assert_eq!(lease.check().unwrap_err().loss(), Some(LossReason::Expired));
    let error = lease.release().await.unwrap_err();
    assert_eq!((error.kind(), error.loss()), (ErrorKind::Lost, Some(LossReason::Expired)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn max_hold_ends_a_lease_that_is_renewed() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let lock = client.lock("a").ttl(Duration::from_secs(1)).max_hold(Duration::from_secs(2));
    let lease = lock.acquire().await.unwrap();
    assert_eq!(lease.lost().await, LossReason::MaxHold);
    assert_eq!(lease.release().await.unwrap_err().loss(), Some(LossReason::MaxHold));
    assert!(stage.is_clean("a"), "releasing what was lost gives it back early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_key_is_noticed_by_the_renewal() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let lease = client.lock("a").ttl(Duration::from_secs(3)).acquire().await.unwrap();
    let _: u64 = stage.ask("DEL a");
    assert_eq!(lease.lost().await, LossReason::Refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guarded_future_ends_with_the_lease() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let lock = client.lock("a").ttl(Duration::from_millis(500)).renew(false);
    let lease = lock.acquire().await.unwrap();
    assert_eq!(lease.guard(async { 7 }).await.unwrap(), 7);
    let error = lease.guard(std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_lease_is_released() {
    let stage = Stage::new();
    let client = client(&stage).await;
    drop(client.lock("a").acquire().await.unwrap());
    eventually("the lock is free", || stage.is_clean("a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_lease_lapses_and_is_not_released() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let lease = client.lock("a").ttl(Duration::from_secs(2)).acquire().await.unwrap();
    lease.abandon();
    assert!(!lease.is_held());
    drop(lease);
    assert_eq!(stage.ask::<u64>("EXISTS a"), 1);
    eventually("the lease lapses", || stage.is_clean("a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewing_by_hand_gives_the_full_ttl() {
    let stage = Stage::new();
    let client = client(&stage).await;
    let lock = client.lock("a").ttl(Duration::from_secs(4)).renew(false);
    let lease = lock.acquire().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(lease.remaining() < Duration::from_millis(3700));
    lease.renew().await.unwrap();
    assert!(lease.remaining() > Duration::from_millis(3700));
    let _: u64 = stage.ask("DEL a");
    assert_eq!(lease.renew().await.unwrap_err().loss(), Some(LossReason::Refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspect_shows_holder_and_waiters_but_no_token() {
    let stage = Stage::new();
    let client = client(&stage).await;
    assert!(client.inspect("a").await.unwrap().holder.is_none());
    let lease = client.lock("a").label("job 7").acquire().await.unwrap();
    let token: String = stage.ask("GET a");
    let seen = client.inspect("a").await.unwrap();
    let holder = seen.holder.clone().unwrap();
    assert_eq!((holder.fence, holder.label.as_str()), (Some(lease.fence()), "job 7"));
    assert!(!holder.foreign && holder.ttl == Some(Duration::from_secs(10)));
    assert!(!format!("{seen:?} {lease:?} {client:?}").contains(&token[4..]));
    lease.release().await.unwrap();
    let _: () = stage.ask("SET a foreign PX 60000");
    let holder = client.inspect("a").await.unwrap().holder.unwrap();
    assert!(holder.foreign && holder.fence.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_keep_clients_apart() {
    let stage = Stage::new();
    let one = Client::connect(&format!("{}?prefix=one:", stage.url())).await.unwrap();
    let options = ClientOptions::new().prefix("two:");
    let two = Client::connect_with(&stage.url(), options).await.unwrap();
    let a = one.lock("a").acquire().await.unwrap();
    let b = two.lock("a").acquire().await.unwrap();
    assert_eq!(stage.ask::<u64>("EXISTS one:a two:a"), 2);
    let waiting = tokio::spawn({
        let lock = two.lock("a");
        async move { lock.acquire().await }
    });
    eventually("one waits", || stage.waiters("two:a") == 1);
    b.release().await.unwrap();
    assert!(waiting.await.unwrap().unwrap().is_held(), "messages name the key with its prefix");
    assert!(a.is_held());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_releases_and_ends_waits() {
    let stage = Stage::new();
    let (a, b) = (client(&stage).await, client(&stage).await);
    let held = a.lock("a").acquire().await.unwrap();
    let own = b.lock("own").acquire().await.unwrap();
    let waiting = tokio::spawn({
        let lock = b.lock("a");
        async move { lock.acquire().await }
    });
    eventually("one waits", || stage.waiters("a") == 1);
    b.close().await;
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(own.loss(), Some(LossReason::Closed));
    assert!(stage.is_clean("own"));
    assert_eq!(stage.waiters("a"), 0);
    assert_eq!(b.lock("b").acquire().await.unwrap_err().kind(), ErrorKind::Closed);
    b.close().await;
    assert!(held.is_held());
}

#[test]
fn it_works_outside_tokio() {
    let stage = Stage::new();
    let wait = |future: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
        futures_executor::block_on(future);
    };
    let url = stage.url();
    wait(Box::pin(async move {
        let client = Client::connect(&url).await.unwrap();
        let lease = client.lock("a").acquire().await.unwrap();
        assert!(client.lock("a").try_acquire().await.unwrap().is_none());
        lease.renew().await.unwrap();
        lease.release().await.unwrap();
        client.close().await;
    }));
    assert!(stage.is_clean("a"));
}
