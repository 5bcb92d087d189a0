//! A caller's acquire, as `core/src/acquire.rs` does it.

use std::sync::Arc;
use std::time::Duration;

use fencelock::Error;
use fencelock::model::{
    Answer, Claim, Decision, Effect, Moment, Patience, Stage, channel, read_acquire,
};

use super::Answered;
use crate::client::{Attempting, Doing, Filled, LOCK, RESPONSE_TIMEOUT, wait_name};
use crate::event::Who;
use crate::lab::{Lab, Seen, Slip};
use crate::wire::{Conn, Expected, Line, Purpose, ScriptCall, Wire, name};
use crate::world::World;

impl World {
    /// When the answer to a request for a lease of this TTL is of no use any more.
    pub(crate) fn answer_by(&self, ttl: Duration) -> Moment {
        self.now + RESPONSE_TIMEOUT.min(ttl)
    }

    /// A caller begins to acquire.
    pub(crate) fn begin(&mut self, who: Who, patience: Patience, lab: &mut Lab) {
        let (c, now, ttl_ms) = (who.client, self.now, self.setting.ttl_ms);
        let client = self.client(c);
        let claim = client.claim(c, ttl_ms);
        let until = patience.until(now);
        let at = usize::from(who.caller);
        client.callers[at].rounds -= 1;
        let wait = wait_name(who.caller, client.callers[at].rounds);
        let place = patience
            .queues(client.usable().is_some())
            .then(|| client.table.enter(&claim, wait, until, now));
        let attempting = Attempting {
            claim,
            patience,
            since: now,
            place,
            listener: 0,
            repeated: false,
            filled: Filled::NotYet,
        };
        self.attempt(c, who.caller, attempting, lab);
        self.tend(c, lab);
    }

    fn attempt(&mut self, c: usize, caller: u8, mut attempting: Attempting, lab: &mut Lab) {
        let conn = self.own_wire(c, caller);
        let listener = self.wires.get(&conn).map_or(0, |wire| wire.listener);
        attempting.listener = if attempting.place.is_some() { listener } else { 0 };
        self.set_doing(c, caller, Doing::Attempting(attempting.clone()));
        let Attempting { claim, patience, since, place, listener, .. } = attempting;
        let by = patience.by(since, self.answer_by(claim.ttl()));
        let named = Claim { listener, ..Claim::clone(&claim) };
        let call = lab.speakers[c].acquire(&named, place.is_some(), self.clients[c].mode());
        let expected = Expected { purpose: Purpose::Attempt { caller }, sent: self.now, by };
        self.send(conn, ScriptCall::new("acquire", &call), expected);
    }

    /// A caller's own connection, opened if need be.
    pub(crate) fn own_wire(&mut self, c: usize, caller: u8) -> Conn {
        let at = usize::from(caller);
        let open = self.clients[c].callers[at].wire;
        if let Some(conn) = open.filter(|conn| self.wire(*conn).is_some_and(|wire| wire.open_here))
        {
            return conn;
        }
        let conn = self.open_wire(c, Line::Own(caller));
        self.client(c).callers[at].wire = Some(conn);
        if self.setting.ears {
            // Only what is subscribed to is named: as if it had been confirmed.
            let listener = conn.0 % 1000;
            self.server.change(|keyspace| {
                keyspace.subscribe(conn.0, channel(&format!("{}.{listener}", name(c))));
            });
            if let Some(wire) = self.wire(conn) {
                wire.listener = listener;
            }
        }
        conn
    }

    /// The answer to a caller's own attempt.
    pub(super) fn attempted(
        &mut self,
        c: usize,
        caller: u8,
        sent: Moment,
        answer: Answered,
        lab: &mut Lab,
    ) {
        let Doing::Attempting(attempting) = self.doing(c, caller).clone() else { return };
        let asked = self.asked(c, sent);
        let answer = answer.and_then(|value| read_acquire(&attempting.claim, asked, &value));
        self.decide(c, caller, attempting, answer, lab);
    }

    fn decide(
        &mut self,
        c: usize,
        caller: u8,
        mut attempting: Attempting,
        answer: Result<Answer, Error>,
        lab: &mut Lab,
    ) {
        let (now, claim) = (self.now, attempting.claim.clone());
        match attempting.patience.next(answer, attempting.repeated) {
            Decision::Granted { fence, valid_until, straggler } => match attempting.place {
                None => {
                    lab.saw(Seen::GrantByReply);
                    let lease = self.keep(c, claim, fence, valid_until, straggler, lab);
                    self.set_doing(c, caller, Doing::Holding { lease });
                }
                Some(id) => {
                    if self.clients[c].table.waiters().any(|(waiter, _)| waiter == id) {
                        lab.saw(Seen::GrantByReply);
                        let lease = self.keep(c, claim, fence, valid_until, false, lab);
                        self.client(c).table.settle(id, || ());
                        self.set_doing(c, caller, Doing::Holding { lease });
                    } else {
                        self.filled(c, caller, &attempting, id);
                    }
                }
            },
            Decision::Busy { withdraw } => {
                lab.saw(Seen::Busy);
                if withdraw {
                    self.withdraw(c, claim, true, now);
                }
                self.set_doing(c, caller, Doing::Idle);
            }
            Decision::Wait(answer) => {
                let client = self.client(c);
                let until = attempting.patience.until(attempting.since);
                let wait = wait_name(caller, client.callers[usize::from(caller)].rounds);
                let id = attempting
                    .place
                    .unwrap_or_else(|| client.table.enter(&claim, wait, until, now));
                if client.table.waiters().any(|(waiter, _)| waiter == id) {
                    self.set_doing(c, caller, Doing::Waiting { id });
                    let client = self.client(c);
                    let mut tokens = client.tokens;
                    let fresh = || {
                        tokens += 1;
                        Ok(crate::client::token(c, tokens))
                    };
                    client.table.listens(id, attempting.listener);
                    let effects = client.table.stay(id, &answer, now, fresh);
                    client.tokens = tokens;
                    self.carry_out(c, effects, lab);
                    let hears =
                        |wire: &Wire| wire.open_here && wire.listener == attempting.listener;
                    if attempting.listener != 0 && !self.wires_of(c).any(|(_, wire)| hears(wire)) {
                        self.deaf(c, attempting.listener, lab);
                    }
                } else {
                    self.filled(c, caller, &attempting, id);
                }
            }
            Decision::Again => {
                lab.saw(Seen::Repeated);
                attempting.repeated = true;
                self.attempt(c, caller, attempting, lab);
            }
            Decision::Failed { withdraw, .. } => {
                if withdraw {
                    self.withdraw(c, claim, true, now);
                }
                self.leave(c, &attempting, lab);
                self.set_doing(c, caller, Doing::Idle);
            }
        }
    }

    /// The wait that the caller has entered was ended by a message.
    fn filled(&mut self, c: usize, caller: u8, attempting: &Attempting, id: u64) {
        let doing = match attempting.filled {
            Filled::Lease(lease) => Doing::Holding { lease },
            Filled::InVain => Doing::Idle,
            // Its time was over, and the server hears it first.
            Filled::NotYet => Doing::Waiting { id },
        };
        self.set_doing(c, caller, doing);
    }

    /// The place among the waiting is given up.
    fn leave(&mut self, c: usize, attempting: &Attempting, lab: &mut Lab) {
        let Some(id) = attempting.place else { return };
        let effect = self.client(c).table.leave(id);
        self.carry_out(c, effect, lab);
        // A lease that came for somebody who left is dropped.
        if let Filled::Lease(lease) = attempting.filled {
            self.drop_lease(c, lease);
        }
    }

    /// A caller gives up.
    pub(crate) fn give_up(&mut self, who: Who, lab: &mut Lab) {
        let (c, caller) = (who.client, who.caller);
        match self.doing(c, caller).clone() {
            Doing::Attempting(attempting) => {
                self.cancel_behind(c, caller, attempting.claim.clone(), lab);
                if attempting.repeated {
                    // The first request may come after that.
                    self.withdraw(c, attempting.claim.clone(), true, self.now);
                }
                self.leave(c, &attempting, lab);
            }
            Doing::Waiting { id } => {
                let effect = self.client(c).table.leave(id);
                self.carry_out(c, effect, lab);
            }
            _ => return,
        }
        self.set_doing(c, caller, Doing::Idle);
        self.tend(c, lab);
    }

    /// Withdraws an attempt that is under way, behind it on its connection.
    fn cancel_behind(&mut self, c: usize, caller: u8, claim: Arc<Claim>, lab: &mut Lab) {
        let conn = self.own_wire(c, caller);
        if let Some(wire) = self.wire(conn) {
            for expected in &mut wire.expecting {
                expected.purpose = Purpose::Nobody;
                expected.by = Moment::NEVER;
            }
        }
        self.client(c).callers[usize::from(caller)].wire = None;
        if lab.slip == Some(Slip::CancelElsewhere) {
            self.withdraw(c, claim, false, self.now);
            return;
        }
        let call = lab.speakers[c].cancel(&claim);
        let by = self.now + claim.ttl().max(Duration::from_secs(1));
        let expected = Expected { purpose: Purpose::Behind { claim }, sent: self.now, by };
        self.send(conn, ScriptCall::new("cancel", &call), expected);
    }

    /// A caller's connection is gone, and with it what listened there.
    pub(super) fn deaf(&mut self, c: usize, listener: u32, lab: &mut Lab) {
        let now = self.now;
        let client = self.client(c);
        let mut tokens = client.tokens;
        let fresh = || {
            tokens += 1;
            Ok(crate::client::token(c, tokens))
        };
        let effects = client.table.deaf(listener, now, fresh);
        if tokens > client.tokens {
            client.tokens = tokens;
            lab.saw(Seen::Deaf);
        }
        self.carry_out(c, effects, lab);
    }

    /// A message from the server.
    pub(super) fn message(&mut self, c: usize, payload: &[u8], lab: &mut Lab) {
        use fencelock::model::Signal;
        let Some(Signal::Granted { name, token, fence }) = lab.speakers[c].read_message(payload)
        else {
            return;
        };
        debug_assert_eq!(name, LOCK, "there is one lock");
        let now = self.now;
        let client = self.client(c);
        let waits = client.table.waiters().any(|(_, waiter)| waiter.claim.token == token);
        let kept = client.book.holds(&token);
        let effect = client.table.granted(&name, token, fence, now, |_| kept);
        match &effect {
            Some(Effect::Lease { .. }) => lab.saw(Seen::GrantByMessage),
            Some(Effect::Withdraw { .. }) => lab.saw(Seen::StrayMessage),
            _ if waits => lab.saw(Seen::OldMessage),
            _ => {}
        }
        self.carry_out(c, effect, lab);
    }

    pub(crate) fn doing(&self, c: usize, caller: u8) -> &Doing {
        &self.clients[c].callers[usize::from(caller)].doing
    }

    pub(crate) fn set_doing(&mut self, c: usize, caller: u8, doing: Doing) {
        self.client(c).callers[usize::from(caller)].doing = doing;
    }

    /// The stage of a wait, if it is in the table.
    pub(crate) fn stage(&self, c: usize, id: u64) -> Option<(Stage, bool)> {
        let mut waiters = self.clients[c].table.waiters();
        waiters.find(|(waiter, _)| *waiter == id).map(|(_, waiter)| (waiter.stage, waiter.in_room))
    }
}
