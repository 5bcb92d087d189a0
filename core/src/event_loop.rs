//! The event loop of another language, as far as fencelock takes part in it. The loop watches one
//! descriptor, and takes a [`turn`](EventLoop::turn) when it is readable. Connections that belong
//! to the loop are written and read by its own thread: a hop to the engine's and back would cost
//! more than the server does.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustc_hash::FxHashMap;

use crate::fork::{self, Inherited, Native};

/// So many connections are looked after in one go.
const EVENTS: usize = 64;
const WAKER: Token = Token(0);

/// One event loop. Dropping it closes its connections; what was under way on them is given back
/// by the engine.
#[derive(Debug)]
pub struct EventLoop {
    descriptor: RawFd,
    _inherited: Inherited,
    pub(crate) shared: Arc<Shared>,
}

/// What connections and the engine know of a loop.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Its number in this process.
    pub(crate) id: u64,
    poll: Native<Mutex<(Poll, Events)>>,
    waker: Native<Waker>,
    connections: Mutex<Connections>,
    unsent: AtomicBool,
    /// Has the loop flush where it does not look by itself.
    flusher: Option<Flusher>,
    /// Whether `waker` was used since the last turn.
    woken: AtomicBool,
}

#[derive(Debug, Default)]
struct Connections {
    by_token: FxHashMap<Token, Weak<dyn Connection>>,
    last: usize,
    closed: bool,
}

struct Flusher(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Flusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flusher")
    }
}

/// What a connection is ready for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The other end will send no more.
    pub(crate) ended: bool,
}

/// A connection that a loop's thread writes and reads.
pub(crate) trait Connection: std::fmt::Debug + Send + Sync {
    /// Does what it is ready for, and what it asked to be woken for; whether anything came.
    fn turn(&self, ready: Ready) -> bool;

    /// Writes what was gathered.
    fn flush(&self);

    /// The loop is gone.
    fn close(&self);
}

impl EventLoop {
    /// A loop that has nothing to do yet.
    ///
    /// # Errors
    ///
    /// There are no more descriptors.
    pub fn new() -> io::Result<Self> {
        Self::with(None)
    }

    /// The same, where `flusher` is called, on any thread, when there is something to be sent by
    /// [`flush`](Self::flush) soon.
    pub(crate) fn with_flusher(flusher: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        Self::with(Some(Flusher(Box::new(flusher))))
    }

    fn with(flusher: Option<Flusher>) -> io::Result<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        fork::watch();
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let descriptor = poll.as_raw_fd();
        let shared = Shared {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            poll: Native::new(Mutex::new((poll, Events::with_capacity(EVENTS)))),
            waker: Native::new(waker),
            connections: Mutex::default(),
            unsent: AtomicBool::new(false),
            flusher,
            woken: AtomicBool::new(false),
        };
        Ok(Self {
            descriptor,
            _inherited: Inherited::register(descriptor),
            shared: Arc::new(shared),
        })
    }

    /// What to watch: readable when there is something to do.
    pub fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// What makes the descriptor readable, from any thread.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let shared = self.shared.clone();
        move || shared.wake()
    }

    /// Does what there is to do, without blocking: callbacks of operations are called here. In a
    /// forked child, nothing.
    pub fn turn(&self) {
        if !self.shared.is_of_this_process() {
            return;
        }
        // As a rule an answer has come: looking for it right away saves asking what has.
        let woken = self.shared.woken.swap(false, Ordering::AcqRel);
        let readable = Ready { readable: true, ..Ready::default() };
        let mut heard = false;
        for connection in self.shared.all() {
            heard |= connection.turn(readable);
        }
        if heard && !woken {
            return;
        }
        for (token, ready) in self.shared.ready() {
            if token == WAKER {
                for connection in self.shared.all() {
                    connection.turn(Ready::default());
                }
            } else if let Some(connection) = self.shared.connection(token) {
                connection.turn(ready);
            }
        }
    }

    /// Whether commands were gathered, to be sent by [`flush`](Self::flush) soon: when whatever
    /// is ready to run in the loop has run. True once per flush.
    pub fn take_unsent(&self) -> bool {
        // A look is cheaper than a swap.
        self.shared.unsent.load(Ordering::Relaxed)
            && self.shared.unsent.swap(false, Ordering::AcqRel)
    }

    /// Sends what was gathered.
    pub fn flush(&self) {
        if self.shared.is_of_this_process() {
            for connection in self.shared.all() {
                connection.flush();
            }
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if !self.shared.is_of_this_process() {
            // Another thread may have held it locked at the fork.
            return;
        }
        let connections = {
            let mut connections = self.shared.connections();
            connections.closed = true;
            std::mem::take(&mut connections.by_token)
        };
        for connection in connections.into_values().filter_map(|known| known.upgrade()) {
            connection.close();
        }
    }
}

impl Shared {
    fn is_of_this_process(&self) -> bool {
        self.poll.get().is_some()
    }

    /// `None` in a forked child: another thread may have held it locked at the fork.
    fn poll(&self) -> Option<MutexGuard<'_, (Poll, Events)>> {
        Some(self.poll.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What has happened since this was called last.
    fn ready(&self) -> Vec<(Token, Ready)> {
        let Some(mut poll) = self.poll() else { return Vec::new() };
        let (poll, events) = &mut *poll;
        // It can fail only by a signal: the descriptor stays readable then.
        if poll.poll(events, Some(Duration::ZERO)).is_err() {
            return Vec::new();
        }
        let ready = |event: &Event| Ready {
            readable: event.is_readable(),
            writable: event.is_writable(),
            ended: event.is_read_closed() || event.is_error(),
        };
        events.iter().map(|event| (event.token(), ready(event))).collect()
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self, token: Token) -> Option<Arc<dyn Connection>> {
        self.connections().by_token.get(&token)?.upgrade()
    }

    fn all(&self) -> Vec<Arc<dyn Connection>> {
        self.connections().by_token.values().filter_map(Weak::upgrade).collect()
    }

    /// Has the loop take a turn.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            self.woken.store(true, Ordering::Release);
            // It can't fail: a counter that is full is as good as one more.
            let _ = waker.wake();
        }
    }

    /// Has the loop flush; called by the loop's thread, or before a turn, if it has no flusher.
    pub(crate) fn gather(&self) {
        match &self.flusher {
            None => self.unsent.store(true, Ordering::Relaxed),
            Some(flusher) => {
                if !self.unsent.swap(true, Ordering::AcqRel) {
                    (flusher.0)();
                }
            }
        }
    }

    /// Watches a socket; `None` if the loop is gone.
    pub(crate) fn watch<C: Connection + 'static>(
        &self,
        fd: RawFd,
        connection: impl FnOnce(Token) -> Arc<C>,
    ) -> io::Result<Option<Arc<C>>> {
        let mut connections = self.connections();
        let Some(poll) = self.poll().filter(|_| !connections.closed) else {
            return Ok(None);
        };
        connections.last += 1;
        let token = Token(connections.last);
        poll.0.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        let connection = connection(token);
        let known: Weak<C> = Arc::downgrade(&connection);
        connections.by_token.insert(token, known);
        Ok(Some(connection))
    }

    /// Watches for room to write, too, or no more.
    pub(crate) fn watch_writing(&self, fd: RawFd, token: Token, writing: bool) {
        let interest =
            if writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        if let Some(poll) = self.poll() {
            // A socket that can't be watched any more is noticed by its deadline.
            let _ = poll.0.registry().reregister(&mut SourceFd(&fd), token, interest);
        }
    }

    /// Watches a socket no more; called before it is closed.
    pub(crate) fn forget(&self, fd: RawFd, token: Token) {
        if let Some(poll) = self.poll() {
            let _ = poll.0.registry().deregister(&mut SourceFd(&fd));
            drop(poll);
            self.connections().by_token.remove(&token);
        }
    }
}
