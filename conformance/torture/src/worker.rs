//! One caller among many: takes a lock in a driver, reads and writes what it protects, and gives it
//! back in one way or another, until all is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use fencelock_conformance::driver::Driver;
use fencelock_conformance::kit::boot_nanos;
use fencelock_conformance::line::{Answer, Fields};

use crate::event::What;
use crate::log::Log;
use crate::seat::{Reply, Seat, ask, await_answer};
use crate::store::{Seen, Stores};

/// The leases that are asked for, in ms.
const LEASES: [u64; 3] = [500, 800, 1500];
/// The longest of them.
pub const LONGEST_LEASE: u64 = 1500;
/// What a careless caller believes to have: for ever.
const FOR_EVER: u64 = u64::MAX / 4;

/// What all workers share.
#[derive(Debug)]
pub struct Common<'a> {
    /// Where everything is noted.
    pub log: &'a Log,
    /// What the locks protect.
    pub stores: &'a Stores<'a>,
    /// The locks' names. The first is asked for most.
    pub locks: &'a [String],
    /// Set when all is over.
    pub over: &'a AtomicBool,
    /// A negative control: workers believe that what they got is theirs until they give it back, and
    /// have nothing renewed.
    pub credulous: bool,
}

/// One caller.
#[derive(Debug)]
pub struct Worker<'a> {
    common: &'a Common<'a>,
    seat: &'a Seat,
    name: String,
    /// Whether it may cancel: Python can interrupt its main thread alone, where one can wait.
    cancels: bool,
    rng: Rng,
}

/// A lease as its holder has it.
struct Had<'d> {
    driver: &'d Arc<Driver>,
    lock: String,
    id: String,
    fence: u64,
    renew: bool,
}

/// Why a round ended early.
struct Gone;

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

impl<'a> Worker<'a> {
    /// A caller that has random numbers of its own.
    pub fn new(
        common: &'a Common<'a>,
        seat: &'a Seat,
        name: String,
        cancels: bool,
        rng: Rng,
    ) -> Self {
        Self { common, seat, name, cancels, rng }
    }

    /// Works until all is over.
    pub fn work(mut self) {
        while !self.common.over.load(Ordering::Relaxed) {
            let Some(driver) = self.seat.driver(self.common.log, self.common.over) else { return };
            // What is gone shows at the next look at the seat.
            let _ = self.round(&driver);
            self.note_losses(&driver);
        }
    }

    fn note(&self, what: What) {
        self.common.log.note(what);
    }

    fn note_losses(&self, driver: &Driver) {
        for (event, fields) in driver.take_events() {
            let (lease, at) = (fields.text("lease"), fields.number("at"));
            if let ("lost", Ok(lease), Ok(at)) = (event.as_str(), lease, at) {
                let reason = fields.get("reason").unwrap_or_default().to_owned();
                if reason == "forked" {
                    // A child says so, on the output that it has from its parent.
                    continue;
                }
                self.common.log.note_at(at, What::Lost { lease: lease.to_owned(), reason });
            }
        }
    }

    /// The answer of a driver that is there.
    fn said(&self, driver: &Driver, op: &str, reply: Reply) -> Result<Answer, Gone> {
        match reply {
            Reply::Said(answer) => Ok(answer),
            Reply::Gone => Err(Gone),
            Reply::Hung => {
                self.note(What::Hung { worker: self.name.clone(), op: op.to_owned() });
                self.seat.kill(driver);
                Err(Gone)
            }
        }
    }

    fn call(&self, driver: &Driver, op: &str, fields: &Fields) -> Result<Answer, Gone> {
        let reply = ask(driver, op, fields, Duration::ZERO);
        self.said(driver, op, reply)
    }

    fn round(&mut self, driver: &Arc<Driver>) -> Result<(), Gone> {
        let Some(had) = self.acquire(driver)? else { return Ok(()) };
        self.hold(&had)?;
        if self.seat.fork.swap(false, Ordering::Relaxed) {
            self.fork(&had)?;
        }
        self.let_go(&had)
    }

    fn acquire<'d>(&mut self, driver: &'d Arc<Driver>) -> Result<Option<Had<'d>>, Gone> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let locks = self.common.locks;
        let lock = if self.rng.bool() {
            locks[0].clone()
        } else {
            self.rng.choice(locks).map_or_else(String::new, Clone::clone)
        };
        let ttl = LEASES[self.rng.usize(..LEASES.len())];
        let renew = !self.common.credulous && self.rng.u32(..100) < 80;
        let (try_it, cancel) = match self.rng.u32(..100) {
            0..15 => (true, false),
            15..25 => (false, self.cancels),
            _ => (false, false),
        };
        let timeout = *self.rng.choice(&[30, 300, 3000, 8000]).unwrap_or(&3000);
        let id = format!("{}.{}", self.name, LAST.fetch_add(1, Ordering::Relaxed));
        let mut fields = Fields::default()
            .with("client", "c")
            .with("lease", &id)
            .with("name", &lock)
            .with("ttl", ttl)
            .with("renew", u8::from(renew));
        let op = if try_it { "try" } else { "acquire" };
        if !try_it {
            fields = fields.with("timeout", timeout);
        }
        if cancel {
            fields = fields.with("cancellable", 1);
        }
        self.note(What::Ask { worker: self.name.clone(), lock: lock.clone(), waits: !try_it });
        let request = driver.send(op, &fields);
        if cancel {
            pause(self.rng.u64(..60));
            driver.send("cancel", &Fields::default().with("request", request));
        }
        let reply = await_answer(driver, request, Duration::from_millis(timeout));
        let refused = |kind: &str| {
            self.note(What::Refused { worker: self.name.clone(), kind: kind.to_owned() });
        };
        match self.said(driver, op, reply) {
            Err(Gone) => {
                refused("gone");
                Err(Gone)
            }
            Ok(Err(fault)) => {
                refused(&fault.kind);
                if matches!(fault.kind.as_str(), "usage" | "internal" | "invalid_argument") {
                    let op = format!("{op}: {}", fault.message());
                    self.note(What::Hung { worker: self.name.clone(), op });
                }
                // Where the server is away, others need the processor more.
                pause(self.rng.u64(..40));
                Ok(None)
            }
            Ok(Ok(said)) if said.get("busy").is_some() => {
                refused("busy");
                Ok(None)
            }
            Ok(Ok(said)) => {
                let number = |key| said.number(key).unwrap_or_default();
                let remaining = if self.common.credulous { FOR_EVER } else { number("remaining") };
                let what = What::Grant {
                    worker: self.name.clone(),
                    lock: lock.clone(),
                    lease: id.clone(),
                    driver: driver.name().to_owned(),
                    fence: number("fence"),
                    remaining,
                    ttl: if self.common.credulous { FOR_EVER } else { ttl * 1_000_000 },
                    renew,
                };
                self.common.log.note_at(number("at"), what);
                Ok(Some(Had { driver, lock, id, fence: number("fence"), renew }))
            }
        }
    }

    /// Looks whether the lease is held, as every holder should before a step.
    fn is_held(&self, had: &Had<'_>) -> Result<bool, Gone> {
        let fields = Fields::default().with("lease", &had.id);
        let Ok(said) = self.call(had.driver, "held", &fields)? else { return Ok(false) };
        if self.common.credulous {
            return Ok(true);
        }
        let number = |key| said.number(key).unwrap_or_default();
        let (held, lease) = (number("held") == 1, had.id.clone());
        let what = if held {
            What::Held { lease, remaining: number("remaining") }
        } else {
            What::Unheld { lease }
        };
        self.common.log.note_at(number("at"), what);
        Ok(held)
    }

    /// Reads, and writes a few times.
    fn hold(&mut self, had: &Had<'_>) -> Result<(), Gone> {
        let (writes, longest) = match self.rng.u32(..100) {
            0..60 => (1, 3),
            60..92 => (2, 30),
            _ => (6, 100),
        };
        let Some(mut seen) = self.common.stores.read(&had.lock, had.fence) else { return Ok(()) };
        for _ in 0..writes {
            pause(self.rng.u64(..=longest));
            if !self.write(had, &mut seen)? {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, had: &Had<'_>, seen: &mut Seen) -> Result<bool, Gone> {
        if !self.is_held(had)? {
            return Ok(false);
        }
        // The step itself goes through the process: where that stands still after its look, the
        // write is late.
        if self.rng.bool() {
            let _ = self.call(had.driver, "hello", &Fields::default())?;
        }
        Ok(self.common.stores.write(&had.lock, had.fence, seen))
    }

    /// Forks while the lease is held: the child must not have it, and can lock for itself.
    fn fork(&mut self, had: &Had<'_>) -> Result<(), Gone> {
        let fields = Fields::default()
            .with("client", "c")
            .with("lease", &had.id)
            .with("name", format!("fork-{}", self.name))
            .with("ttl", 1000)
            .with("timeout", 5000);
        let reply = ask(had.driver, "fork", &fields, Duration::from_secs(5));
        let answer = self.said(had.driver, "fork", reply)?;
        let has_it = |child: &Fields| child.get("held") != Some("0");
        if let Some(child) = answer.ok().filter(has_it) {
            let op = format!("fork: the child has the parent's lease:{child}");
            self.note(What::Hung { worker: self.name.clone(), op });
        }
        Ok(())
    }

    fn let_go(&mut self, had: &Had<'_>) -> Result<(), Gone> {
        let how = self.rng.u32(..100);
        let fields = Fields::default().with("lease", &had.id);
        if !had.renew && how < 40 && !self.common.credulous {
            self.outlast(had)?;
        } else if how < 90 {
            self.finish(had, "release", &fields)?;
            // Where it can be asked for again, it is still kept.
            if self.seat.language.can.contains(&"release_twice") {
                let _ = self.call(had.driver, "drop", &fields)?;
            }
            return Ok(());
        }
        self.finish(had, "drop", &fields)
    }

    fn finish(&self, had: &Had<'_>, how: &str, fields: &Fields) -> Result<(), Gone> {
        let begun = boot_nanos();
        let answer = self.call(had.driver, how, fields);
        let at = match &answer {
            // Who believes a lease for ever believes it until then.
            Ok(_) if self.common.credulous => boot_nanos(),
            Ok(Ok(said)) => said.number("at").unwrap_or(begun),
            _ => begun,
        };
        self.common.log.note_at(at, What::End { lease: had.id.clone(), how: how.to_owned() });
        answer.map(drop)
    }

    /// Lets the lease lapse.
    fn outlast(&mut self, had: &Had<'_>) -> Result<(), Gone> {
        while self.is_held(had)? {
            pause(20);
        }
        Ok(())
    }
}
