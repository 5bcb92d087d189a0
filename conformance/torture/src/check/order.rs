//! I6: first come, first served, where there were no faults.

use super::claims::{Claim, Claims};
use super::faults::{Faults, Quiet};
use super::{Bounds, Verdict};

pub(super) fn check(claims: &Claims, faults: &Faults, bounds: &Bounds, verdict: &mut Verdict) {
    for (lock, claims) in &claims.0 {
        // The order of the grants.
        let mut by_fence: Vec<&Claim> = claims.iter().collect();
        by_fence.sort_by_key(|claim| claim.fence);
        for Quiet { begin, end } in faults.quiet() {
            // Whoever lost its place in the queue by a fault joins again.
            let settled = begin + bounds.heartbeat + bounds.slack;
            let within = |claim: &&&Claim| claim.asked > settled && claim.from < end;
            let granted: Vec<&Claim> = by_fence.iter().filter(within).copied().collect();
            judge(lock, &granted, bounds.apart, verdict);
        }
    }
}

fn judge(lock: &str, granted: &[&Claim], apart: u64, verdict: &mut Verdict) {
    let mut latest: Option<&Claim> = None;
    for claim in granted {
        let passed = latest.filter(|before| before.asked > claim.asked + apart && claim.waited);
        if let Some(before) = passed {
            verdict.violation(format!("I6: {lock}: {before:?} was served before {claim:?}"));
        }
        if latest.is_none_or(|latest| latest.asked < claim.asked) {
            latest = Some(claim);
        }
    }
    let mut earliest_after: Option<u64> = None;
    // How many could have been passed over: somebody who came later was there when they were served.
    for claim in granted.iter().rev().filter(|claim| claim.waited) {
        let waiting = |asked: u64| asked > claim.asked + apart && asked < claim.from;
        verdict.orders += u64::from(earliest_after.is_some_and(waiting));
        earliest_after = Some(earliest_after.map_or(claim.asked, |asked| asked.min(claim.asked)));
    }
}
