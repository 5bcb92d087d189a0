//! I4: after faults are over the next grant comes within a bound.

use std::collections::{BTreeMap, HashMap};

use super::faults::{Faults, Quiet};
use super::{Bounds, Verdict};
use crate::event::{Event, What};

/// A recovery: the first grant after faults, since somebody waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How long it took, in ns.
    pub took: u64,
    /// How long it might have taken, in ns.
    pub bound: u64,
    /// The kind of the fault that was over last.
    pub after: &'static str,
    /// The lock.
    pub lock: String,
    /// When it began, in ns on the boot clock.
    pub at: u64,
}

/// Of one lock: who waited, from when until when, and when it was had.
#[derive(Default)]
struct Traffic {
    waits: Vec<(u64, u64)>,
    grants: Vec<u64>,
}

fn traffic(events: &[Event]) -> BTreeMap<&str, Traffic> {
    let mut by_lock = BTreeMap::<&str, Traffic>::new();
    let mut waiting = HashMap::<&str, (&str, u64, bool)>::new();
    for event in events {
        match &event.what {
            What::Ask { worker, lock, waits } => {
                waiting.insert(worker, (lock, event.at, *waits));
            }
            What::Refused { worker, .. } | What::Grant { worker, .. } => {
                let Some((lock, since, waits)) = waiting.remove(worker.as_str()) else { continue };
                let traffic = by_lock.entry(lock).or_default();
                if waits {
                    traffic.waits.push((since, event.at));
                }
                if let What::Grant { .. } = event.what {
                    traffic.grants.push(event.at);
                }
            }
            _ => {}
        }
    }
    // Whoever waits when the log ends has waited until then.
    let end = events.last().map_or(0, |event| event.at);
    for (lock, since, waits) in waiting.into_values() {
        if waits {
            by_lock.entry(lock).or_default().waits.push((since, end));
        }
    }
    by_lock
}

pub(super) fn check(events: &[Event], faults: &Faults, bounds: &Bounds, verdict: &mut Verdict) {
    let usual = bounds.lease + bounds.heartbeat + bounds.slack;
    for (lock, traffic) in traffic(events) {
        for quiet in faults.quiet() {
            let after = faults.before(quiet.begin);
            let Some((since, took)) = recovery(&traffic, quiet) else { continue };
            let bound = faults.patience(quiet.begin, usual).max(since + usual) - since;
            let recovery = Recovery {
                took: took.unwrap_or(quiet.end - since),
                bound,
                after: after.map_or("nothing", |fault| fault.kind.name()),
                lock: lock.to_owned(),
                at: since,
            };
            if recovery.took > recovery.bound {
                verdict.violation(format!("I4: nobody had the lock in time: {recovery:?}"));
            }
            if took.is_none() {
                // The next fault came before the time was over.
                continue;
            }
            verdict.recoveries += 1;
            if verdict.worst_recovery.as_ref().is_none_or(|worst| worst.took < recovery.took) {
                verdict.worst_recovery = Some(recovery);
            }
        }
    }
}

/// Since when somebody waited in a quiet time, and how long it took until somebody had the lock.
fn recovery(traffic: &Traffic, quiet: Quiet) -> Option<(u64, Option<u64>)> {
    let Quiet { begin, end } = quiet;
    let then = traffic.waits.iter().filter(|&&(since, until)| since < end && until > begin);
    let since = then.map(|&(since, _)| since.max(begin)).min()?;
    let grants = traffic.grants.iter().filter(|&&at| at >= since && at < end);
    Some((since, grants.min().map(|at| at - since)))
}
