//! When each party claimed to hold each lock. Whatever a scenario is about, no two claims on one
//! lock may overlap, and fences grow in the order of the claims.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One lease's claim: from when until when its holder was told that it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who claims.
    pub party: String,
    /// The fence; a foreign holder has none.
    pub fence: Option<u64>,
    /// ns on the boot clock, as all times here: when `acquire` had returned.
    pub from: u64,
    /// The end as it is known: of the lease, or when its release was begun or its loss told.
    pub until: u64,
}

/// The claims of one scenario, by lock.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<BTreeMap<String, Vec<Claim>>>>);

/// A claim in its history.
#[derive(Clone, Debug)]
pub struct Entry {
    history: History,
    lock: String,
    index: usize,
}

impl History {
    fn claims(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Claim>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a claim.
    pub fn note(&self, lock: &str, claim: Claim) -> Entry {
        let mut claims = self.claims();
        let of_lock = claims.entry(lock.to_owned()).or_default();
        of_lock.push(claim);
        Entry { history: self.clone(), lock: lock.to_owned(), index: of_lock.len() - 1 }
    }

    /// A party claims nothing from then on.
    pub fn end_all(&self, party: &str, at: u64) {
        for claim in self.claims().values_mut().flatten() {
            if claim.party == party {
                claim.until = claim.until.min(at);
            }
        }
    }

    /// Forgets the claims on a lock: the scenario broke the promise's assumptions on purpose.
    pub fn forgive(&self, lock: &str) {
        self.claims().remove(lock);
    }

    /// Looks for two claims that overlap, and for fences that do not grow.
    ///
    /// # Errors
    ///
    /// A text that shows them.
    pub fn check(&self) -> Result<(), String> {
        for (lock, claims) in self.claims().iter() {
            let mut claims = claims.clone();
            claims.sort_by_key(|claim| claim.from);
            let mut last_fence = 0;
            for pair in claims.windows(2) {
                if pair[0].until > pair[1].from {
                    return Err(format!("two held {lock:?} at once: {pair:?}"));
                }
            }
            for claim in &claims {
                let fence = claim.fence.unwrap_or(last_fence + 1);
                if fence <= last_fence {
                    return Err(format!("the fence of {lock:?} fell: {claims:?}"));
                }
                last_fence = fence;
            }
        }
        Ok(())
    }
}

impl Entry {
    fn change(&self, change: impl FnOnce(&mut Claim)) {
        let mut claims = self.history.claims();
        let claim = claims.get_mut(&self.lock).and_then(|of_lock| of_lock.get_mut(self.index));
        if let Some(claim) = claim {
            change(claim);
        }
    }

    /// The end of the claim, as it is known.
    pub fn until(&self) -> u64 {
        let claims = self.history.claims();
        let claim = claims.get(&self.lock).and_then(|of_lock| of_lock.get(self.index));
        claim.map_or(0, |claim| claim.until)
    }

    /// The holder was told that the lease lasts until then.
    pub fn prolong(&self, until: u64) {
        self.change(|claim| claim.until = claim.until.max(until));
    }

    /// The holder claims nothing from then on.
    pub fn end(&self, at: u64) {
        self.change(|claim| claim.until = claim.until.min(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(fence: u64, from: u64, until: u64) -> Claim {
        let fence = Some(fence);
        let party = "a".to_owned();
        Claim { party, fence, from, until }
    }

    #[test]
    fn claims_that_follow_each_other_are_fine() {
        let history = History::default();
        history.note("x", claim(2, 20, 30));
        history.note("x", claim(1, 10, 20));
        history.note("y", claim(1, 10, 30));
        assert_eq!(history.check(), Ok(()));
    }

    #[test]
    fn overlaps_and_falling_fences_are_found() {
        let overlap = History::default();
        overlap.note("x", claim(1, 10, 21));
        let second = overlap.note("x", claim(2, 20, 30));
        assert!(overlap.check().is_err());
        second.end(0);
        overlap.forgive("x");
        assert_eq!(overlap.check(), Ok(()));

        let falling = History::default();
        falling.note("x", claim(2, 10, 20));
        falling.note("x", claim(2, 30, 40));
        assert!(falling.check().is_err());
    }

    #[test]
    fn a_claim_ends_where_its_holder_stops_claiming() {
        let history = History::default();
        let first = history.note("x", claim(1, 10, 100));
        first.end(20);
        history.note("x", claim(2, 20, 30));
        assert_eq!(history.check(), Ok(()));
        first.prolong(25);
        assert!(history.check().is_err());
    }
}
