//! rslock as a contender in bench/, on a Tokio runtime as `#[tokio::main]` makes it; the line
//! protocol is in bench/README.md.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use redis::IntoConnectionInfo;
use redis::io::tcp::TcpSettings;
use rslock::{LockError, LockGuard, LockManager};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TTL: Duration = Duration::from_secs(10);
/// Its waiters sleep for a random time of up to this between two attempts, but after each third
/// they do not sleep at all.
const POLL_MS: u32 = 200;

struct Peer {
    runtime: Runtime,
    locks: LockManager,
    held: HashMap<String, LockGuard>,
}

/// `CLOCK_MONOTONIC`, which all processes share; `std::time::Instant` does not give its number.
fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

impl Peer {
    fn connect(url: &str) -> Result<Self> {
        // All contenders have TCP_NODELAY; the redis crate leaves it out.
        let tcp = TcpSettings::default().set_nodelay(true);
        let server = url.into_connection_info()?.set_tcp_settings(tcp);
        let locks = LockManager::new(vec![server]);
        Ok(Self { runtime: Runtime::new()?, locks, held: HashMap::new() })
    }

    /// On a worker, where a service's code runs: on the main thread each await would pay for a
    /// wake-up from the worker that drives the sockets.
    fn on_worker<T: Send + 'static>(
        &self,
        work: impl Future<Output = std::result::Result<T, LockError>> + Send + 'static,
    ) -> Result<T> {
        Ok(self.runtime.block_on(self.runtime.spawn(work))??)
    }

    fn pairs(&self, lock: &str, count: usize) -> Result<Vec<i64>> {
        let (locks, lock) = (self.locks.clone(), lock.to_owned());
        self.on_worker(async move {
            let mut samples = Vec::with_capacity(count);
            for _ in 0..count {
                let start = now();
                locks.acquire(lock.as_str(), TTL).await?.release().await;
                samples.push(now() - start);
            }
            Ok(samples)
        })
    }

    fn flight(&self, lock: &str, tasks: usize, sections: usize) -> Result<i64> {
        let names: Vec<String> = (0..tasks).map(|number| format!("{lock}:{number}")).collect();
        let locks = self.locks.clone();
        self.on_worker(async move {
            let start = now();
            let mut running: JoinSet<std::result::Result<(), LockError>> = JoinSet::new();
            for name in names {
                let locks = locks.clone();
                running.spawn(async move {
                    for _ in 0..sections {
                        locks.acquire(name.as_str(), TTL).await?.release().await;
                    }
                    Ok(())
                });
            }
            while let Some(done) = running.join_next().await {
                done.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))?;
            }
            Ok(now() - start)
        })
    }

    /// Acquires and keeps; when acquire had returned.
    fn hold(&mut self, lock: &str) -> Result<i64> {
        let (locks, name) = (self.locks.clone(), lock.to_owned());
        let (guard, acquired) = self.on_worker(async move {
            let guard = locks.acquire(name.as_str(), TTL).await?;
            Ok((guard, now()))
        })?;
        self.held.insert(lock.to_owned(), guard);
        Ok(acquired)
    }

    /// Releases; when release was about to be called.
    fn free(&mut self, lock: &str) -> Result<i64> {
        let guard = self.held.remove(lock).ok_or("not held")?;
        self.on_worker(async move {
            let start = now();
            guard.release().await;
            Ok(start)
        })
    }
}

fn main() -> Result<()> {
    let url = env::args().nth(1).ok_or("usage: rslock-bench URL")?;
    let mut peer = Peer::connect(&url)?;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["hello"] => {
                writeln!(out, "ok name=rslock ops=pair,handoff,flight poll_ms={POLL_MS}")?;
            }
            ["pair", lock, count] => {
                write!(out, "ok")?;
                for nanos in peer.pairs(lock, count.parse()?)? {
                    write!(out, " {nanos}")?;
                }
                writeln!(out)?;
            }
            ["flight", lock, tasks, sections] => {
                writeln!(out, "ok {}", peer.flight(lock, tasks.parse()?, sections.parse()?)?)?;
            }
            ["hold", lock] => {
                peer.hold(lock)?;
                writeln!(out, "ok")?;
            }
            ["wait", lock] => {
                writeln!(out, "waiting")?;
                out.flush()?;
                writeln!(out, "ok {}", peer.hold(lock)?)?;
            }
            ["free", lock] => writeln!(out, "ok {}", peer.free(lock)?)?,
            _ => writeln!(out, "err not understood: {line}")?,
        }
        out.flush()?;
    }
    Ok(())
}
