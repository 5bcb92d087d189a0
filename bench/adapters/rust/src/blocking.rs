//! `fencelock::blocking`, on the main thread.

use std::collections::HashMap;
use std::time::Duration;
use std::{mem, thread};

use fencelock::blocking::{Client, Lease, Lock};

use crate::{Contender, Result, Section, Tell, now};

pub(crate) struct Blocking {
    client: Client,
    locks: HashMap<String, Lock>,
    held: HashMap<String, Lease>,
    kept: Vec<Lease>,
}

fn section(lock: &Lock, hold: Duration) -> Result<Section> {
    let requested = now();
    let lease = lock.acquire()?;
    let acquired = now();
    if !hold.is_zero() {
        thread::sleep(hold);
    }
    let released = now();
    lease.release()?;
    Ok([requested, acquired, released])
}

impl Blocking {
    pub(crate) fn connect(url: &str) -> Result<Self> {
        let client = Client::connect(url)?;
        Ok(Self { client, locks: HashMap::new(), held: HashMap::new(), kept: Vec::new() })
    }

    fn lock(&mut self, name: &str) -> Lock {
        self.locks.entry(name.to_owned()).or_insert_with(|| self.client.lock(name)).clone()
    }
}

impl Contender for Blocking {
    fn ops(&self) -> &'static str {
        "pair,handoff,loop,cycle,crowd,keep"
    }

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

    fn cycle(&mut self, lock: &str, count: usize) -> Result<i64> {
        let lock = self.lock(lock);
        let start = now();
        for _ in 0..count {
            lock.acquire()?.release()?;
        }
        Ok(now() - start)
    }

    fn sections(&mut self, lock: &str, until: i64, hold: Duration) -> Result<Vec<Section>> {
        let lock = self.lock(lock);
        let mut done = Vec::new();
        while now() < until {
            done.push(section(&lock, hold)?);
        }
        Ok(done)
    }

    /// A thread for each waiter.
    fn crowd(&mut self, lock: &str, waiters: usize, waiting: Tell<'_>) -> Result<Vec<Section>> {
        let lock = self.lock(lock);
        thread::scope(|scope| {
            let running: Vec<_> =
                (0..waiters).map(|_| scope.spawn(|| section(&lock, Duration::ZERO))).collect();
            waiting()?;
            running.into_iter().map(|one| one.join().map_err(|_| "a waiter panicked")?).collect()
        })
    }

    fn keep(&mut self, lock: &str, leases: usize, ttl: Duration) -> Result<()> {
        for number in 0..leases {
            self.kept.push(self.client.lock(format!("{lock}:{number}")).ttl(ttl).acquire()?);
        }
        Ok(())
    }

    fn drop_kept(&mut self) -> Result<usize> {
        let kept = mem::take(&mut self.kept);
        let lost = kept.iter().filter(|lease| !lease.is_held()).count();
        for lease in kept.iter().filter(|lease| lease.is_held()) {
            lease.release()?;
        }
        Ok(lost)
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
