//! fencelock's async API on a Tokio runtime as `#[tokio::main]` makes it.

use std::collections::HashMap;

use fencelock::{Client, Lease, Lock};
use tokio::runtime::Runtime;

use crate::{Contender, Result, now};

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
