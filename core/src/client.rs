//! A client: one backend, by URL.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::backend::target::Target;
use crate::backend::withdrawal::{self, Withdrawal};
use crate::backend::{Backend, Boxed, Claim, Inspection, Signal, SignalSink};
use crate::clock::Moment;
use crate::error::{Error, LossReason, Result};
use crate::event_loop::EventLoop;
use crate::fork::{self, Native};
use crate::keeper::Keeper;
use crate::lock::Lock;
use crate::options::{ClientOptions, check_name};
use crate::url;
use crate::wait::Waiting;
use crate::{engine, token};

/// How long [`Client::close`] waits for the server.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// One backend, by URL: gives locks. Cheap to clone, usable from any thread and any runtime.
///
/// After a `fork` the child's copy connects anew when it is used first; leases stay with the
/// parent.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What the clones of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    target: Target,
    options: ClientOptions,
    session: ArcSwap<Native<Arc<Session>>>,
    closed: AtomicBool,
}

/// A client's state in one process: everything that a fork ends.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) keeper: Keeper,
    pub(crate) waiting: Waiting,
    response_timeout: Duration,
    closed: AtomicBool,
    /// How many attempts and releases closing waits for, and when there is none any more.
    under_way: AtomicUsize,
    idle: Notify,
    generation: u64,
}

/// A session with one more attempt or release under way.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Session>);

impl UnderWay {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        session.under_way.fetch_add(1, Ordering::SeqCst);
        Self(session)
    }
}

impl Deref for UnderWay {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.check_open().is_err() {
            self.0.idle.notify_waiters();
        }
    }
}

impl Session {
    fn open(target: &Target, options: &ClientOptions) -> Result<Arc<Self>> {
        let client_id = token::client_id()?;
        Ok(Self::over(options.response_timeout, |sink| target.backend(options, client_id, sink)))
    }

    /// A session over a backend, which gets where its signals go.
    pub(crate) fn over(
        response_timeout: Duration,
        backend: impl FnOnce(SignalSink) -> Box<dyn Backend>,
    ) -> Arc<Self> {
        fork::watch();
        Arc::new_cyclic(|session: &std::sync::Weak<Self>| {
            let session = session.clone();
            let sink: SignalSink = Arc::new(move |signal| {
                if let Some(session) = session.upgrade() {
                    session.signalled(signal);
                }
            });
            Self {
                backend: backend(sink),
                keeper: Keeper::new(),
                waiting: Waiting::default(),
                response_timeout,
                closed: AtomicBool::new(false),
                under_way: AtomicUsize::new(0),
                idle: Notify::new(),
                generation: fork::generation(),
            }
        })
    }

    pub(crate) fn signalled(self: &Arc<Self>, signal: Signal) {
        match signal {
            Signal::Granted { name, token, fence } => {
                self.waiting.granted(self, &name, token, fence);
            }
            Signal::LookAll => self.waiting.look_all(self),
            Signal::Deaf(listener) => self.waiting.deaf(self, listener),
        }
    }

    /// When an answer on behalf of a lease of this TTL is of no use any more.
    pub(crate) fn answer_by(&self, ttl: Duration) -> Moment {
        Moment::now() + self.response_timeout.min(ttl)
    }

    /// Withdraws a claim that nobody waits for; `straggling` if a request for it may still be on
    /// its way on a connection that broke.
    pub(crate) async fn withdraw(&self, claim: &Claim, straggling: bool) {
        let withdrawal = Withdrawal::new(claim.ttl(), straggling, Moment::now());
        self.carry_out(claim, withdrawal).await;
    }

    pub(crate) async fn carry_out(&self, claim: &Claim, withdrawal: Withdrawal) {
        withdrawal::withdraw(claim, withdrawal, |by| self.backend.withdraw(claim, by)).await;
    }

    pub(crate) fn is_of_this_process(&self) -> bool {
        self.generation == fork::generation()
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Returns when nothing is under way, or the time is over.
    async fn wait_until_idle(&self, by: Moment) {
        let idle = async {
            loop {
                let idle = self.idle.notified();
                tokio::pin!(idle);
                // Registered before the look, so that no change falls in between.
                idle.as_mut().enable();
                if self.under_way.load(Ordering::SeqCst) == 0 {
                    return;
                }
                idle.await;
            }
        };
        let _ = tokio::time::timeout_at(by.for_timer(), idle).await;
    }

    /// Ends every wait, releases every lease and closes the connections; at most
    /// [`CLOSE_TIME`].
    async fn close(self: Arc<Self>) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let by = Moment::now() + CLOSE_TIME;
        // What an attempt under way is granted must be among what is released here.
        self.wait_until_idle(by).await;
        self.waiting.close(&self, by).await;
        let holdings = self.keeper.drain();
        let releases = holdings.into_iter().filter(|holding| holding.lose(LossReason::Closed));
        let mut tasks = tokio::task::JoinSet::new();
        for holding in releases {
            let session = self.clone();
            tasks.spawn(async move {
                if let Err(error) = session.backend.release(&holding.claim, false, by).await {
                    tracing::warn!("a lease was left to lapse at close: {error}");
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        // A release by its holder still needs a connection.
        self.wait_until_idle(by).await;
        self.backend.shut();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.keeper.stop();
    }
}

impl Shared {
    /// The session of this process; after a fork a new one, which connects on first use.
    pub(crate) fn session(&self) -> Result<Arc<Session>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        fork::notice_stripping();
        loop {
            let current = self.session.load();
            if let Some(session) = current.get() {
                return Ok(session.clone());
            }
            let fresh = Arc::new(Native::new(Session::open(&self.target, &self.options)?));
            self.session.compare_and_swap(&*current, fresh);
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        self.options.prefix.as_deref().unwrap_or("")
    }
}

impl Client {
    /// Connects to the server that a URL names, or opens the store: `redis://`, `rediss://`,
    /// `redis+unix://`, `file:PATH`, `file:` or `memory:`. With default options.
    ///
    /// ```no_run
    /// # async fn example() -> fencelock::Result<()> {
    /// let client = fencelock::Client::connect("redis://localhost:6379/0").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a URL that can't be read, `Unavailable` if the server can't be
    /// reached, `Denied` if it refuses the password.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves nothing behind.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::connect_with(url, ClientOptions::new()).await
    }

    /// As [`connect`](Self::connect), with options.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and `InvalidArgument` for options out of range.
    pub async fn connect_with(url: &str, options: ClientOptions) -> Result<Self> {
        let client = Self::describe(url, options)?;
        client.open().await?;
        let here = client.shared.session()?.backend.open_here();
        engine::run(here).await?;
        Ok(client)
    }

    /// Connects, where that waited for the first use.
    pub(crate) async fn open(&self) -> Result<()> {
        let session = self.shared.session()?;
        let by = Moment::now() + self.shared.options.connect_timeout;
        engine::run(async move { session.backend.listen(by).await }).await?
    }

    /// Opens the connection of an event loop, where it may have one.
    pub(crate) fn open_pipeline(&self, event_loop: &EventLoop) -> Result<Boxed<'static, ()>> {
        Ok(self.shared.session()?.backend.open_pipeline(event_loop))
    }

    /// A client that connects when it is used first; everything but the server is checked now.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a URL that can't be read or options out of range.
    pub fn lazy(url: &str, options: ClientOptions) -> Result<Self> {
        Self::describe(url, options)
    }

    fn describe(url: &str, mut options: ClientOptions) -> Result<Self> {
        options.check()?;
        let url = url::parse(url)?;
        match (url.prefix(), options.prefix.as_deref()) {
            (Some(a), Some(b)) if a != b => {
                return Err(Error::invalid(
                    format!("the URL's prefix is {a:?}, the option's {b:?}"),
                    "give one of them",
                ));
            }
            (Some(prefix), None) => options.prefix = Some(prefix.to_owned()),
            _ => {}
        }
        let target = Target::new(url, &options)?;
        let session = Session::open(&target, &options)?;
        let session = ArcSwap::from_pointee(Native::new(session));
        let closed = AtomicBool::new(false);
        Ok(Self { shared: Arc::new(Shared { target, options, session, closed }) })
    }

    /// Describes a lock. Nothing is sent; a name that can't be served is told by
    /// [`Lock::check`] and at the first acquire.
    pub fn lock(&self, name: impl Into<String>) -> Lock {
        Lock::new(self.shared.clone(), name.into())
    }

    /// Shows who holds a lock and how many wait, without taking part.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a name that can't be served, `Unavailable`, `Denied`, `Backend`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn inspect(&self, name: &str) -> Result<Inspection> {
        check_name(self.shared.prefix(), name)?;
        let session = self.shared.session()?;
        let owned = name.to_owned();
        let by = Moment::now() + session.response_timeout;
        engine::run(async move { session.backend.inspect(&owned, by).await })
            .await?
            .map_err(|error| error.at(name))
    }

    /// Ends every wait with `Closed`, releases every lease and closes the connections, for all
    /// clones of this client. Takes at most about 1 s. Closing again does nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it goes on in the background.
    pub async fn close(&self) {
        if let Some(task) = self.begin_close() {
            // Its own task, so that dropping this wait does not stop it.
            if let Ok(engine) = engine::handle() {
                let _ = engine.spawn(task).await;
            }
        }
    }

    pub(crate) fn begin_close(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.shared.closed.store(true, Ordering::Release);
        let session = self.shared.session.load().get().cloned();
        session.map(Session::close)
    }

    /// The server, without password, for people to read.
    pub fn server(&self) -> String {
        self.shared.target.to_string()
    }
}
