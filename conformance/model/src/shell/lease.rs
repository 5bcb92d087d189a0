//! Leases and their keeper, as `core/src/lease.rs` and `core/src/keeper/mod.rs` do it.

use std::sync::Arc;

use fencelock::LossReason;
use fencelock::model::{
    Claim, Event, Kept, Moment, Outcome, Phase, Repetition, Settled, Term, Tries, answer_time,
    read_extend, unavailable,
};

use super::Answered;
use crate::client::{Chore, Doing, Lease, RESPONSE_TIMEOUT, free};
use crate::event::Who;
use crate::lab::{Lab, Seen, Slip};
use crate::wire::{Expected, Purpose, Releasing, ScriptCall};
use crate::world::World;

impl World {
    /// Makes a lease, which the keeper keeps from here on.
    pub(super) fn keep(
        &mut self,
        c: usize,
        claim: Arc<Claim>,
        fence: u64,
        valid_until: Moment,
        straggler: bool,
        lab: &mut Lab,
    ) -> u8 {
        let fence = if lab.slip == Some(Slip::FenceFromElsewhere) { fence % 1000 } else { fence };
        self.note_lease(&claim.token, fence, valid_until, lab);
        let now = self.now;
        let client = self.client(c);
        let no = free(&client.leases);
        let term = Term::new(valid_until, Moment::NEVER);
        let (token, ttl, renew) = (claim.token, claim.ttl(), client.renew);
        let lease = Lease { claim, fence, term, straggler, in_use: true };
        client.leases.insert(no, lease);
        let kept = Kept { ttl, renew, since: now, until: valid_until, ends_at: Moment::NEVER };
        if client.book.keep(token, no, kept) {
            client.keeper_next = now;
        }
        no
    }

    /// Has the keeper do what is due.
    pub(super) fn turn_keeper(&mut self, c: usize, lab: &mut Lab) -> bool {
        let now = self.now;
        let client = self.client(c);
        if client.keeper_next > now {
            return false;
        }
        let due = client.book.turn(now);
        client.keeper_next = due.next;
        for no in due.lapsed {
            lab.saw(Seen::Expiry);
            if lab.slip == Some(Slip::KeeperAsleep) {
                continue;
            }
            if let Some(lease) = client.leases.get_mut(&no) {
                lease.term.loss(now);
            }
        }
        let claim = |no: &u8| client.leases.get(no).map(|lease| lease.claim.clone());
        let claims: Vec<Arc<Claim>> = due.renewals.iter().filter_map(claim).collect();
        let by = now + RESPONSE_TIMEOUT.min(answer_time(claims.iter().map(|claim| &**claim)));
        for claim in claims {
            self.ask_engine(c, Purpose::Extend { claim }, by, lab);
        }
        true
    }

    /// The answer to an extension.
    pub(super) fn extended(
        &mut self,
        c: usize,
        claim: &Arc<Claim>,
        sent: Moment,
        answer: Answered,
        lab: &mut Lab,
    ) {
        let (now, asked) = (self.now, self.asked(c, sent));
        let answer = answer.and_then(|value| read_extend(claim, asked, &value));
        let client = self.client(c);
        let no = client.lease_of(&claim.token);
        match client.book.settle(&claim.token, answer, now) {
            Settled::Prolonged(until) => {
                lab.saw(Seen::Renewal);
                if let Some(lease) = no.and_then(|no| client.leases.get_mut(&no)) {
                    lease.term.prolong(until);
                    if lease.term.loss(now).is_some() {
                        client.book.forget(&claim.token);
                    }
                }
                self.note_deadline(c, no, lab);
            }
            Settled::Refused => {
                lab.saw(Seen::Refusal);
                if let Some(lease) = no.and_then(|no| client.leases.get_mut(&no)) {
                    lease.term.step(Event::Lost(LossReason::Refused));
                }
            }
            Settled::Failed(_) => {}
        }
        // The timer is woken after each answer.
        self.client(c).keeper_next = now;
    }

    /// A holder gives the lock back.
    pub(crate) fn release(&mut self, who: Who, lab: &mut Lab) {
        let (c, caller, now) = (who.client, who.caller, self.now);
        let Doing::Holding { lease: no } = *self.doing(c, caller) else { return };
        let client = self.client(c);
        let Some(lease) = client.leases.get_mut(&no) else { return };
        let _held = lease.term.is_held(now) && lease.term.step(Event::ReleaseBegun);
        let lost = lease.term.loss(now);
        let claim = lease.claim.clone();
        if lab.slip == Some(Slip::ForgottenEarly) {
            client.book.forget(&claim.token);
        }
        client.book.leave(&claim.token);
        self.set_doing(c, caller, Doing::Releasing { lease: no });
        let by = self.answer_by(claim.ttl());
        let tries = Tries::default();
        self.send_release(c, Releasing { caller, lease: no, lost, tries }, by, lab);
        self.tend(c, lab);
    }

    fn send_release(&mut self, c: usize, releasing: Releasing, by: Moment, lab: &mut Lab) {
        let Some(claim) =
            self.clients[c].leases.get(&releasing.lease).map(|lease| lease.claim.clone())
        else {
            return;
        };
        let call = lab.speakers[c].release(&claim);
        let conn = self.own_wire(c, releasing.caller);
        let purpose = Purpose::Release(releasing);
        let expected = Expected { purpose, sent: self.now, by };
        self.send(conn, ScriptCall::new("release", &call), expected);
    }

    /// The answer to a holder's release.
    pub(super) fn released(
        &mut self,
        c: usize,
        mut releasing: Releasing,
        by: Moment,
        mut answer: Answered,
        lab: &mut Lab,
    ) {
        if releasing.tries.again(&answer) {
            lab.saw(Seen::Repeated);
            if self.now < by {
                return self.send_release(c, releasing, by, lab);
            }
            // There is no time left to connect in.
            answer = Err(unavailable(false));
        }
        let (now, Releasing { caller, lease: no, lost, tries }) = (self.now, releasing);
        match Outcome::of(tries.read(answer), lost) {
            Outcome::Over(result) => {
                self.check_told(c, no, result.is_err() && lost.is_none(), lab);
                if let Some(lease) = self.client(c).leases.get_mut(&no) {
                    lease.term.step(Event::Released);
                    lease.in_use = false;
                    let token = lease.claim.token;
                    self.client(c).book.forget(&token);
                }
            }
            Outcome::Open(_) => self.repeat_release(c, no, now),
        }
        self.set_doing(c, caller, Doing::Idle);
    }

    /// A holder drops its lease: it is released in the background.
    pub(crate) fn discard(&mut self, who: Who, lab: &mut Lab) {
        let Doing::Holding { lease } = *self.doing(who.client, who.caller) else { return };
        self.set_doing(who.client, who.caller, Doing::Idle);
        self.drop_lease(who.client, lease);
        self.tend(who.client, lab);
    }

    pub(super) fn drop_lease(&mut self, c: usize, no: u8) {
        let now = self.now;
        let client = self.client(c);
        let Some(lease) = client.leases.get_mut(&no) else { return };
        if lease.term.step(Event::ReleaseBegun) {
            let token = lease.claim.token;
            client.book.leave(&token);
            self.repeat_release(c, no, now);
        } else {
            // Lost: it is left to lapse.
            lease.in_use = false;
            let token = lease.claim.token;
            self.ledger.excuse(token);
        }
    }

    fn repeat_release(&mut self, c: usize, lease: u8, at: Moment) {
        let client = self.client(c);
        let number = free(&client.chores);
        let (repetition, tries) = (Repetition::default(), Tries::default());
        client.chores.insert(number, Chore::Repeat { lease, repetition, tries, busy: false, at });
    }

    /// A holder gives its lease up without a release.
    pub(crate) fn abandon(&mut self, who: Who, lab: &mut Lab) {
        let (c, now) = (who.client, self.now);
        let Doing::Holding { lease: no } = *self.doing(c, who.caller) else { return };
        self.set_doing(c, who.caller, Doing::Idle);
        let client = self.client(c);
        let Some(lease) = client.leases.get_mut(&no) else { return };
        lease.in_use = false;
        if lease.term.loss(now).is_none() && lease.term.step(Event::Abandoned) {
            let token = lease.claim.token;
            client.book.leave(&token);
        }
        let token = lease.claim.token;
        self.ledger.excuse(token);
        self.tend(c, lab);
    }

    /// A holder renews by hand.
    pub(crate) fn renew(&mut self, who: Who, lab: &mut Lab) {
        let (c, now) = (who.client, self.now);
        let Doing::Holding { lease: no } = *self.doing(c, who.caller) else { return };
        let client = self.client(c);
        let Some(lease) = client.leases.get_mut(&no) else { return };
        if !lease.term.is_held(now) {
            return;
        }
        let claim = lease.claim.clone();
        if client.book.take_for_renewal(&claim.token) == Some(true) {
            let by = now + RESPONSE_TIMEOUT.min(answer_time(std::iter::once(&*claim)));
            self.ask_engine(c, Purpose::Extend { claim }, by, lab);
        }
        self.tend(c, lab);
    }

    /// What a lease's end leads to, and that those which are over are not remembered.
    pub(super) fn note_endings(&mut self, c: usize) {
        let now = self.now;
        let over = |lease: &Lease| !matches!(lease.term.phase, Phase::Held | Phase::Releasing);
        if !self.clients[c].leases.values().any(over) {
            return;
        }
        let client = self.client(c);
        let mut stragglers = Vec::new();
        for lease in client.leases.values_mut().filter(|lease| over(lease)) {
            if std::mem::take(&mut lease.straggler) {
                let due = lease.term.straggler_due(lease.claim.ttl(), now);
                stragglers.push((lease.claim.clone(), due));
            }
        }
        client.leases.retain(|_, lease| lease.in_use || !over(lease));
        for (claim, due) in stragglers {
            self.withdraw(c, claim, true, due);
        }
    }
}
