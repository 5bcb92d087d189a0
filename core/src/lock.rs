//! A description of a lock: its name and how it is to be held.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::acquire::{Patience, acquire, busy};
use crate::client::Shared;
use crate::engine;
use crate::error::Result;
use crate::lease::Lease;
use crate::options::{LockOptions, check_name};

/// What locks of one description share.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: Arc<str>,
    pub(crate) options: Arc<LockOptions>,
    checked: Result<()>,
}

impl Described {
    fn new(shared: Arc<Shared>, name: Arc<str>, options: LockOptions) -> Self {
        let checked = check_name(shared.prefix(), &name)
            .and_then(|()| options.check().map_err(|error| error.at(&name)));
        Self { shared, name, options: Arc::new(options), checked }
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.checked.clone()
    }
}

/// A lock that may be held: a name and options. Cheap to clone, usable again and again and from
/// any thread; each [`acquire`](Self::acquire) gives a [`Lease`] of its own.
///
/// It is not reentrant: acquiring it twice waits for the first lease to end.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(client: fencelock::Client) -> fencelock::Result<()> {
/// let lock = client.lock("orders").ttl(Duration::from_secs(5));
/// let lease = lock.acquire().timeout(Duration::from_secs(30)).await?;
/// println!("fence {}", lease.fence());
/// lease.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    pub(crate) described: Arc<Described>,
}

impl Lock {
    pub(crate) fn new(shared: Arc<Shared>, name: String) -> Self {
        let described = Described::new(shared, name.into(), LockOptions::default());
        Self { described: Arc::new(described) }
    }

    fn with(self, change: impl FnOnce(&mut LockOptions)) -> Self {
        let mut options = (*self.described.options).clone();
        change(&mut options);
        let (shared, name) = (self.described.shared.clone(), self.described.name.clone());
        Self { described: Arc::new(Described::new(shared, name, options)) }
    }

    /// How long a lease lasts without renewal, and so how long a crashed holder blocks others:
    /// 50 ms to 24 h, with renewal on at most 1 h. Default 10 s.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.with(|options| options.ttl = ttl)
    }

    /// Whether the lease is renewed in the background at each third of its TTL. Default true.
    /// Off, it ends at its TTL.
    #[must_use]
    pub fn renew(self, renew: bool) -> Self {
        self.with(|options| options.renew = renew)
    }

    /// The longest time that a lease is kept by renewal; then it is lost with the reason
    /// `MaxHold`. Default none.
    #[must_use]
    pub fn max_hold(self, time: Duration) -> Self {
        self.with(|options| options.max_hold = Some(time))
    }

    /// A text of at most 128 bytes that [`Client::inspect`](crate::Client::inspect) shows of the
    /// holder. Default empty.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        self.with(|options| options.label = label.into().into())
    }

    /// The lock's name, as given.
    pub fn name(&self) -> &str {
        &self.described.name
    }

    /// Whether name and options can be served, without asking the server.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, as the first acquire would.
    pub fn check(&self) -> Result<()> {
        self.described.check()
    }

    /// Takes the lock, waiting in line for it: without limit, unless given a
    /// [`timeout`](Acquire::timeout). On a Tokio runtime the first attempt is made right there;
    /// elsewhere on the engine's.
    ///
    /// # Errors
    ///
    /// `AcquireTimeout`, `Unavailable`, `Denied`, `Closed`, `Backend`, `InvalidArgument`.
    ///
    /// # Cancel safety
    ///
    /// Dropped at any moment it leaves nothing behind: the queue is left, and a grant that
    /// raced with the drop is passed on.
    pub fn acquire(&self) -> Acquire {
        Acquire { described: self.described.clone(), patience: Patience::Forever }
    }

    /// Takes the lock if it is free at this moment; `None` if somebody has it or waits for it.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), less `AcquireTimeout`.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Lease>> {
        start(self.described.clone(), Patience::Once).await
    }
}

/// A wish to hold a lock; await it.
#[derive(Debug)]
#[must_use = "nothing happens until it is awaited"]
pub struct Acquire {
    described: Arc<Described>,
    patience: Patience,
}

impl Acquire {
    /// How long to wait at most; zero makes one attempt.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.patience = patience(Some(time));
        self
    }
}

/// No limit, one attempt, or a time.
pub(crate) fn patience(timeout: Option<Duration>) -> Patience {
    match timeout {
        None => Patience::Forever,
        Some(Duration::ZERO) => Patience::Once,
        Some(time) => Patience::For(time),
    }
}

impl IntoFuture for Acquire {
    type Output = Result<Lease>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Lease>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let name = self.described.name.clone();
            start(self.described, self.patience).await?.ok_or_else(|| busy().at(&name))
        })
    }
}

/// On the caller's Tokio runtime if there is one, else on the engine.
pub(crate) async fn start(described: Arc<Described>, patience: Patience) -> Result<Option<Lease>> {
    if tokio::runtime::Handle::try_current().is_ok() {
        acquire(described, patience).await
    } else {
        engine::run(acquire(described, patience)).await?
    }
}
