//! What goes on in the background: withdrawals, and releases that are repeated.

use std::sync::Arc;

use fencelock::model::{Claim, Event, Moment, Withdrawal, unavailable};

use super::Answered;
use crate::client::{Chore, free};
use crate::lab::{Lab, Seen};
use crate::wire::Purpose;
use crate::world::World;

impl World {
    /// Withdraws a claim that nobody waits for, from a moment on.
    pub(super) fn withdraw(&mut self, c: usize, claim: Arc<Claim>, straggling: bool, at: Moment) {
        let withdrawal = Withdrawal::new(claim.ttl(), straggling, at);
        let client = self.client(c);
        let number = free(&client.chores);
        client.chores.insert(number, Chore::Withdraw { claim, withdrawal, busy: false });
    }

    /// Begins what is due of the chores.
    pub(super) fn do_chores(&mut self, c: usize, lab: &mut Lab) -> bool {
        let now = self.now;
        let due = |chore: &Chore| due(chore) <= now;
        let Some(number) =
            self.clients[c].chores.iter().find(|(_, chore)| due(chore)).map(|(&number, _)| number)
        else {
            return false;
        };
        let client = self.client(c);
        match client.chores.get_mut(&number) {
            Some(Chore::Withdraw { claim, withdrawal, busy }) => {
                *busy = true;
                let (by, claim) = (withdrawal.by(now), claim.clone());
                self.ask_engine(c, Purpose::Chore { number, claim }, by, lab);
            }
            Some(Chore::Repeat { lease, busy, .. }) => {
                let no = *lease;
                *busy = true;
                let Some(lease) = client.leases.get(&no) else {
                    client.chores.remove(&number);
                    return true;
                };
                if now >= lease.term.valid_until() {
                    self.end_repetition(c, number, no, true);
                    return true;
                }
                let claim = lease.claim.clone();
                let by = self.answer_by(claim.ttl());
                self.ask_engine(c, Purpose::Chore { number, claim }, by, lab);
            }
            _ => return false,
        }
        true
    }

    fn end_repetition(&mut self, c: usize, number: u8, no: u8, unheard: bool) {
        let client = self.client(c);
        client.chores.remove(&number);
        if let Some(lease) = client.leases.get_mut(&no) {
            lease.term.step(Event::Released);
            lease.in_use = false;
            let token = lease.claim.token;
            client.book.forget(&token);
            if unheard {
                self.ledger.excuse(token);
            }
        }
    }

    /// The answer to what a chore has sent.
    pub(super) fn chore_answered(
        &mut self,
        c: usize,
        number: u8,
        by: Moment,
        mut answer: Answered,
        lab: &mut Lab,
    ) {
        let now = self.now;
        let client = self.client(c);
        match client.chores.get_mut(&number) {
            Some(Chore::Goodbye { .. }) => self.said_goodbye(c, number, answer.is_ok()),
            Some(Chore::Withdraw { claim, withdrawal, busy }) => {
                *busy = false;
                let left = withdrawal.answered(&answer.map(drop), now);
                let (token, over) = (claim.token, withdrawal.next().is_none());
                if over {
                    client.chores.remove(&number);
                }
                if left {
                    self.ledger.excuse(token);
                }
            }
            Some(Chore::Repeat { lease, tries, .. }) => {
                let no = *lease;
                if tries.again(&answer) {
                    lab.saw(Seen::Repeated);
                    let claim = client.leases.get(&no).map(|lease| lease.claim.clone());
                    if let Some(claim) = claim.filter(|_| now < by) {
                        self.ask_engine(c, Purpose::Chore { number, claim }, by, lab);
                        return;
                    }
                    // There is no time left to connect in.
                    answer = Err(unavailable(false));
                }
                let Some(Chore::Repeat { repetition, tries, busy, at, .. }) =
                    self.client(c).chores.get_mut(&number)
                else {
                    return;
                };
                let read = std::mem::take(tries).read(answer);
                match repetition.again(&read) {
                    Some(pause) => {
                        *busy = false;
                        *at = now + pause;
                    }
                    None => self.end_repetition(c, number, no, read.is_err()),
                }
            }
            None => {}
        }
    }
}

/// When a chore is due.
pub(super) fn due(chore: &Chore) -> Moment {
    match chore {
        Chore::Withdraw { withdrawal, busy: false, .. } => {
            withdrawal.next().unwrap_or(Moment::NEVER)
        }
        Chore::Repeat { at, busy: false, .. } => *at,
        _ => Moment::NEVER,
    }
}
