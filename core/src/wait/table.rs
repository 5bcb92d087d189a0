//! Everybody of one client who waits, and what to do about each message, answer and moment. Told
//! the time and new tokens, it gives effects for the shell to carry out, or the model checker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::waiter::{Stage, Then, Waiter};
use crate::backend::look::window;
use crate::backend::{Answer, Claim, not_understood};
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::options::LockOptions;
use crate::token::Token;

/// How many a poll asks after (protocol, "Scripts").
const POLL_MOST: usize = 200;

/// Everybody of one client who waits. `C` is what tells the shell who it is.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq))]
pub struct Table<C> {
    waiters: FxHashMap<u64, Waiter<C>>,
    /// A waiter's token changes when its place in the queue was lost.
    tokens: FxHashMap<Token, u64>,
    /// By lock, the waiters that the engine looks after.
    rooms: HashMap<Arc<str>, Room>,
    last_id: u64,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
struct Room {
    ids: Vec<u64>,
    /// When it plans next without being woken.
    next: Moment,
}

/// What is to be done.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
pub enum Effect<C> {
    /// The wait ends with a lease, which the keeper has to know before another message comes.
    Lease {
        /// Who gets it.
        waiter: Waiter<C>,
        /// Its fence.
        fence: u64,
        /// Until when it is valid.
        valid_until: Moment,
        /// Whether a request with its token may still arrive.
        straggler: bool,
    },
    /// The wait has failed.
    Fail {
        /// Whose.
        waiter: Waiter<C>,
        /// Why.
        error: Error,
    },
    /// The wait was long enough: the queue is left, then the caller hears so.
    Expire(Waiter<C>),
    /// A claim that nobody waits for is to be withdrawn in the background.
    Withdraw {
        /// That claim.
        claim: Arc<Claim>,
        /// Whether a request for it may still be on its way on a connection that broke.
        straggling: bool,
    },
    /// The room of this lock is new, and its loop is to be begun.
    Open(Arc<str>),
    /// The room of this lock is to plan anew.
    Wake(Arc<str>),
    /// A wait has lasted 10 s; it is worth a word if this process holds the lock itself.
    Tell(Arc<str>),
}

/// What a room does next.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
pub struct Plan<C> {
    /// To be carried out now.
    pub effects: Vec<Effect<C>>,
    /// To be sent now.
    pub task: Option<Task>,
    /// When to plan again.
    pub next: Moment,
}

/// A request to the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Acquire, with a place in the queue.
    Join {
        /// The waiter.
        id: u64,
        /// Its claim.
        claim: Arc<Claim>,
    },
    /// Ask after waiters of one lock.
    Poll {
        /// The waiters.
        ids: Vec<u64>,
        /// Their claims.
        claims: Vec<Arc<Claim>>,
    },
}

/// The waiters that a request was for, each with the claim and the answer.
pub type Answers = Vec<(u64, Arc<Claim>, Result<Answer>)>;

impl Task {
    /// The TTL by which its answer is waited for.
    pub fn ttl(&self) -> Duration {
        match self {
            Self::Join { claim, .. } => claim.ttl(),
            Self::Poll { claims, .. } => {
                claims.iter().map(|claim| claim.ttl()).min().unwrap_or_default()
            }
        }
    }

    /// What came of it, for each waiter.
    pub fn answered(self, answers: Result<Vec<Answer>>) -> Answers {
        let (ids, claims) = match self {
            Self::Join { id, claim } => (vec![id], vec![claim]),
            Self::Poll { ids, claims } => (ids, claims),
        };
        let mut answers = match answers {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); claims.len()],
        };
        answers.resize_with(claims.len(), || Err(not_understood("poll")));
        ids.into_iter().zip(claims).zip(answers).map(|((id, c), a)| (id, c, a)).collect()
    }
}

impl<C> Default for Table<C> {
    fn default() -> Self {
        Self {
            waiters: FxHashMap::default(),
            tokens: FxHashMap::default(),
            rooms: HashMap::new(),
            last_id: 0,
        }
    }
}

impl<C> Table<C> {
    /// Makes a claim known to messages; the caller itself attempts first. Called before its
    /// acquire is sent. Gives the waiter's id.
    pub fn enter(&mut self, claim: &Arc<Claim>, caller: C, until: Moment, now: Moment) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.tokens.insert(claim.token, id);
        self.waiters.insert(id, Waiter::new(claim.clone(), caller, until, now));
        id
    }

    /// Leaves with a lease, because the caller's own attempt was granted; `None` where a message
    /// was first, and the wait ends with the lease that it brought.
    ///
    /// The lease is kept before the token is forgotten here: a late message about it must find
    /// one of the two.
    pub fn settle<L>(&mut self, id: u64, keep: impl FnOnce() -> L) -> Option<L> {
        if !self.waiters.contains_key(&id) {
            return None;
        }
        let lease = keep();
        self.remove(id);
        Some(lease)
    }

    /// The first attempt was made with a listener of the caller's. Called before [`stay`](Self::stay).
    pub fn listens(&mut self, id: u64, listener: u32) {
        if let Some(waiter) = self.waiters.get_mut(&id)
            && waiter.claim.listener != listener
        {
            waiter.claim = Arc::new(Claim { listener, ..Claim::clone(&waiter.claim) });
        }
    }

    /// Lets the engine look after a wait from here: after the caller's first attempt was
    /// answered, or failed, or was not made because nobody listened for messages.
    pub fn stay(
        &mut self,
        id: u64,
        answer: &Result<Answer>,
        now: Moment,
        fresh: impl FnOnce() -> Result<Token>,
    ) -> Vec<Effect<C>> {
        // Gone from the table: a message has ended the wait already.
        let Some(waiter) = self.waiters.get_mut(&id) else {
            return Vec::new();
        };
        waiter.in_room = true;
        let name = waiter.claim.name.clone();
        let mut effects = Vec::new();
        self.conclude(id, answer, now, fresh, &mut effects);
        self.enter_room(id, name, &mut effects);
        effects
    }

    fn enter_room(&mut self, id: u64, name: Arc<str>, effects: &mut Vec<Effect<C>>) {
        let Some(waiter) = self.waiters.get(&id) else {
            return;
        };
        if let Some(room) = self.rooms.get_mut(&name) {
            room.ids.push(id);
            // To wake it for nothing would cost as much as the hand-off.
            if waiter.next() < room.next {
                effects.push(Effect::Wake(name));
            }
        } else {
            // It plans at once.
            self.rooms.insert(name.clone(), Room { ids: vec![id], next: Moment::from_nanos(0) });
            effects.push(Effect::Open(name));
        }
    }

    /// The caller gives the wait up.
    pub fn leave(&mut self, id: u64) -> Option<Effect<C>> {
        let waiter = self.remove(id)?;
        // What the caller itself has sent is withdrawn behind it by the backend.
        (waiter.in_room && !waiter.nothing_sent()).then(|| {
            let straggling = waiter.straggles();
            Effect::Withdraw { claim: waiter.claim, straggling }
        })
    }

    /// A message says that a claim was granted. `kept` tells whether a token is a lease's.
    pub fn granted(
        &mut self,
        name: &str,
        token: Token,
        fence: u64,
        now: Moment,
        kept: impl FnOnce(&Token) -> bool,
    ) -> Option<Effect<C>> {
        let Some(&id) = self.tokens.get(&token) else {
            // Nobody waits for it any more: it is passed on at once.
            let stray = || Arc::new(stray(name, token));
            return (!kept(&token)).then(|| Effect::Withdraw { claim: stray(), straggling: false });
        };
        let waiter = self.waiters.get_mut(&id).filter(|waiter| &*waiter.claim.name == name)?;
        let valid_until = waiter.granted_until(now);
        if valid_until.since(now) < waiter.claim.ttl() / 2 {
            // Perhaps too old to begin with: ask, and get a full lease.
            waiter.look(now);
            let name = waiter.claim.name.clone();
            return self.rooms.contains_key(&name).then_some(Effect::Wake(name));
        }
        let waiter = self.remove(id)?;
        // The message may have overtaken a request that the room repeats.
        let straggler = waiter.straggles();
        Some(Effect::Lease { waiter, fence, valid_until, straggler })
    }

    /// Whether anybody waits with this token.
    pub fn awaits(&self, token: &Token) -> bool {
        self.tokens.contains_key(token)
    }

    /// A listener hears nothing any more: the waits that rely on it go on under new tokens, of which
    /// the engine hears. Not those whose first attempt is under way: they ask when it is over.
    pub fn deaf(
        &mut self,
        listener: u32,
        now: Moment,
        mut fresh: impl FnMut() -> Result<Token>,
    ) -> Vec<Effect<C>> {
        let relies = |waiter: &Waiter<C>| waiter.in_room && waiter.claim.listener == listener;
        let mut ids: Vec<u64> =
            self.waiters.iter().filter(|(_, waiter)| relies(waiter)).map(|(&id, _)| id).collect();
        ids.sort_unstable();
        let mut effects = Vec::new();
        for id in ids {
            let Some(waiter) = self.waiters.get_mut(&id) else { continue };
            let name = waiter.claim.name.clone();
            let then = waiter.rename(now, &mut fresh);
            self.follow(id, then, &mut effects);
            effects.push(Effect::Wake(name));
        }
        effects
    }

    /// Messages may have been missed: everybody looks.
    pub fn look_all(&mut self, now: Moment) -> Vec<Effect<C>> {
        for waiter in self.waiters.values_mut() {
            waiter.look(now);
        }
        self.wake_all()
    }

    /// Ends every wait with `Closed`. Each claim is to be withdrawn once.
    pub fn close(&mut self) -> Vec<Effect<C>> {
        let mut ids: Vec<u64> = self.waiters.keys().copied().collect();
        ids.sort_unstable();
        let waiters: Vec<Waiter<C>> = ids.into_iter().filter_map(|id| self.remove(id)).collect();
        let closed = |waiter: Waiter<C>| {
            let error = Error::closed().at(&waiter.claim.name);
            Effect::Fail { waiter, error }
        };
        waiters.into_iter().map(closed).chain(self.wake_all()).collect()
    }

    /// Decides what a room does now; `idle` if no request of it is under way. `None` when nobody
    /// is left, and the room is closed.
    pub fn plan(&mut self, name: &str, now: Moment, idle: bool) -> Option<Plan<C>> {
        let ids = self.rooms.get(name)?.ids.clone();
        if ids.is_empty() && idle {
            self.rooms.remove(name);
            return None;
        }
        let mut plan = Plan { effects: Vec::new(), task: None, next: Moment::NEVER };
        let mut joining = None;
        let mut polling = Vec::new();
        let mut must_poll = false;
        for id in ids {
            let Some(waiter) = self.waiters.get_mut(&id) else {
                continue;
            };
            if now >= waiter.until {
                plan.effects.extend(self.remove(id).map(Effect::Expire));
                continue;
            }
            if now >= waiter.tell_at {
                waiter.tell_at = Moment::NEVER;
                plan.effects.push(Effect::Tell(waiter.claim.name.clone()));
            }
            plan.next = plan.next.min(waiter.until).min(waiter.tell_at);
            match waiter.stage {
                _ if !idle => {}
                Stage::Attempting => {}
                Stage::Join { at } if at <= now => {
                    joining.get_or_insert(id);
                }
                Stage::Join { at } => plan.next = plan.next.min(at),
                Stage::Queued { look_at, .. } => {
                    must_poll |= look_at <= now;
                    polling.push((look_at, id));
                }
            }
        }
        plan.task = if let Some(id) = joining {
            self.joining(id, now)
        } else if must_poll {
            self.polling(polling, now)
        } else {
            let next_look = polling.iter().map(|(at, _)| *at).min();
            plan.next = plan.next.min(next_look.unwrap_or(Moment::NEVER));
            None
        };
        if let Some(room) = self.rooms.get_mut(name) {
            room.next = plan.next;
        }
        Some(plan)
    }

    /// Notes the answers to a room's request.
    pub fn apply(
        &mut self,
        answers: Answers,
        now: Moment,
        mut fresh: impl FnMut() -> Result<Token>,
    ) -> Vec<Effect<C>> {
        let mut effects = Vec::new();
        for (id, claim, answer) in answers {
            // Else the caller left meanwhile, and its withdrawal went behind this request; or a
            // message was first, and the lease knows of it.
            if self.waiters.get(&id).is_some_and(|waiter| waiter.claim.token == claim.token) {
                self.conclude(id, &answer, now, &mut fresh, &mut effects);
            }
        }
        effects
    }

    /// Notes what a waiter's request came to.
    fn conclude(
        &mut self,
        id: u64,
        answer: &Result<Answer>,
        now: Moment,
        fresh: impl FnOnce() -> Result<Token>,
        effects: &mut Vec<Effect<C>>,
    ) {
        let Some(waiter) = self.waiters.get_mut(&id) else {
            return;
        };
        let then = waiter.note(answer, now, fresh);
        self.follow(id, then, effects);
    }

    fn follow(&mut self, id: u64, then: Then, effects: &mut Vec<Effect<C>>) {
        match then {
            Then::Wait => {}
            Then::Granted { fence, valid_until } => {
                if let Some(waiter) = self.remove(id) {
                    let straggler = waiter.unsure;
                    effects.push(Effect::Lease { waiter, fence, valid_until, straggler });
                }
            }
            Then::Failed(error) => {
                if let Some(waiter) = self.remove(id) {
                    let (claim, straggling) = (waiter.claim.clone(), waiter.unsure);
                    let error = error.at(&claim.name);
                    effects.push(Effect::Fail { waiter, error });
                    effects.push(Effect::Withdraw { claim, straggling });
                }
            }
            Then::Renamed { old, unsure } => {
                self.tokens.remove(&old.token);
                if let Some(waiter) = self.waiters.get(&id) {
                    self.tokens.insert(waiter.claim.token, id);
                }
                effects.push(Effect::Withdraw { claim: old, straggling: unsure });
            }
        }
    }

    fn joining(&mut self, id: u64, now: Moment) -> Option<Task> {
        let waiter = self.waiters.get_mut(&id)?;
        waiter.attempt(now);
        Some(Task::Join { id, claim: waiter.claim.clone() })
    }

    /// Those that are due, and those that would be soon: one heartbeat serves all of a listener.
    fn polling(&mut self, mut queued: Vec<(Moment, u64)>, now: Moment) -> Option<Task> {
        queued.sort_unstable();
        let mut ids = Vec::new();
        let mut claims: Vec<Arc<Claim>> = Vec::new();
        for (look_at, id) in queued {
            let waiter = self.waiters.get_mut(&id)?;
            let other = claims.first().is_some_and(|c| c.listener != waiter.claim.listener);
            if other {
                continue;
            }
            let slack = window(waiter.claim.ttl()) / 9;
            if look_at > now + slack || claims.len() == POLL_MOST {
                break;
            }
            waiter.asks();
            ids.push(id);
            claims.push(waiter.claim.clone());
        }
        Some(Task::Poll { ids, claims })
    }

    fn remove(&mut self, id: u64) -> Option<Waiter<C>> {
        let waiter = self.waiters.remove(&id)?;
        self.tokens.remove(&waiter.claim.token);
        if let Some(room) = self.rooms.get_mut(&waiter.claim.name) {
            room.ids.retain(|&other| other != id);
        }
        Some(waiter)
    }

    fn wake_all(&self) -> Vec<Effect<C>> {
        let mut names: Vec<Arc<str>> = self.rooms.keys().cloned().collect();
        names.sort_unstable();
        names.into_iter().map(Effect::Wake).collect()
    }
}

/// The claim of a token that nobody here knows any more.
fn stray(name: &str, token: Token) -> Claim {
    // Its TTL is not known here; it says how long to try.
    Claim::new(name.into(), token, LockOptions::default().ttl_ms(), "".into())
}

#[cfg(feature = "model")]
impl<C> Table<C> {
    /// Everybody who waits, by id.
    pub fn waiters(&self) -> impl Iterator<Item = (u64, &Waiter<C>)> {
        let mut waiters: Vec<_> = self.waiters.iter().map(|(&id, waiter)| (id, waiter)).collect();
        waiters.sort_unstable_by_key(|(id, _)| *id);
        waiters.into_iter()
    }

    /// The names of the rooms, sorted.
    pub fn rooms(&self) -> impl Iterator<Item = &Arc<str>> {
        let mut names: Vec<_> = self.rooms.keys().collect();
        names.sort_unstable();
        names.into_iter()
    }
}

#[cfg(feature = "model")]
impl<C: std::hash::Hash> std::hash::Hash for Table<C> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        crate::model::hash_map(&self.waiters, state);
        crate::model::hash_map(&self.tokens, state);
        crate::model::hash_map(&self.rooms, state);
        self.last_id.hash(state);
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
