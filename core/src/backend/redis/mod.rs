//! Redis and Valkey, one server (`docs/protocol.md`).

mod connection;
mod denied;
mod direct;
mod ear;
mod ears;
mod handshake;
#[cfg(any(test, feature = "model"))]
pub(crate) mod pieces;
mod pipeline;
mod pipelines;
pub(crate) mod protocol;
pub(crate) mod release;
mod resp;
mod runtimes;
pub(crate) mod scripts;
mod signals;
#[cfg(test)]
mod signals_tests;
mod stream;
mod unsignalled;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::connection::{Dialect, Link};
use self::direct::{DirectConnection, Failure, Pool};
use self::ears::Ears;
use self::pipeline::RedisPipeline;
use self::pipelines::Pipelines;
use self::protocol::{Asked, Call, PushMode, Speaker};
use self::release::Tries;
use self::runtimes::Runtimes;
use self::signals::Listening;
pub(crate) use self::stream::Endpoint;
use super::withdrawal::{self, Withdrawal};
use super::{
    Answer, Attempted, Backend, Boxed, Claim, Direct, Inspection, Interrupt, Pipeline, Released,
    Signal, SignalSink,
};
use crate::clock::Moment;
use crate::engine;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::options::ClientOptions;
use redis::Value;

/// How many leases one command extends (protocol, "Scripts"): the server does nothing else meanwhile.
const MOST: usize = 200;

/// One Redis.
pub(crate) struct RedisBackend {
    core: Arc<Core>,
}

/// What clean-up in the background needs to outlive a call.
struct Core {
    endpoint: Arc<Endpoint>,
    connect_timeout: Duration,
    speaker: Arc<Speaker>,
    dialect: Dialect,
    sink: SignalSink,
    /// The engine's connection, with signals.
    engine: Line,
    /// Whether it was ever open.
    listened: AtomicBool,
    pool: Pool,
    ears: Ears,
    runtimes: Runtimes,
    pipelines: Pipelines,
    shut: AtomicBool,
    jitter: AtomicU64,
}

/// The engine's connection, if it is open, and one that is being opened.
#[derive(Debug, Default)]
struct Line {
    current: Mutex<Option<Listening>>,
    opening: tokio::sync::Mutex<()>,
}

impl Line {
    fn usable(&self) -> Option<Listening> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|open| !open.link.is_broken()).cloned()
    }

    fn clear(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn get(
        &self,
        open: impl Future<Output = Result<Listening>>,
        by: Moment,
    ) -> Result<Listening> {
        if let Some(open) = self.usable() {
            return Ok(open);
        }
        let opening = tokio::time::timeout_at(by.for_timer(), self.opening.lock()).await;
        let _one_at_a_time =
            opening.map_err(|_| Error::unavailable("the server did not let us connect in time"))?;
        if let Some(open) = self.usable() {
            return Ok(open);
        }
        // The broken one goes first: its subscription must not outlive it.
        self.clear();
        let open = open.await?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(open.clone());
        Ok(open)
    }
}

impl std::fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBackend")
            .field("endpoint", &self.core.endpoint)
            .finish_non_exhaustive()
    }
}

impl RedisBackend {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        options: &ClientOptions,
        client: String,
        sink: SignalSink,
    ) -> Self {
        let prefix = options.prefix.clone().unwrap_or_default();
        let core = Core {
            dialect: Dialect::new(&endpoint.url),
            endpoint,
            connect_timeout: options.connect_timeout,
            speaker: Arc::new(Speaker { client, prefix }),
            ears: Ears::new(sink.clone()),
            sink,
            engine: Line::default(),
            listened: AtomicBool::new(false),
            pool: Pool::default(),
            runtimes: Runtimes::default(),
            pipelines: Pipelines::default(),
            shut: AtomicBool::new(false),
            jitter: AtomicU64::new(0),
        };
        Self { core: Arc::new(core) }
    }
}

impl Core {
    fn check_open(&self) -> Result<()> {
        if self.shut.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    fn connect_by(&self, by: Moment) -> Moment {
        by.min(Moment::now() + self.connect_timeout)
    }

    /// The engine's connection; called on the engine.
    async fn listening(&self, by: Moment) -> Result<Listening> {
        self.check_open()?;
        let by = self.connect_by(by);
        let open = async || {
            signals::open(&self.endpoint, &self.dialect, &self.speaker, &self.sink, by).await
        };
        let open = async {
            let again = self.listened.load(Ordering::Relaxed);
            let listening = match open().await {
                // What cut the last one may have cut this one, too, before it was of use.
                Err(error) if again && error.is_retryable() => open().await?,
                opened => opened?,
            };
            if self.listened.swap(true, Ordering::Relaxed) {
                // What was published between the two subscriptions went to the old one.
                (self.sink)(Signal::LookAll);
            }
            Ok(listening)
        };
        self.engine.get(open, by).await
    }

    /// The connection of the runtime that this is called on, if it is open; if not, it is opened in
    /// the background, and the engine's serves.
    fn pipeline_here(self: &Arc<Self>) -> Option<Arc<RedisPipeline>> {
        if self.endpoint.tls.is_some() {
            return None;
        }
        self.pipelines.get(self, &*self.runtimes.here()?)
    }

    /// The engine's connection, for a call on any runtime.
    async fn link(self: &Arc<Self>, by: Moment) -> Result<Link> {
        if let Some(open) = self.engine.usable() {
            return Ok(open.link);
        }
        if engine::is_here() {
            return Ok(Box::pin(self.listening(by)).await?.link);
        }
        let core = self.clone();
        Ok(engine::run(async move { core.listening(by).await }).await??.link)
    }

    async fn attempt_by_engine(
        self: &Arc<Self>,
        claim: &Arc<Claim>,
        queue: bool,
        by: Moment,
    ) -> Result<Answer> {
        let link = self.link(by).await?;
        let call = self.speaker.acquire(claim, queue, self.mode());
        let claimed = Some(claim.clone());
        let mut behind = Behind { core: self.clone(), link: link.clone(), claim: claimed };
        let sent = Moment::now();
        let value = link.call(&call, by).await;
        behind.claim = None;
        protocol::read_acquire(claim, self.asked(sent), &value?)
    }

    async fn release_by_engine(
        self: &Arc<Self>,
        claim: &Claim,
        sent: bool,
        by: Moment,
    ) -> Result<Released> {
        let call = self.speaker.release(claim);
        let once = async || self.link(by).await?.call(&call, by).await;
        let mut answer = once().await;
        let mut tries = Tries::new(sent);
        while tries.again(&answer) {
            answer = once().await;
        }
        tries.read(answer)
    }

    fn mode(&self) -> PushMode {
        self.engine.usable().map_or(PushMode::Channel, |listening| listening.mode)
    }

    fn asked(&self, sent: Moment) -> Asked {
        // Golden-ratio steps: spread evenly, and no generator that a fork would repeat matters.
        let step = self.jitter.fetch_add(1, Ordering::Relaxed) ^ sent.nanos();
        let jitter = (f64::from(u32::try_from(step & 0xFFFF).unwrap_or(0)) * 0.618_034).fract();
        Asked { sent, now: Moment::now(), mode: self.mode(), jitter }
    }

    fn cancel<'a>(&'a self, claim: &'a Claim, by: Moment) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let link = self.listening(by).await?.link;
            link.call(&self.speaker.cancel(claim), by).await.map(drop)
        })
    }

    /// Withdraws a claim whose acquire may still be on its way on a connection that broke.
    async fn withdraw_again(&self, claim: &Claim) {
        let schedule = Withdrawal::new(claim.ttl(), true, Moment::now());
        withdrawal::withdraw(claim, schedule, |by| self.cancel(claim, by)).await;
    }
}

/// Withdraws the claim of an attempt that was dropped before its answer, behind it on the same
/// connection.
struct Behind {
    core: Arc<Core>,
    link: Link,
    claim: Option<Arc<Claim>>,
}

impl Drop for Behind {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else {
            return;
        };
        let (core, link) = (self.core.clone(), self.link.clone());
        engine::spawn(async move {
            let by = Moment::now() + claim.ttl().max(Duration::from_secs(1));
            if link.call(&core.speaker.cancel(&claim), by).await.is_err() {
                core.withdraw_again(&claim).await;
            }
        });
    }
}

impl Backend for RedisBackend {
    fn listening(&self) -> bool {
        self.core.engine.usable().is_some()
    }

    fn listen(&self, by: Moment) -> Boxed<'_, Result<()>> {
        Box::pin(async move { self.core.listening(by).await.map(drop) })
    }

    fn attempt<'a>(
        &'a self,
        claim: &'a Arc<Claim>,
        queue: bool,
        by: Moment,
    ) -> Boxed<'a, Result<Answer>> {
        Box::pin(async move {
            match self.core.pipeline_here() {
                Some(pipeline) => runtimes::attempt(&pipeline, claim, queue, by).await,
                // Apart, so that others need no room for it.
                None => Box::pin(self.core.attempt_by_engine(claim, queue, by)).await,
            }
        })
    }

    fn poll<'a>(&'a self, claims: &'a [Arc<Claim>], by: Moment) -> Boxed<'a, Result<Vec<Answer>>> {
        Box::pin(async move {
            let link = self.core.listening(by).await?.link;
            let call = self.core.speaker.poll(claims);
            let sent = Moment::now();
            let value = link.call(&call, by).await?;
            protocol::read_poll(claims, self.core.asked(sent), &value)
        })
    }

    fn withdraw<'a>(&'a self, claim: &'a Claim, by: Moment) -> Boxed<'a, Result<()>> {
        self.core.cancel(claim, by)
    }

    fn release<'a>(
        &'a self,
        claim: &'a Claim,
        sent: bool,
        by: Moment,
    ) -> Boxed<'a, Result<Released>> {
        Box::pin(async move {
            let mut sent = sent;
            if let Some(pipeline) = self.core.pipeline_here() {
                match runtimes::release(&pipeline, claim, by).await {
                    Err(error) if error.is_ambiguous() => sent = true,
                    answer => return answer,
                }
            }
            Box::pin(self.core.release_by_engine(claim, sent, by)).await
        })
    }

    fn extend<'a>(
        &'a self,
        claims: &'a [Arc<Claim>],
        by: Moment,
    ) -> Boxed<'a, Vec<Result<Option<Moment>>>> {
        Box::pin(async move {
            let sent = Moment::now();
            let answers = async {
                let link = self.core.listening(by).await?.link;
                let calls: Vec<Call> =
                    claims.chunks(MOST).map(|claims| self.core.speaker.extend(claims)).collect();
                link.call_many(&calls, by).await
            };
            let answers = match answers.await {
                Ok(answers) => answers,
                Err(error) => return vec![Err(error); claims.len()],
            };
            let counts = claims.chunks(MOST).map(<[Arc<Claim>]>::len);
            let answers = answers.into_iter().zip(counts);
            let answers =
                answers.flat_map(|(answer, count)| protocol::each_extended(answer, count));
            let asked = self.core.asked(sent);
            let read = |claim, value: Result<Value>| protocol::read_extend(claim, asked, &value?);
            claims.iter().zip(answers).map(|(claim, value)| read(claim, value)).collect()
        })
    }

    fn inspect<'a>(&'a self, name: &'a str, by: Moment) -> Boxed<'a, Result<Inspection>> {
        Box::pin(async move {
            let link = self.core.listening(by).await?.link;
            let value = link.call(&self.core.speaker.inspect(name), by).await?;
            protocol::read_inspect(name, &value)
        })
    }

    fn direct(&self) -> Option<&dyn Direct> {
        Some(self)
    }

    fn shut(&self) {
        self.core.shut.store(true, Ordering::Release);
        self.core.engine.clear();
        self.core.runtimes.end();
        self.core.pool.clear();
        self.core.pipelines.end();
    }

    fn listener(&self) -> u32 {
        self.core.pipeline_here().map_or(0, |pipeline| pipeline.listener())
    }

    fn hears(&self, listener: u32) -> bool {
        self.core.ears.hears(listener)
    }

    fn pipeline(&self, event_loop: &EventLoop) -> Option<Arc<dyn Pipeline>> {
        let pipeline = self.core.pipelines.get(&self.core, event_loop)?;
        Some(pipeline)
    }

    fn open_here(&self) -> Boxed<'static, ()> {
        match self.core.runtimes.here() {
            Some(event_loop) => self.open_pipeline(&event_loop),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn open_pipeline(&self, event_loop: &EventLoop) -> Boxed<'static, ()> {
        Box::pin(self.core.pipelines.open(&self.core, event_loop))
    }
}

impl Direct for RedisBackend {
    fn attempt(
        &self,
        claim: &Claim,
        queue: bool,
        by: Moment,
        interrupt: Interrupt<'_>,
    ) -> Attempted {
        let core = &self.core;
        let mut connection = match core.direct(by, interrupt) {
            Ok(connection) => connection,
            Err(failure) => return Err(failure.into_error()).into(),
        };
        let listener = if queue { connection.listener() } else { 0 };
        let named = (listener != 0).then(|| Claim { listener, ..claim.clone() });
        let call = core.speaker.acquire(named.as_ref().unwrap_or(claim), queue, core.mode());
        let sent = Moment::now();
        let answer = match connection.call(&call, by, interrupt) {
            Ok(value) => {
                let answer = protocol::read_acquire(claim, core.asked(sent), &value);
                let ear = if matches!(answer, Ok(Answer::Queued { .. })) {
                    core.ear(connection)
                } else {
                    core.pool.put(connection);
                    None
                };
                return Attempted { answer, listener, ear };
            }
            Err(Failure::Interrupted) => {
                let (core, claim) = (core.clone(), claim.clone());
                engine::spawn(async move {
                    // With its text: nobody reads that the server does not know its hash.
                    let cancel = core.speaker.cancel(&claim).with_source();
                    if !connection.finish(cancel, claim.ttl()).await {
                        core.withdraw_again(&claim).await;
                    }
                });
                Err(Failure::Interrupted.into_error())
            }
            Err(failure) => {
                if failure.answered() {
                    core.pool.put(connection);
                }
                Err(failure.into_error())
            }
        };
        Attempted { answer, listener, ear: None }
    }

    fn release(&self, claim: &Claim, by: Moment, interrupt: Interrupt<'_>) -> Result<Released> {
        let call = self.core.speaker.release(claim);
        let mut answer = self.core.call_direct(&call, by, interrupt);
        let mut tries = Tries::default();
        while tries.again(&answer) {
            // The other pooled connections may have been closed by the server, too.
            self.core.pool.clear();
            answer = self.core.call_direct(&call, by, interrupt);
        }
        tries.read(answer)
    }
}

impl Core {
    fn direct(
        &self,
        by: Moment,
        interrupt: Interrupt<'_>,
    ) -> std::result::Result<DirectConnection, Failure> {
        self.check_open()?;
        match self.pool.take() {
            Some(connection) => Ok(connection),
            None => DirectConnection::open(&self.endpoint, self.connect_by(by), interrupt),
        }
    }

    fn call_direct(&self, call: &Call, by: Moment, interrupt: Interrupt<'_>) -> Result<Value> {
        let mut connection = self.direct(by, interrupt).map_err(Failure::into_error)?;
        let result = connection.call(call, by, interrupt);
        if result.as_ref().err().is_none_or(Failure::answered) {
            self.pool.put(connection);
        }
        result.map_err(Failure::into_error)
    }
}
