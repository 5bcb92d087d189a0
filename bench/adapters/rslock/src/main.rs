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

/// When acquire was called, when it returned, and when release was called.
type Section = [i64; 3];

/// `CLOCK_MONOTONIC`, which all processes share; `std::time::Instant` does not give its number.
fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

async fn section(
    locks: &LockManager,
    lock: &str,
    hold: Duration,
) -> std::result::Result<Section, LockError> {
    let requested = now();
    let guard = locks.acquire(lock, TTL).await?;
    let acquired = now();
    if !hold.is_zero() {
        // Not Tokio's, whose timers count in whole milliseconds.
        std::thread::sleep(hold);
    }
    let released = now();
    guard.release().await;
    Ok([requested, acquired, released])
}

fn say_all(out: &mut impl Write, numbers: &[i64]) -> io::Result<()> {
    write!(out, "ok")?;
    for number in numbers {
        write!(out, " {number}")?;
    }
    writeln!(out)
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

    fn cycle(&self, lock: &str, count: usize) -> Result<i64> {
        let (locks, lock) = (self.locks.clone(), lock.to_owned());
        self.on_worker(async move {
            let start = now();
            for _ in 0..count {
                locks.acquire(lock.as_str(), TTL).await?.release().await;
            }
            Ok(now() - start)
        })
    }

    /// One section after the other, until this moment.
    fn sections(&self, lock: &str, until: i64, hold: Duration) -> Result<Vec<Section>> {
        let (locks, lock) = (self.locks.clone(), lock.to_owned());
        self.on_worker(async move {
            let mut done = Vec::new();
            while now() < until {
                done.push(section(&locks, &lock, hold).await?);
            }
            Ok(done)
        })
    }

    /// So many waiters at once for one lock, each for one section.
    fn crowd(&self, lock: &str, waiters: usize, out: &mut impl Write) -> Result<Vec<Section>> {
        let running: Vec<_> = (0..waiters)
            .map(|_| {
                let (locks, lock) = (self.locks.clone(), lock.to_owned());
                self.runtime.spawn(async move { section(&locks, &lock, Duration::ZERO).await })
            })
            .collect();
        writeln!(out, "waiting")?;
        out.flush()?;
        running.into_iter().map(|one| Ok(self.runtime.block_on(one)??)).collect()
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
                let ops = "pair,handoff,loop,flight,cycle,crowd";
                writeln!(out, "ok name=rslock ops={ops} poll_ms={POLL_MS}")?;
            }
            ["pair", lock, count] => {
                say_all(&mut out, &peer.pairs(lock, count.parse()?)?)?;
            }
            ["cycle", lock, count] => writeln!(out, "ok {}", peer.cycle(lock, count.parse()?)?)?,
            ["loop", lock, until, hold_us] => {
                let hold = Duration::from_micros(hold_us.parse()?);
                say_all(&mut out, peer.sections(lock, until.parse()?, hold)?.as_flattened())?;
            }
            ["crowd", lock, waiters] => {
                let sections = peer.crowd(lock, waiters.parse()?, &mut out)?;
                say_all(&mut out, sections.as_flattened())?;
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
