//! The loop of a lock's waiters, as `core/src/wait/{mod,room}.rs` do it.

use fencelock::model::{Answer, Effect, Moment, Task, read_acquire, read_poll};

use super::Answered;
use crate::client::{Chore, Doing, Filled, LOCK, Room, free, token, wait_name};
use crate::lab::{Lab, Seen, Slip};
use crate::wire::{Expected, Purpose};
use crate::world::World;

impl World {
    /// Carries out what the table says, at once and in that order.
    pub(super) fn carry_out(
        &mut self,
        c: usize,
        effects: impl IntoIterator<Item = Effect<u8>>,
        lab: &mut Lab,
    ) {
        for effect in effects {
            match effect {
                Effect::Lease { waiter, fence, valid_until, straggler } => {
                    let wait = waiter.caller;
                    let lease = self.keep(c, waiter.claim, fence, valid_until, straggler, lab);
                    self.fill(c, wait, Some(lease));
                }
                Effect::Fail { waiter, .. } => self.fill(c, waiter.caller, None),
                Effect::Expire(waiter) => self.say_goodbye(c, waiter, lab),
                Effect::Withdraw { claim, straggling } => {
                    self.withdraw(c, claim, straggling, self.now);
                }
                Effect::Open(_) => {
                    let room = Room { busy: false, woken: true, next: Moment::NEVER };
                    self.client(c).room = Some(room);
                }
                Effect::Wake(_) => {
                    if lab.slip == Some(Slip::NotWoken) {
                        continue;
                    }
                    if let Some(room) = &mut self.client(c).room {
                        room.woken = true;
                    }
                }
                Effect::Tell(_) => {}
            }
        }
    }

    /// A wait has ended, with a lease or in vain.
    pub(super) fn fill(&mut self, c: usize, wait: u8, lease: Option<u8>) {
        let caller = &mut self.client(c).callers[usize::from(wait % 16)];
        let current = wait_name(wait % 16, caller.rounds) == wait;
        let doing = &mut caller.doing;
        match doing {
            Doing::Attempting(attempting) if current => {
                attempting.filled = lease.map_or(Filled::InVain, Filled::Lease);
            }
            Doing::Waiting { .. } if current => {
                *doing = lease.map_or(Doing::Idle, |lease| Doing::Holding { lease });
            }
            // It has left.
            _ => {
                if let Some(lease) = lease {
                    self.drop_lease(c, lease);
                }
            }
        }
    }

    /// Has the room plan, if it is to.
    pub(super) fn plan_room(&mut self, c: usize, lab: &mut Lab) -> bool {
        let now = self.now;
        let client = self.client(c);
        let Some(room) = client.room.as_mut().filter(|room| room.woken) else { return false };
        room.woken = false;
        let idle = !room.busy;
        let Some(plan) = client.table.plan(LOCK, now, idle) else {
            client.room = None;
            return true;
        };
        room.next = plan.next;
        room.busy |= plan.task.is_some();
        self.carry_out(c, plan.effects, lab);
        if let Some(task) = plan.task {
            let by = self.answer_by(task.ttl());
            self.ask_engine(c, Purpose::Room(task), by, lab);
        }
        true
    }

    /// The answer to a room's request.
    pub(super) fn room_answered(
        &mut self,
        c: usize,
        task: Task,
        sent: Moment,
        answer: Answered,
        lab: &mut Lab,
    ) {
        let (now, asked) = (self.now, self.asked(c, sent));
        let answers = answer.and_then(|value| match &task {
            Task::Join { claim, .. } => {
                read_acquire(claim, asked, &value).map(|answer| vec![answer])
            }
            Task::Poll { claims, .. } => read_poll(claims, asked, &value),
        });
        let client = self.client(c);
        let mut tokens = client.tokens;
        let fresh = || {
            tokens += 1;
            Ok(token(c, tokens))
        };
        let answers = task.answered(answers);
        for (_, _, answer) in &answers {
            if matches!(answer, Ok(Answer::Gone)) {
                lab.note(|| "    gone".into());
            }
        }
        let effects = client.table.apply(answers, now, fresh);
        if tokens > client.tokens {
            client.tokens = tokens;
            lab.saw(Seen::Renamed);
        }
        if let Some(room) = &mut client.room {
            room.busy = false;
            room.woken = true;
        }
        if effects.iter().any(|effect| matches!(effect, Effect::Lease { .. })) {
            lab.saw(Seen::GrantByPoll);
        }
        self.carry_out(c, effects, lab);
    }

    /// Messages may have been missed.
    pub(super) fn look_all(&mut self, c: usize, lab: &mut Lab) {
        let now = self.now;
        let effects = self.client(c).table.look_all(now);
        self.carry_out(c, effects, lab);
    }

    /// A caller has waited long enough: it leaves the queue and hears so.
    fn say_goodbye(&mut self, c: usize, waiter: fencelock::model::Waiter<u8>, lab: &mut Lab) {
        lab.saw(Seen::Timeout);
        let goodbye = waiter.goodbye(self.now);
        let client = self.client(c);
        let number = free(&client.chores);
        let claim = waiter.claim.clone();
        client.chores.insert(number, Chore::Goodbye { waiter: Box::new(waiter) });
        match goodbye {
            Some(by) => self.ask_engine(c, Purpose::Chore { number, claim }, by, lab),
            None => self.said_goodbye(c, number, true),
        }
    }

    pub(super) fn said_goodbye(&mut self, c: usize, number: u8, heard: bool) {
        let now = self.now;
        let Some(Chore::Goodbye { mut waiter }) = self.client(c).chores.remove(&number) else {
            return;
        };
        let (_, withdrawal) = waiter.expired(heard, now);
        self.fill(c, waiter.caller, None);
        if let Some(withdrawal) = withdrawal {
            let client = self.client(c);
            let number = free(&client.chores);
            let claim = waiter.claim;
            client.chores.insert(number, Chore::Withdraw { claim, withdrawal, busy: false });
        }
    }

    /// Whether a request of the client's for this is under way or waits to be sent.
    pub(crate) fn is_under_way(&self, c: usize, is: impl Fn(&Purpose) -> bool) -> bool {
        let wires = self.wires_of(c).filter(|(_, wire)| wire.open_here);
        let mut expecting = wires.flat_map(|(_, wire)| &wire.expecting);
        let wanted = |expected: &Expected| is(&expected.purpose);
        expecting.any(wanted) || self.clients[c].engine.waiting.iter().any(wanted)
    }
}
