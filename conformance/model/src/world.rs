//! The world: one server, a few clients, connections between them, and the time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use fencelock::model::{Moment, channel};
use fencelock_reference::Keyspace;

use crate::client::{Client, Link};
use crate::event::{Event, Way};
use crate::lab::{Lab, Rule, Seen, Violation};
use crate::ledger::Ledger;
use crate::server::{START, Server};
use crate::setting::{Fault, Setting};
use crate::wire::{Command, Conn, Expected, Inbound, Line, ScriptCall, Wire, name};

/// A state of the world.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) setting: Arc<Setting>,
    /// The clock of everybody but the server.
    pub(crate) now: Moment,
    pub(crate) server: Server,
    pub(crate) clients: Vec<Arc<Client>>,
    pub(crate) wires: BTreeMap<Conn, Arc<Wire>>,
    pub(crate) ledger: Ledger,
    /// How much may still go wrong.
    pub(crate) budget: u8,
    /// What a replica knows that has not heard of the last grant.
    pub(crate) replica: Option<Arc<Keyspace>>,
}

impl World {
    pub(crate) fn new(setting: &Arc<Setting>) -> Self {
        let clients = setting.parties.iter().map(|party| Client::new(*party, setting.rounds));
        let mut world = Self {
            now: START,
            server: Server::new(),
            clients: clients.map(Arc::new).collect(),
            wires: BTreeMap::new(),
            ledger: Ledger::default(),
            budget: setting.budget,
            replica: None,
            setting: setting.clone(),
        };
        for (c, party) in setting.parties.iter().enumerate() {
            if party.connected {
                let (conn, messages) = world.open_engine_wires(c);
                world.server.change(|keyspace| {
                    keyspace.subscribe(messages.0, channel(&name(c).to_string()));
                });
                let link = Link { conn, messages, mode: party.mode, broken: false };
                let engine = &mut world.client(c).engine;
                engine.link = Some(link);
                engine.listened = true;
            }
        }
        world
    }

    /// A number for the state: states that differ have different ones, but for one case in many
    /// millions.
    pub(crate) fn number(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.now.hash(&mut hasher);
        self.server.hash(&mut hasher);
        self.clients.hash(&mut hasher);
        self.wires.hash(&mut hasher);
        self.ledger.hash(&mut hasher);
        self.budget.hash(&mut hasher);
        self.replica
            .as_ref()
            .map(|keyspace| {
                let mut of_replica = DefaultHasher::new();
                keyspace.hash(&mut of_replica);
                of_replica.finish()
            })
            .hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn client(&mut self, c: usize) -> &mut Client {
        Arc::make_mut(&mut self.clients[c])
    }

    pub(crate) fn wire(&mut self, conn: Conn) -> Option<&mut Wire> {
        self.wires.get_mut(&conn).map(Arc::make_mut)
    }

    pub(crate) fn wires_of(&self, c: usize) -> impl Iterator<Item = (Conn, &Wire)> {
        let of = Conn::new(c, 0)..Conn::new(c + 1, 0);
        self.wires.range(of).map(|(&conn, wire)| (conn, &**wire))
    }

    pub(crate) fn open_wire(&mut self, c: usize, line: Line) -> Conn {
        let client = self.client(c);
        client.conns += 1;
        let conn = Conn::new(c, client.conns);
        self.wires.insert(conn, Arc::new(Wire::new(line)));
        conn
    }

    pub(crate) fn send(&mut self, conn: Conn, call: Arc<ScriptCall>, expected: Expected) {
        if let Some(wire) = self.wire(conn) {
            if wire.open_there {
                wire.requests.push_back(Command::Script(call));
            }
            wire.expecting.push_back(expected);
        }
    }

    /// Connections that nobody has at either end any more.
    pub(crate) fn forget_gone(&mut self) {
        let gone = |wire: &Wire| {
            let idle = wire.requests.is_empty();
            // Nothing depends on when the server hears of the end of one without messages.
            let heard = wire.goodbye || !wire.hears();
            !wire.open_here && (!wire.open_there || idle && heard)
        };
        let conns: Vec<Conn> =
            self.wires.iter().filter(|(_, wire)| gone(wire)).map(|(&conn, _)| conn).collect();
        for conn in conns {
            self.wires.remove(&conn);
            self.disconnect(conn);
        }
    }

    fn disconnect(&mut self, conn: Conn) {
        self.server.change(|keyspace| keyspace.disconnect(conn.0));
    }

    /// The server closes a connection.
    pub(crate) fn cut(&mut self, conn: Conn) {
        if let Some(wire) = self.wire(conn) {
            wire.open_there = false;
            wire.requests.clear();
            wire.replies.push_back(Inbound::End);
        }
        self.disconnect(conn);
        self.forget_gone();
    }

    /// Something happens, and the rules are looked at.
    pub(crate) fn apply(&mut self, event: Event, lab: &mut Lab) -> Result<(), Violation> {
        if event.costs() {
            self.budget = self.budget.saturating_sub(1);
        }
        match event {
            Event::Begin(who, patience) => self.begin(who, patience, lab),
            Event::Release(who) => self.release(who, lab),
            Event::Execute(conn) => self.execute(conn, lab),
            Event::Receive(conn) => self.receive(conn, lab),
            Event::Notice(conn) => {
                self.wires.remove(&conn);
                self.disconnect(conn);
            }
            Event::Advance => self.advance(lab),
            Event::Resume(c) => {
                self.client(c).stalled = false;
                self.fire(c, lab);
            }
            Event::ForeignRelease => {
                self.ledger.foreign = None;
                self.server.change(|keyspace| {
                    keyspace.compare_and_delete(crate::server::L, crate::server::FOREIGN)
                });
            }
            Event::Memory => self.server.change(|keyspace| keyspace.set_out_of_memory(false)),
            Event::World(fault) => self.go_wrong(fault, lab),
            Event::Client(fault, c) => self.client_goes_wrong(fault, c),
            Event::Caller(fault, who) => match fault {
                Fault::GiveUp => self.give_up(who, lab),
                Fault::Discard => self.discard(who, lab),
                Fault::Abandon => self.abandon(who, lab),
                _ => self.renew(who, lab),
            },
            Event::Wire(fault, conn, way) => self.wire_goes_wrong(fault, conn, way, lab),
        }
        self.check(lab);
        lab.violation.take().map_or(Ok(()), Err)
    }

    fn client_goes_wrong(&mut self, fault: Fault, c: usize) {
        if fault == Fault::Stall {
            self.client(c).stalled = true;
            return;
        }
        self.client(c).alive = false;
        self.ledger.untidy = true;
        let now = self.now;
        let conns: Vec<Conn> = self.wires_of(c).map(|(conn, _)| conn).collect();
        for conn in conns {
            if let Some(wire) = self.wire(conn) {
                wire.open_here = false;
                wire.closed = now;
                wire.goodbye = fault == Fault::Crash;
                wire.replies.clear();
                wire.expecting.clear();
            }
        }
        self.forget_gone();
    }

    fn wire_goes_wrong(&mut self, fault: Fault, conn: Conn, way: Way, lab: &mut Lab) {
        match fault {
            Fault::Cut => self.cut(conn),
            Fault::Reset => {
                self.broke(conn, lab);
                self.tend(conn.client(), lab);
            }
            _ => {
                let Some(wire) = self.wire(conn) else { return };
                match (fault, way) {
                    (Fault::Slow, Way::There) => wire.slow_there = true,
                    (Fault::Slow, _) => wire.slow_back = true,
                    (Fault::Twice, _) => {
                        if let Some(first) = wire.replies.front().cloned() {
                            wire.replies.push_front(first);
                        }
                    }
                    _ => {
                        wire.replies.pop_front();
                        lab.saw(Seen::LostMessage);
                    }
                }
            }
        }
    }

    /// Time passes until something is due.
    fn advance(&mut self, lab: &mut Lab) {
        if let Some(next) = self.next_moment() {
            self.pass(next, lab);
        }
    }

    /// Time passes until a moment.
    pub(crate) fn pass(&mut self, next: Moment, lab: &mut Lab) {
        let holder = self.server.holder();
        self.now = next;
        self.server.set_clock(next);
        if holder.is_some() && self.server.is_free() {
            lab.saw(Seen::Lapse);
        }
        for c in 0..self.clients.len() {
            if self.clients[c].alive && !self.clients[c].stalled {
                self.fire(c, lab);
            }
        }
    }

    /// When something is due next, in whole µs.
    pub(crate) fn next_moment(&self) -> Option<Moment> {
        let awake = |c: &usize| self.clients[*c].alive && !self.clients[*c].stalled;
        let clients = (0..self.clients.len()).filter(awake).map(|c| self.due(c));
        let slow = self.wires.values().any(|wire| wire.slow_there || wire.slow_back);
        let step = slow.then(|| self.now + self.setting.ttl() / 2);
        let next = clients.chain(self.server.lapses()).chain(step).min()?;
        (next < Moment::NEVER).then(|| {
            let micros = next.nanos().div_ceil(1000).max(self.now.nanos() / 1000 + 1);
            Moment::from_nanos(micros * 1000)
        })
    }

    /// Something is on its way that will arrive before much time passes.
    pub(crate) fn in_flight(&self) -> bool {
        self.wires.iter().any(|(conn, wire)| {
            let Some(client) = self.clients.get(conn.client()) else { return false };
            let there = !wire.requests.is_empty() && !wire.slow_there;
            let back = !wire.replies.is_empty() && !wire.slow_back && !client.stalled;
            wire.open_here && (there || back)
        })
    }

    /// The server carries out the next request of a connection.
    fn execute(&mut self, conn: Conn, lab: &mut Lab) {
        let (now, ttl) = (self.now, self.setting.ttl());
        let Some(wire) = self.wire(conn) else { return };
        wire.slow_there = false;
        let (orphan, late) = (!wire.open_here, now.since(wire.closed) >= ttl);
        match wire.requests.pop_front() {
            Some(Command::Subscribe(messages)) => {
                let channel = channel(&name(conn.client()).to_string());
                self.server.change(|keyspace| keyspace.subscribe(messages.0, channel));
                self.reply(conn, Inbound::Reply(fencelock::model::Value::Okay));
            }
            Some(Command::Script(call)) => {
                if orphan {
                    lab.saw(Seen::Straggler);
                    if late && call.name == "acquire" {
                        self.ledger.untidy = true;
                    }
                }
                let reply = self.run(conn, &call, lab);
                if let Some(reply) = reply {
                    self.reply(conn, Inbound::Reply(reply));
                }
            }
            None => {}
        }
        self.forget_gone();
    }

    fn reply(&mut self, conn: Conn, reply: Inbound) {
        if let Some(wire) = self.wire(conn).filter(|wire| wire.open_here) {
            wire.replies.push_back(reply);
        }
    }

    /// Runs a script, and sends what it publishes; gives the reply, unless that was sent, too.
    pub(crate) fn run(
        &mut self,
        conn: Conn,
        call: &ScriptCall,
        lab: &mut Lab,
    ) -> Option<fencelock::model::Value> {
        let before = self.server.clone();
        let (reply, published) = lab.runner.run(&mut self.server, call);
        lab.note(|| format!("    {} → {}", call.name, crate::trace::value(&reply)));
        self.look(&before, call, &reply, lab);
        let heard_first = !self.setting.push_first;
        if heard_first {
            self.reply(conn, Inbound::Reply(reply.clone()));
        }
        for message in published.iter() {
            if message.to.is_empty() {
                lab.broken(Rule::HandOn, "a grant was published to nobody");
            }
            for &to in &message.to {
                let open = self.wire(Conn(to)).is_some_and(|wire| wire.open_here);
                if open {
                    self.reply(Conn(to), Inbound::Push(message.payload.clone()));
                } else {
                    lab.saw(Seen::LostMessage);
                }
            }
        }
        (!heard_first).then_some(reply)
    }
}
