//! One who waits: what each answer, message and failure means for it. Knows no clock.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::withdrawal::Withdrawal;
use crate::backend::{Answer, Claim};
use crate::clock::{Moment, valid_until};
use crate::error::{Error, ErrorKind, Result};
use crate::flaw::{self, Flaw};
use crate::token::Token;

/// A wait of this length for a lock that this very process holds is worth a line in the log.
const SUSPICIOUS: Duration = Duration::from_secs(10);
/// A wait that the server never answered fails after so many tries, and so long after its begin:
/// a server that restarts, or whose connections are cut again and again, gets that much time.
const TRIES: u32 = 5;
const UNHEARD: Duration = Duration::from_secs(2);
/// How long a caller whose time is over waits for the server to hear of it.
const GOODBYE: Duration = Duration::from_millis(200);

/// One wait for a lock. `caller` is whatever tells the shell who waits.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not whatever the others are")]
pub struct Waiter<C> {
    /// What is asked of the server, under the token of the moment.
    pub claim: Arc<Claim>,
    /// Who waits.
    pub caller: C,
    /// When it has waited long enough.
    pub until: Moment,
    /// Since when it waits.
    pub since: Moment,
    /// Before the first request with this token was sent.
    pub first_sent: Moment,
    /// How far it has come.
    pub stage: Stage,
    /// Signals may have been missed since its last request was sent: the answer to that one does
    /// not tell of what came after it.
    pub look_soon: bool,
    /// Whether a request with this token may still be on its way on a connection that broke.
    pub unsure: bool,
    /// Whether the server has ever answered this wait.
    pub answered: bool,
    /// Failures in a row.
    pub failures: u32,
    /// The last of them.
    pub trouble: Option<Error>,
    /// When to look whether it waits for this very process.
    pub tell_at: Moment,
    /// Whether the engine looks after it, the caller's own attempt being over.
    pub in_room: bool,
}

/// How far a wait has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// An acquire is under way, sent by the caller or by the room.
    Attempting,
    /// To be sent at this moment.
    Join {
        /// That moment.
        at: Moment,
    },
    /// In the server's queue.
    Queued {
        /// Its place there.
        ticket: u64,
        /// When to poll.
        look_at: Moment,
        /// Until when a lease is surely valid that a signal reports.
        granted_until: Moment,
    },
}

/// What a waiter's new state asks for.
#[derive(Debug)]
pub(super) enum Then {
    Wait,
    /// The wait is over.
    Granted {
        fence: u64,
        valid_until: Moment,
    },
    Failed(Error),
    /// The waiter has a new token; the old claim is to be withdrawn.
    Renamed {
        old: Arc<Claim>,
        unsure: bool,
    },
}

impl<C> Waiter<C> {
    pub(super) fn new(claim: Arc<Claim>, caller: C, until: Moment, now: Moment) -> Self {
        Self {
            claim,
            caller,
            until,
            since: now,
            first_sent: now,
            stage: Stage::Attempting,
            look_soon: false,
            unsure: false,
            answered: false,
            failures: 0,
            trouble: None,
            tell_at: now + SUSPICIOUS,
            in_room: false,
        }
    }

    /// When something is to be done for it, if nothing comes before.
    pub(super) fn next(&self) -> Moment {
        let stage = match self.stage {
            Stage::Attempting => Moment::NEVER,
            Stage::Join { at } => at,
            Stage::Queued { look_at, .. } => look_at,
        };
        stage.min(self.until).min(self.tell_at)
    }

    /// Whether the server can't know this token.
    pub fn nothing_sent(&self) -> bool {
        matches!(self.stage, Stage::Join { .. }) && !self.unsure
    }

    /// Whether a request with this token may still arrive behind its withdrawal: on a connection
    /// that broke, or, the room's own, on one that was replaced meanwhile.
    pub(super) fn straggles(&self) -> bool {
        self.unsure || self.in_room && matches!(self.stage, Stage::Attempting)
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
    pub(super) fn granted_until(&self, now: Moment) -> Moment {
        if flaw::has(Flaw::DeadlineFromMessage) {
            return valid_until(now, self.claim.ttl());
        }
        match self.stage {
            Stage::Queued { granted_until, .. } => granted_until,
            _ => valid_until(self.first_sent, self.claim.ttl()),
        }
    }

    /// Signals may have been missed.
    pub(super) fn look(&mut self, now: Moment) {
        self.look_soon = true;
        if let Stage::Queued { look_at, .. } = &mut self.stage {
            *look_at = now;
        }
    }

    /// A request for it is sent now.
    pub(super) fn asks(&mut self) {
        self.look_soon = false;
    }

    /// Its acquire is sent now.
    pub(super) fn attempt(&mut self, now: Moment) {
        self.asks();
        self.stage = Stage::Attempting;
        // A repetition keeps the earliest: the first request may have been the one that counts.
        if !self.unsure {
            self.first_sent = now;
        }
    }

    /// Notes what the server said, or that it did not.
    pub(super) fn note(
        &mut self,
        answer: &Result<Answer>,
        now: Moment,
        fresh: impl FnOnce() -> Result<Token>,
    ) -> Then {
        let error = match answer {
            Ok(answer) => {
                self.answered = true;
                self.failures = 0;
                self.trouble = None;
                return self.heard(*answer, now, fresh);
            }
            Err(error) => error,
        };
        if !error.is_retryable() {
            return Then::Failed(error.clone());
        }
        self.failures += 1;
        self.unsure |= error.is_ambiguous();
        self.trouble = Some(error.clone());
        let unheard = !self.answered && now.since(self.since) >= UNHEARD;
        if unheard && self.failures >= TRIES {
            return Then::Failed(error.clone());
        }
        // The first repetition goes at once, on a new connection; then 20, 40, ... 1000 ms.
        let pause = match self.failures {
            1 => Duration::ZERO,
            n => (Duration::from_millis(10) * 2_u32.saturating_pow(n - 1))
                .min(Duration::from_secs(1)),
        };
        let at = now + pause;
        match &mut self.stage {
            Stage::Queued { look_at, .. } => *look_at = at,
            stage => {
                *stage = Stage::Join { at };
                // It may have been granted and have run out; or it is in the queue with a listener
                // that broke, and what is repeated would have another. Then the token is spent.
                let spent =
                    self.claim.listener != 0 || now.since(self.first_sent) >= self.claim.ttl();
                if self.unsure && spent {
                    return self.rename(at, fresh);
                }
            }
        }
        Then::Wait
    }

    fn heard(
        &mut self,
        answer: Answer,
        now: Moment,
        fresh: impl FnOnce() -> Result<Token>,
    ) -> Then {
        match answer {
            Answer::Granted { fence, valid_until } => return Then::Granted { fence, valid_until },
            Answer::Queued { ticket, look_at, granted_until } => {
                let look_at = if self.look_soon { now } else { look_at };
                let ticket = ticket.unwrap_or_else(|| self.ticket());
                self.stage = Stage::Queued { ticket, look_at, granted_until };
            }
            Answer::Busy => self.stage = Stage::Join { at: now },
            Answer::Gone => return self.rename(now, fresh),
        }
        Then::Wait
    }

    /// Its time is over: by when the server is to have heard that it leaves, before the caller
    /// hears it; `None` if the server knows nothing of it.
    pub fn goodbye(&self, now: Moment) -> Option<Moment> {
        (!self.nothing_sent()).then(|| now + GOODBYE)
    }

    /// What the caller hears then, and how the claim is withdrawn further; `heard` unless the
    /// server did not answer.
    pub fn expired(&mut self, heard: bool, now: Moment) -> (Error, Option<Withdrawal>) {
        let error = self.trouble.take().unwrap_or_else(|| timed_out(now.since(self.since)));
        let ttl = self.claim.ttl();
        let withdrawal = match (heard, self.straggles()) {
            (false, straggles) => Some(Withdrawal::new(ttl, straggles, now)),
            (true, true) => Some(Withdrawal::late(ttl, now)),
            (true, false) => None,
        };
        (error.at(&self.claim.name), withdrawal)
    }

    /// A token enters a queue once: the wait goes on under a new one, at its old place.
    pub(super) fn rename(&mut self, at: Moment, fresh: impl FnOnce() -> Result<Token>) -> Then {
        let ticket = self.ticket();
        if flaw::has(Flaw::TokenReused) {
            self.stage = Stage::Join { at };
            return Then::Wait;
        }
        match fresh() {
            Ok(token) => {
                let renamed = Arc::new(self.claim.renamed(token, ticket));
                let old = std::mem::replace(&mut self.claim, renamed);
                self.stage = Stage::Join { at };
                Then::Renamed { old, unsure: std::mem::take(&mut self.unsure) }
            }
            Err(error) => Then::Failed(error),
        }
    }
}

pub(crate) fn timed_out(waited: Duration) -> Error {
    Error::new(
        ErrorKind::AcquireTimeout,
        format!("not acquired in {:.3} s, somebody else holds it", waited.as_secs_f64()),
        "wait longer (timeout), hold it for less, or look at who holds it with inspect",
    )
}
