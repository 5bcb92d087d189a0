//! Who claimed to hold what, and when.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Verdict;
use crate::event::{Event, What};

/// One lease: what its holder was told. Times are ns on the boot clock.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) lease: String,
    pub(super) driver: String,
    pub(super) fence: u64,
    /// When it was asked for. The grant fell between this and `from`.
    pub(super) asked: u64,
    /// When it was granted at the earliest: no lease is counted from later than its grant.
    pub(super) granted: u64,
    /// When it was had.
    pub(super) from: u64,
    /// The end as far as the holder was told; or when it let go, or was told of the loss.
    pub(super) until: u64,
    /// The end as the holder was told it while it held it, in ns; no later than it was.
    pub(super) deadline: u64,
    pub(super) ttl: u64,
    pub(super) waited: bool,
    pub(super) renewed: bool,
    /// When the holder knew that it is over, and whether it was told.
    pub(super) closed: Option<(u64, bool)>,
    /// Whether nothing but a kill has closed it. Until its process is dead it holds, and can say so.
    killed: bool,
}

impl Claim {
    /// Whether the holder ever had time.
    pub(super) fn is_real(&self) -> bool {
        self.until > self.from
    }
}

/// The claims on each lock, by the time that they were had.
pub(super) struct Claims(pub(super) BTreeMap<String, Vec<Claim>>);

impl Claims {
    pub(super) fn of(events: &[Event], verdict: &mut Verdict) -> Self {
        let mut by_lock = BTreeMap::<String, Vec<Claim>>::new();
        let mut place = HashMap::<&str, (&str, usize)>::new();
        let mut open = HashMap::<&str, Vec<&str>>::new();
        let mut asked = HashMap::<&str, (u64, bool)>::new();
        let mut killed = HashSet::<&str>::new();
        for event in events {
            let at = event.at;
            match &event.what {
                What::Ask { worker, waits, .. } => {
                    asked.insert(worker, (at, *waits));
                }
                What::Grant { worker, lock, lease, driver, fence, remaining, ttl, renew } => {
                    let (since, waited) = asked.get(worker.as_str()).copied().unwrap_or((0, false));
                    let until = at.saturating_add(*remaining);
                    let claims = by_lock.entry(lock.clone()).or_default();
                    place.insert(lease, (lock, claims.len()));
                    open.entry(driver).or_default().push(lease);
                    let mut claim = Claim {
                        lease: lease.clone(),
                        driver: driver.clone(),
                        fence: *fence,
                        asked: since,
                        // Of one that is over nothing can be said.
                        granted: if *remaining > 0 {
                            since.max(until.saturating_sub(*ttl))
                        } else {
                            since
                        },
                        from: at,
                        until,
                        deadline: until,
                        ttl: *ttl,
                        waited,
                        renewed: *renew,
                        closed: None,
                        killed: false,
                    };
                    if killed.contains(driver.as_str()) {
                        claim.kill(at);
                    }
                    claims.push(claim);
                }
                What::Held { lease, .. }
                | What::Unheld { lease }
                | What::Lost { lease, .. }
                | What::End { lease, .. } => {
                    let Some((lock, index)) = place.get(lease.as_str()) else { continue };
                    let claim = by_lock.get_mut(*lock).and_then(|claims| claims.get_mut(*index));
                    if let Some(claim) = claim {
                        claim.learn(event, verdict);
                    }
                }
                What::Killed { driver } => {
                    killed.insert(driver);
                    for lease in open.remove(driver.as_str()).unwrap_or_default() {
                        let Some((lock, index)) = place.get(lease) else { continue };
                        let claim =
                            by_lock.get_mut(*lock).and_then(|claims| claims.get_mut(*index));
                        if let Some(claim) = claim.filter(|claim| claim.closed.is_none()) {
                            claim.kill(at);
                        }
                    }
                }
                _ => {}
            }
        }
        Self(by_lock)
    }
}

impl Claim {
    fn close(&mut self, at: u64, told: bool) {
        self.until = self.until.min(at);
        self.closed = self.closed.or(Some((at, told)));
        self.killed = false;
    }

    fn kill(&mut self, at: u64) {
        self.close(at, false);
        self.killed = true;
    }

    fn learn(&mut self, event: &Event, verdict: &mut Verdict) {
        match &event.what {
            What::Held { remaining, .. } => {
                if *remaining > self.ttl {
                    verdict.violation(format!("I7: told {remaining} ns are left of {self:?}"));
                }
                if self.killed {
                    self.until = self.until.max(event.at);
                    return;
                }
                if let Some((closed, _)) = self.closed {
                    let Self { lease, .. } = self;
                    let at = event.at;
                    verdict.violation(format!("I7: {lease} was over at {closed}, held at {at}"));
                }
                self.until = self.until.max(event.at.saturating_add(*remaining));
                self.deadline = self.until;
            }
            What::End { .. } => self.close(event.at, false),
            _ => self.close(event.at, true),
        }
    }
}
