//! Taking a lock: the first attempt on the caller's own fast path, the wait on the engine.

use std::sync::Arc;
use std::time::Duration;

pub(crate) use crate::attempt::Patience;

use crate::attempt::Decision;
use crate::backend::{Answer, Attempted, Backend, Boxed, Claim, Interrupt, Pipeline};
use crate::client::UnderWay;
use crate::clock::Moment;
use crate::completion::{First, Step};
use crate::engine;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::lease::{Holding, Lease};
use crate::lock::Described;
use crate::token::Token;
use crate::wait::{Place, timed_out};

/// One acquire, from its first attempt on.
pub(crate) struct Acquiring {
    session: UnderWay,
    described: Arc<Described>,
    claim: Arc<Claim>,
    patience: Patience,
    since: Moment,
    place: Option<Place>,
    /// With which the last attempt was made.
    listener: u32,
    /// A second attempt is under way, and the first may still be on its way, too.
    repeating: bool,
}

impl Drop for Acquiring {
    fn drop(&mut self) {
        // What is dropped is withdrawn behind its last request, but the first may come after that.
        if self.repeating && self.session.is_of_this_process() {
            self.withdraw();
        }
    }
}

/// How an attempt left things.
enum Next {
    Lease(Lease),
    Busy,
    Wait(Place),
    /// The outcome is not known: the same token once more.
    Again,
}

impl Acquiring {
    /// `listener` gives the listener that the claim may name.
    fn begin(
        described: &Arc<Described>,
        patience: Patience,
        listener: impl FnOnce(&dyn Backend) -> u32,
    ) -> Result<Self> {
        described.check()?;
        let session = UnderWay::new(described.shared.session()?);
        session.check_open()?;
        let options = &described.options;
        let (name, label) = (described.name.clone(), options.label.clone());
        let mut claim = Claim::new(name, Token::generate()?, options.ttl_ms(), label);
        claim.listener = listener(&*session.backend);
        let (listener, claim) = (claim.listener, Arc::new(claim));
        let since = Moment::now();
        let described = described.clone();
        let mut acquiring = Self {
            session,
            described,
            claim,
            patience,
            since,
            place: None,
            listener,
            repeating: false,
        };
        if patience.queues(acquiring.session.backend.listening()) {
            acquiring.place = Some(acquiring.enter());
        }
        Ok(acquiring)
    }

    fn enter(&self) -> Place {
        let until = self.patience.until(self.since);
        self.session.waiting.enter(&self.session, &self.claim, &self.described.options, until)
    }

    /// When the answer to an attempt is of no use any more.
    fn by(&self) -> Moment {
        self.patience.by(self.since, self.session.answer_by(self.claim.ttl()))
    }

    fn lease(&self, fence: u64, valid_until: Moment) -> Lease {
        let claim = self.claim.clone();
        Lease::new(&self.session, Holding::new(claim, &self.described.options, fence, valid_until))
    }

    /// What may have been granted without our knowing is given back.
    fn withdraw(&self) {
        let (session, claim) = (self.session.clone(), self.claim.clone());
        engine::spawn(async move { session.withdraw(&claim, true).await });
    }

    fn next(&mut self, answer: Result<Answer>, repeated: bool) -> Result<Next> {
        match self.patience.next(answer, repeated) {
            Decision::Granted { fence, valid_until, straggler } => Ok(match self.place.take() {
                None => {
                    let lease = self.lease(fence, valid_until);
                    if straggler {
                        lease.expect_straggler();
                    }
                    Next::Lease(lease)
                }
                Some(place) => place
                    .settle(|| self.lease(fence, valid_until))
                    .map_or_else(Next::Wait, Next::Lease),
            }),
            Decision::Busy { withdraw } => {
                if withdraw {
                    self.withdraw();
                }
                Ok(Next::Busy)
            }
            Decision::Wait(answer) => {
                let place = self.place.take().unwrap_or_else(|| self.enter());
                place.stay(&answer, self.listener);
                Ok(Next::Wait(place))
            }
            Decision::Again => Ok(Next::Again),
            Decision::Failed { error, withdraw } => {
                if withdraw {
                    self.withdraw();
                }
                Err(error)
            }
        }
    }
}

/// Acquires for a future; `None` when it is held by another and `patience` is `Once`.
pub(crate) async fn acquire(
    described: Arc<Described>,
    patience: Patience,
) -> Result<Option<Lease>> {
    let listener = |backend: &dyn Backend| match patience {
        Patience::Once => 0,
        Patience::For(_) | Patience::Forever => backend.listener(),
    };
    let outcome = match Acquiring::begin(&described, patience, listener) {
        Ok(acquiring) => acquiring.attempts(false).await,
        Err(error) => Err(error),
    };
    outcome.map_err(|error: Error| error.at(&described.name))
}

impl Acquiring {
    /// Makes attempts, and waits if need be; `repeated` if one was made with an unknown outcome.
    async fn attempts(mut self, mut repeated: bool) -> Result<Option<Lease>> {
        loop {
            let queue = self.place.is_some();
            let by = self.by();
            self.repeating = repeated;
            let answer = self.session.backend.attempt(&self.claim, queue, by).await;
            self.repeating = false;
            match self.next(answer, repeated)? {
                Next::Lease(lease) => return Ok(Some(lease)),
                Next::Busy => return Ok(None),
                Next::Wait(place) => {
                    drop(self);
                    return place.wait().await.map(Some);
                }
                Next::Again => repeated = true,
            }
        }
    }
}

/// An acquire whose first attempt is on its way, by an event loop's connection.
pub(crate) struct Attempt {
    pipeline: Arc<dyn Pipeline>,
    ticket: u64,
}

impl Attempt {
    /// Gives it up, unless it was answered.
    pub(crate) fn give_up(self) {
        self.pipeline.give_up(self.ticket);
    }
}

/// Acquires for a caller on an event loop: by the loop's connection, if it is open, `then` being
/// called at one of its turns with the outcome or what is left to do; else all of it is left.
pub(crate) fn acquire_by(
    event_loop: &EventLoop,
    described: &Arc<Described>,
    patience: Patience,
    then: impl FnOnce(First) + Send + 'static,
) -> Result<Option<Attempt>> {
    let name = described.name.clone();
    let at = move |error: Error| error.at(&name);
    let left = |rest: Boxed<'static, Result<Option<Lease>>>| First::Done(Step::Left(rest));
    let mut pipeline = None;
    let listener = |backend: &dyn Backend| {
        pipeline = backend.pipeline(event_loop);
        pipeline.as_ref().map_or(0, |pipeline| pipeline.listener())
    };
    let mut acquiring = Acquiring::begin(described, patience, listener).map_err(&at)?;
    let Some(pipeline) = pipeline else {
        then(left(Box::pin(async move { acquiring.attempts(false).await.map_err(at) })));
        return Ok(None);
    };
    let (claim, queue, by) = (acquiring.claim.clone(), acquiring.place.is_some(), acquiring.by());
    let done = move |answer| {
        then(match acquiring.next(answer, false) {
            Ok(Next::Lease(lease)) => First::Done(Step::Over(Ok(Some(lease)))),
            Ok(Next::Busy) => First::Done(Step::Over(Ok(None))),
            Ok(Next::Wait(place)) => {
                First::Waits(place, Box::new(move |end| end.map(Some).map_err(at)))
            }
            Ok(Next::Again) => {
                left(Box::pin(async move { acquiring.attempts(true).await.map_err(at) }))
            }
            Err(error) => First::Done(Step::Over(Err(at(error)))),
        });
    };
    let ticket = pipeline.attempt(&claim, queue, by, Box::new(done));
    Ok(Some(Attempt { pipeline, ticket }))
}

/// Acquires on the calling thread.
pub(crate) fn acquire_blocking(
    described: &Arc<Described>,
    patience: Patience,
    mut interrupt: Option<Interrupt<'_>>,
) -> Result<Option<Lease>> {
    let mut outcome = || {
        let mut acquiring = Acquiring::begin(described, patience, |_| 0)?;
        let mut repeated = false;
        loop {
            let Attempted { answer, listener, ear } = acquiring.attempt_blocking(&mut interrupt);
            acquiring.listener = listener;
            match acquiring.next(answer, repeated)? {
                Next::Lease(lease) => return Ok(Some(lease)),
                Next::Busy => return Ok(None),
                Next::Wait(place) => {
                    drop(acquiring);
                    return place.block(ear, interrupt.take()).map(Some);
                }
                Next::Again => repeated = true,
            }
        }
    };
    outcome().map_err(|error: Error| error.at(&described.name))
}

impl Acquiring {
    fn attempt_blocking(&self, interrupt: &mut Option<Interrupt<'_>>) -> Attempted {
        let queue = self.place.is_some();
        let by = self.by();
        if let Some(direct) = self.session.backend.direct() {
            let mut never = || false;
            return match interrupt {
                Some(interrupt) => direct.attempt(&self.claim, queue, by, &mut **interrupt),
                None => direct.attempt(&self.claim, queue, by, &mut never),
            };
        }
        let (session, claim) = (self.session.clone(), self.claim.clone());
        engine::block_on(async move { session.backend.attempt(&claim, queue, by).await })
            .and_then(std::convert::identity)
            .into()
    }
}

/// The error of a wait that had no time to begin.
pub(crate) fn busy() -> Error {
    timed_out(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::{Asked, Stage};
    use crate::options::ClientOptions;

    #[tokio::test]
    async fn a_second_attempt_that_is_dropped_is_withdrawn_for_the_sake_of_the_first() {
        let mut stage = Stage::new();
        let client = crate::Client::lazy("redis://localhost:6379", ClientOptions::new()).unwrap();
        let described = client.lock("a").described;
        let (name, token) = (described.name.clone(), Token::generate().unwrap());
        let claim = Arc::new(Claim::new(name, token, 10_000, "".into()));
        let acquiring = Acquiring {
            session: UnderWay::new(stage.session.clone()),
            described,
            claim: claim.clone(),
            patience: Patience::Once,
            since: Moment::now(),
            place: None,
            listener: 0,
            repeating: false,
        };
        stage.attempt_answers(Err(Error::unavailable("the connection broke").maybe_done()));
        let attempts = tokio::spawn(acquiring.attempts(false));
        assert_eq!(stage.next().await, Asked::Attempt(claim.token, 0));
        assert_eq!(stage.next().await, Asked::Attempt(claim.token, 0));
        attempts.abort();
        assert_eq!(stage.next().await, Asked::Withdraw(claim.token));
    }
}
