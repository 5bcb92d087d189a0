//! Which faults come when: every kind once in random order, then again, with pauses between, some of
//! them long enough to see the locks recover. Sometimes two at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use fencelock_conformance::backend::Backend;
use fencelock_conformance::proxy::Proxy;
use fencelock_conformance::stage::Stage;

use crate::kind::Kind;
use crate::log::Log;
use crate::seat::{RESPONSE_TIMEOUT, Seat};

/// Where faults are done.
#[derive(Debug)]
pub struct Field<'a> {
    /// The server or file.
    pub stage: &'a Stage,
    /// Half the drivers' way to the server.
    pub proxy: Option<&'a Proxy>,
    /// The drivers' places.
    pub seats: &'a [Seat],
    /// The locks' names.
    pub locks: &'a [String],
    /// Where faults are noted.
    pub log: &'a Log,
    clock: Mutex<Clock>,
    last: AtomicU64,
}

/// The server's clock, as the nemesis has set it.
#[derive(Debug)]
pub(crate) struct Clock {
    /// ms ahead of ours.
    pub(crate) ahead: i64,
    /// When it has caught up with what it was before it was set back. A loss of the last fence
    /// before then is more than the fence is made for.
    pub(crate) caught_up: Instant,
    /// When the last fences were lost. A step back that is longer than this is ago, too, is more.
    pub(crate) forgotten: Option<Instant>,
}

impl<'a> Field<'a> {
    /// A field on which nothing has happened yet.
    pub fn new(
        stage: &'a Stage,
        proxy: Option<&'a Proxy>,
        seats: &'a [Seat],
        locks: &'a [String],
        log: &'a Log,
    ) -> Self {
        let clock = Mutex::new(Clock { ahead: 0, caught_up: Instant::now(), forgotten: None });
        Self { stage, proxy, seats, locks, log, clock, last: AtomicU64::new(0) }
    }

    pub(crate) fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed)
    }

    fn allows(&self, kind: Kind) -> bool {
        let (clock, now) = (self.clock(), Instant::now());
        match kind {
            Kind::ClockBack => {
                let longest = Duration::from_millis(LONGEST_STEP_BACK);
                clock.forgotten.is_none_or(|forgotten| forgotten + longest < now)
            }
            kind => !kind.forgets_fences() || clock.caught_up < now,
        }
    }
}

/// The server's clock is set back so many ms at most.
pub(crate) const LONGEST_STEP_BACK: u64 = 4_000;

/// How much longer a lock may take to recover after a fault of this kind, in ns.
pub(crate) const fn extra(kind: Kind) -> u64 {
    let ms = match kind {
        // A waiter that has died is waited for, as it may have spoken just now.
        Kind::ClockBack => 4_000,
        Kind::ClientStop
        | Kind::ClientStopLong
        | Kind::ClientKill
        | Kind::ClientBlock
        | Kind::ClientFork
        | Kind::Evict
        | Kind::ScriptFlush
        | Kind::ClockForward
        | Kind::Locked
        | Kind::DiskFull => 0,
        // A request may have been swallowed.
        _ => RESPONSE_TIMEOUT,
    };
    ms * 1_000_000
}

/// How a run is tortured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kinds of faults.
    pub kinds: Vec<Kind>,
    /// The pauses between them, in ms: usual ones, and long ones.
    pub pauses: [std::ops::RangeInclusive<u64>; 2],
    /// Not to end before each kind was seen to have done something.
    pub whole: bool,
}

impl Plan {
    /// All that can be done there, every few seconds.
    pub fn all(backend: Backend) -> Self {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_for(backend)).collect();
        Self { kinds, pauses: [300..=2500, 5000..=8000], whole: false }
    }
}

const fn is_of_client(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ClientStop
            | Kind::ClientStopLong
            | Kind::ClientKill
            | Kind::ClientBlock
            | Kind::ClientFork
            | Kind::DiskFull
    )
}

/// How often a kind is tried that has nothing to do, such as dropping messages where none are sent.
const TRIES: usize = 8;

/// Does faults until all is over.
pub fn run(field: &Field<'_>, plan: &Plan, mut rng: Rng, over: &AtomicBool) {
    let mut deck = Vec::new();
    let mut due = if plan.whole { plan.kinds.repeat(TRIES) } else { Vec::new() };
    while !over.load(Ordering::Relaxed) || !due.is_empty() {
        if deck.is_empty() {
            deck.clone_from(&plan.kinds);
            if over.load(Ordering::Relaxed) {
                deck.retain(|kind| due.contains(kind));
            }
            rng.shuffle(&mut deck);
        }
        let Some(kind) = deck.pop() else { return };
        if !field.allows(kind) {
            // Its time comes.
            deck.insert(0, kind);
            thread::sleep(Duration::from_millis(200));
            continue;
        }
        let other = |second: &Kind| is_of_client(*second) != is_of_client(kind);
        let second = deck.iter().position(other).filter(|_| rng.u32(..100) < 25);
        let second = second.filter(|&index| field.allows(deck[index]));
        let second = second.map(|index| deck.remove(index));
        let mut of_second = rng.fork();
        let worked = thread::scope(|both| {
            let other = second.map(|kind| both.spawn(move || field.perform(kind, &mut of_second)));
            let worked = field.perform(kind, &mut rng);
            [Some((kind, worked)), second.zip(other.map(|other| other.join().unwrap_or(false)))]
        });
        for (kind, worked) in worked.into_iter().flatten() {
            let first = due.iter().position(|due| *due == kind);
            match first {
                Some(_) if worked => due.retain(|due| *due != kind),
                Some(first) => drop(due.swap_remove(first)),
                None => {}
            }
        }
        let pause = &plan.pauses[usize::from(rng.u32(..100) < 25)];
        let until = Instant::now() + Duration::from_millis(rng.u64(pause.clone()));
        while Instant::now() < until && !over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}
