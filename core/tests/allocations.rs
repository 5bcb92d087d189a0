//! What a pair, an acquire and its release that nobody contends, allocates. The bounds are what it
//! takes today: who saves some lowers them, and the table in `docs/performance.md`.
#![expect(unsafe_code, reason = "an allocator has no safe interface")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use fencelock::{Client, blocking};
use fencelock_testserver::TestServer;

/// Counts what all threads allocate, the engine's too.
struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

fn count(size: usize) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(size as u64, Ordering::Relaxed);
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as our caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Enough that what the engine does by the clock meanwhile is a small part.
const PAIRS: u64 = 1000;

/// Allocations and bytes so far.
fn so_far() -> [u64; 2] {
    [&COUNT, &BYTES].map(|counter| counter.load(Ordering::Relaxed))
}

/// Allocations and bytes of each pair since then.
fn each_since(before: [u64; 2]) -> [u64; 2] {
    let after = so_far();
    [0, 1].map(|which| (after[which] - before[which]) / PAIRS)
}

fn blocking_pair(url: &str) -> [u64; 2] {
    let lock = blocking::Client::connect(url).unwrap().lock("a");
    let pair = || lock.acquire().unwrap().release().unwrap();
    pair();
    let before = so_far();
    (0..PAIRS).for_each(|_| pair());
    each_since(before)
}

async fn async_pair(url: &str) -> [u64; 2] {
    let lock = Client::connect(url).await.unwrap().lock("a");
    let pair = async || lock.acquire().await.unwrap().release().await.unwrap();
    pair().await;
    let before = so_far();
    for _ in 0..PAIRS {
        pair().await;
    }
    each_since(before)
}

// One test: another one's would be counted, too.
#[test]
fn a_pair_allocates_little() {
    let server = TestServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = [blocking_pair(&server.url()), runtime.block_on(async_pair(&server.url()))];
    // Count and bytes, blocking and async.
    let bounds = [[10, 1658], [21, 3746]];
    let within = |(found, bound): (&u64, &u64)| found <= bound;
    let all = found.as_flattened().iter().zip(bounds.as_flattened()).all(within);
    assert!(all, "{found:?}, and {bounds:?} is allowed");
}
