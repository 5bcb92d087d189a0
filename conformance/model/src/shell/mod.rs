//! What a client's shell does, in its place: it sends what the machines say, and tells them what
//! comes. As in `core`, nothing here decides about locks.

mod acquire;
mod chores;
mod engine;
mod lease;
mod room;

use fencelock::Error;
use fencelock::model::{Asked, Moment, Value, unavailable};

use crate::lab::{Lab, Seen};
use crate::wire::{Conn, Expected, Inbound, Line, Purpose};
use crate::world::World;

/// What came of a request: what the server said, or that the connection broke.
pub(crate) type Answered = Result<Value, Error>;

impl World {
    pub(crate) fn asked(&self, c: usize, sent: Moment) -> Asked {
        Asked { sent, now: self.now, mode: self.clients[c].mode(), jitter: 0.0 }
    }

    /// The client gets what comes next on a connection.
    pub(crate) fn receive(&mut self, conn: Conn, lab: &mut Lab) {
        let c = conn.client();
        let Some(wire) = self.wire(conn) else { return };
        wire.slow_back = false;
        match wire.replies.pop_front() {
            Some(Inbound::Reply(value)) => {
                let expected = wire.expecting.pop_front();
                if let Some(expected) = expected {
                    let received = fencelock::model::received(value);
                    self.answered(c, conn, expected, received, lab);
                }
            }
            Some(Inbound::Push(payload)) => self.message(c, &payload, lab),
            Some(Inbound::End) => self.broke(conn, lab),
            None => {}
        }
        self.tend(c, lab);
    }

    /// The client hears that a connection broke: everybody who waits for an answer on it, too.
    pub(crate) fn broke(&mut self, conn: Conn, lab: &mut Lab) {
        let (c, now) = (conn.client(), self.now);
        let Some(wire) = self.wire(conn) else { return };
        let (of, listener) = (wire.line, wire.listener);
        wire.open_here = false;
        wire.closed = now;
        wire.replies.clear();
        let expecting = std::mem::take(&mut wire.expecting);
        let client = self.client(c);
        let ours = client.engine.link.filter(|link| link.conn == conn || link.messages == conn);
        if let Some(link) = &mut client.engine.link
            && (link.conn == conn || link.messages == conn)
        {
            link.broken = true;
        }
        for expected in expecting {
            self.answered(c, conn, expected, Err(unavailable(true)), lab);
        }
        match of {
            // What listens for messages ends with the link, and the link with it.
            Line::Messages => self.tidy(c),
            Line::Engine => {
                if let Some(link) = ours
                    && link.messages != conn
                {
                    self.close(link.messages);
                }
            }
            Line::Own(_) if listener != 0 => self.deaf(c, listener, lab),
            Line::Own(_) => {}
        }
        if ours.is_some() {
            self.look_all(c, lab);
        }
        self.forget_gone();
    }

    /// The client closes its end; what it has sent arrives, unless the connection breaks.
    pub(crate) fn close(&mut self, conn: Conn) {
        let now = self.now;
        if let Some(wire) = self.wire(conn) {
            wire.open_here = false;
            wire.closed = now;
            wire.goodbye = true;
            wire.replies.clear();
            wire.expecting.clear();
        }
        self.forget_gone();
    }

    fn answered(
        &mut self,
        c: usize,
        conn: Conn,
        expected: Expected,
        answer: Answered,
        lab: &mut Lab,
    ) {
        let Expected { purpose, sent, by } = expected;
        match purpose {
            Purpose::Nobody => {}
            Purpose::Open => self.opened(c, conn, answer.is_ok(), lab),
            Purpose::Attempt { caller } => self.attempted(c, caller, sent, answer, lab),
            Purpose::Behind { claim } => {
                if answer.is_ok() {
                    self.close(conn);
                } else {
                    self.withdraw(c, claim, true, self.now);
                }
            }
            Purpose::Release(releasing) => self.released(c, releasing, by, answer, lab),
            Purpose::Room(task) => self.room_answered(c, task, sent, answer, lab),
            Purpose::Extend { claim } => self.extended(c, &claim, sent, answer, lab),
            Purpose::Chore { number, .. } => self.chore_answered(c, number, by, answer, lab),
        }
        self.tidy(c);
    }

    /// The answers that have been waited for long enough.
    pub(crate) fn time_out(&mut self, c: usize, lab: &mut Lab) {
        let now = self.now;
        let conns: Vec<Conn> =
            self.wires_of(c).filter(|(_, wire)| wire.open_here).map(|(conn, _)| conn).collect();
        for conn in conns {
            let Some(wire) = self.wire(conn) else { continue };
            let line = wire.line;
            let late = |expected: &Expected| expected.by <= now;
            let mut expired = Vec::new();
            for expected in &mut wire.expecting {
                if late(expected) {
                    expired.push(expected.clone());
                    expected.purpose = Purpose::Nobody;
                    expected.by = Moment::NEVER;
                }
            }
            if expired.is_empty() {
                continue;
            }
            lab.saw(Seen::Unanswered);
            if let Line::Own(_) = line {
                self.close(conn);
            } else if let Some(link) = &mut self.client(c).engine.link
                && link.conn == conn
            {
                link.broken = true;
            }
            for expected in expired {
                lab.note(|| format!("    no answer in time on {conn}"));
                self.answered(c, conn, expected, Err(unavailable(true)), lab);
            }
        }
        self.time_out_waiting(c, lab);
    }

    /// Does what is due, until nothing is.
    pub(crate) fn tend(&mut self, c: usize, lab: &mut Lab) {
        if !self.clients[c].alive {
            return;
        }
        loop {
            self.note_endings(c);
            let again = self.plan_room(c, lab) | self.turn_keeper(c, lab) | self.do_chores(c, lab);
            if !again {
                break;
            }
        }
        self.forget_gone();
    }

    /// Its timers.
    pub(crate) fn fire(&mut self, c: usize, lab: &mut Lab) {
        let now = self.now;
        self.time_out(c, lab);
        if let Some(room) = &mut self.client(c).room
            && room.next <= now
        {
            room.woken = true;
        }
        self.tend(c, lab);
    }

    /// When something is due here next.
    pub(crate) fn due(&self, c: usize) -> Moment {
        let client = &self.clients[c];
        let room = client.room.as_ref().map_or(Moment::NEVER, |room| room.next);
        let waiting = client.engine.waiting.iter().map(|expected| expected.by);
        let wires = self.wires_of(c).filter(|(_, wire)| wire.open_here);
        let expecting = wires.flat_map(|(_, wire)| wire.expecting.iter().map(|one| one.by));
        let chores = client.chores.values().map(chores::due);
        waiting.chain(expecting).chain(chores).fold(room.min(client.keeper_next), Moment::min)
    }
}
