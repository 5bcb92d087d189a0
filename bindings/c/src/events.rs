//! What an event loop is told: each client has a queue, and a descriptor that is readable while
//! something is in it.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fencelock::{Error, LossReason, blocking, completion};
use fencelock_bridge::{Completions, PerProcess, Sender};

use crate::boundary::{Out, guard};
use crate::callbacks::pointer;
use crate::cancel::Cancel;
use crate::client::{Client, fencelock_client};
use crate::codes::{FENCELOCK_EVENT_ACQUIRE, FENCELOCK_EVENT_LOST, FENCELOCK_EVENT_RELEASE};
use crate::error::{Failure, fencelock_error};
use crate::handle::{self, Kind, Registry};
use crate::lease::{Lease, fencelock_lease};

/// Something that an event loop is told.
#[derive(Debug)]
pub struct fencelock_event {
    _opaque: [u8; 0],
}

/// Something to tell, and with what.
pub(crate) struct Happening {
    userdata: usize,
    what: What,
}

enum What {
    Acquired(Result<Lease, Failure>),
    Released(Result<(), Failure>),
    Lost(Loss),
}

/// The loss of a lease that the program may have freed since.
struct Loss {
    lease: Weak<blocking::Lease>,
    reason: LossReason,
    wanted: Arc<AtomicBool>,
}

/// A client's queue, made when it is asked for.
pub(crate) struct Events {
    queue: PerProcess<Queue>,
    closed: AtomicBool,
}

pub(crate) struct Queue {
    completions: Completions<Happening>,
    sender: Sender<Happening>,
    ready: Mutex<VecDeque<Happening>>,
    begun: Arc<Mutex<HashMap<u64, Arc<Begun>>>>,
    last: AtomicU64,
}

/// An acquire that was begun: decided once, by its outcome or by a cancel.
pub(crate) struct Begun {
    number: u64,
    lock: String,
    userdata: usize,
    sender: Sender<Happening>,
    decided: AtomicBool,
    operation: Mutex<Option<completion::Operation>>,
    /// Where it is kept until it is decided.
    among: Weak<Mutex<HashMap<u64, Arc<Begun>>>>,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("lock", &self.lock).finish_non_exhaustive()
    }
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Events {
    pub(crate) const fn new() -> Self {
        Self { queue: PerProcess::new(), closed: AtomicBool::new(false) }
    }

    pub(crate) fn queue(&self) -> Result<Arc<Queue>, Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::invalid("the lease's client was freed: nobody hears its events"));
        }
        self.queue.get_or_try(Queue::new)
    }

    /// What was begun is cancelled, and what was not fetched is dropped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(queue) = self.queue.take() {
            queue.give_up();
        }
    }
}

impl Queue {
    fn new() -> Result<Self, Failure> {
        let completions = Completions::new()
            .map_err(|error| Failure::internal(format!("no descriptor for events: {error}")))?;
        Ok(Self {
            sender: completions.sender(),
            completions,
            ready: Mutex::default(),
            begun: Arc::default(),
            last: AtomicU64::new(0),
        })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.completions.descriptor()
    }

    fn give_up(&self) {
        let begun = std::mem::take(&mut *open(&self.begun));
        for begun in begun.into_values() {
            begun.drop_operation();
        }
    }

    fn next(&self) -> Option<Happening> {
        let mut ready = open(&self.ready);
        let fetched = ready.is_empty();
        if fetched {
            ready.extend(self.completions.fetch());
        }
        let next = loop {
            let next = ready.pop_front()?;
            if next.is_wanted() {
                break next;
            }
        };
        if fetched && !ready.is_empty() {
            // Fetching made the descriptor unreadable, although there is more.
            self.completions.wake();
        }
        Some(next)
    }

    pub(crate) fn acquire(
        &self,
        client: &Arc<Client>,
        lock: &blocking::Lock,
        timeout: Option<Duration>,
        cancel: Option<&Cancel>,
        userdata: usize,
    ) -> Result<(), Failure> {
        let begun = Arc::new(Begun {
            number: self.last.fetch_add(1, Ordering::Relaxed),
            lock: lock.name().to_owned(),
            userdata,
            sender: self.sender.clone(),
            decided: AtomicBool::new(false),
            operation: Mutex::new(None),
            among: Arc::downgrade(&self.begun),
        });
        open(&self.begun).insert(begun.number, begun.clone());
        let (told, client) = (begun.clone(), client.clone());
        let done = move |outcome: Result<blocking::Lease, Error>| {
            // Made here, so that a lease that comes too late is given back by being dropped.
            let lease = outcome.map(|lease| Lease::new(lease, &client));
            told.decide(lease.map_err(Failure::from));
        };
        match lock.begin_acquire(self.completions.event_loop(), timeout, done) {
            Ok(operation) => begun.keep(operation),
            Err(error) => {
                open(&self.begun).remove(&begun.number);
                return Err(error.into());
            }
        }
        if let Some(cancel) = cancel {
            cancel.covers(&begun);
        }
        Ok(())
    }

    pub(crate) fn release(&self, lease: &blocking::Lease, userdata: usize) -> Result<(), Failure> {
        let sender = self.sender.clone();
        let done = move |outcome: Result<(), Error>| {
            let what = What::Released(outcome.map_err(Failure::from));
            sender.send(Happening { userdata, what });
        };
        Ok(lease.begin_release(self.completions.event_loop(), None, done)?)
    }

    pub(crate) fn watch(&self, lease: &Lease, userdata: usize) -> completion::Operation {
        let (sender, wanted) = (self.sender.clone(), lease.wanted.clone());
        let known = Arc::downgrade(&lease.inner);
        lease.inner.begin_watch(move |reason| {
            if let Some(reason) = reason {
                let what = What::Lost(Loss { lease: known, reason, wanted });
                sender.send(Happening { userdata, what });
            }
        })
    }
}

/// A thread that began an acquire while another freed the client is the last to have it.
impl Drop for Queue {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Begun {
    fn decide(&self, outcome: Result<Lease, Failure>) {
        if !self.decided.swap(true, Ordering::AcqRel) {
            let what = What::Acquired(outcome);
            self.sender.send(Happening { userdata: self.userdata, what });
            self.drop_operation();
        }
    }

    /// Ends it, unless it is decided.
    pub(crate) fn cancel(&self) {
        self.decide(Err(Failure::cancelled(&self.lock)));
    }

    /// Keeps what dropping cancels.
    fn keep(&self, operation: completion::Operation) {
        let mut kept = open(&self.operation);
        // Decided before, nobody would take it out.
        if !self.decided.load(Ordering::Acquire) {
            *kept = Some(operation);
        }
    }

    fn drop_operation(&self) {
        self.decided.store(true, Ordering::Release);
        if let Some(among) = self.among.upgrade() {
            open(&among).remove(&self.number);
        }
        let operation = open(&self.operation).take();
        drop(operation);
    }
}

impl Happening {
    fn is_wanted(&self) -> bool {
        match &self.what {
            What::Lost(loss) => loss.wanted.load(Ordering::Acquire),
            What::Acquired(_) | What::Released(_) => true,
        }
    }

    fn kind(&self) -> i32 {
        match self.what {
            What::Acquired(_) => FENCELOCK_EVENT_ACQUIRE,
            What::Released(_) => FENCELOCK_EVENT_RELEASE,
            What::Lost(_) => FENCELOCK_EVENT_LOST,
        }
    }
}

impl Loss {
    /// In the core's words, while there is a lease to ask.
    fn told(&self) -> Failure {
        let lease = self.lease.upgrade().and_then(|lease| lease.check().err());
        lease.map_or_else(|| Failure::lost(self.reason), Failure::from)
    }
}

/// An event that C has; empty once its outcome was taken.
struct Told {
    kind: i32,
    userdata: usize,
    what: Mutex<Option<What>>,
}

impl Kind for Told {
    type Opaque = fencelock_event;
    const NUMBER: u64 = 5;
    const NAME: &'static str = "fencelock_event";

    fn registry() -> &'static Registry<Self> {
        static EVENTS: Registry<Told> = Registry::new();
        &EVENTS
    }
}

/// Takes the next event of a client, without blocking: NULL in `*event` if there is none. Call it
/// when the client's descriptor is readable, until it gives none or once each time. On success
/// `*event` is to be freed with `fencelock_event_free`. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`; `FENCELOCK_INTERNAL` if there are no more descriptors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_next_event(
    client: *mut fencelock_client,
    event: *mut *mut fencelock_event,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_next_event", error, || {
        let event = Out::new(event, "event")?;
        let next = handle::find::<Arc<Client>>(client)?.events.queue()?.next();
        event.set(match next {
            None => std::ptr::null_mut(),
            Some(next) => {
                let (kind, userdata) = (next.kind(), next.userdata);
                handle::hand_out(Told { kind, userdata, what: Mutex::new(Some(next.what)) })?
            }
        });
        Ok(())
    })
}

/// What happened: one of `FENCELOCK_EVENT_…`. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_event_kind(
    event: *const fencelock_event,
    kind: *mut i32,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_event_kind", error, || {
        let kind = Out::new(kind, "kind")?;
        kind.set(handle::find::<Told>(event)?.kind);
        Ok(())
    })
}

/// The `userdata` of the call that the event is about. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_event_userdata(
    event: *const fencelock_event,
    userdata: *mut *mut c_void,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_event_userdata", error, || {
        let userdata = Out::new(userdata, "userdata")?;
        userdata.set(pointer(handle::find::<Told>(event)?.userdata));
        Ok(())
    })
}

/// Answers as the call would have that the event is about, and passes its lease on: once.
///
/// `FENCELOCK_EVENT_ACQUIRE`: as `fencelock_acquire`; on success `*lease` is a lease, to be freed
/// with `fencelock_lease_free`. `FENCELOCK_EVENT_RELEASE`: as `fencelock_release`.
/// `FENCELOCK_EVENT_LOST`: `FENCELOCK_LOST`, the reason in the error. `lease` may be NULL for the
/// latter two, which don't write to it. A lease that nobody takes is given back when the event is
/// freed. Any thread.
///
/// Errors: those of the call; `FENCELOCK_INVALID_ARGUMENT` also if the outcome was taken before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_event_outcome(
    event: *mut fencelock_event,
    lease: *mut *mut fencelock_lease,
    error: *mut *mut fencelock_error,
) -> i32 {
    guard("fencelock_event_outcome", error, || {
        let event = handle::find::<Told>(event)?;
        let lease = match event.kind {
            FENCELOCK_EVENT_ACQUIRE => Some(Out::new(lease, "lease")?),
            _ => None,
        };
        // Not waited for: a fork may have left it locked.
        let what = event.what.try_lock().ok().and_then(|mut what| what.take());
        match what.ok_or_else(|| Failure::invalid("the event's outcome was taken before"))? {
            What::Acquired(outcome) => {
                let handle = handle::hand_out(outcome?)?;
                if let Some(lease) = lease {
                    lease.set(handle);
                }
                Ok(())
            }
            What::Released(outcome) => outcome,
            What::Lost(loss) => Err(loss.told()),
        }
    })
}

/// Frees an event; NULL is none. Any thread.
///
/// Errors: `FENCELOCK_INVALID_ARGUMENT` if it was freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fencelock_event_free(event: *mut fencelock_event) -> i32 {
    guard("fencelock_event_free", std::ptr::null_mut(), || handle::free::<Told>(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(queue: &Queue) -> bool {
        let mut watched = libc::pollfd { fd: queue.descriptor(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives for the length of the call.
        unsafe { libc::poll(&raw mut watched, 1, 0) == 1 }
    }

    #[test]
    fn the_descriptor_is_readable_while_something_is_left() {
        let queue = Queue::new().unwrap();
        assert!(!is_readable(&queue));
        for userdata in 0..3 {
            queue.sender.send(Happening { userdata, what: What::Released(Ok(())) });
        }
        for userdata in 0..3 {
            assert!(is_readable(&queue), "{userdata}");
            assert_eq!(queue.next().map(|next| next.userdata), Some(userdata));
        }
        assert!(queue.next().is_none());
        assert!(!is_readable(&queue));
    }
}
