//! A lease that a driver has, and what can be asked of it.
#![expect(
    clippy::panic,
    reason = "a scenario whose request fails has nothing better to do than to fail"
)]

use std::sync::Arc;
use std::time::Duration;

use crate::driver::{Driver, LIMIT};
use crate::history::{Claim, Entry, History};
use crate::kit::boot_nanos;
use crate::line::{Answer, Fault, Fields};
use crate::party::Wish;

/// A lease that a driver has.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Its fence, 0 for a foreign one.
    pub fence: u64,
    /// When it was had, in ns on the boot clock.
    pub at: u64,
    driver: Arc<Driver>,
    id: String,
    claim: Entry,
}

/// A release under way.
#[derive(Debug)]
pub struct Releasing {
    lease: Lease,
    request: u64,
    begun: u64,
}

/// A loss that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The reason's name.
    pub reason: String,
    /// When it was told, in ns on the boot clock.
    pub at: u64,
}

impl Lease {
    /// Reads the lease that an `acquire` gave, and notes the claim.
    pub(crate) fn read(
        driver: &Arc<Driver>,
        history: &History,
        lock: &str,
        id: &str,
        fields: &Fields,
    ) -> Self {
        let number = |key| {
            let number = fields.number(key);
            number.unwrap_or_else(|wrong| panic!("{}: {wrong}", driver.name()))
        };
        let fence = fields.get("fence").map(|_| number("fence"));
        let at = number("at");
        let party = driver.name().to_owned();
        let claim = Claim { party, fence, from: at, until: at + number("remaining") };
        Self {
            fence: fence.unwrap_or(0),
            at,
            driver: driver.clone(),
            id: id.to_owned(),
            claim: history.note(lock, claim),
        }
    }

    fn fields(&self) -> Fields {
        Fields::default().with("lease", &self.id)
    }

    fn call(&self, op: &str) -> Answer {
        self.driver.call(op, &self.fields())
    }

    /// Whether its holder says that it is held.
    pub fn is_held(&self) -> bool {
        let fields = self.driver.must("held", &self.fields());
        let at = fields.number("at").unwrap_or_default();
        let held = fields.get("held") == Some("1");
        if held {
            let remaining = fields.number("remaining").unwrap_or_default();
            self.claim.prolong(at + remaining);
        } else {
            self.claim.end(at);
        }
        held
    }

    /// What `check` says.
    ///
    /// # Errors
    ///
    /// What the driver said.
    pub fn check(&self) -> Result<(), Fault> {
        self.call("check").map(drop)
    }

    /// Asks for a `check` without waiting for what it says.
    pub fn start_check(&self) -> Checking {
        let request = self.driver.send("check", &self.fields());
        Checking { lease: self.clone(), request }
    }

    /// Until when the holder claims it, as far as that is known, in ns on the boot clock.
    pub fn claimed_until(&self) -> u64 {
        self.claim.until()
    }

    /// Renews it.
    ///
    /// # Errors
    ///
    /// What the driver said.
    pub fn renew(&self) -> Result<(), Fault> {
        self.call("renew").map(drop)
    }

    /// Begins to release it.
    pub fn start_release(&self) -> Releasing {
        let begun = boot_nanos();
        Releasing {
            lease: self.clone(),
            request: self.driver.send("release", &self.fields()),
            begun,
        }
    }

    /// Releases it.
    ///
    /// # Errors
    ///
    /// What the driver said.
    pub fn release(&self) -> Result<(), Fault> {
        self.start_release().outcome()
    }

    /// Lets go of it without releasing it by hand.
    pub fn discard(&self) {
        let begun = boot_nanos();
        self.driver.must("drop", &self.fields());
        self.claim.end(begun);
    }

    /// Waits until its loss is told.
    pub fn lost(&self) -> Loss {
        let loss = self.loss_within(LIMIT);
        loss.unwrap_or_else(|| panic!("{}: no loss was told", self.driver.name()))
    }

    /// The loss, if it is told within this time.
    pub fn loss_within(&self, limit: Duration) -> Option<Loss> {
        let fields = self.driver.event("lost", &self.id, limit)?;
        let at = fields.number("at").unwrap_or_default();
        self.claim.end(at);
        Some(Loss { reason: fields.get("reason").unwrap_or_default().to_owned(), at })
    }

    /// Forks its holder; `wish` is what the child acquires.
    pub fn fork(&self, wish: Wish) -> Fields {
        let fields = wish.into_fields().with("lease", &self.id);
        self.driver.must("fork", &fields)
    }
}

/// A `check` under way.
#[derive(Debug)]
pub struct Checking {
    lease: Lease,
    request: u64,
}

impl Checking {
    /// What it said.
    ///
    /// # Errors
    ///
    /// What the driver said.
    pub fn outcome(self) -> Result<(), Fault> {
        self.lease.driver.answer(self.request).map(drop)
    }
}

impl Releasing {
    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// What the driver said.
    pub fn outcome(self) -> Result<(), Fault> {
        let answer = self.lease.driver.answer(self.request);
        let at = answer.as_ref().ok().and_then(|fields| fields.number("at").ok());
        self.lease.claim.end(at.unwrap_or(self.begun));
        answer.map(drop)
    }
}
