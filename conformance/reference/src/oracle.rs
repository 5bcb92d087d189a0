//! The lock's state machine as `docs/protocol.md` tells it: what every backend must do.

use std::collections::{BTreeMap, BTreeSet};

use crate::locks::{Answer, Client, Features, Holding, Locks, Op, Standing, Token, Told, Wish};

const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;
/// How long a queue is kept for waiters that are not heard of.
const QUEUE_LIFE: i64 = 120 * SECOND;
/// How long the last grant is remembered, longer if its fence is ahead of the clock.
const RECORD_LIFE: i64 = 7 * DAY;
/// No heartbeat promises more: a deadline further ahead is cut to [`LONGEST_WINDOW`].
const FARTHEST_DEADLINE: i64 = 60 * SECOND;
const LONGEST_WINDOW: i64 = 30 * SECOND;
/// How many dead at the head a caller who joins or polls takes away.
const CLEARED: usize = 8;
/// How many a walk takes away.
const WALKED: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Token(Token),
    Foreign,
}

/// Who holds, and the last ms at which they do; `None`: for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holder {
    owner: Owner,
    last: Option<i64>,
}

/// The last grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Record {
    fence: i64,
    ttl: i64,
    token: Token,
    label: &'static str,
    /// The last ms at which it is remembered.
    last: i64,
}

/// A waiter in the queue, which is ordered by ticket, then token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiter {
    ticket: i64,
    token: Token,
    client: Client,
    ttl: i64,
    told: bool,
    label: &'static str,
}

/// One lock. Its clock, and who listens, are told it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    now_us: i64,
    holder: Option<Holder>,
    record: Option<Record>,
    queue: Vec<Waiter>,
    /// The last ms at which the queue is kept.
    queue_last: i64,
    /// Of each client that waits, by when it must be heard of.
    deadlines: BTreeMap<Client, i64>,
    /// Whether the queue is forgotten then.
    queues_lapse: bool,
    /// Who can be told; `None` if nobody must be listening.
    listening: Option<BTreeSet<Client>>,
    told: Vec<Told>,
}

impl Reference {
    /// A free lock at this time, for backends with these features.
    pub fn new(now_us: i64, features: Features) -> Self {
        Self {
            now_us,
            holder: None,
            record: None,
            queue: Vec::new(),
            queue_last: 0,
            queues_lapse: features.queues_lapse,
            deadlines: BTreeMap::new(),
            listening: features.listeners.then(BTreeSet::new),
            told: Vec::new(),
        }
    }

    /// Its clock, in µs.
    pub fn now_us(&self) -> i64 {
        self.now_us
    }

    fn now(&self) -> i64 {
        self.now_us.div_euclid(1000)
    }

    /// When the next thing expires, in µs.
    pub fn next_expiry(&self) -> Option<i64> {
        let lease = self.holder.as_ref().and_then(|holder| holder.last);
        let record = self.record.as_ref().map(|record| record.last);
        let queue = (self.queues_lapse && !self.queue.is_empty()).then_some(self.queue_last);
        let deadlines = self.deadlines.values().copied().filter(|&last| last >= self.now());
        let all = lease.into_iter().chain(record).chain(queue).chain(deadlines);
        all.min().map(|last| (last + 1) * 1000)
    }

    /// A last grant is remembered.
    pub(crate) fn remembers(&self) -> bool {
        self.record.is_some()
    }

    fn holds(&self, token: Token) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.owner == Owner::Token(token))
    }

    /// The record, if it is of the grant by which the holder holds.
    fn holders_record(&self) -> Option<&Record> {
        self.record.as_ref().filter(|record| self.holds(record.token))
    }

    fn remaining(&self) -> i64 {
        match &self.holder {
            None => -2,
            Some(holder) => holder.last.map_or(-1, |last| last - self.now()),
        }
    }

    fn holding(&self) -> Holding {
        let foreign = self.holder.as_ref().is_some_and(|holder| holder.owner == Owner::Foreign);
        Holding { remaining: self.remaining(), foreign }
    }

    fn prolong(&mut self, ttl: i64) {
        let last = self.now() + ttl;
        if let Some(holder) = &mut self.holder {
            holder.last = Some(last);
        }
    }

    /// More time than was ever granted means that the clock stepped back.
    fn cap(&mut self) {
        let remaining = self.remaining();
        if let Some(ttl) = self.holders_record().map(|record| record.ttl)
            && (remaining > ttl || remaining == -1)
        {
            self.prolong(ttl);
        }
    }

    fn next_fence(&self) -> i64 {
        let last = self.record.as_ref().map_or(0, |record| record.fence);
        (last + 1).max(self.now_us)
    }

    fn remember(&mut self, fence: i64, ttl: i64, token: Token, label: &'static str) {
        // Rounded up.
        let ahead = -(-fence).div_euclid(1000) - self.now();
        let last = self.now() + RECORD_LIFE + ahead.max(0);
        self.record = Some(Record { fence, ttl, token, label, last });
    }

    fn grant(&mut self, token: Token, ttl: i64, label: &'static str) -> i64 {
        let fence = self.next_fence();
        self.remember(fence, ttl, token, label);
        self.holder = Some(Holder { owner: Owner::Token(token), last: Some(self.now() + ttl) });
        fence
    }

    fn place(&self, token: Token) -> Option<usize> {
        self.queue.iter().position(|waiter| waiter.token == token)
    }

    fn leave(&mut self, token: Token) -> bool {
        let Some(at) = self.place(token) else { return false };
        self.queue.remove(at);
        self.forget_idle();
        true
    }

    /// Of clients that wait for nothing, nothing is kept.
    fn forget_idle(&mut self) {
        let queue = &self.queue;
        self.deadlines.retain(|client, _| queue.iter().any(|waiter| waiter.client == *client));
        if queue.is_empty() {
            self.queue_last = 0;
        }
    }

    fn forget_queue(&mut self) {
        self.queue.clear();
        self.forget_idle();
    }

    fn heartbeat(&mut self, client: Client, window: i64) {
        let by = self.now() + window;
        let deadline = self.deadlines.entry(client).or_insert(by);
        *deadline = by.max(*deadline);
    }

    fn lives(&mut self, waiter: &Waiter) -> bool {
        let now = self.now();
        let Some(deadline) = self.deadlines.get_mut(&waiter.client) else { return false };
        if *deadline < now {
            return false;
        }
        if *deadline > now + FARTHEST_DEADLINE {
            *deadline = now + LONGEST_WINDOW;
        }
        let listening = self.listening.as_ref();
        !waiter.told || listening.is_none_or(|listening| listening.contains(&waiter.client))
    }

    /// The first waiter that lives, once up to so many dead before it are gone. Those of the
    /// caller live.
    fn first_living(&mut self, limit: usize, mine: &[Token]) -> Option<Waiter> {
        let mut dead = 0;
        let found = loop {
            let Some(waiter) = self.queue.get(dead).cloned() else { break None };
            if mine.contains(&waiter.token) || self.lives(&waiter) {
                break Some(waiter);
            }
            if dead == limit {
                break None;
            }
            dead += 1;
        };
        self.queue.drain(..dead);
        self.forget_idle();
        found
    }

    /// Grants the free lock to the first waiter that lives, unless that one fetches it itself.
    fn walk(&mut self, mine: &[Token]) -> Option<Token> {
        let head = self.first_living(WALKED, mine)?;
        let is_mine = mine.contains(&head.token);
        if !head.told && !is_mine {
            return None;
        }
        let fence = self.grant(head.token, head.ttl, head.label);
        self.leave(head.token);
        if !is_mine {
            let Waiter { client, token, ttl, .. } = head;
            self.told.push(Told { client, token, fence, ttl });
        }
        Some(head.token)
    }

    /// Tells a holder that it holds: for its full TTL again, if that is not less than it has.
    fn confirm(&mut self, token: Token, ttl: i64, label: &'static str) -> i64 {
        self.cap();
        let remaining = self.remaining();
        let fence = if let Some(record) = self.holders_record().cloned() {
            if remaining < ttl && record.ttl != ttl {
                self.remember(record.fence, ttl, token, record.label);
            }
            record.fence
        } else {
            let fence = self.next_fence();
            self.remember(fence, ttl, token, label);
            fence
        };
        if remaining < ttl {
            self.prolong(ttl);
        }
        self.leave(token);
        fence
    }

    fn acquire(&mut self, wish: &Wish) -> Answer {
        let token = wish.token;
        if self.holds(token) {
            return Answer::Held(self.confirm(token, wish.ttl, wish.label));
        }
        if self.holder.is_none() {
            let granted = self.walk(&[token]);
            if granted == Some(token) {
                let fence = self.holders_record().map_or(0, |record| record.fence);
                return Answer::Held(fence);
            }
            // Nobody barges.
            if granted.is_none() && self.queue.is_empty() {
                return Answer::Held(self.grant(token, wish.ttl, wish.label));
            }
        }
        self.cap();
        let holding = self.holding();
        if !wish.wait {
            return Answer::Busy(holding);
        }
        let (rank, ticket) = self.join(wish);
        Answer::Queued { rank, ticket, holding }
    }

    /// Rank and ticket.
    fn join(&mut self, wish: &Wish) -> (i64, i64) {
        let &Wish { token, client, ttl, window, told, label, .. } = wish;
        self.first_living(CLEARED, &[token]);
        let kept = self.place(token).map(|at| self.queue.remove(at).ticket);
        let next = self.queue.last().map_or(1, |last| last.ticket + 1);
        let ticket = kept.unwrap_or(if wish.ticket == 0 { next } else { wish.ticket });
        let rank =
            self.queue.partition_point(|other| (other.ticket, other.token) < (ticket, token));
        self.queue.insert(rank, Waiter { ticket, token, client, ttl, told, label });
        self.heartbeat(client, window);
        self.queue_last = self.now() + QUEUE_LIFE;
        (count(rank), ticket)
    }

    fn poll(&mut self, client: Client, window: i64, wishes: &[(Token, i64)]) -> Answer {
        let mine: Vec<_> = wishes.iter().map(|&(token, _)| token).collect();
        if !self.queue.is_empty() {
            self.queue_last = self.now() + QUEUE_LIFE;
        }
        if self.deadlines.contains_key(&client) {
            self.heartbeat(client, window);
        }
        if self.holder.is_some() {
            self.first_living(CLEARED, &mine);
        } else {
            self.walk(&mine);
        }
        let states = wishes.iter().map(|&(token, ttl)| {
            if self.holds(token) {
                Standing::Held(self.confirm(token, ttl, ""))
            } else {
                self.place(token).map_or(Standing::Gone, |rank| Standing::Queued(count(rank)))
            }
        });
        let states = states.collect();
        self.cap();
        Answer::Polled(self.holding(), states)
    }

    fn release(&mut self, token: Token) -> Answer {
        if !self.holds(token) {
            return Answer::NotHeld;
        }
        self.holder = None;
        if self.walk(&[]).is_some() { Answer::HandedOn } else { Answer::Freed }
    }

    fn cancel(&mut self, token: Token) -> Answer {
        let left = self.leave(token);
        let held = self.holds(token);
        if held {
            self.holder = None;
        }
        if self.holder.is_none() {
            self.walk(&[]);
        }
        match (held, left) {
            (true, _) => Answer::PassedOn,
            (false, true) => Answer::LeftQueue,
            (false, false) => Answer::NothingToCancel,
        }
    }

    fn extend(&mut self, token: Token, ttl: i64) -> bool {
        if !self.holds(token) {
            return false;
        }
        let (now, remaining) = (self.now(), self.remaining());
        let kept = self.record.as_ref().is_some_and(|record| record.ttl == ttl);
        if let Some(record) = &mut self.record {
            if record.token == token && (record.ttl < ttl || remaining < ttl) {
                record.ttl = ttl;
            }
            if record.last - now < DAY {
                record.last = now + RECORD_LIFE;
            }
        }
        // More than what is recorded is a clock that stepped back.
        let cut = self.record.as_ref().is_some_and(|record| record.token == token && kept);
        if remaining < ttl || cut {
            self.prolong(ttl);
        }
        true
    }

    fn inspect(&self) -> Answer {
        let grant = self.holders_record();
        let grant = grant.map(|grant| (grant.fence, grant.ttl, grant.label.to_owned()));
        Answer::Inspected { holding: self.holding(), grant, waiters: count(self.queue.len()) }
    }

    fn foreign_take(&mut self, ttl: Option<i64>) -> bool {
        let free = self.holder.is_none();
        if free {
            let last = ttl.map(|ttl| self.now() + ttl);
            self.holder = Some(Holder { owner: Owner::Foreign, last });
        }
        free
    }

    fn listen(&mut self, client: Client, listens: bool) {
        let Some(listening) = &mut self.listening else { return };
        if listens {
            listening.insert(client);
        } else {
            listening.remove(&client);
        }
    }
}

impl Locks for Reference {
    fn features(&self) -> Features {
        Features { exact_fences: true, listeners: self.listening.is_some(), ..Features::REDIS }
    }

    fn set_clock(&mut self, now_us: i64) {
        self.now_us = now_us;
        let now = self.now();
        self.holder.take_if(|holder| holder.last.is_some_and(|last| last < now));
        self.record.take_if(|record| record.last < now);
        if self.queues_lapse && self.queue_last < now {
            self.forget_queue();
        }
    }

    fn step(&mut self, op: &Op) -> (Answer, Vec<Told>) {
        let answer = match op {
            Op::Acquire(wish) => self.acquire(wish),
            Op::Poll(client, window, wishes) => self.poll(*client, *window, wishes),
            Op::Release(token) => self.release(*token),
            Op::Cancel(token) => self.cancel(*token),
            Op::Extend(token, ttl) => Answer::Extended(self.extend(*token, *ttl)),
            Op::Inspect => self.inspect(),
            Op::ForeignTake(ttl) => Answer::Foreign(self.foreign_take(*ttl)),
            Op::ForeignRelease => {
                let ours = |holder: &mut Holder| holder.owner == Owner::Foreign;
                Answer::Foreign(self.holder.take_if(ours).is_some())
            }
            other => {
                match other {
                    Op::Listen(client, listens) => self.listen(*client, *listens),
                    Op::ForgetRecord => self.record = None,
                    Op::Delete => self.holder = None,
                    Op::Forget => {
                        (self.holder, self.record) = (None, None);
                        self.forget_queue();
                    }
                    _ => {}
                }
                Answer::Nothing
            }
        };
        (answer, std::mem::take(&mut self.told))
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
