//! I5: nothing is left behind, and drivers do not grow.

use std::collections::HashMap;

use super::Verdict;
use crate::event::{Event, What};

/// By how many descriptors a driver may grow: connections that are being made again.
const DESCRIPTORS: u64 = 6;
/// By how much memory, in KiB: caches and pools that fill up in the first minute or so.
const MEMORY_KIB: u64 = 64 * 1024;

/// How a driver grew between early in the run and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Which.
    pub driver: String,
    /// Its descriptors, early and at the end.
    pub descriptors: (u64, u64),
    /// Its memory in KiB, early and at the end.
    pub memory_kib: (u64, u64),
}

pub(super) fn check(events: &[Event], verdict: &mut Verdict) {
    let mut early = HashMap::new();
    for event in events {
        match &event.what {
            What::Left { what } => verdict.violation(format!("I5: left: {what}")),
            What::Uses { driver, end: false, descriptors, memory_kib } => {
                early.insert(driver, (*descriptors, *memory_kib));
            }
            What::Uses { driver, end: true, descriptors, memory_kib } => {
                let Some(&(descriptors_early, memory_early)) = early.get(driver) else { continue };
                let growth = Growth {
                    driver: driver.clone(),
                    descriptors: (descriptors_early, *descriptors),
                    memory_kib: (memory_early, *memory_kib),
                };
                if *descriptors > descriptors_early + DESCRIPTORS
                    || *memory_kib > memory_early + MEMORY_KIB
                {
                    verdict.violation(format!("I5: grew: {growth:?}"));
                }
                let by = |growth: &Growth| growth.memory_kib.1.saturating_sub(growth.memory_kib.0);
                if verdict.growth.as_ref().is_none_or(|most| by(most) < by(&growth)) {
                    verdict.growth = Some(growth);
                }
            }
            _ => {}
        }
    }
}
