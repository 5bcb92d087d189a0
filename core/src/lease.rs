//! One holding of a lock.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::backend::{Claim, Interrupt, Released};
use crate::client::{Session, UnderWay};
use crate::clock::Moment;
use crate::completion::Step;
use crate::ending::{Ending, Told};
use crate::engine;
use crate::error::{Error, ErrorKind, LossReason, Result};
use crate::event_loop::EventLoop;
use crate::fork::{self, Native};
use crate::options::LockOptions;
use crate::release::{Outcome, Repetition};
use crate::term::{Event, Phase, Term};

/// What a lease, the keeper and the client know together of one holding.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) claim: Arc<Claim>,
    pub(crate) fence: u64,
    pub(crate) renew: bool,
    pub(crate) since: Moment,
    pub(crate) ends_at: Moment,
    generation: u64,
    valid_until: AtomicU64,
    /// A [`Phase`].
    phase: AtomicU8,
    ending: Ending,
}

impl Holding {
    pub(crate) fn new(
        claim: Arc<Claim>,
        options: &LockOptions,
        fence: u64,
        valid_until: Moment,
    ) -> Self {
        let since = Moment::now();
        Self {
            claim,
            fence,
            renew: options.renew,
            since,
            ends_at: options.max_hold.map_or(Moment::NEVER, |time| since + time),
            generation: fork::generation(),
            valid_until: AtomicU64::new(valid_until.nanos()),
            phase: AtomicU8::new(Phase::Held.encode()),
            ending: Ending::default(),
        }
    }

    fn phase(&self) -> Phase {
        Phase::decode(self.phase.load(Ordering::Acquire))
    }

    fn term(&self) -> Term {
        let until = Moment::from_nanos(self.valid_until.load(Ordering::Acquire));
        Term { phase: self.phase(), until, ends_at: self.ends_at }
    }

    /// Does what an event asks for; false where it came too late.
    fn step(&self, event: Event) -> bool {
        let next = |phase| Phase::decode(phase).after(event).map(Phase::encode);
        self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    /// The last moment of the lease as it stands, `max_hold` considered.
    pub(crate) fn valid_until(&self) -> Moment {
        self.term().valid_until()
    }

    /// A renewal was granted; it never makes the lease shorter.
    pub(crate) fn prolong(&self, until: Moment) {
        self.valid_until.fetch_max(until.nanos(), Ordering::AcqRel);
    }

    /// Whether it is held at this very moment; looks at the clock each time.
    pub(crate) fn is_held(&self) -> bool {
        self.loss().is_none() && self.phase() == Phase::Held
    }

    /// Why it was lost, if it was. A lease whose time is over is lost from here on.
    pub(crate) fn loss(&self) -> Option<LossReason> {
        if self.generation != fork::generation() {
            return Some(LossReason::Forked);
        }
        // The clock first: a renewal that comes between the two counts.
        let now = Moment::now();
        if let Some(reason) = self.term().overdue(now) {
            self.lose(reason);
        }
        self.phase().loss()
    }

    /// Marks it lost, if it was held: true then.
    pub(crate) fn lose(&self, reason: LossReason) -> bool {
        let lost = self.step(Event::Lost(reason));
        if lost {
            let name = &*self.claim.name;
            if reason == LossReason::Closed {
                // The holder's own doing.
                tracing::debug!(lock = name, "lease released by closing its client");
            } else {
                tracing::warn!(lock = name, reason = reason.name(), "lease lost");
            }
            self.ending.tell(Some(reason));
        }
        lost
    }

    fn released(&self) {
        if self.step(Event::Released) {
            self.ending.tell(None);
        }
    }

    /// Waits until it is lost, or released: `None` then.
    pub(crate) async fn ended(&self) -> Option<LossReason> {
        loop {
            let changed = self.ending.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change falls in between.
            changed.as_mut().enable();
            if let Some(reason) = self.loss() {
                return Some(reason);
            }
            if matches!(self.phase(), Phase::Released | Phase::Abandoned) {
                return None;
            }
            changed.await;
        }
    }

    fn has_ended(&self) -> bool {
        !matches!(self.phase(), Phase::Held | Phase::Releasing)
    }

    /// As [`ended`](Self::ended), by a callback on the thread that notices; `None` if it was
    /// called at once, else the number by which to forget it.
    pub(crate) fn watch(&self, told: Told) -> Option<u64> {
        // In a forked child, too: there the list may be locked for ever.
        if let Some(reason) = self.loss() {
            told(Some(reason));
            return None;
        }
        match self.ending.watch(told, || self.has_ended()) {
            Ok(number) => Some(number),
            Err(told) => {
                told(self.loss());
                None
            }
        }
    }

    /// Tells that watcher no more.
    pub(crate) fn forget(&self, number: u64) {
        self.ending.forget(number);
    }

    /// Waits until it is lost; for ever if it is released first.
    async fn lost(&self) -> LossReason {
        match self.ended().await {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}

/// One holding of a lock, from its grant until it is released or lost.
///
/// A lease is kept alive in the background. While [`is_held`](Self::is_held) is true nobody else
/// holds the lock (see the crate's promise); where correctness matters, pass
/// [`fence`](Self::fence) to what you write to.
///
/// Dropping it releases it in the background; [`release`](Self::release) does so at once and
/// tells how it went.
#[must_use = "dropping a lease releases the lock"]
#[derive(Debug)]
pub struct Lease {
    holding: Arc<Holding>,
    session: Native<Arc<Session>>,
}

impl Lease {
    pub(crate) fn new(session: &Arc<Session>, holding: Holding) -> Self {
        let holding = Arc::new(holding);
        session.keeper.keep(session, &holding);
        Self { holding, session: Native::new(session.clone()) }
    }

    /// A request with this lease's token may still be on its way, repeated or overtaken by the
    /// grant. Arriving after the release it would take the lock for nobody: once the lease is
    /// over, the token is withdrawn (protocol, "The client's part", 6).
    pub(crate) fn expect_straggler(&self) {
        let (session, holding) = (self.session.get().cloned(), self.holding.clone());
        let Some(session) = session else { return };
        engine::spawn(async move {
            holding.ended().await;
            tokio::time::sleep(holding.phase().straggler_after(holding.claim.ttl())).await;
            session.withdraw(&holding.claim, true).await;
        });
    }

    /// The lock's name.
    pub fn name(&self) -> &str {
        &self.holding.claim.name
    }

    /// The fencing token: larger than that of every earlier lease of this lock, and below 2^53.
    ///
    /// Give it to the resource with each write, and let the resource refuse smaller ones.
    pub fn fence(&self) -> u64 {
        self.holding.fence
    }

    /// Whether the lock is held at this moment. Costs a look at the clock, no round trip.
    pub fn is_held(&self) -> bool {
        self.holding.is_held()
    }

    /// How long the lease still lasts unless it is renewed; zero once it is not held.
    pub fn remaining(&self) -> Duration {
        if self.is_held() {
            self.holding.valid_until().since(Moment::now())
        } else {
            Duration::ZERO
        }
    }

    /// Why the lease was lost, if it was.
    pub fn loss(&self) -> Option<LossReason> {
        self.holding.loss()
    }

    /// Fails if the lease is not held any more.
    ///
    /// # Errors
    ///
    /// `Lost` with the reason, or `NotHeld` after a release.
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = self.holding.loss() {
            return Err(Error::lost(reason).at(self.name()));
        }
        if self.holding.is_held() {
            return Ok(());
        }
        Err(Error::not_held("the lease was released").at(self.name()))
    }

    /// Waits until the lease is lost, and tells why. It never ends if the lease is released.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait changes nothing.
    pub fn lost(&self) -> impl Future<Output = LossReason> + Send + 'static {
        let holding = self.holding.clone();
        async move { holding.lost().await }
    }

    /// Runs a future for as long as the lease is held.
    ///
    /// # Errors
    ///
    /// `Lost` when the lease was lost first; the future is dropped then.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the future, and leaves the lease as it is.
    pub async fn guard<F: Future>(&self, future: F) -> Result<F::Output> {
        tokio::select! {
            biased;
            reason = self.holding.lost() => Err(Error::lost(reason).at(self.name())),
            output = future => Ok(output),
        }
    }

    /// Renews the lease now, for its full TTL.
    ///
    /// # Errors
    ///
    /// `Lost` if the server refused or the time was over, `Unavailable` if it could not be
    /// reached (the lease is held until its deadline all the same).
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the lease held.
    pub async fn renew(&self) -> Result<()> {
        engine::run(self.renewal()?).await?.map_err(|error| error.at(self.name()))
    }

    pub(crate) fn renew_blocking(&self, interrupt: Option<Interrupt<'_>>) -> Result<()> {
        engine::block_on_with(self.renewal()?, interrupt).map_err(|error| error.at(self.name()))
    }

    pub(crate) fn renewal(&self) -> Result<impl Future<Output = Result<()>> + Send + 'static> {
        self.check()?;
        let (session, holding) = (self.session()?.clone(), self.holding.clone());
        Ok(async move { session.keeper.renew_now(&session, &holding).await })
    }

    pub(crate) fn holding(&self) -> &Arc<Holding> {
        &self.holding
    }

    /// Waits until the lease is lost, or released: `None` then.
    pub(crate) fn ended(&self) -> impl Future<Output = Option<LossReason>> + Send + 'static {
        let holding = self.holding.clone();
        async move { holding.ended().await }
    }

    /// Gives the lock back, to the first waiter if there is one, and tells how it went.
    ///
    /// # Errors
    ///
    /// `Lost` if it was not held any more; `Unavailable` if the server did not confirm: the
    /// release is then repeated in the background until the lease ends by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it goes on in the background.
    pub async fn release(self) -> Result<()> {
        let releasing = self.begin_release()?;
        let answer = if Handle::try_current().is_ok() {
            releasing.session.backend.release(&self.holding.claim, false, releasing.by).await
        } else {
            engine::run(releasing.request(false)).await?
        };
        releasing.finish(answer)
    }

    /// As [`release`](Self::release), on the calling thread; callable through a reference, so
    /// that a second release has an answer.
    pub(crate) fn release_blocking(&self, interrupt: Option<Interrupt<'_>>) -> Result<()> {
        let releasing = self.begin_release()?;
        let mut never = || false;
        let answer = match releasing.session.backend.direct() {
            Some(direct) => {
                let interrupt = interrupt.unwrap_or(&mut never);
                direct.release(&self.holding.claim, releasing.by, interrupt)
            }
            None => engine::block_on_with(releasing.request(false), interrupt),
        };
        releasing.finish(answer)
    }

    /// Releases for a caller on an event loop: by the loop's connection, if it is open, `then`
    /// being called at one of its turns with the outcome or what is left to do; else all of it
    /// is left. With a `limit`, the loop's connection is waited for no longer.
    pub(crate) fn release_by(
        &self,
        event_loop: &EventLoop,
        limit: Option<Duration>,
        then: impl FnOnce(Step<()>) + Send + 'static,
    ) -> Result<()> {
        let releasing = self.begin_release()?;
        let Some(pipeline) = releasing.session.backend.pipeline(event_loop) else {
            then(Step::Left(Box::pin(releasing.go_on(false))));
            return Ok(());
        };
        let claim = self.holding.claim.clone();
        let by = limit.map_or(Moment::NEVER, |limit| Moment::now() + limit).min(releasing.by);
        let done = move |answer: Result<Released>| {
            then(if answer.as_ref().is_err_and(Error::is_ambiguous) {
                Step::Left(Box::pin(releasing.go_on(true)))
            } else {
                Step::Over(releasing.finish(answer))
            });
        };
        pipeline.release(&claim, by, Box::new(done));
        Ok(())
    }

    /// Gives it back in the background, if it is not over.
    pub(crate) fn give_back(&self) {
        // Dropped, a release goes on in the background.
        drop(self.begin_release());
    }

    /// Stops renewing without releasing: the lock stays taken until the deadline. For languages
    /// whose garbage collector drops a lease that somebody may still rely on.
    pub fn abandon(&self) {
        if self.holding.loss().is_none() && self.holding.step(Event::Abandoned) {
            self.holding.ending.tell(None);
            if let Some(session) = self.session.get() {
                session.keeper.leave(&self.holding);
            }
            tracing::warn!(
                lock = self.name(),
                "a lease was discarded without release; the lock stays taken until it lapses"
            );
        }
    }

    fn session(&self) -> Result<&Arc<Session>> {
        fork::notice_stripping();
        self.session.get().ok_or_else(|| Error::lost(LossReason::Forked).at(self.name()))
    }

    /// Marks it releasing *before* anything is sent, so that a renewal that crosses the release
    /// is no loss.
    fn begin_release(&self) -> Result<Releasing> {
        let session = UnderWay::new(self.session()?.clone());
        let held = self.holding.is_held() && self.holding.step(Event::ReleaseBegun);
        let lost = self.holding.loss();
        if !held && lost.is_none() {
            return Err(Error::not_held("the lease was released before").at(self.name()));
        }
        session.keeper.leave(&self.holding);
        // A lease that is lost is released all the same: the server may still have it.
        let by = session.answer_by(self.holding.claim.ttl());
        Ok(Releasing { session, holding: self.holding.clone(), lost, by, done: false })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Forked: nothing at all. Abandoned, released or lost: nothing is left to give back.
        let Some(session) = self.session.get() else {
            return;
        };
        let session = UnderWay::new(session.clone());
        if self.holding.step(Event::ReleaseBegun) {
            session.keeper.leave(&self.holding);
            let by = session.answer_by(self.holding.claim.ttl());
            let holding = self.holding.clone();
            drop(Releasing { session, holding, lost: None, by, done: false });
        }
    }
}

/// A release under way. Dropped before its answer came, it goes on in the background.
struct Releasing {
    session: UnderWay,
    holding: Arc<Holding>,
    lost: Option<LossReason>,
    by: Moment,
    done: bool,
}

impl Releasing {
    /// The request, for the engine to send; `sent` if it was before, and not answered.
    fn request(&self, sent: bool) -> impl Future<Output = Result<Released>> + Send + 'static {
        let (session, holding, by) = (self.session.clone(), self.holding.clone(), self.by);
        async move { session.backend.release(&holding.claim, sent, by).await }
    }

    /// Waits for the end, on the engine; `sent` if a first request was not answered.
    async fn go_on(self, sent: bool) -> Result<()> {
        let answer = self.request(sent).await;
        self.finish(answer)
    }

    /// What the release came to for the caller.
    fn finish(mut self, answer: Result<Released>) -> Result<()> {
        let name = &*self.holding.claim.name;
        let result = match Outcome::of(answer, self.lost) {
            Outcome::Over(result) => result,
            // Dropping `self` repeats it in the background.
            Outcome::Open(error) => return Err(error.at(name)),
        };
        self.done = true;
        self.holding.released();
        self.session.keeper.forget(&self.holding);
        result.map_err(|error| error.at(name))
    }

    /// Repeats a release until the server has answered or the lease is over anyway.
    async fn repeat(session: UnderWay, holding: Arc<Holding>) {
        let mut repetition = Repetition::default();
        while Moment::now() < holding.valid_until() {
            let by = session.answer_by(holding.claim.ttl());
            let answer = session.backend.release(&holding.claim, false, by).await;
            if let Some(pause) = repetition.again(&answer) {
                tokio::time::sleep(pause).await;
                continue;
            }
            if let Err(error) = answer
                && error.kind() != ErrorKind::Closed
            {
                tracing::warn!("a release in the background failed: {error}");
            }
            break;
        }
        holding.released();
        session.keeper.forget(&holding);
    }
}

impl Drop for Releasing {
    fn drop(&mut self) {
        if !self.done && self.session.is_of_this_process() {
            let session = UnderWay::new(self.session.clone());
            engine::spawn(Self::repeat(session, self.holding.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::testing;
    use crate::token::Token;

    #[test]
    fn a_lease_that_ran_out_while_the_machine_slept_is_lost_at_the_first_look() {
        let claim = Arc::new(Claim::new("a".into(), Token::generate().unwrap(), 10_000, "".into()));
        let until = Moment::now() + Duration::from_secs(10);
        let holding = Holding::new(claim, &LockOptions::default(), 1, until);
        assert!(holding.is_held());
        testing::sleep(Duration::from_secs(3600));
        assert!(!holding.is_held());
        holding.prolong(Moment::now() + Duration::from_secs(10));
        assert_eq!(holding.loss(), Some(LossReason::Expired), "it never comes back");
    }
}
