//! The faults of a run, and the times without any.

use std::collections::HashMap;

use super::claims::Claim;
use crate::event::{Event, What};
use crate::kind::Kind;

/// A fault. Times are ns on the boot clock.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) lock: Option<String>,
    pub(super) driver: Option<String>,
    pub(super) begin: u64,
    /// `u64::MAX` where nothing says that it was over.
    pub(super) end: u64,
    /// Whether it was seen to have done something.
    worked: bool,
    /// How much longer than others its consequences may last.
    pub(super) extra: u64,
}

/// All of a run, by their beginning, and when the machine stood still.
pub(super) struct Faults {
    all: Vec<Fault>,
    stalls: Vec<(u64, u64)>,
    first: u64,
    last: u64,
}

/// A time without faults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    pub(super) begin: u64,
    pub(super) end: u64,
}

impl Faults {
    pub(super) fn of(events: &[Event]) -> Self {
        let mut all = Vec::<Fault>::new();
        let mut known = HashMap::new();
        let mut stalls = Vec::new();
        for event in events {
            match &event.what {
                What::Begin { fault, kind, lock, driver } => {
                    known.insert(*fault, all.len());
                    all.push(Fault {
                        kind: *kind,
                        lock: lock.clone(),
                        driver: driver.clone(),
                        begin: event.at,
                        end: u64::MAX,
                        worked: false,
                        extra: 0,
                    });
                }
                What::Over { fault, worked, extra } => {
                    if let Some(fault) = known.get(fault).and_then(|&index| all.get_mut(index)) {
                        fault.end = event.at;
                        fault.worked = *worked;
                        fault.extra = *extra;
                    }
                }
                What::Stall { took } => stalls.push((event.at.saturating_sub(*took), event.at)),
                _ => {}
            }
        }
        let at = |event: Option<&Event>| event.map_or(0, |event| event.at);
        Self { all, stalls, first: at(events.first()), last: at(events.last()) }
    }

    /// Those that were seen to have done something.
    pub(super) fn done(&self) -> impl Iterator<Item = &Fault> {
        self.all.iter().filter(|fault| fault.worked)
    }

    /// Whether a fault outside the promise explains that both of two claims are valid, or the order
    /// of their fences: one may have been granted before the fault was over, so that the server may
    /// have forgotten it, and the other was had after it began.
    pub(super) fn explain(&self, lock: &str, one: &Claim, other: &Claim) -> bool {
        let outside = |fault: &&Fault| {
            fault.kind.outside() && fault.lock.as_ref().is_none_or(|of| of == lock)
        };
        self.all.iter().filter(outside).any(|fault| {
            let split = |earlier: &Claim, later: &Claim| {
                earlier.granted <= fault.end && later.from >= fault.begin
            };
            split(one, other) || split(other, one)
        })
    }

    /// Whether anything happened between two moments that may hold this driver up.
    pub(super) fn disturb(&self, driver: &str, from: u64, to: u64) -> bool {
        let meets = |begin: u64, end: u64| begin <= to && end >= from;
        let its = |fault: &&Fault| fault.driver.as_ref().is_some_and(|of| of == driver);
        self.all.iter().filter(its).any(|fault| meets(fault.begin, fault.end))
            || self.stalls.iter().any(|&(begin, end)| meets(begin, end))
    }

    /// The times without faults and stalls.
    pub(super) fn quiet(&self) -> Vec<Quiet> {
        let mut busy: Vec<(u64, u64)> =
            self.all.iter().map(|fault| (fault.begin, fault.end)).collect();
        busy.extend(&self.stalls);
        busy.sort_unstable();
        let mut quiet = Vec::new();
        let mut begin = self.first;
        for (from, to) in busy {
            if from > begin {
                quiet.push(Quiet { begin, end: from });
            }
            begin = begin.max(to);
        }
        if self.last > begin {
            quiet.push(Quiet { begin, end: self.last });
        }
        quiet
    }

    /// The fault that ended last before a moment, if there was one.
    pub(super) fn before(&self, at: u64) -> Option<&Fault> {
        self.all.iter().filter(|fault| fault.end <= at).max_by_key(|fault| fault.end)
    }

    /// Until when consequences of the faults before a moment may last, if things usually take so
    /// long.
    pub(super) fn patience(&self, at: u64, usual: u64) -> u64 {
        let over = self.all.iter().filter(|fault| fault.end <= at);
        let lasts = over.map(|fault| fault.end + usual + fault.extra);
        lasts.max().unwrap_or(0).max(at + usual)
    }
}
