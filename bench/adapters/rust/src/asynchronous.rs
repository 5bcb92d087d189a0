//! fencelock's async API on a Tokio runtime as `#[tokio::main]` makes it.

use std::collections::HashMap;
use std::time::Duration;

use fencelock::{Client, Lease, Lock};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::{Contender, Kept, Result, now, processor_time};

pub(crate) struct Async {
    runtime: Runtime,
    client: Client,
    locks: HashMap<String, Lock>,
    held: HashMap<String, Lease>,
}

impl Async {
    pub(crate) fn connect(url: &str) -> Result<Self> {
        let runtime = Runtime::new()?;
        let client = runtime.block_on(Client::connect(url))?;
        Ok(Self { runtime, client, locks: HashMap::new(), held: HashMap::new() })
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
        "pair,handoff,flight,keep"
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

    fn keep(&mut self, lock: &str, leases: usize, ttl: Duration, time: Duration) -> Result<Kept> {
        let locks: Vec<Lock> =
            (0..leases).map(|n| self.client.lock(format!("{lock}:{n}")).ttl(ttl)).collect();
        self.on_worker(async move {
            let mut held = Vec::with_capacity(locks.len());
            for lock in locks {
                held.push(lock.acquire().await?);
            }
            let (start, busy) = (now(), processor_time());
            tokio::time::sleep(time).await;
            let (wall, busy) = (now() - start, processor_time() - busy);
            let lost = held.iter().filter(|lease| !lease.is_held()).count();
            for lease in held {
                lease.release().await?;
            }
            Ok(Kept { wall, busy, lost })
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
