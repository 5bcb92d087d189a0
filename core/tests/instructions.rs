//! How many instructions a pair, an acquire and its release that nobody contends, takes by
//! callgrind: in a build for debugging some times what it takes in one for release, but it grows
//! when that does. The bounds are today's figures and 5 %: who saves some lowers them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::process::Command;
use std::time::Duration;

use fencelock::{Client, ClientOptions, blocking};
use fencelock_testserver::TestServer;

/// Tells a run under callgrind what to do: `MODE PAIRS URL`.
const WORK: &str = "FENCELOCK_INSTRUCTIONS";

/// Makes the pairs that the other tests count.
#[test]
#[ignore = "the others run it under callgrind"]
fn pairs() {
    let work = env::var(WORK).unwrap();
    let [mode, pairs, url] = work.split(' ').collect::<Vec<_>>()[..] else { panic!("{work}") };
    let pairs: u64 = pairs.parse().unwrap();
    // All is some thirty times slower there.
    let options = ClientOptions::new().response_timeout(Duration::from_secs(60));
    if mode == "blocking" {
        let lock = blocking::Client::connect_with(url, options).unwrap().lock("a");
        (0..pairs).for_each(|_| lock.acquire().unwrap().release().unwrap());
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lock = Client::connect_with(url, options).await.unwrap().lock("a");
            for _ in 0..pairs {
                lock.acquire().await.unwrap().release().await.unwrap();
            }
        });
    }
}

/// The instructions of a process that makes so many pairs.
fn counted(mode: &str, pairs: u64) -> u64 {
    let server = TestServer::start();
    let name = format!("fencelock-{mode}-{pairs}-{}.callgrind", std::process::id());
    let file = env::temp_dir().join(name);
    let done = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "pairs"])
        .env(WORK, format!("{mode} {pairs} {}", server.url()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let found = fs::read_to_string(&file).unwrap();
    fs::remove_file(file).unwrap();
    let total = found.lines().find_map(|line| line.strip_prefix("summary: ")).unwrap();
    total.parse().unwrap()
}

fn each(mode: &str) -> u64 {
    // What starting and ending cost falls out.
    (counted(mode, 300) - counted(mode, 100)) / 200
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "the bound is x86-64's")]
fn a_blocking_pair_takes_few_instructions() {
    let count = each("blocking");
    assert!(count <= 117_000, "{count}");
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "the bound is x86-64's")]
fn an_async_pair_takes_few_instructions() {
    let count = each("async");
    assert!(count <= 208_900, "{count}");
}
