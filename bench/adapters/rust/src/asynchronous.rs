//! fencelock's async API on a Tokio runtime as `#[tokio::main]` makes it.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use fencelock::{Client, Lease, Lock};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::{Contender, Result, Section, Tell, now};

pub(crate) struct Async {
    runtime: Runtime,
    client: Client,
    locks: HashMap<String, Lock>,
    held: HashMap<String, Lease>,
    kept: Vec<Lease>,
}

async fn section(lock: &Lock, hold: Duration) -> fencelock::Result<Section> {
    let requested = now();
    let lease = lock.acquire().await?;
    let acquired = now();
    if !hold.is_zero() {
        // Not Tokio's, whose timers count in whole milliseconds.
        std::thread::sleep(hold);
    }
    let released = now();
    lease.release().await?;
    Ok([requested, acquired, released])
}

impl Async {
    pub(crate) fn connect(url: &str) -> Result<Self> {
        let runtime = Runtime::new()?;
        let client = runtime.block_on(Client::connect(url))?;
        Ok(Self { runtime, client, locks: HashMap::new(), held: HashMap::new(), kept: Vec::new() })
    }

    fn lock(&mut self, name: &str) -> Lock {
        self.locks.entry(name.to_owned()).or_insert_with(|| self.client.lock(name)).clone()
    }

    /// On a worker, where a service's code runs: on the main thread each await would pay for a
    /// wake-up from the worker that drives the sockets.
    fn on_worker<T: Send + 'static>(
        &self,
        work: impl Future<Output = fencelock::Result<T>> + Send + 'static,
    ) -> Result<T> {
        Ok(self.runtime.block_on(self.runtime.spawn(work))??)
    }
}

impl Contender for Async {
    fn ops(&self) -> &'static str {
        "pair,handoff,loop,flight,cycle,crowd,keep"
    }

    fn flight(&mut self, lock: &str, tasks: usize, sections: usize) -> Result<i64> {
        let locks: Vec<Lock> =
            (0..tasks).map(|number| self.lock(&format!("{lock}:{number}"))).collect();
        self.on_worker(async move {
            let start = now();
            let mut running = JoinSet::new();
            for lock in locks {
                running.spawn(async move {
                    for _ in 0..sections {
                        lock.acquire().await?.release().await?;
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

    fn cycle(&mut self, lock: &str, count: usize) -> Result<i64> {
        let lock = self.lock(lock);
        self.on_worker(async move {
            let start = now();
            for _ in 0..count {
                lock.acquire().await?.release().await?;
            }
            Ok(now() - start)
        })
    }

    fn sections(&mut self, lock: &str, until: i64, hold: Duration) -> Result<Vec<Section>> {
        let lock = self.lock(lock);
        self.on_worker(async move {
            let mut done = Vec::new();
            while now() < until {
                done.push(section(&lock, hold).await?);
            }
            Ok(done)
        })
    }

    fn crowd(&mut self, lock: &str, waiters: usize, waiting: Tell<'_>) -> Result<Vec<Section>> {
        let lock = self.lock(lock);
        let running: Vec<_> = (0..waiters)
            .map(|_| {
                let lock = lock.clone();
                self.runtime.spawn(async move { section(&lock, Duration::ZERO).await })
            })
            .collect();
        waiting()?;
        running.into_iter().map(|one| Ok(self.runtime.block_on(one)??)).collect()
    }

    fn keep(&mut self, lock: &str, leases: usize, ttl: Duration) -> Result<()> {
        let (client, lock) = (self.client.clone(), lock.to_owned());
        self.kept = self.on_worker(async move {
            let mut kept = Vec::with_capacity(leases);
            for number in 0..leases {
                kept.push(client.lock(format!("{lock}:{number}")).ttl(ttl).acquire().await?);
            }
            Ok(kept)
        })?;
        Ok(())
    }

    fn drop_kept(&mut self) -> Result<usize> {
        let kept = mem::take(&mut self.kept);
        let lost = kept.iter().filter(|lease| !lease.is_held()).count();
        self.on_worker(async move {
            for lease in kept.into_iter().filter(Lease::is_held) {
                lease.release().await?;
            }
            Ok(lost)
        })
    }

    fn pairs(&mut self, lock: &str, count: usize) -> Result<Vec<i64>> {
        let lock = self.lock(lock);
        self.on_worker(async move {
            let mut samples = Vec::with_capacity(count);
            for _ in 0..count {
                let start = now();
                lock.acquire().await?.release().await?;
                samples.push(now() - start);
            }
            Ok(samples)
        })
    }

    fn hold(&mut self, lock: &str) -> Result<i64> {
        let wish = self.lock(lock).acquire();
        let (lease, acquired) = self.on_worker(async move {
            let lease = wish.await?;
            Ok((lease, now()))
        })?;
        self.held.insert(lock.to_owned(), lease);
        Ok(acquired)
    }

    fn free(&mut self, lock: &str) -> Result<i64> {
        let lease = self.held.remove(lock).ok_or("not held")?;
        self.on_worker(async move {
            let start = now();
            lease.release().await?;
            Ok(start)
        })
    }
}
