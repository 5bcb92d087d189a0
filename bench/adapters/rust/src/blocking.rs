//! `fencelock::blocking`, on the main thread.

use std::collections::HashMap;

use fencelock::blocking::{Client, Lease, Lock};

use crate::{Contender, Result, now};

pub(crate) struct Blocking {
    client: Client,
    locks: HashMap<String, Lock>,
    held: HashMap<String, Lease>,
}

impl Blocking {
    pub(crate) fn connect(url: &str) -> Result<Self> {
        let client = Client::connect(url)?;
        Ok(Self { client, locks: HashMap::new(), held: HashMap::new() })
    }

    fn lock(&mut self, name: &str) -> Lock {
        self.locks.entry(name.to_owned()).or_insert_with(|| self.client.lock(name)).clone()
    }
}

impl Contender for Blocking {
    fn pairs(&mut self, lock: &str, count: usize) -> Result<Vec<i64>> {
        let lock = self.lock(lock);
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let start = now();
            lock.acquire()?.release()?;
            samples.push(now() - start);
        }
        Ok(samples)
    }

    fn hold(&mut self, lock: &str) -> Result<i64> {
        let lease = self.lock(lock).acquire()?;
        let acquired = now();
        self.held.insert(lock.to_owned(), lease);
        Ok(acquired)
    }

    fn free(&mut self, lock: &str) -> Result<i64> {
        let lease = self.held.remove(lock).ok_or("not held")?;
        let start = now();
        lease.release()?;
        Ok(start)
    }
}
