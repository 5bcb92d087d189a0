//! I2: fences are unique, and grow in the order of the grants.

use std::collections::HashSet;

use super::Verdict;
use super::claims::{Claim, Claims};
use super::faults::Faults;

pub(super) fn check(claims: &Claims, faults: &Faults, verdict: &mut Verdict) {
    for (lock, claims) in &claims.0 {
        let mut known = HashSet::new();
        for claim in claims {
            if !known.insert(claim.fence) {
                verdict.violation(format!("I2: a fence of {lock} came twice: {claim:?}"));
            }
        }
        had_before_asked(lock, claims, verdict);
        held_one_after_the_other(lock, claims, faults, verdict);
    }
}

/// Who asks after another has had the lock gets a greater fence, whatever happens between.
fn had_before_asked(lock: &str, claims: &[Claim], verdict: &mut Verdict) {
    let mut asking: Vec<&Claim> = claims.iter().collect();
    asking.sort_by_key(|claim| claim.asked);
    let mut had = claims.iter().peekable();
    let mut greatest: Option<&Claim> = None;
    for claim in asking {
        while let Some(earlier) = had.next_if(|earlier| earlier.from < claim.asked) {
            if greatest.is_none_or(|greatest| greatest.fence < earlier.fence) {
                greatest = Some(earlier);
            }
        }
        if let Some(greatest) = greatest.filter(|greatest| greatest.fence > claim.fence) {
            verdict.violation(format!("I2: the fence of {lock} fell: {greatest:?}, {claim:?}"));
        }
    }
}

/// Those who really held the lock held it in the order of their fences. A lease that was over
/// when its holder heard of it says nothing about the order in which they were granted.
fn held_one_after_the_other(lock: &str, claims: &[Claim], faults: &Faults, verdict: &mut Verdict) {
    let real: Vec<&Claim> = claims.iter().filter(|claim| claim.is_real()).collect();
    let mut greatest = 0;
    for (index, claim) in real.iter().enumerate() {
        if claim.fence < greatest {
            let wrong = real[..index].iter().rev().find(|earlier| {
                earlier.fence > claim.fence && !faults.explain(lock, earlier, claim)
            });
            if let Some(earlier) = wrong {
                verdict.violation(format!("I2: the fence of {lock} fell: {earlier:?}, {claim:?}"));
            }
        }
        greatest = greatest.max(claim.fence);
    }
}
