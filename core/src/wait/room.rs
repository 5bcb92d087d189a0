//! The wait loop of one lock: a signal or a moment to look, then poll. Runs on the engine while
//! anybody of this client waits for the lock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Stage, Table, Waiter, Waiting, hand_over};
use crate::backend::{Answer, Boxed, Claim};
use crate::client::Session;
use crate::clock::Moment;
use crate::engine;
use crate::error::{Error, ErrorKind, Result};

/// How many a poll asks after (protocol, "Scripts").
const POLL_MOST: usize = 200;
/// A wait that the server never answered fails after so many tries.
const TRIES: u32 = 5;
/// How long a caller whose time is over waits for the server to hear of it.
const GOODBYE: Duration = Duration::from_millis(200);

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
    Renamed(Arc<Claim>),
}

/// Notes what the server said, or that it did not.
pub(super) fn note(waiter: &mut Waiter, answer: &Result<Answer>, now: Moment) -> Then {
    let error = match answer {
        Ok(answer) => {
            waiter.answered = true;
            waiter.failures = 0;
            waiter.trouble = None;
            return heard(waiter, *answer, now);
        }
        Err(error) => error,
    };
    if !error.is_retryable() {
        return Then::Failed(error.clone());
    }
    waiter.failures += 1;
    waiter.unsure |= error.is_ambiguous();
    waiter.trouble = Some(error.clone());
    if !waiter.answered && waiter.failures >= TRIES {
        return Then::Failed(error.clone());
    }
    // The first repetition goes at once, on a new connection; then 20, 40, ... 1000 ms.
    let pause = match waiter.failures {
        1 => Duration::ZERO,
        n => (Duration::from_millis(10) * 2_u32.saturating_pow(n - 1)).min(Duration::from_secs(1)),
    };
    let at = now + pause;
    match &mut waiter.stage {
        Stage::Queued { look_at, .. } => *look_at = at,
        stage => {
            *stage = Stage::Join { at };
            // It may have been granted and have run out: then the token is spent.
            if waiter.unsure && now.since(waiter.first_sent) >= waiter.claim.ttl() {
                return rename(waiter, waiter.ticket(), at);
            }
        }
    }
    Then::Wait
}

fn heard(waiter: &mut Waiter, answer: Answer, now: Moment) -> Then {
    match answer {
        Answer::Granted { fence, valid_until } => return Then::Granted { fence, valid_until },
        Answer::Queued { ticket, look_at, granted_until } => {
            let look_soon = matches!(waiter.stage, Stage::Attempting { look_soon: true });
            let look_at = if look_soon { now } else { look_at };
            let ticket = ticket.unwrap_or_else(|| waiter.ticket());
            waiter.stage = Stage::Queued { ticket, look_at, granted_until };
        }
        Answer::Busy => waiter.stage = Stage::Join { at: now },
        Answer::Gone => {
            return rename(waiter, waiter.ticket(), now);
        }
    }
    Then::Wait
}

/// A token enters a queue once: the wait goes on under a new one, at its old place.
fn rename(waiter: &mut Waiter, ticket: u64, at: Moment) -> Then {
    match waiter.claim.renamed(ticket) {
        Ok(claim) => {
            let old = std::mem::replace(&mut waiter.claim, Arc::new(claim));
            waiter.stage = Stage::Join { at };
            waiter.unsure = false;
            Then::Renamed(old)
        }
        Err(error) => Then::Failed(error),
    }
}

/// What a room does next.
struct Plan {
    expired: Vec<Waiter>,
    task: Option<Task>,
    /// When to plan again.
    next: Moment,
}

/// A request to the server.
enum Task {
    Join(u64, Arc<Claim>),
    Poll(Vec<u64>, Vec<Arc<Claim>>),
}

/// The waiters that a request was for, each with the claim and the answer.
type Answers = Vec<(u64, Arc<Claim>, Result<Answer>)>;

impl Waiting {
    /// Decides what to do now; `None` when nobody is left, and the room is closed.
    fn plan(&self, session: &Session, name: &str, now: Moment, idle: bool) -> Option<Plan> {
        let mut guard = self.table();
        let table = &mut *guard;
        let ids = table.rooms.get(name)?.ids.clone();
        if ids.is_empty() && idle {
            table.rooms.remove(name);
            return None;
        }
        let mut plan = Plan { expired: Vec::new(), task: None, next: Moment::NEVER };
        let mut joining = None;
        let mut polling = Vec::new();
        let mut must_poll = false;
        for id in ids {
            let Some(waiter) = table.waiters.get_mut(&id) else {
                continue;
            };
            if now >= waiter.until {
                plan.expired.extend(table.remove(id));
                continue;
            }
            if now >= waiter.tell_at {
                waiter.tell_at = Moment::NEVER;
                tell(session, waiter);
            }
            plan.next = plan.next.min(waiter.until).min(waiter.tell_at);
            match waiter.stage {
                _ if !idle => {}
                Stage::Attempting { .. } => {}
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
            table.joining(id, now)
        } else if must_poll {
            table.polling(polling, now)
        } else {
            let next_look = polling.iter().map(|(at, _)| *at).min();
            plan.next = plan.next.min(next_look.unwrap_or(Moment::NEVER));
            None
        };
        Some(plan)
    }

    /// Notes answers, and does at once what they ask for.
    fn apply(&self, session: &Arc<Session>, answers: Answers) {
        for (id, claim, answer) in answers {
            let mut guard = self.table();
            let table = &mut *guard;
            let waiter = table.waiters.get_mut(&id).filter(|w| w.claim.token == claim.token);
            let Some(waiter) = waiter else {
                drop(guard);
                // The caller left meanwhile, and its withdrawal went behind this request; or a
                // message was first, and the lease knows of it.
                continue;
            };
            let unsure = waiter.unsure;
            match note(waiter, &answer, Moment::now()) {
                Then::Wait => {}
                Then::Granted { fence, valid_until } => {
                    // Messages come on this thread, too: none can fall in between.
                    if let Some(waiter) = table.remove(id) {
                        hand_over(session, waiter, fence, valid_until, false);
                    }
                }
                Then::Failed(error) => {
                    if let Some(waiter) = table.remove(id) {
                        waiter.slot.fill(Err(error.at(&waiter.claim.name)));
                        let session = session.clone();
                        engine::spawn(async move {
                            session.withdraw(&waiter.claim, waiter.unsure).await;
                        });
                    }
                }
                Then::Renamed(old) => {
                    table.tokens.remove(&old.token);
                    table.tokens.insert(waiter.claim.token, id);
                    let session = session.clone();
                    engine::spawn(async move { session.withdraw(&old, unsure).await });
                }
            }
        }
    }
}

impl Table {
    fn joining(&mut self, id: u64, now: Moment) -> Option<Task> {
        let waiter = self.waiters.get_mut(&id)?;
        waiter.stage = Stage::Attempting { look_soon: false };
        // A repetition keeps the earliest: the first request may have been the one that counts.
        if !waiter.unsure {
            waiter.first_sent = now;
        }
        Some(Task::Join(id, waiter.claim.clone()))
    }

    /// Those that are due, and those that would be soon: one heartbeat serves them all.
    fn polling(&self, mut queued: Vec<(Moment, u64)>, now: Moment) -> Option<Task> {
        queued.sort_unstable();
        let mut ids = Vec::new();
        let mut claims = Vec::new();
        for (look_at, id) in queued.into_iter().take(POLL_MOST) {
            let claim = &self.waiters.get(&id)?.claim;
            let slack = claim.ttl().clamp(Duration::from_secs(3), Duration::from_secs(30)) / 9;
            if look_at > now + slack {
                break;
            }
            ids.push(id);
            claims.push(claim.clone());
        }
        Some(Task::Poll(ids, claims))
    }
}

/// The loop of one room.
pub(super) async fn run(session: Arc<Session>, name: Arc<str>, changed: Arc<Notify>) {
    let mut request: Option<Boxed<'static, Answers>> = None;
    loop {
        let plan = session.waiting.plan(&session, &name, Moment::now(), request.is_none());
        let Some(plan) = plan else { return };
        for waiter in plan.expired {
            engine::spawn(give_up(session.clone(), waiter));
        }
        if let Some(task) = plan.task {
            request = Some(Box::pin(perform(session.clone(), task)));
        }
        tokio::select! {
            () = changed.notified() => {}
            () = tokio::time::sleep_until(plan.next.for_timer()) => {}
            answers = async {
                match request.as_mut() {
                    Some(request) => request.await,
                    None => std::future::pending().await,
                }
            } => {
                request = None;
                session.waiting.apply(&session, answers);
            }
        }
    }
}

async fn perform(session: Arc<Session>, task: Task) -> Answers {
    match task {
        Task::Join(id, claim) => {
            let by = session.answer_by(claim.ttl());
            let answer = match session.backend.listen(by).await {
                Ok(()) => session.backend.attempt(&claim, true, by).await,
                Err(error) => Err(error),
            };
            vec![(id, claim, answer)]
        }
        Task::Poll(ids, claims) => {
            let shortest = claims.iter().map(|claim| claim.ttl()).min().unwrap_or_default();
            let answers = session.backend.poll(&claims, session.answer_by(shortest)).await;
            let mut answers = match answers {
                Ok(answers) => answers.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); claims.len()],
            };
            let missing = || Err(crate::backend::not_understood("poll"));
            answers.resize_with(claims.len(), missing);
            ids.into_iter().zip(claims).zip(answers).map(|((id, c), a)| (id, c, a)).collect()
        }
    }
}

/// A caller has waited long enough: it leaves the queue and hears so.
async fn give_up(session: Arc<Session>, mut waiter: Waiter) {
    let by = Moment::now() + GOODBYE;
    let heard = waiter.nothing_sent() || session.backend.withdraw(&waiter.claim, by).await.is_ok();
    let time = Moment::now().since(waiter.since);
    let error = waiter.trouble.take().unwrap_or_else(|| timed_out(time));
    waiter.slot.fill(Err(error.at(&waiter.claim.name)));
    if !heard {
        session.withdraw(&waiter.claim, waiter.unsure).await;
    } else if waiter.unsure {
        session.withdraw_late(&waiter.claim).await;
    }
}

pub(crate) fn timed_out(waited: Duration) -> Error {
    Error::new(
        ErrorKind::AcquireTimeout,
        format!("not acquired in {:.3} s, somebody else holds it", waited.as_secs_f64()),
        "wait longer (timeout), hold it for less, or look at who holds it with inspect",
    )
}

fn tell(session: &Session, waiter: &Waiter) {
    if session.keeper.holds_name(&waiter.claim.name) {
        tracing::warn!(
            lock = &*waiter.claim.name,
            "this process has waited 10 s for a lock that it holds itself"
        );
    }
}
