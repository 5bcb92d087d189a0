//! The engine's connection, as `core/src/backend/redis/mod.rs` opens, uses and discards it.

use fencelock::model::{Moment, unavailable};

use crate::client::{Chore, Link};
use crate::lab::{Lab, Seen};
use crate::wire::{Command, Conn, Expected, Line, Purpose, ScriptCall};
use crate::world::World;

impl World {
    /// Sends a request by the engine's connection, which is opened if need be.
    pub(super) fn ask_engine(&mut self, c: usize, purpose: Purpose, by: Moment, lab: &mut Lab) {
        let expected = Expected { purpose, sent: self.now, by };
        if let Some(link) = self.clients[c].usable() {
            self.send_by_engine(c, link.conn, expected, lab);
            return;
        }
        self.client(c).engine.waiting.push_back(expected);
        self.open_engine(c);
    }

    fn open_engine(&mut self, c: usize) {
        if self.clients[c].engine.opening.is_some() || self.clients[c].engine.waiting.is_empty() {
            return;
        }
        // The broken one goes first: its subscription must not outlive it.
        self.client(c).engine.link = None;
        self.tidy(c);
        let (conn, messages) = self.open_engine_wires(c);
        self.client(c).engine.opening = Some(conn);
        if let Some(wire) = self.wire(conn) {
            wire.requests.push_back(Command::Subscribe(messages));
            let purpose = Purpose::Open;
            wire.expecting.push_back(Expected { purpose, sent: Moment::NEVER, by: Moment::NEVER });
        }
    }

    pub(crate) fn open_engine_wires(&mut self, c: usize) -> (Conn, Conn) {
        let conn = self.open_wire(c, Line::Engine);
        let messages = if self.setting.resp2 { self.open_wire(c, Line::Messages) } else { conn };
        (conn, messages)
    }

    /// The connection that is being opened is open, or can't be.
    pub(super) fn opened(&mut self, c: usize, conn: Conn, open: bool, lab: &mut Lab) {
        let mode = self.setting.parties[c].mode;
        let messages = self.messages_of(conn);
        let broken = !self.wire(messages).is_some_and(|wire| wire.open_here);
        let client = self.client(c);
        if client.engine.opening != Some(conn) {
            return;
        }
        client.engine.opening = None;
        if open {
            client.engine.link = Some(Link { conn, messages, mode, broken });
            let waiting = std::mem::take(&mut client.engine.waiting);
            if std::mem::replace(&mut client.engine.listened, true) {
                // What was published between the two subscriptions went to the old one.
                self.look_all(c, lab);
            }
            for expected in waiting {
                self.send_by_engine(c, conn, expected, lab);
            }
        } else {
            if messages != conn {
                self.close(messages);
            }
            self.opening_failed(c, lab);
        }
    }

    /// Whoever opened it hears that it failed; the next one tries.
    fn opening_failed(&mut self, c: usize, lab: &mut Lab) {
        let opener = self.client(c).engine.waiting.pop_front();
        if let Some(expected) = opener {
            let nowhere = Conn::new(c, 0);
            self.answered(c, nowhere, expected, Err(unavailable(false)), lab);
        }
        self.open_engine(c);
    }

    /// Where the messages come that belong to a connection: the next one, with RESP2.
    fn messages_of(&self, conn: Conn) -> Conn {
        if self.setting.resp2 { Conn(conn.0 + 1) } else { conn }
    }

    fn send_by_engine(&mut self, c: usize, conn: Conn, mut expected: Expected, lab: &mut Lab) {
        // Of all requests, only an extension counts from before the connection was there.
        if !matches!(expected.purpose, Purpose::Extend { .. }) {
            expected.sent = self.now;
        }
        let (speaker, mode) = (&lab.speakers[c], self.clients[c].mode());
        let call = match &expected.purpose {
            Purpose::Room(fencelock::model::Task::Join { claim, .. }) => {
                ScriptCall::new("acquire", &speaker.acquire(claim, true, mode))
            }
            Purpose::Room(fencelock::model::Task::Poll { claims, .. }) => {
                ScriptCall::new("poll", &speaker.poll(claims))
            }
            Purpose::Extend { claim } => {
                ScriptCall::new("extend", &speaker.extend(std::slice::from_ref(claim)))
            }
            Purpose::Chore { number, claim } => {
                if let Some(Chore::Repeat { .. }) = self.clients[c].chores.get(number) {
                    ScriptCall::new("release", &speaker.release(claim))
                } else {
                    ScriptCall::new("cancel", &speaker.cancel(claim))
                }
            }
            _ => return,
        };
        self.send(conn, call, expected);
    }

    /// The requests that wait for the connection for too long.
    pub(super) fn time_out_waiting(&mut self, c: usize, lab: &mut Lab) {
        let now = self.now;
        while let Some(at) =
            self.clients[c].engine.waiting.iter().position(|expected| expected.by <= now)
        {
            lab.saw(Seen::Unanswered);
            let client = self.client(c);
            let expected = client.engine.waiting.remove(at);
            if at == 0
                && let Some(conn) = client.engine.opening.take()
            {
                let messages = self.messages_of(conn);
                self.close(conn);
                if messages != conn {
                    self.close(messages);
                }
            }
            if let Some(expected) = expected {
                let nowhere = Conn::new(c, 0);
                self.answered(c, nowhere, expected, Err(unavailable(false)), lab);
            }
            self.open_engine(c);
        }
    }

    /// Closes connections of the engine's that were replaced and that nobody waits on.
    pub(super) fn tidy(&mut self, c: usize) {
        let engine = &self.clients[c].engine;
        let used = |conn: Conn| {
            engine.opening.is_some_and(|at| at == conn || self.messages_of(at) == conn)
                || engine.link.is_some_and(|link| link.conn == conn)
                || engine.link.is_some_and(|link| link.messages == conn && !link.broken)
        };
        let idle: Vec<Conn> = self
            .wires_of(c)
            .filter(|(conn, wire)| {
                wire.open_here
                    && !matches!(wire.line, Line::Own(_))
                    && !used(*conn)
                    && wire.expecting.iter().all(|one| matches!(one.purpose, Purpose::Nobody))
            })
            .map(|(conn, _)| conn)
            .collect();
        for conn in idle {
            self.close(conn);
        }
    }
}
