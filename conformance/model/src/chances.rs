//! What can happen next in a state, and what goes wrong with the server.

use std::time::Duration;

use fencelock::model::{Moment, valid_until};

use fencelock_reference::Keyspace;

use crate::client::Doing;
use crate::event::{Event, Way, Who};
use crate::lab::{Lab, Seen};
use crate::server::{FOREIGN, L, Q};
use crate::setting::Fault;
use crate::wire::{Conn, Inbound, Line, ScriptCall, Wire};
use crate::world::World;

/// How far the server's clock steps, in µs.
const STEP: i64 = 30_000_000;
/// How long a foreign holder takes the lock for.
const FOREIGN_TTL: Duration = Duration::from_secs(30);
/// Whose client died before the story begins.
const GHOST: usize = 9;

impl World {
    /// What can happen next.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (&conn, wire) in &self.wires {
            if wire.open_there && !wire.requests.is_empty() {
                events.push(Event::Execute(conn));
            }
            if wire.open_here && !wire.replies.is_empty() {
                events.push(Event::Receive(conn));
            }
            if !wire.open_here {
                events.push(Event::Notice(conn));
            }
        }
        for (c, client) in self.clients.iter().enumerate().filter(|(_, client)| client.alive) {
            for caller in (0_u8..).take(client.callers.len()) {
                self.wishes(Who { client: c, caller }, &mut events);
            }
            if client.stalled {
                events.push(Event::Resume(c));
            }
        }
        if self.ledger.foreign.is_some() {
            events.push(Event::ForeignRelease);
        }
        if self.server.keyspace().is_out_of_memory() {
            events.push(Event::Memory);
        }
        if !self.in_flight() && self.next_moment().is_some() {
            events.push(Event::Advance);
        }
        if self.budget > 0 {
            self.troubles(&mut events);
        }
        events
    }

    fn wishes(&self, who: Who, events: &mut Vec<Event>) {
        let caller = &self.clients[who.client].callers[usize::from(who.caller)];
        match caller.doing {
            Doing::Idle if caller.rounds > 0 && self.may_begin(who) => {
                let patiences = self.setting.patiences;
                events.extend(patiences.iter().map(|&patience| Event::Begin(who, patience)));
            }
            Doing::Holding { .. } => events.push(Event::Release(who)),
            _ => {}
        }
    }

    /// Of clients that are like each other, and of callers, the first begins first.
    fn may_begin(&self, who: Who) -> bool {
        let rounds = self.setting.rounds;
        let has_begun = |c: usize, caller: usize| self.clients[c].callers[caller].rounds < rounds;
        let caller = usize::from(who.caller);
        if caller > 0 {
            return has_begun(who.client, caller - 1);
        }
        !self.setting.symmetric() || who.client == 0 || has_begun(who.client - 1, 0)
    }

    fn troubles(&self, events: &mut Vec<Event>) {
        for &fault in self.setting.faults {
            match fault {
                Fault::Slow | Fault::Drop | Fault::Twice | Fault::Cut | Fault::Reset => {
                    for (&conn, wire) in self.wires.iter().filter(|(_, wire)| wire.open_here) {
                        wire_troubles(fault, conn, wire, events);
                    }
                }
                Fault::Stall | Fault::Crash | Fault::Vanish => {
                    for (c, client) in self.clients.iter().enumerate() {
                        let busy =
                            client.callers.iter().any(|one| !matches!(one.doing, Doing::Idle));
                        let awake = client.alive && !client.stalled && busy;
                        if awake && (fault != Fault::Stall || self.due(c) < Moment::NEVER) {
                            events.push(Event::Client(fault, c));
                        }
                    }
                }
                Fault::GiveUp | Fault::Discard | Fault::Abandon | Fault::Renew => {
                    self.caller_troubles(fault, events);
                }
                fault => {
                    if self.may_go_wrong(fault) {
                        events.push(Event::World(fault));
                    }
                }
            }
        }
    }

    fn caller_troubles(&self, fault: Fault, events: &mut Vec<Event>) {
        for (c, client) in self.clients.iter().enumerate().filter(|(_, client)| client.alive) {
            for caller in (0_u8..).take(client.callers.len()) {
                let fits = match self.doing(c, caller) {
                    Doing::Attempting(_) | Doing::Waiting { .. } => fault == Fault::GiveUp,
                    Doing::Holding { .. } => fault != Fault::GiveUp,
                    _ => false,
                };
                if fits {
                    events.push(Event::Caller(fault, Who { client: c, caller }));
                }
            }
        }
    }

    fn may_go_wrong(&self, fault: Fault) -> bool {
        let keyspace = self.server.keyspace();
        let taken = keyspace.entry(L).is_some();
        match fault {
            Fault::Ghosts => taken && self.ledger.ghosts == 0,
            Fault::Foreign => !taken,
            Fault::Evict => taken,
            Fault::EvictQueue => keyspace.entry(Q).is_some(),
            Fault::Promote => self.replica.is_some(),
            Fault::Full => !keyspace.is_out_of_memory(),
            _ => !keyspace.is_empty(),
        }
    }

    /// Something goes wrong with the server, or with the world.
    pub(crate) fn go_wrong(&mut self, fault: Fault, lab: &mut Lab) {
        match fault {
            Fault::Ghosts => self.ghosts(lab),
            Fault::Back => {
                self.ledger.back = true;
                self.step_clock(-STEP);
            }
            Fault::Slew => {
                // Twice would be more than the drift allows for.
                self.ledger.beyond |= std::mem::replace(&mut self.ledger.slewed, true);
                self.step_clock(i64::try_from(self.setting.ttl_ms).unwrap_or(0) * 10);
            }
            Fault::Forward => {
                self.ledger.beyond = true;
                self.step_clock(STEP);
            }
            Fault::Flush => self.lose(lab, |world| world.server.change(Keyspace::flush)),
            Fault::Evict => {
                // The fence's record stays.
                let lost = self.ledger.lost;
                self.lose(lab, |world| {
                    world.server.change(|keyspace| keyspace.delete(L));
                });
                self.ledger.lost = lost;
            }
            Fault::EvictQueue => {
                self.server.change(|keyspace| keyspace.delete(Q));
            }
            Fault::Promote => {
                let Some(replica) = self.replica.take() else { return };
                self.lose(lab, |world| {
                    world.server.change(|keyspace| keyspace.go_back_to(&replica));
                });
                self.cut_all();
            }
            Fault::Restart => {
                self.lose(lab, |world| world.server.change(Keyspace::flush));
                self.cut_all();
            }
            Fault::Full => self.server.change(|keyspace| keyspace.set_out_of_memory(true)),
            Fault::Foreign => {
                let ttl = u64::try_from(FOREIGN_TTL.as_millis()).unwrap_or(0);
                if self.server.change(|keyspace| keyspace.set_nx_px(L, FOREIGN, ttl)) {
                    lab.saw(Seen::Foreign);
                    self.ledger.foreign = Some(valid_until(self.now, FOREIGN_TTL));
                }
            }
            _ => {}
        }
    }

    /// State is lost: exclusion is promised no more.
    fn lose(&mut self, lab: &mut Lab, change: impl FnOnce(&mut Self)) {
        self.ledger.beyond = true;
        self.ledger.lost = true;
        self.ledger.foreign = None;
        change(self);
        // A server makes no two grants in one µs, so that no fence is ahead of its clock; here
        // time stands still between steps, and must pass before state is lost.
        self.pass(self.now + Duration::from_millis(1), lab);
    }

    fn step_clock(&mut self, by: i64) {
        self.server.ahead += by;
        self.server.set_clock(self.now);
    }

    /// Three of another client join, and its host vanishes; the server hears of that later.
    fn ghosts(&mut self, lab: &mut Lab) {
        self.ledger.ghosts = 3;
        let nowhere = Conn::new(GHOST, 0);
        let mut wire = Wire::new(Line::Messages);
        wire.open_here = false;
        wire.closed = self.now;
        self.wires.insert(nowhere, std::sync::Arc::new(wire));
        self.server.change(|keyspace| {
            keyspace.subscribe(nowhere.0, fencelock::model::channel("Z"));
        });
        let speaker = fencelock::model::Speaker { client: "Z".into(), prefix: String::new() };
        for number in 1..=3 {
            let claim = fencelock::model::Claim::new(
                crate::client::LOCK.into(),
                crate::client::token(GHOST, number),
                self.setting.ttl_ms,
                "".into(),
            );
            let mode = fencelock::model::PushMode::Channel;
            let call = ScriptCall::new("acquire", &speaker.acquire(&claim, true, mode));
            self.run(nowhere, &call, lab);
        }
    }

    fn cut_all(&mut self) {
        let conns: Vec<Conn> = self.wires.keys().copied().collect();
        for conn in conns {
            self.cut(conn);
        }
    }
}

fn wire_troubles(fault: Fault, conn: Conn, wire: &Wire, events: &mut Vec<Event>) {
    let message = matches!(wire.replies.front(), Some(Inbound::Push(_)));
    let idle = wire.expecting.is_empty() && wire.replies.is_empty();
    match fault {
        Fault::Slow => {
            if !wire.requests.is_empty() && !wire.slow_there {
                events.push(Event::Wire(fault, conn, Way::There));
            }
            if !wire.replies.is_empty() && !wire.slow_back {
                events.push(Event::Wire(fault, conn, Way::Back));
            }
        }
        Fault::Drop | Fault::Twice if message => events.push(Event::Wire(fault, conn, Way::Back)),
        Fault::Cut | Fault::Reset
            if (!idle || wire.hears()) && (fault == Fault::Reset || wire.open_there) =>
        {
            events.push(Event::Wire(fault, conn, Way::Both));
        }
        _ => {}
    }
}
