//! The embedded store: locks on one machine, without a server, in an `SQLite` file that every
//! process opens, or in the memory of this one. `docs/embedded.md` tells what it promises.
//!
//! The state machine is that of the Redis scripts ([`ledger`]); a transaction takes some 15 µs, and
//! whoever asks carries it out on its own thread.

mod boot;
mod connection;
mod fault;
mod gate;
pub(crate) mod ledger;
mod place;
mod post;
mod process;
mod registry;
mod schema;
mod store;
#[cfg(feature = "model")]
pub(crate) mod told;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use self::fault::Fault;
use self::ledger::{Asker, Ledger, Queued, Standing, Wish};
pub(crate) use self::place::Place;
use self::registry::Registry;
use self::store::Store;
use super::look::{at_expiry, heartbeat, window};
use super::withdrawal::{self, Withdrawal};
use super::{
    Answer, Attempted, Backend, Boxed, Claim, Direct, Holder, Inspection, Interrupt, Mode,
    Released, SignalSink,
};
use crate::clock::{Moment, valid_until};
use crate::engine;
use crate::error::{Error, ErrorKind, Result};
use crate::fork;
use crate::options::ClientOptions;
use crate::token::Token;
use crate::wait::{INTERRUPT_CHECK, interrupted};

/// What a thread that must not block waits for others: longer, and another thread takes over.
const AT_ONCE: Duration = Duration::from_micros(300);

/// One store, as one client sees it.
#[derive(Debug)]
pub(crate) struct EmbeddedBackend {
    core: Arc<Core>,
}

/// What clean-up in the background needs to outlive a call.
struct Core {
    place: Arc<Place>,
    connect_timeout: Duration,
    prefix: String,
    client: String,
    sink: SignalSink,
    store: Mutex<Option<Arc<Store>>>,
    shut: AtomicBool,
    jitter: AtomicU64,
    generation: u64,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.generation == fork::generation()
            && let Some(store) = self.store().take()
        {
            store.leave(&self.client);
        }
    }
}

impl EmbeddedBackend {
    pub(crate) fn new(
        place: Arc<Place>,
        options: &ClientOptions,
        client: String,
        sink: SignalSink,
    ) -> Self {
        let core = Core {
            place,
            connect_timeout: options.connect_timeout,
            prefix: options.prefix.clone().unwrap_or_default(),
            client,
            sink,
            store: Mutex::new(None),
            shut: AtomicBool::new(false),
            jitter: AtomicU64::new(0),
            generation: fork::generation(),
        };
        Self { core: Arc::new(core) }
    }
}

impl Core {
    fn store(&self) -> MutexGuard<'_, Option<Arc<Store>>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, if it is open.
    fn ready(&self) -> Option<Arc<Store>> {
        self.store().as_ref().filter(|store| store.is_current()).cloned()
    }

    /// The store, opened if it is not. Blocks.
    fn open(&self, by: Moment) -> Result<Arc<Store>> {
        if self.shut.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        if let Some(store) = self.ready() {
            return Ok(store);
        }
        let by = by.min(Moment::now() + self.connect_timeout);
        let store = Registry::current().open(&self.place.at, by)?;
        store.enter(&self.client, &self.sink);
        let before = self.store().replace(store.clone());
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, &store)) {
            before.leave(&self.client);
        }
        Ok(store)
    }

    /// Runs a transaction, on a new store if the file was replaced. Blocks.
    fn transact<T>(
        &self,
        by: Moment,
        until: Moment,
        work: impl Fn(&mut Ledger<'_>, &Store) -> std::result::Result<T, Fault>,
    ) -> std::result::Result<T, Fault> {
        let mut tries = 0;
        loop {
            let store = self.open(by)?;
            tries += 1;
            match store.transact(until, |ledger| work(ledger, &store)) {
                Err(Fault::Replaced) if tries < 3 => {}
                done => return done,
            }
        }
    }

    fn error(&self, fault: Fault) -> Error {
        fault.into_error(&self.place.to_string())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn asker<'a>(&'a self, store: &'a Store) -> Asker<'a> {
        Asker { client: &self.client, process: store.process() }
    }

    fn jitter(&self, now: Moment) -> f64 {
        // Golden-ratio steps: spread evenly, and no generator that a fork would repeat matters.
        let step = self.jitter.fetch_add(1, Ordering::Relaxed) ^ now.nanos();
        (f64::from(u32::try_from(step & 0xFFFF).unwrap_or(0)) * 0.618_034).fract()
    }

    /// What a standing means for a claim that was sent at that time.
    fn answer(&self, claim: &Claim, sent: Moment, standing: Standing) -> Result<Answer> {
        let until = valid_until(sent, claim.ttl());
        Ok(match standing {
            Standing::Held { fence } => Answer::Granted { fence, valid_until: until },
            Standing::Busy { .. } => Answer::Busy,
            Standing::Gone => Answer::Gone,
            Standing::Queued(Queued { rank, ticket, remaining, ahead }) => {
                if let Some(store) = self.ready() {
                    store.watch(&ahead);
                }
                let now = Moment::now();
                let remaining = Duration::from_nanos(remaining.unwrap_or(0));
                let after = heartbeat(claim.ttl(), self.jitter(now));
                let after = at_expiry(remaining, rank).map_or(after, |expiry| after.min(expiry));
                Answer::Queued { ticket: Some(ticket), look_at: now + after, granted_until: until }
            }
            Standing::Full => {
                return Err(Error::new(
                    ErrorKind::Backend,
                    "10000 waiters are in the queue, and it takes no more",
                    "let fewer callers wait for one lock, or split it into several",
                ));
            }
        })
    }

    fn attempt(
        &self,
        claim: &Claim,
        queue: bool,
        by: Moment,
        until: Moment,
    ) -> std::result::Result<Answer, Fault> {
        let Mode::Exclusive = claim.mode;
        let name = self.key(&claim.name);
        let sent = Moment::now();
        let standing = self.transact(by, until, |ledger, store| {
            let wish = Wish {
                name: &name,
                token: claim.token,
                ttl_ms: claim.ttl_ms,
                label: &claim.label,
                ticket: claim.ticket,
            };
            ledger.acquire(wish, queue, self.asker(store), nanos(window(claim.ttl())))
        })?;
        Ok(self.answer(claim, sent, standing)?)
    }

    fn poll(
        &self,
        claims: &[Arc<Claim>],
        by: Moment,
        until: Moment,
    ) -> std::result::Result<Vec<Answer>, Fault> {
        let Some(first) = claims.first() else { return Ok(Vec::new()) };
        let name = self.key(&first.name);
        let longest = claims.iter().map(|claim| claim.ttl()).max().unwrap_or_default();
        let waiters: Vec<(Token, u64)> =
            claims.iter().map(|claim| (claim.token, claim.ttl_ms)).collect();
        let sent = Moment::now();
        let standings = self.transact(by, until, |ledger, store| {
            ledger.poll(&name, self.asker(store), nanos(window(longest)), &waiters)
        })?;
        let answers = claims.iter().zip(standings);
        Ok(answers
            .map(|(claim, standing)| self.answer(claim, sent, standing))
            .collect::<Result<_>>()?)
    }

    fn cancel(&self, claim: &Claim, by: Moment, until: Moment) -> std::result::Result<(), Fault> {
        let name = self.key(&claim.name);
        self.transact(by, until, |ledger, _| ledger.cancel(&name, &claim.token).map(drop))
    }

    fn release(
        &self,
        claim: &Claim,
        by: Moment,
        until: Moment,
    ) -> std::result::Result<Released, Fault> {
        let name = self.key(&claim.name);
        self.transact(by, until, |ledger, _| ledger.release(&name, &claim.token))
    }

    fn extend(
        &self,
        claims: &[Arc<Claim>],
        by: Moment,
        until: Moment,
    ) -> std::result::Result<Vec<Option<Moment>>, Fault> {
        let sent = Moment::now();
        self.transact(by, until, |ledger, _| {
            let mut extended = Vec::with_capacity(claims.len());
            for claim in claims {
                let name = self.key(&claim.name);
                let held = ledger.extend(&name, &claim.token, claim.ttl_ms)?;
                extended.push(held.then(|| valid_until(sent, claim.ttl())));
            }
            Ok(extended)
        })
    }

    fn inspect(
        &self,
        name: &str,
        by: Moment,
        until: Moment,
    ) -> std::result::Result<Inspection, Fault> {
        let key = self.key(name);
        let (seen, waiters) = self.transact(by, until, |ledger, _| ledger.inspect(&key))?;
        let holder = seen.map(|seen| {
            let hash = sha1_smol::Sha1::from(seen.token.as_bytes()).digest().to_string();
            Holder {
                id: hash[..8].to_owned(),
                foreign: false,
                fence: Some(seen.fence),
                ttl: Some(Duration::from_millis(seen.ttl_ms)),
                remaining: Some(Duration::from_nanos(seen.remaining)),
                label: seen.label,
            }
        });
        Ok(Inspection { name: name.to_owned(), holder, waiters })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

type Work<T> = Arc<dyn Fn(&Core, Moment) -> std::result::Result<T, Fault> + Send + Sync>;

/// A transaction that another thread carries out. Dropped before its end it is carried out all
/// the same, and then undone, if it was an attempt.
struct Elsewhere<T: Send + 'static> {
    core: Arc<Core>,
    task: Option<JoinHandle<T>>,
    claim: Option<Claim>,
}

impl<T: Send + 'static> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        let (Some(task), Some(claim)) = (self.task.take(), self.claim.take()) else { return };
        let core = self.core.clone();
        engine::spawn(async move {
            // Behind it: before it, there would be nothing to undo.
            let _ = task.await;
            let schedule = Withdrawal::new(claim.ttl(), false, Moment::now());
            withdrawal::withdraw(&claim, schedule, |by| core.cancel_soon(&claim, by)).await;
        });
    }
}

impl Core {
    /// Runs a transaction for a caller that must not block: right here if it goes at once, else
    /// on a thread that may wait.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        by: Moment,
        claim: Option<&Claim>,
        work: Work<T>,
    ) -> Result<T> {
        if self.ready().is_some() {
            match work(self, by.min(Moment::now() + AT_ONCE)) {
                Err(Fault::Busy) => {}
                done => return done.map_err(|fault| self.error(fault)),
            }
        }
        let task = {
            let core = self.clone();
            engine::handle()?.spawn_blocking(move || work(&core, by))
        };
        let mut elsewhere =
            Elsewhere { core: self.clone(), task: Some(task), claim: claim.cloned() };
        let done = match elsewhere.task.as_mut() {
            Some(task) => task.await,
            None => return Err(Error::closed()),
        };
        elsewhere.task = None;
        done.map_err(|error| engine::given_up(&error))?.map_err(|fault| self.error(fault))
    }

    fn cancel_soon<'a>(self: &'a Arc<Self>, claim: &'a Claim, by: Moment) -> Boxed<'a, Result<()>> {
        let owned = claim.clone();
        let work: Work<()> = Arc::new(move |core, until| core.cancel(&owned, by, until));
        Box::pin(self.run(by, None, work))
    }
}

impl Backend for EmbeddedBackend {
    fn listening(&self) -> bool {
        self.core.ready().is_some()
    }

    fn listen(&self, by: Moment) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            if self.core.ready().is_some() {
                return Ok(());
            }
            let core = self.core.clone();
            let opening = engine::handle()?.spawn_blocking(move || core.open(by).map(drop));
            opening.await.map_err(|error| engine::given_up(&error))?
        })
    }

    fn attempt<'a>(
        &'a self,
        claim: &'a Arc<Claim>,
        queue: bool,
        by: Moment,
    ) -> Boxed<'a, Result<Answer>> {
        let owned = claim.clone();
        let work: Work<Answer> =
            Arc::new(move |core, until| core.attempt(&owned, queue, by, until));
        Box::pin(self.core.run(by, Some(claim), work))
    }

    fn poll<'a>(&'a self, claims: &'a [Arc<Claim>], by: Moment) -> Boxed<'a, Result<Vec<Answer>>> {
        let claims = claims.to_vec();
        let work: Work<Vec<Answer>> = Arc::new(move |core, until| core.poll(&claims, by, until));
        Box::pin(self.core.run(by, None, work))
    }

    fn withdraw<'a>(&'a self, claim: &'a Claim, by: Moment) -> Boxed<'a, Result<()>> {
        self.core.cancel_soon(claim, by)
    }

    fn release<'a>(
        &'a self,
        claim: &'a Claim,
        _sent: bool,
        by: Moment,
    ) -> Boxed<'a, Result<Released>> {
        let owned = claim.clone();
        let work: Work<Released> = Arc::new(move |core, until| core.release(&owned, by, until));
        Box::pin(self.core.run(by, None, work))
    }

    fn extend<'a>(
        &'a self,
        claims: &'a [Arc<Claim>],
        by: Moment,
    ) -> Boxed<'a, Vec<Result<Option<Moment>>>> {
        let owned = claims.to_vec();
        let work: Work<Vec<Option<Moment>>> =
            Arc::new(move |core, until| core.extend(&owned, by, until));
        Box::pin(async move {
            match self.core.run(by, None, work).await {
                Ok(extended) => extended.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); claims.len()],
            }
        })
    }

    fn inspect<'a>(&'a self, name: &'a str, by: Moment) -> Boxed<'a, Result<Inspection>> {
        let name = name.to_owned();
        let work: Work<Inspection> = Arc::new(move |core, until| core.inspect(&name, by, until));
        Box::pin(self.core.run(by, None, work))
    }

    fn direct(&self) -> Option<&dyn Direct> {
        Some(self)
    }

    fn shut(&self) {
        self.core.shut.store(true, Ordering::Release);
        let store = self.core.store().take();
        if let Some(store) = store {
            store.leave(&self.core.client);
        }
    }
}

impl EmbeddedBackend {
    /// Waits for its turn on the calling thread, which asks between whether to go on: nothing was
    /// done then.
    fn blocking<T>(
        &self,
        by: Moment,
        interrupt: Interrupt<'_>,
        work: impl Fn(&Core, Moment) -> std::result::Result<T, Fault>,
    ) -> Result<T> {
        loop {
            let now = Moment::now();
            match work(&self.core, by.min(now + INTERRUPT_CHECK)) {
                Err(Fault::Busy) if interrupt() => return Err(interrupted()),
                Err(Fault::Busy) if Moment::now() < by => {}
                done => return done.map_err(|fault| self.core.error(fault)),
            }
        }
    }
}

impl Direct for EmbeddedBackend {
    fn attempt(
        &self,
        claim: &Claim,
        queue: bool,
        by: Moment,
        interrupt: Interrupt<'_>,
    ) -> Attempted {
        self.blocking(by, interrupt, |core, until| core.attempt(claim, queue, by, until)).into()
    }

    fn release(&self, claim: &Claim, by: Moment, interrupt: Interrupt<'_>) -> Result<Released> {
        self.blocking(by, interrupt, |core, until| core.release(claim, by, until))
    }
}
