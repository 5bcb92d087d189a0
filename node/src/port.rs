//! Where outcomes wait for the loop of their environment (the main thread's, or a worker's), the
//! operations that they are of, and the leases that they brought.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fencelock::completion::{self, Operation};
use fencelock::{Error, EventLoop, Inspection, LossReason, blocking};
use fencelock_bridge::{Completions, Record, Sender};
use napi::bindgen_prelude::{Either4, Float64Array, FnArgs, Function, FunctionRef};
use napi::{Env, JsValue, Result};
use napi_derive::napi;
use rustc_hash::FxHashMap;

use crate::client::InspectionParts;
use crate::error::Failure;
use crate::log::{self, RecordParts};
use crate::options::number;
use crate::uv::{self, Turns, Watch};

/// How long the end of an environment waits for its clients to be closed.
const END_TIME: Duration = Duration::from_millis(1200);

/// What came of an operation.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// The lease of this number is over.
    Released(u32),
    Granted(blocking::Lease),
    Busy,
    Seen(Inspection),
    Ended(Option<LossReason>),
    Log(Record),
}

/// The number of an operation, or 0 for what came by itself.
pub(crate) type Numbered = (u32, std::result::Result<Outcome, Error>);

/// As JavaScript gets most of them, without a value to be made: the operation's number, whether
/// it brought a lease, that lease's number and its fence.
type Numbers = [f64; EACH];

const EACH: usize = 4;

/// As JavaScript gets the others: the number, whether it failed, and what came.
type Delivery = (u32, bool, Delivered);

type Delivered = Either4<Failure, InspectionParts, Option<&'static str>, RecordParts>;

/// What JavaScript calls with so many [`Numbers`], and with the others.
type Deliver<'a> = Function<'a, Delivering, ()>;

type Delivering = FnArgs<(u32, Option<Vec<Delivery>>)>;

/// An operation that JavaScript waits for.
struct Under {
    /// Dropping it cancels the operation.
    _operation: Option<Operation>,
    keeps_alive: bool,
}

/// One environment's queue of outcomes.
#[napi]
#[derive(Clone, Debug)]
pub struct Port(Rc<Inner>);

struct Inner {
    /// `None` once the environment has ended.
    queue: RefCell<Option<Completions<Numbered>>>,
    sender: Sender<Numbered>,
    watch: RefCell<Option<Watch>>,
    deliver: FunctionRef<Delivering, ()>,
    /// Where [`Numbers`] are put for it.
    numbers: RefCell<Float64Array>,
    leases: RefCell<FxHashMap<u32, blocking::Lease>>,
    under_way: RefCell<FxHashMap<u32, Under>>,
    /// How many of them keep the loop alive.
    keeping: Cell<u32>,
    last: Cell<u32>,
    /// Closed when the environment ends.
    clients: RefCell<FxHashMap<u32, blocking::Client>>,
    listener: u64,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Port")
    }
}

#[napi]
impl Port {
    /// The port of this environment; outcomes go to `deliver`: so many of four numbers each, in
    /// `numbers` (operation, whether it brought a lease, that lease, its fence), and a list of
    /// `[number, failed, outcome]`.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        numbers: Float64Array,
        #[napi(ts_arg_type = "(count: number, others: unknown[] | null) => void")] deliver: Deliver<
            '_,
        >,
    ) -> Result<Self> {
        let queue = Completions::new()?;
        let (sender, descriptor) = (queue.sender(), queue.descriptor());
        let inner = Rc::new(Inner {
            queue: RefCell::new(Some(queue)),
            sender: sender.clone(),
            watch: RefCell::new(None),
            deliver: deliver.create_ref()?,
            numbers: RefCell::new(numbers),
            leases: RefCell::default(),
            under_way: RefCell::default(),
            keeping: Cell::new(0),
            last: Cell::new(0),
            clients: RefCell::default(),
            listener: log::listen(sender),
        });
        *inner.watch.borrow_mut() = Some(Watch::start(env, descriptor, Rc::new(inner.clone()))?);
        Ok(Self(inner))
    }

    /// Gives an operation up, if its outcome was not told yet: nothing is left behind.
    #[napi(catch_unwind)]
    pub fn cancel(&self, number: u32) {
        self.0.over(number);
    }

    /// Closes every client of this environment, and waits for it, at most 1.2 s.
    #[napi(catch_unwind)]
    pub fn end(&self) {
        self.0.ended();
    }
}

impl Port {
    /// Begins an operation, whose outcome is told under the number that comes back.
    pub(crate) fn begin(
        &self,
        begin: impl FnOnce(u32, &EventLoop) -> std::result::Result<Operation, Error>,
    ) -> u32 {
        self.begin_with(|number, event_loop| begin(number, event_loop).map(Some))
    }

    /// As [`begin`](Self::begin), of a lease; without an operation where it can't be given up.
    pub(crate) fn begin_of(
        &self,
        lease: u32,
        begin: impl FnOnce(
            &blocking::Lease,
            u32,
            &EventLoop,
        ) -> std::result::Result<Option<Operation>, Error>,
    ) -> u32 {
        self.begin_with(|number, event_loop| {
            self.lease(lease, |lease| begin(lease, number, event_loop))
                .unwrap_or_else(|| Err(completion::released("")))
        })
    }

    /// Looks at a lease; `None` if it is over.
    pub(crate) fn lease<T>(
        &self,
        lease: u32,
        look: impl FnOnce(&blocking::Lease) -> T,
    ) -> Option<T> {
        self.0.leases.borrow().get(&lease).map(look)
    }

    /// Takes a lease out.
    pub(crate) fn take(&self, lease: u32) -> Option<blocking::Lease> {
        self.0.leases.borrow_mut().remove(&lease)
    }

    /// As [`begin`](Self::begin), also for one that can't be given up: `None` then.
    pub(crate) fn begin_with(
        &self,
        begin: impl FnOnce(u32, &EventLoop) -> std::result::Result<Option<Operation>, Error>,
    ) -> u32 {
        let number = self.0.next();
        // Nothing is begun when the environment is about to end.
        if let Some(queue) = &*self.0.queue.borrow() {
            let operation = begin(number, queue.event_loop()).unwrap_or_else(|error| {
                self.0.sender.send((number, Err(error)));
                None
            });
            self.0.under_way(number, operation, true);
        }
        number
    }

    /// Watches a lease, without keeping the loop alive.
    pub(crate) fn watch(
        &self,
        begin: impl FnOnce(Box<dyn FnOnce(Option<LossReason>) + Send>) -> Option<Operation>,
    ) -> u32 {
        let number = self.0.next();
        let done = self.sending(number, Outcome::Ended);
        let operation = begin(Box::new(move |reason| done(Ok(reason))));
        self.0.under_way(number, operation, false);
        number
    }

    /// Has a client closed at the environment's end, unless it is forgotten before.
    pub(crate) fn keep(&self, client: &blocking::Client) -> u32 {
        let number = self.0.next();
        self.0.clients.borrow_mut().insert(number, client.clone());
        number
    }

    pub(crate) fn forget(&self, number: u32) {
        let client = self.0.clients.borrow_mut().remove(&number);
        drop(client);
    }

    pub(crate) fn sending<T, F: FnOnce(T) -> Outcome + Send + 'static>(
        &self,
        number: u32,
        outcome: F,
    ) -> impl FnOnce(std::result::Result<T, Error>) + Send + 'static + use<T, F> {
        let sender = self.0.sender.clone();
        move |result| sender.send((number, result.map(outcome)))
    }

    pub(crate) fn done(
        &self,
        number: u32,
    ) -> impl FnOnce(std::result::Result<(), Error>) + Send + 'static + use<> {
        self.sending(number, |()| Outcome::Done)
    }

    pub(crate) fn granted(
        &self,
        number: u32,
    ) -> impl FnOnce(std::result::Result<blocking::Lease, Error>) + Send + 'static + use<> {
        self.sending(number, Outcome::Granted)
    }

    pub(crate) fn tried(
        &self,
        number: u32,
    ) -> impl FnOnce(std::result::Result<Option<blocking::Lease>, Error>) + Send + 'static + use<>
    {
        self.sending(number, |lease: Option<_>| lease.map_or(Outcome::Busy, Outcome::Granted))
    }

    pub(crate) fn seen(
        &self,
        number: u32,
    ) -> impl FnOnce(std::result::Result<Inspection, Error>) + Send + 'static + use<> {
        self.sending(number, Outcome::Seen)
    }
}

impl Inner {
    /// Never 0.
    fn next(&self) -> u32 {
        self.last.set(self.last.get().wrapping_add(1).max(1));
        self.last.get()
    }

    fn under_way(&self, number: u32, operation: Option<Operation>, keeps_alive: bool) {
        let under = Under { _operation: operation, keeps_alive };
        self.under_way.borrow_mut().insert(number, under);
        if keeps_alive {
            self.keeping.set(self.keeping.get() + 1);
            if self.keeping.get() == 1 {
                self.keep_alive(true);
            }
        }
    }

    /// Whether somebody waited for it.
    fn over(&self, number: u32) -> bool {
        let Some(under) = self.under_way.borrow_mut().remove(&number) else { return false };
        if under.keeps_alive {
            self.keeping.set(self.keeping.get() - 1);
            if self.keeping.get() == 0 {
                self.keep_alive(false);
            }
        }
        true
    }

    fn keep_alive(&self, keep: bool) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.keep_alive(keep);
        }
    }

    /// Nothing comes any more: what is under way is given up, and every client is closed.
    fn ended(&self) {
        let Some(queue) = self.queue.take() else { return };
        log::unlisten(self.listener);
        if let Some(watch) = self.watch.take() {
            watch.stop();
        }
        self.under_way.take();
        // Before the clients are closed, which would wait for answers that nobody reads.
        drop(queue);
        let (told, closed) = mpsc::channel();
        for client in self.clients.take().into_values() {
            let told = told.clone();
            client.begin_close(move |()| {
                let _ = told.send(());
            });
        }
        drop(told);
        let by = Instant::now() + END_TIME;
        while closed.recv_timeout(by.saturating_duration_since(Instant::now())).is_ok() {}
        // Their clients are closed, and so are they.
        self.leases.take();
    }

    /// What has come and is waited for; what is not is dropped, a lease by giving it back.
    fn fetch(&self) -> Fetched {
        let outcomes = self.queue.borrow().as_ref().map(Completions::fetch).unwrap_or_default();
        let mut fetched = Fetched::default();
        for (of, outcome) in outcomes {
            if of != 0 && !self.over(of) {
                continue;
            }
            let mut others = |failed, other| fetched.others.push((of, failed, other));
            let nothing = [of.into(), 0.0, 0.0, 0.0];
            match outcome {
                Ok(Outcome::Done | Outcome::Busy) => fetched.numbers.push(nothing),
                Ok(Outcome::Released(lease)) => {
                    fetched.numbers.push(nothing);
                    fetched.over.push(lease);
                }
                Ok(Outcome::Granted(lease)) => {
                    let (known, fence) = (self.next(), number(lease.fence()));
                    self.leases.borrow_mut().insert(known, lease);
                    fetched.numbers.push([of.into(), 1.0, known.into(), fence]);
                }
                Ok(Outcome::Seen(seen)) => others(false, Either4::B(seen.into())),
                Ok(Outcome::Ended(reason)) => {
                    others(false, Either4::C(reason.map(LossReason::name)));
                }
                Ok(Outcome::Log(record)) => others(false, Either4::D(record.into())),
                Err(error) => others(true, Either4::A(error.into())),
            }
        }
        fetched
    }

    /// Puts numbers where JavaScript reads them; how many were put.
    #[expect(unsafe_code, reason = "the array is JavaScript's")]
    fn put(&self, numbers: &[Numbers]) -> u32 {
        let mut array = self.numbers.borrow_mut();
        // SAFETY: JavaScript runs on this thread, and so reads it at other times only.
        let room = unsafe { array.as_mut() };
        let given = numbers.as_flattened();
        room[..given.len()].copy_from_slice(given);
        u32::try_from(numbers.len()).unwrap_or(0)
    }
}

/// What has come.
#[derive(Default)]
struct Fetched {
    numbers: Vec<Numbers>,
    others: Vec<Delivery>,
    /// Leases that are over once JavaScript has heard so.
    over: Vec<u32>,
}

impl Turns for Rc<Inner> {
    fn readable(&self, env: Env) {
        let Fetched { numbers, others, over } = self.fetch();
        let mut others = Some(others).filter(|others| !others.is_empty());
        let room = self.numbers.borrow().len() / EACH;
        let mut rest = &numbers[..];
        while !rest.is_empty() || others.is_some() {
            let (now, later) = rest.split_at(rest.len().min(room));
            rest = later;
            let arguments = (self.put(now), others.take());
            if let Ok(deliver) = self.deliver.borrow_back(&env) {
                uv::call(env, deliver.raw(), arguments);
            }
        }
        if !over.is_empty() {
            let mut leases = self.leases.borrow_mut();
            let over: Vec<_> = over.into_iter().filter_map(|lease| leases.remove(&lease)).collect();
            drop(leases);
            drop(over);
        }
    }

    fn before_sleep(&self) {
        if let Some(queue) = &*self.queue.borrow()
            && queue.event_loop().take_unsent()
        {
            queue.event_loop().flush();
        }
    }

    fn ended(&self) {
        Inner::ended(self);
    }
}
