//! The rules, looked at after every step.

use fencelock::model::{Moment, Phase, Stage, Token, Value, valid_until};

use crate::client::{Chore, Client, Doing, token_number};
use crate::lab::{Lab, Rule, Seen};
use crate::ledger::Grant;
use crate::server::Server;
use crate::setting::Fault;
use crate::wire::{Purpose, ScriptCall, token_name};
use crate::world::World;

/// Nobody who waits looks later than this, a heartbeat with the longest window.
const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(10);

impl World {
    /// Looks at what a script has done to the server.
    pub(crate) fn look(
        &mut self,
        before: &Server,
        call: &ScriptCall,
        reply: &Value,
        lab: &mut Lab,
    ) {
        let record = self.server.record();
        if let Some(record) = record
            && before.record() != Some(record)
        {
            if record.fence <= self.ledger.fence && !self.ledger.fence_may_repeat() {
                let (fence, last) = (record.fence, self.ledger.fence);
                lab.broken(Rule::Fence, format!("{fence} was granted after {last}"));
            }
            self.ledger.fence = self.ledger.fence.max(record.fence);
            let grant = Grant { token: record.token, fence: record.fence, said: self.now };
            self.ledger.grants.push(grant);
            if self.setting.faults.contains(&Fault::Promote) {
                self.replica = Some(before.keyspace().clone());
            }
        }
        for token in told_to_hold(call, reply) {
            self.ledger.said(&token, self.now);
        }
        let queue = before.queue();
        let holder = self.server.holder();
        if holder.is_some() && before.holder() != holder {
            let mut first = queue.iter().take_while(|place| place.token != holder);
            // Who leaves is not passed over.
            let leaves = (call.name == "cancel").then(|| call.token(0)).flatten();
            let passed =
                first.find(|place| place.lives && (leaves.is_none() || place.token != leaves));
            if let Some(passed) = passed {
                let passed = passed.token.as_ref().map(token_name).unwrap_or_default();
                let got = holder.as_ref().map(token_name).unwrap_or_default();
                lab.broken(Rule::Order, format!("{got} got the lock before {passed}"));
            }
        }
        // Who gives back what it does not have leaves everything as it is.
        // Nor can a server without memory grant anything to who asks.
        let walks = match call.name {
            "cancel" => true,
            "acquire" | "poll" => !matches!(reply, Value::ServerError(_)),
            "release" => !matches!(reply, Value::Int(0)),
            _ => false,
        };
        if walks && self.server.is_free() {
            let first = self.server.queue().into_iter().find(|place| place.lives);
            // Who joins before a head that fetches the lock itself is told that it is free, and
            // asks again 50 ms later.
            let joins = (call.name == "acquire").then(|| call.token(0)).flatten();
            let left =
                first.filter(|place| place.told && (joins.is_none() || place.token != joins));
            if let Some(left) = left {
                let left = left.token.as_ref().map(token_name).unwrap_or_default();
                lab.broken(
                    Rule::HandOn,
                    format!("{} left the lock free, and {left} waiting", call.name),
                );
            }
        }
        match (call.name, reply) {
            ("release", Value::Int(2)) => lab.saw(Seen::HandOn),
            ("cancel", Value::Int(1 | 2)) => lab.saw(Seen::Withdrawn),
            _ => {}
        }
        if queue.iter().any(|place| !place.lives) && self.server.queue().len() + 1 < queue.len() {
            lab.saw(Seen::Skipped);
        }
    }

    /// A client makes a lease of what it was told.
    pub(crate) fn note_lease(&mut self, token: &Token, fence: u64, until: Moment, lab: &mut Lab) {
        let name = token_name(token);
        lab.note(|| format!("    {name} has a lease with fence {fence}"));
        let Some(number) = self.ledger.number(token, fence) else {
            lab.broken(
                Rule::Store,
                format!("{name} has the fence {fence}, which was not granted to it"),
            );
            return;
        };
        self.check_deadline(token, until, lab);
        // Its holder may write at any time from here on, and so may those before it.
        if let Some((last, seen)) = self.ledger.store
            && !self.ledger.fence_may_repeat()
            && (number > last) != (fence > seen)
            && number != last
        {
            lab.broken(
                Rule::Store,
                format!(
                    "of the fences {seen} and {fence}, the store takes the older holder's last"
                ),
            );
        }
        if self.ledger.store.is_none_or(|(last, _)| number > last) {
            self.ledger.store = Some((number, fence));
        }
    }

    pub(crate) fn note_deadline(&mut self, c: usize, no: Option<u8>, lab: &mut Lab) {
        let lease = no.and_then(|no| self.clients[c].leases.get(&no));
        if let Some((token, until)) = lease.map(|lease| (lease.claim.token, lease.term.until)) {
            self.check_deadline(&token, until, lab);
        }
    }

    fn check_deadline(&self, token: &Token, until: Moment, lab: &mut Lab) {
        // A server that forgets may say *queued* of a token that it had granted, and where messages
        // do not come with the answers, that of the grant may come after it.
        if self.ledger.beyond && (self.setting.ears || self.setting.resp2) {
            return;
        }
        let said = self.ledger.grants.iter().filter(|grant| grant.token == *token);
        let Some(said) = said.map(|grant| grant.said).max() else { return };
        let latest = valid_until(said, self.setting.ttl());
        if until > latest {
            let late = until.since(latest);
            lab.broken(
                Rule::Deadline,
                format!("{} is believed for {late:?} too long", token_name(token)),
            );
        }
    }

    /// The server has answered a release: the holder is `told` that the lease was lost.
    pub(crate) fn check_told(&self, c: usize, no: u8, told: bool, lab: &mut Lab) {
        let lease = self.clients[c].leases.get(&no);
        let Some(lease) = lease.filter(|_| told && !self.ledger.beyond) else { return };
        if self.now < lease.term.valid_until() {
            let name = token_name(&lease.claim.token);
            lab.broken(Rule::Truth, format!("{name} was held, and is told to have been lost"));
        }
    }

    /// Looks at a state.
    pub(crate) fn check(&mut self, lab: &mut Lab) {
        let mut believed = 0;
        for c in 0..self.clients.len() {
            let client = &self.clients[c];
            if !client.alive {
                continue;
            }
            for lease in client.leases.values().filter(|lease| lease.term.phase == Phase::Held) {
                let name = token_name(&lease.claim.token);
                if self.now < lease.term.valid_until() {
                    believed += 1;
                    if !self.ledger.beyond && self.server.holder() != Some(lease.claim.token) {
                        lab.broken(
                            Rule::Kept,
                            format!("{name} is held, but the server has let it go"),
                        );
                    }
                } else if !client.stalled {
                    lab.broken(
                        Rule::Told,
                        format!("the lease of {name} is over, and nobody was told"),
                    );
                }
            }
            if !client.stalled {
                self.check_waiters(c, lab);
            }
        }
        let foreign = self.ledger.foreign.filter(|&until| self.now < until);
        if let Some(until) = foreign
            && !self.ledger.beyond
            && (!self.server.is_foreign()
                || self.server.lapses().is_some_and(|lapse| lapse < until))
        {
            lab.broken(Rule::Kept, "a foreign holder's lock is cut short");
        }
        let foreign = foreign.is_some();
        if !self.ledger.beyond && believed + usize::from(foreign) > 1 {
            lab.broken(Rule::Exclusion, "two hold the lock at once");
        }
        self.check_rest(lab);
    }

    /// Everybody who waits will hear, or look.
    fn check_waiters(&self, c: usize, lab: &mut Lab) {
        let client = &self.clients[c];
        for caller in (0_u8..).take(client.callers.len()) {
            let rescued = match self.doing(c, caller) {
                Doing::Attempting(_) => self.is_under_way(
                    c,
                    |purpose| matches!(purpose, Purpose::Attempt { caller: of } if *of == caller),
                ),
                Doing::Waiting { id } => self.is_rescued(client, c, *id),
                _ => true,
            };
            if !rescued {
                lab.broken(
                    Rule::Rescue,
                    format!(
                        "nothing will wake the waiter of {}{}",
                        crate::wire::name(c),
                        caller + 1
                    ),
                );
            }
        }
    }

    fn is_rescued(&self, client: &Client, c: usize, id: u64) -> bool {
        let Some((stage, in_room)) = self.stage(c, id) else {
            // It says goodbye, or a message was first.
            return client.chores.values().any(|chore| matches!(chore, Chore::Goodbye { .. }));
        };
        let Some(room) = client.room.as_ref().filter(|_| in_room) else { return false };
        let asks = || self.is_under_way(c, |purpose| matches!(purpose, Purpose::Room(_)));
        let look = match stage {
            Stage::Queued { look_at, .. } => look_at,
            Stage::Join { at } => at,
            Stage::Attempting => return room.busy && asks(),
        };
        if room.busy {
            asks()
        } else {
            room.next <= look.max(self.now) && look <= self.now + HEARTBEAT
        }
    }

    /// When nothing is on its way, what stands at the server is somebody's.
    fn check_rest(&self, lab: &mut Lab) {
        if self.ledger.untidy || self.ledger.beyond {
            return;
        }
        let moving = self.wires.values().any(|wire| {
            !wire.requests.is_empty() || !wire.replies.is_empty() || !wire.expecting.is_empty()
        });
        if moving || self.clients.iter().any(|client| !client.engine.waiting.is_empty()) {
            return;
        }
        let holder = self.server.holder();
        if let Some(token) = holder.filter(|token| !self.is_somebodys(token)) {
            lab.broken(Rule::Rest, format!("{} holds the lock for nobody", token_name(&token)));
        }
        let strays = self.server.queue().into_iter().filter_map(|place| place.token);
        for token in strays.filter(|token| !self.is_somebodys(token)) {
            lab.broken(Rule::Rest, format!("{} is in the queue for nobody", token_name(&token)));
        }
    }

    fn is_somebodys(&self, token: &Token) -> bool {
        let owner = token_number(token).and_then(|number| usize::try_from(number / 1000).ok());
        let Some(client) = owner.and_then(|owner| self.clients.get(owner)) else { return true };
        let claims = |chore: &Chore| match chore {
            Chore::Withdraw { claim, .. } => claim.token == *token,
            Chore::Goodbye { waiter } => waiter.claim.token == *token,
            Chore::Repeat { .. } => false,
        };
        client.lease_of(token).is_some()
            || client.table.waiters().any(|(_, waiter)| waiter.claim.token == *token)
            || client.chores.values().any(claims)
            || self.ledger.excused.contains(token)
    }
}

/// The tokens that a reply says hold the lock.
fn told_to_hold(call: &ScriptCall, reply: &Value) -> Vec<Token> {
    let token = |at: usize| call.token(at);
    match (call.name, reply) {
        ("acquire", Value::BulkString(_)) | ("extend", Value::Int(1)) => {
            token(0).into_iter().collect()
        }
        ("poll", Value::Array(parts)) => {
            let states = parts.iter().skip(2).enumerate();
            let held = states.filter(|(_, state)| {
                matches!(state, Value::Array(state) if matches!(state.first(),
                    Some(Value::BulkString(word)) if word == b"held"))
            });
            held.filter_map(|(at, _)| token(2 + 2 * at)).collect()
        }
        _ => Vec::new(),
    }
}
