//! Waiting for a lock. The one wait loop of each lock ([`room`]) looks after every waiter of
//! this client on it: *a signal or a moment to look, then poll*.
//!
//! A [`Waiter`] enters before its acquire is sent, so that a grant that overtakes the answer
//! finds it, and leaves when it is granted, has waited long enough, failed, or was given up.

mod room;
mod slot;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::backend::{Answer, Claim, Interrupt, Mode};
use crate::client::Session;
use crate::clock::{Moment, valid_until};
use crate::engine;
use crate::error::{Error, Result};
use crate::fork::Native;
use crate::lease::{Holding, Lease};
use crate::options::LockOptions;
use crate::token::Token;

pub(crate) use room::timed_out;
pub(crate) use slot::{INTERRUPT_CHECK, Slot, interrupted};

/// Everybody of one client who waits.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    waiters: HashMap<u64, Waiter>,
    /// A waiter's token changes when its place in the queue was lost.
    tokens: HashMap<Token, u64>,
    rooms: HashMap<Arc<str>, Room>,
    last_id: u64,
}

/// The waiters of one lock whose wait the engine looks after.
#[derive(Debug)]
struct Room {
    changed: Arc<Notify>,
    ids: Vec<u64>,
}

#[derive(Debug)]
struct Waiter {
    claim: Arc<Claim>,
    options: Arc<LockOptions>,
    slot: Arc<Slot>,
    /// When it has waited long enough.
    until: Moment,
    since: Moment,
    /// Before the first request with this token was sent.
    first_sent: Moment,
    stage: Stage,
    /// Whether a request with this token may still be on its way on a connection that broke.
    unsure: bool,
    /// Whether the server has ever answered this wait.
    answered: bool,
    /// Failures in a row, and the last one.
    failures: u32,
    trouble: Option<Error>,
    /// When to look whether it waits for this very process.
    tell_at: Moment,
    /// Whether the engine looks after it, the caller's own attempt being over.
    in_room: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// An acquire is under way, sent by the caller or by the room.
    Attempting { look_soon: bool },
    /// To be sent at this moment.
    Join { at: Moment },
    /// In the server's queue.
    Queued { ticket: u64, look_at: Moment, granted_until: Moment },
}

/// A wait of this length for a lock that this very process holds is worth a line in the log.
const SUSPICIOUS: Duration = Duration::from_secs(10);

impl Waiter {
    /// Whether the server can't know this token.
    fn nothing_sent(&self) -> bool {
        matches!(self.stage, Stage::Join { .. }) && !self.unsure
    }

    /// The place in the queue that it has or had, 0 for none.
    fn ticket(&self) -> u64 {
        match self.stage {
            Stage::Queued { ticket, .. } => ticket,
            _ => self.claim.ticket,
        }
    }

    /// The latest moment until which a lease is surely valid that a signal reports now. The
    /// signal proves a grant, not how recent it is; but it came after the last request that
    /// found this token in the queue was sent (protocol, "The client's part", 2).
    fn granted_until(&self) -> Moment {
        match self.stage {
            Stage::Queued { granted_until, .. } => granted_until,
            _ => valid_until(self.first_sent, self.claim.ttl()),
        }
    }
}

/// A caller's place among the waiting. Dropped before the wait is over, it gives the wait up.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    slot: Arc<Slot>,
    session: Native<Arc<Session>>,
}

impl Waiting {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a claim known to signals. Called before its acquire is sent.
    pub(crate) fn enter(
        &self,
        session: &Arc<Session>,
        claim: &Arc<Claim>,
        options: &Arc<LockOptions>,
        until: Moment,
    ) -> Place {
        let slot = Arc::new(Slot::default());
        let now = Moment::now();
        let waiter = Waiter {
            claim: claim.clone(),
            options: options.clone(),
            slot: slot.clone(),
            until,
            since: now,
            first_sent: now,
            stage: Stage::Attempting { look_soon: false },
            unsure: false,
            answered: false,
            failures: 0,
            trouble: None,
            tell_at: now + SUSPICIOUS,
            in_room: false,
        };
        let mut table = self.table();
        table.last_id += 1;
        let id = table.last_id;
        table.tokens.insert(claim.token, id);
        table.waiters.insert(id, waiter);
        Place { id, slot, session: Native::new(session.clone()) }
    }

    /// A signal says that a claim was granted.
    pub(crate) fn granted(&self, session: &Arc<Session>, name: &str, token: Token, fence: u64) {
        let mut table = self.table();
        let Some(&id) = table.tokens.get(&token) else {
            drop(table);
            if !session.keeper.holds(&token) {
                // Nobody waits for it any more: pass it on at once.
                give_back(session, name, token);
            }
            return;
        };
        let Some(waiter) = table.waiters.get_mut(&id) else {
            return;
        };
        if &*waiter.claim.name != name {
            return;
        }
        let valid_until = waiter.granted_until();
        if valid_until.since(Moment::now()) < waiter.claim.ttl() / 2 {
            // Perhaps too old to begin with: ask, and get a full lease.
            match &mut waiter.stage {
                Stage::Queued { look_at, .. } => *look_at = Moment::now(),
                Stage::Attempting { look_soon } => *look_soon = true,
                Stage::Join { .. } => {}
            }
            table.notify_room(name);
            return;
        }
        let Some(waiter) = table.remove(id) else {
            return;
        };
        drop(table);
        // The message may have overtaken a request that the room repeats.
        let asking = waiter.in_room && matches!(waiter.stage, Stage::Attempting { .. });
        hand_over(session, waiter, fence, valid_until, asking);
    }

    /// Signals may have been missed: everybody looks.
    pub(crate) fn look_all(&self) {
        let mut table = self.table();
        let now = Moment::now();
        for waiter in table.waiters.values_mut() {
            match &mut waiter.stage {
                Stage::Queued { look_at, .. } => *look_at = now,
                Stage::Attempting { look_soon } => *look_soon = true,
                Stage::Join { .. } => {}
            }
        }
        for room in table.rooms.values() {
            room.changed.notify_one();
        }
    }

    /// Ends every wait with `Closed`.
    pub(crate) async fn close(&self, session: &Arc<Session>, by: Moment) {
        let waiters: Vec<Waiter> = {
            let mut table = self.table();
            let ids: Vec<u64> = table.waiters.keys().copied().collect();
            let waiters = ids.into_iter().filter_map(|id| table.remove(id)).collect();
            for room in table.rooms.values() {
                room.changed.notify_one();
            }
            waiters
        };
        let mut tasks = tokio::task::JoinSet::new();
        for waiter in waiters {
            waiter.slot.fill(Err(Error::closed().at(&waiter.claim.name)));
            let session = session.clone();
            tasks.spawn(async move { session.backend.withdraw(&waiter.claim, by).await });
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl Table {
    fn remove(&mut self, id: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        self.tokens.remove(&waiter.claim.token);
        if let Some(room) = self.rooms.get_mut(&waiter.claim.name) {
            room.ids.retain(|&other| other != id);
        }
        Some(waiter)
    }

    fn notify_room(&self, name: &str) {
        if let Some(room) = self.rooms.get(name) {
            room.changed.notify_one();
        }
    }
}

/// Gives the waiting caller its lease. `asking` if a request with its token is unanswered.
fn hand_over(
    session: &Arc<Session>,
    waiter: Waiter,
    fence: u64,
    valid_until: Moment,
    asking: bool,
) {
    let holding = Holding::new(waiter.claim, &waiter.options, fence, valid_until);
    let lease = Lease::new(session, holding);
    if asking || waiter.unsure {
        lease.expect_straggler();
    }
    waiter.slot.fill(Ok(lease));
}

impl Place {
    /// Leaves with a lease, because the caller's own attempt was granted; back comes the place,
    /// where a signal was first and the wait ends with the lease that it brought.
    pub(crate) fn settle(self, lease: impl FnOnce() -> Lease) -> std::result::Result<Lease, Self> {
        let Some(session) = self.session.get() else {
            return Err(self);
        };
        let mut table = session.waiting.table();
        if !table.waiters.contains_key(&self.id) {
            drop(table);
            return Err(self);
        }
        // Kept as a lease before the token is forgotten here: a late message about it must find
        // one of the two.
        let lease = lease();
        table.remove(self.id);
        drop(table);
        Ok(lease)
    }

    /// Lets the engine look after the wait from here: after the first attempt was answered, or
    /// failed, or was not made because nobody listened for signals.
    pub(crate) fn stay(&self, answer: &Result<Answer>) {
        let Some(session) = self.session.get() else {
            return;
        };
        let mut guard = session.waiting.table();
        let table = &mut *guard;
        // Gone from the table: a signal has ended the wait already.
        let Some(waiter) = table.waiters.get_mut(&self.id) else {
            return;
        };
        waiter.in_room = true;
        if let room::Then::Failed(error) = room::note(waiter, answer, Moment::now()) {
            waiter.slot.fill(Err(error.at(&waiter.claim.name)));
        }
        let name = waiter.claim.name.clone();
        if let Some(room) = table.rooms.get_mut(&name) {
            room.ids.push(self.id);
            room.changed.notify_one();
        } else {
            let changed = Arc::new(Notify::new());
            let room = Room { changed: changed.clone(), ids: vec![self.id] };
            table.rooms.insert(name.clone(), room);
            drop(guard);
            engine::spawn(room::run(session.clone(), name, changed));
        }
    }

    /// Waits for the end. Dropping the wait gives it up.
    pub(crate) async fn wait(self) -> Result<Lease> {
        poll_fn(|cx| self.slot.poll(cx)).await
    }

    /// As [`wait`](Self::wait), on the calling thread.
    pub(crate) fn block(self, interrupt: Option<Interrupt<'_>>) -> Result<Lease> {
        self.slot.block(interrupt)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // In a forked child the table may be locked for ever: it is not looked at.
        let Some(session) = self.session.get() else {
            return;
        };
        self.slot.abandon();
        let waiter = session.waiting.table().remove(self.id);
        // What the caller itself has sent is withdrawn behind it by the backend.
        if let Some(waiter) = waiter
            && waiter.in_room
            && !waiter.nothing_sent()
        {
            let session = session.clone();
            engine::spawn(async move { session.withdraw(&waiter.claim, waiter.unsure).await });
        }
    }
}

/// Passes on what was granted to a token that nobody waits for, at once.
fn give_back(session: &Arc<Session>, name: &str, token: Token) {
    let claim = Claim {
        name: name.into(),
        token,
        mode: Mode::Exclusive,
        // Not known here; it says how long to try.
        ttl_ms: LockOptions::default().ttl_ms(),
        label: "".into(),
        ticket: 0,
    };
    let session = session.clone();
    engine::spawn(async move { session.withdraw(&claim, false).await });
}

#[cfg(test)]
mod tests;
