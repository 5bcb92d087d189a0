//! The wait loop of one lock: a signal or a moment to look, then poll. Runs on the engine while
//! anybody of this client waits for the lock. What it does when is the [`Table`]'s to say.
//!
//! [`Table`]: super::table::Table

use std::sync::Arc;

use tokio::sync::Notify;

use super::table::{Answers, Task};
use super::{Caller, Waiter};
use crate::backend::Boxed;
use crate::client::Session;
use crate::clock::Moment;
use crate::token::Token;

/// The loop of one room.
pub(super) async fn run(session: Arc<Session>, name: Arc<str>, changed: Arc<Notify>) {
    let mut request: Option<Boxed<'static, Answers>> = None;
    loop {
        let plan = session.waiting.plan(&name, request.is_none());
        let Some(plan) = plan else { return };
        session.waiting.carry_out(&session, plan.effects);
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
                let effects =
                    session.waiting.state().table.apply(answers, Moment::now(), Token::generate);
                // Messages come on this thread, too: none can fall in between.
                session.waiting.carry_out(&session, effects);
            }
        }
    }
}

async fn perform(session: Arc<Session>, task: Task) -> Answers {
    let by = session.answer_by(task.ttl());
    let answers = match &task {
        Task::Join { claim, .. } => match session.backend.listen(by).await {
            Ok(()) => session.backend.attempt(claim, true, by).await.map(|answer| vec![answer]),
            Err(error) => Err(error),
        },
        Task::Poll { claims, .. } => session.backend.poll(claims, by).await,
    };
    task.answered(answers)
}

/// A caller has waited long enough: it leaves the queue and hears so.
pub(super) async fn give_up(session: Arc<Session>, mut waiter: Waiter<Caller>) {
    let heard = match waiter.goodbye(Moment::now()) {
        Some(by) => session.backend.withdraw(&waiter.claim, by).await.is_ok(),
        None => true,
    };
    let (error, withdrawal) = waiter.expired(heard, Moment::now());
    waiter.caller.slot.fill(Err(error));
    if let Some(withdrawal) = withdrawal {
        session.carry_out(&waiter.claim, withdrawal).await;
    }
}
