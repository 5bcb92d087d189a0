//! What must hold of a run, judged from its log alone when all is over.
//!
//! | | |
//! |---|---|
//! | I1 | no two claims on one lock overlap, but for what faults outside the promise explain |
//! | I2 | fences are unique, and grow in the order of the grants |
//! | I3 | the fenced store never took an older fence, and never lost an update |
//! | I4 | after faults are over the next grant comes within a bound |
//! | I5 | nothing is left behind, and drivers do not grow |
//! | I6 | first come, first served, where there were no faults |
//! | I7 | a loss is told no later than the deadline, and no lease comes back |
//! | I8 | every request is answered |

mod claims;
mod exclusion;
mod faults;
mod fences;
mod left;
mod loss;
mod order;
mod recovery;
mod stores;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::left::Growth;
pub use self::recovery::Recovery;

use self::claims::Claims;
use self::faults::Faults;
use crate::event::{Event, What};

/// The bounds that a run is judged by, in ns.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest lease.
    pub lease: u64,
    /// The longest time between two looks of a waiter.
    pub heartbeat: u64,
    /// How much later anything may be on a busy machine.
    pub slack: u64,
    /// How much apart two requests must be for their order to be known: until the first has surely
    /// joined the queue.
    pub apart: u64,
}

/// What a run was found to be.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Every invariant that did not hold, in words.
    pub violations: Vec<String>,
    /// How often a lock was asked for.
    pub asks: u64,
    /// How often it was had.
    pub grants: u64,
    /// How often not, by kind of error, or `busy`, or `gone` with its driver.
    pub refused: BTreeMap<String, u64>,
    /// How often a holder looked whether it still holds.
    pub looks: u64,
    /// Everything that was asked of locks and stores.
    pub operations: u64,
    /// Faults by kind, those alone that were seen to have done something.
    pub faults: BTreeMap<&'static str, u64>,
    /// Losses that were told, by reason.
    pub losses: BTreeMap<String, u64>,
    /// Pairs of claims that overlap inside the promise: none.
    pub overlaps_inside: u64,
    /// Pairs of claims that overlap where a fault outside the promise explains it.
    pub overlaps_outside: u64,
    /// Of those: the older holder tried to read or write after the newer had, and was refused.
    pub overlaps_refused: u64,
    /// Of those: it was not refused. None.
    pub overlaps_accepted: u64,
    /// Writes to the fenced store that it took.
    pub writes: u64,
    /// Reads and writes under an old fence that it refused.
    pub refused_old: u64,
    /// Updates that the store without a fence lost.
    pub lost_updates: u64,
    /// How often a recovery was judged, of one lock each.
    pub recoveries: u64,
    /// The slowest, measured against its own bound.
    pub worst_recovery: Option<Recovery>,
    /// For how many grants somebody who came later was waiting, too.
    pub orders: u64,
    /// For how many leases that were not renewed the end was judged.
    pub ends: u64,
    /// The latest that such an end was told, in ns after the deadline.
    pub worst_telling: u64,
    /// The driver that grew most.
    pub growth: Option<Growth>,
    /// How many drivers were started.
    pub drivers: u64,
    /// How often, and in ns for how long, the machine stood still.
    pub stalls: (u64, u64),
}

impl Verdict {
    /// Notes what did not hold. Of many, the first say enough.
    fn violation(&mut self, text: String) {
        if self.violations.len() < 100 {
            self.violations.push(text);
        }
    }

    fn count(&mut self, events: &[Event]) {
        for event in events {
            match &event.what {
                What::Ask { .. } => self.asks += 1,
                What::Grant { .. } => self.grants += 1,
                What::Refused { kind, .. } => {
                    *self.refused.entry(kind.clone()).or_default() += 1;
                }
                What::Held { .. } | What::Unheld { .. } => self.looks += 1,
                What::Lost { reason, .. } => {
                    *self.losses.entry(reason.clone()).or_default() += 1;
                }
                What::Started { .. } => self.drivers += 1,
                What::Stall { took } => {
                    self.stalls.0 += 1;
                    self.stalls.1 += took;
                }
                What::Hung { worker, op } => {
                    let at = event.at;
                    self.violation(format!("I8: {op} of {worker} had no answer at {at}"));
                }
                _ => {}
            }
            self.operations += u64::from(matches!(
                event.what,
                What::Ask { .. }
                    | What::Held { .. }
                    | What::Unheld { .. }
                    | What::End { .. }
                    | What::Read { .. }
                    | What::Write { .. }
            ));
        }
    }
}

/// Judges a run.
pub fn check(mut events: Vec<Event>, bounds: &Bounds) -> Verdict {
    // Drivers tell a moment later what happened; equal times stay in the log's order.
    events.sort_by_key(|event| event.at);
    let mut verdict = Verdict::default();
    verdict.count(&events);
    let faults = Faults::of(&events);
    for fault in faults.done() {
        *verdict.faults.entry(fault.kind.name()).or_default() += 1;
    }
    let claims = Claims::of(&events, &mut verdict);
    stores::check(&events, &mut verdict);
    exclusion::check(&claims, &faults, &events, &mut verdict);
    fences::check(&claims, &faults, &mut verdict);
    recovery::check(&events, &faults, bounds, &mut verdict);
    order::check(&claims, &faults, bounds, &mut verdict);
    loss::check(&claims, &faults, bounds, &mut verdict);
    left::check(&events, &mut verdict);
    verdict
}
