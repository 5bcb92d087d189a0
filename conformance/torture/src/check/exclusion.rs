//! I1: no two claims on one lock overlap.

use std::collections::HashMap;

use super::Verdict;
use super::claims::{Claim, Claims};
use super::faults::Faults;
use crate::event::{Event, What};

/// What one holder did at the fenced store: when, and whether it was accepted.
type Visits<'a> = HashMap<(&'a str, u64), Vec<(u64, bool)>>;

pub(super) fn check(claims: &Claims, faults: &Faults, events: &[Event], verdict: &mut Verdict) {
    let visits = visits(events);
    for (lock, claims) in &claims.0 {
        let mut open: Vec<&Claim> = Vec::new();
        for claim in claims.iter().filter(|claim| claim.is_real()) {
            open.retain(|earlier| earlier.until > claim.from);
            for earlier in &open {
                if faults.explain(lock, earlier, claim) {
                    verdict.overlaps_outside += 1;
                    judge_store(&visits, lock, earlier, claim, verdict);
                } else {
                    verdict.overlaps_inside += 1;
                    verdict.violation(format!("I1: two held {lock}: {earlier:?} and {claim:?}"));
                }
            }
            open.push(claim);
        }
    }
}

fn visits(events: &[Event]) -> Visits<'_> {
    let mut visits = Visits::new();
    for event in events {
        if let What::Read { lock, fence, accepted } | What::Write { lock, fence, accepted, .. } =
            &event.what
        {
            visits.entry((lock, *fence)).or_default().push((event.at, *accepted));
        }
    }
    visits
}

/// What the older of two holders could still do once the newer one had been at the store.
fn judge_store(visits: &Visits<'_>, lock: &str, one: &Claim, other: &Claim, verdict: &mut Verdict) {
    let (older, newer) = if one.fence < other.fence { (one, other) } else { (other, one) };
    let of = |claim: &Claim| visits.get(&(lock, claim.fence)).map_or(&[][..], Vec::as_slice);
    let accepted_newer = of(newer).iter().find(|(_, accepted)| *accepted);
    let Some(&(since, _)) = accepted_newer else { return };
    let late = of(older).iter().filter(|(at, _)| *at > since);
    let (mut refused, mut accepted) = (false, false);
    for (_, was_accepted) in late {
        refused |= !was_accepted;
        accepted |= was_accepted;
    }
    verdict.overlaps_refused += u64::from(refused && !accepted);
    verdict.overlaps_accepted += u64::from(accepted);
    if accepted {
        verdict.violation(format!("I3: the fence did not refuse {older:?} after {newer:?}"));
    }
}
