//! I3: the fenced store never took an older fence, and never lost an update.

use std::collections::HashMap;

use super::Verdict;
use crate::event::{Event, What};

pub(super) fn check(events: &[Event], verdict: &mut Verdict) {
    let mut highest = HashMap::<&str, u64>::new();
    for event in events {
        let (What::Read { lock, fence, accepted } | What::Write { lock, fence, accepted, .. }) =
            &event.what
        else {
            continue;
        };
        let highest = highest.entry(lock).or_default();
        if *accepted && fence < highest {
            let at = event.at;
            let text = format!("I3: at {at} {lock} took {fence} after {highest}");
            verdict.violation(text);
        }
        *highest = fence.max(highest).to_owned();
        verdict.refused_old += u64::from(!accepted);
        if let What::Write { accepted, seen, version, lost, .. } = &event.what {
            verdict.writes += u64::from(*accepted);
            verdict.lost_updates += u64::from(*lost);
            if *accepted && seen != version {
                let at = event.at;
                verdict.violation(format!("I3: at {at} an update of {lock} was lost"));
            }
        }
    }
}
