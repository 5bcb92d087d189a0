//! I7: a loss is told no later than the deadline. That a lease never comes back is seen where the
//! claims are put together.

use super::claims::Claims;
use super::faults::Faults;
use super::{Bounds, Verdict};

pub(super) fn check(claims: &Claims, faults: &Faults, bounds: &Bounds, verdict: &mut Verdict) {
    // Where nothing is renewed the deadline is known.
    let unrenewed = claims.0.values().flatten().filter(|claim| !claim.renewed && claim.is_real());
    for claim in unrenewed {
        let deadline = claim.deadline;
        if claim.until > claim.from + claim.ttl {
            verdict.violation(format!("I7: told to be held beyond its deadline: {claim:?}"));
        }
        let Some((at, told)) = claim.closed else { continue };
        if at < deadline {
            continue;
        }
        if faults.disturb(&claim.driver, deadline.saturating_sub(bounds.slack), at) {
            continue;
        }
        verdict.ends += 1;
        let late = at - deadline;
        if told {
            verdict.worst_telling = verdict.worst_telling.max(late);
        }
        if late > bounds.slack {
            verdict.violation(format!("I7: told {late} ns after the deadline: {claim:?}"));
        }
    }
}
