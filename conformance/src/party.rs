//! A driver with a client, and what can be asked of it.
#![expect(
    clippy::panic,
    reason = "a scenario whose request fails has nothing better to do than to fail"
)]

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::driver::{Driver, LIMIT};
use crate::history::{Claim, History};
use crate::kit::boot_nanos;
use crate::lease::Lease;
use crate::line::{Answer, Fault, Fields};

/// One client in one driver.
#[derive(Clone, Debug)]
pub struct Party {
    driver: Arc<Driver>,
    history: History,
}

/// An acquire that is being put together.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent yet"]
pub struct Wish {
    party: Party,
    lock: String,
    fields: Fields,
}

/// An acquire under way.
#[derive(Clone, Debug)]
pub struct Waiting {
    party: Party,
    lock: String,
    id: String,
    request: u64,
}

impl Party {
    /// Connects a driver's client.
    ///
    /// # Errors
    ///
    /// What `connect` says.
    pub fn connect(
        driver: Arc<Driver>,
        history: &History,
        options: &Fields,
    ) -> Result<Self, Fault> {
        let party = Self { driver, history: history.clone() };
        let fields = options.clone().with("client", "c");
        party.driver.call("connect", &fields).map(|_| party)
    }

    /// The process.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Begins an acquire of this lock.
    pub fn acquire(&self, lock: &str) -> Wish {
        Wish {
            party: self.clone(),
            lock: lock.to_owned(),
            fields: Fields::default().with("client", "c").with("name", lock),
        }
    }

    /// What a lock looks like.
    pub fn inspect(&self, lock: &str) -> Fields {
        let fields = Fields::default().with("client", "c").with("name", lock);
        self.driver.must("inspect", &fields)
    }

    /// Kills the process (SIGKILL) and returns when it is gone: it claims nothing from then on.
    pub fn kill(&self) {
        self.history.end_all(self.driver.name(), boot_nanos());
        self.driver.kill();
    }

    /// Ends the program; gives its exit status.
    pub fn exit(&self) -> Option<ExitStatus> {
        self.history.end_all(self.driver.name(), boot_nanos());
        self.driver.must("exit", &Fields::default());
        self.driver.ended(LIMIT)
    }

    /// Closes the client.
    pub fn close(&self) {
        self.history.end_all(self.driver.name(), boot_nanos());
        self.driver.must("close", &Fields::default().with("client", "c"));
    }
}

impl Wish {
    pub(crate) fn into_fields(self) -> Fields {
        self.fields
    }

    fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.fields = self.fields.with(key, value);
        self
    }

    /// The TTL in ms.
    pub fn ttl(self, ms: u64) -> Self {
        self.with("ttl", ms)
    }

    /// No renewal.
    pub fn unrenewed(self) -> Self {
        self.with("renew", 0)
    }

    /// The longest time to hold, in ms.
    pub fn max_hold(self, ms: u64) -> Self {
        self.with("max_hold", ms)
    }

    /// A text for observers.
    pub fn label(self, label: &str) -> Self {
        self.with("label", label)
    }

    /// How long to wait, in ms.
    pub fn timeout(self, ms: u64) -> Self {
        self.with("timeout", ms)
    }

    /// A cancel may follow.
    pub fn cancellable(self) -> Self {
        self.with("cancellable", 1)
    }

    fn send(self, op: &str) -> Waiting {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = format!("l{}", LAST.fetch_add(1, Ordering::Relaxed));
        let request = self.party.driver.send(op, &self.fields.with("lease", &id));
        Waiting { party: self.party, lock: self.lock, id, request }
    }

    /// Begins to wait for the lock.
    pub fn start(self) -> Waiting {
        self.send("acquire")
    }

    /// Takes the lock.
    pub fn lease(self) -> Lease {
        self.start().lease()
    }

    /// Fails to take the lock.
    pub fn fault(self) -> Fault {
        self.start().fault()
    }

    /// Takes the lock if it is free.
    pub fn attempt(self) -> Option<Lease> {
        let waiting = self.send("try");
        match waiting.answer() {
            Ok(fields) if fields.get("busy").is_some() => None,
            Ok(fields) => Some(waiting.had(&fields)),
            Err(fault) => panic!("{}: try: {fault:?}", waiting.party.driver.name()),
        }
    }

    /// Fails to take the lock without waiting for it.
    pub fn attempt_fault(self) -> Fault {
        self.send("try").fault()
    }

    /// Begins to take and give back the lock so often.
    pub fn sections(self, n: u64) -> Sections {
        let request = self.party.driver.send("sections", &self.fields.with("n", n));
        Sections { party: self.party, lock: self.lock, request }
    }
}

/// Many short leases in a row, under way.
#[derive(Debug)]
pub struct Sections {
    party: Party,
    lock: String,
    request: u64,
}

impl Sections {
    /// Whether they are done.
    pub fn is_over(&self) -> bool {
        self.party.driver.has_answered(self.request)
    }

    /// Waits until they are done, and notes every claim.
    pub fn finish(self) {
        let name = self.party.driver.name();
        let fields = match self.party.driver.answer(self.request) {
            Ok(fields) => fields,
            Err(fault) => panic!("{name}: sections: {fault:?}"),
        };
        for span in fields.get("spans").unwrap_or_default().split(',') {
            let parts: Option<Vec<u64>> = span.split(':').map(|part| part.parse().ok()).collect();
            let Some([fence, from, until]) = parts.as_deref() else {
                panic!("{name}: not a span: {span:?}");
            };
            let claim = Claim {
                party: name.to_owned(),
                fence: Some(*fence).filter(|&fence| fence != 0),
                from: *from,
                until: *until,
            };
            self.party.history.note(&self.lock, claim);
        }
    }
}

impl Waiting {
    fn answer(&self) -> Answer {
        self.party.driver.answer(self.request)
    }

    fn had(&self, fields: &Fields) -> Lease {
        Lease::read(&self.party.driver, &self.party.history, &self.lock, &self.id, fields)
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// What the driver said.
    pub fn outcome(&self) -> Result<Lease, Fault> {
        self.answer().map(|fields| self.had(&fields))
    }

    /// Waits for the lease.
    pub fn lease(&self) -> Lease {
        let outcome = self.outcome();
        outcome.unwrap_or_else(|fault| panic!("{}: acquire: {fault:?}", self.party.driver.name()))
    }

    /// Waits for the failure.
    pub fn fault(&self) -> Fault {
        match self.outcome() {
            Ok(lease) => panic!("{}: acquire: {lease:?}", self.party.driver.name()),
            Err(fault) => fault,
        }
    }

    /// Whether the wait is over.
    pub fn is_over(&self) -> bool {
        self.party.driver.has_answered(self.request)
    }

    /// Cancels the wait, in whatever way the language has.
    pub fn cancel(&self) {
        let fields = Fields::default().with("request", self.request);
        self.party.driver.send("cancel", &fields);
    }
}
