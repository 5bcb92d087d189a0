//! A backend that does as a test says, to test what the engine makes of answers and signals.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::{Answer, Backend, Boxed, Claim, Direct, Inspection, Released, SignalSink};
use crate::client::Session;
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::token::Token;

/// What the engine asked of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Attempt(Token, u64),
    Poll(Token),
    Withdraw(Token),
    Release(Token),
    Extend(Token),
}

/// Answers that are given in turn; while there is none the request stays open.
#[derive(Debug, Default)]
struct Answers {
    attempts: VecDeque<Result<Answer>>,
    polls: VecDeque<Result<Answer>>,
    extensions: VecDeque<Option<Moment>>,
    releases_stay_open: bool,
}

/// The test's end of a fake backend.
pub(crate) struct Stage {
    pub(crate) session: Arc<Session>,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
    answers: Arc<Mutex<Answers>>,
    more: Arc<Notify>,
    sink: SignalSink,
}

struct Fake {
    asked: mpsc::UnboundedSender<Asked>,
    answers: Arc<Mutex<Answers>>,
    more: Arc<Notify>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (send, asked) = mpsc::unbounded_channel();
        let answers: Arc<Mutex<Answers>> = Arc::default();
        let more: Arc<Notify> = Arc::default();
        let mut signals = None;
        let session = Session::over(Duration::from_secs(5), |sink| {
            signals = Some(sink);
            Box::new(Fake { asked: send, answers: answers.clone(), more: more.clone() })
        });
        Self { session, asked, answers, more, sink: signals.unwrap() }
    }

    pub(crate) fn attempt_answers(&self, answer: Result<Answer>) {
        self.answers.lock().unwrap().attempts.push_back(answer);
        self.more.notify_waiters();
    }

    pub(crate) fn poll_answers(&self, answer: Result<Answer>) {
        self.answers.lock().unwrap().polls.push_back(answer);
        self.more.notify_waiters();
    }

    pub(crate) fn extend_answers(&self, until: Option<Moment>) {
        self.answers.lock().unwrap().extensions.push_back(until);
        self.more.notify_waiters();
    }

    /// Whether releases, answered at once otherwise, stay open.
    pub(crate) fn leave_releases_open(&self, open: bool) {
        self.answers.lock().unwrap().releases_stay_open = open;
        self.more.notify_waiters();
    }

    pub(crate) fn signal(&self, signal: super::Signal) {
        (self.sink)(signal);
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Asked {
        let next = tokio::time::timeout(Duration::from_secs(10), self.asked.recv()).await;
        next.expect("nothing was asked in 10 s").unwrap()
    }

    /// Everything asked so far is known to the test.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

impl Fake {
    fn note(&self, asked: Asked) {
        // A test that has ended does not listen.
        let _ = self.asked.send(asked);
    }

    /// The next answer of a kind, once there is one.
    async fn answer<T>(&self, next: impl Fn(&mut Answers) -> &mut VecDeque<T>) -> T {
        self.once(|answers| next(answers).pop_front()).await
    }

    async fn once<T>(&self, next: impl Fn(&mut Answers) -> Option<T>) -> T {
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            let answer = next(&mut self.answers.lock().unwrap());
            if let Some(answer) = answer {
                return answer;
            }
            more.await;
        }
    }
}

impl Backend for Fake {
    fn listening(&self) -> bool {
        true
    }

    fn hears(&self, listener: u32) -> bool {
        listener == 0
    }

    fn listen(&self, _by: Moment) -> Boxed<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn attempt<'a>(
        &'a self,
        claim: &'a Arc<Claim>,
        _queue: bool,
        _by: Moment,
    ) -> Boxed<'a, Result<Answer>> {
        self.note(Asked::Attempt(claim.token, claim.ticket));
        Box::pin(self.answer(|answers| &mut answers.attempts))
    }

    fn poll<'a>(&'a self, claims: &'a [Arc<Claim>], _by: Moment) -> Boxed<'a, Result<Vec<Answer>>> {
        for claim in claims {
            self.note(Asked::Poll(claim.token));
        }
        Box::pin(async move {
            let answer = self.answer(|answers| &mut answers.polls).await;
            answer.map(|answer| vec![answer; claims.len()])
        })
    }

    fn withdraw<'a>(&'a self, claim: &'a Claim, _by: Moment) -> Boxed<'a, Result<()>> {
        self.note(Asked::Withdraw(claim.token));
        Box::pin(async { Ok(()) })
    }

    fn release<'a>(
        &'a self,
        claim: &'a Claim,
        _sent: bool,
        _by: Moment,
    ) -> Boxed<'a, Result<Released>> {
        self.note(Asked::Release(claim.token));
        let freed =
            |answers: &mut Answers| (!answers.releases_stay_open).then_some(Released::Freed);
        Box::pin(async move { Ok(self.once(freed).await) })
    }

    fn extend<'a>(
        &'a self,
        claims: &'a [Arc<Claim>],
        _by: Moment,
    ) -> Boxed<'a, Vec<Result<Option<Moment>>>> {
        for claim in claims {
            self.note(Asked::Extend(claim.token));
        }
        Box::pin(async move {
            let mut given = Vec::new();
            for _ in claims {
                given.push(Ok(self.answer(|answers| &mut answers.extensions).await));
            }
            given
        })
    }

    fn inspect<'a>(&'a self, _name: &'a str, _by: Moment) -> Boxed<'a, Result<Inspection>> {
        Box::pin(async { Err(Error::unavailable("a fake has nothing to show")) })
    }

    fn direct(&self) -> Option<&dyn Direct> {
        None
    }

    fn shut(&self) {}
}
