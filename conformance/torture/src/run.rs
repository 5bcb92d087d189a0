//! A run: drivers, workers and the nemesis together, for so long.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use fencelock_conformance::backend::Backend;
use fencelock_conformance::driver::Language;
use fencelock_conformance::proxy::Proxy;
use fencelock_conformance::stage::Stage;
use fencelock_conformance::stall;

use crate::check::{Bounds, Verdict, check};
use crate::ending;
use crate::event::What;
use crate::log::{self, Log};
use crate::nemesis::{self, Field, Plan};
use crate::seat::{LANGUAGES, Seat};
use crate::store::Stores;
use crate::worker::{Common, LONGEST_LEASE, Worker};

/// How many callers each driver has.
const CALLERS: usize = 2;
/// How many locks there are.
const LOCKS: usize = 6;
/// How long all drivers may take to start, and all workers to end.
const LIMIT: Duration = Duration::from_secs(180);

/// What to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// For how long, once all drivers are there.
    pub time: Duration,
    /// What all random numbers come from. The same seed plans the same faults and requests; how they
    /// meet is the machine's doing.
    pub seed: u64,
    /// What locks are kept in.
    pub backend: Backend,
    /// How many processes each language has.
    pub processes: usize,
    /// The languages.
    pub languages: &'static [Language],
    /// The faults.
    pub plan: Plan,
    /// Where the log is written.
    pub log: PathBuf,
    /// A negative control: workers believe a lease for ever.
    pub credulous: bool,
    /// A negative control unless it is set: the fenced store does not look at fences.
    pub store_looks: bool,
}

impl Config {
    /// The usual run.
    pub fn new(backend: Backend, time: Duration, seed: u64, log: PathBuf) -> Self {
        Self {
            time,
            seed,
            backend,
            processes: 2,
            languages: &LANGUAGES,
            plan: Plan::all(backend),
            log,
            credulous: false,
            store_looks: true,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the checker says.
    pub verdict: Verdict,
    /// The server's or store's name and version.
    pub server: String,
}

/// The bounds that runs are judged by.
pub const BOUNDS: Bounds = Bounds {
    lease: LONGEST_LEASE * 1_000_000,
    heartbeat: 1_000_000_000,
    slack: 2_000_000_000,
    apart: 300_000_000,
};

/// Sets a flag when it goes, so that threads end where their run panics.
struct Flag<'a>(&'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs it, and judges its log.
///
/// # Errors
///
/// A text that says why there is nothing to judge.
pub fn run(config: &Config) -> Result<Outcome, String> {
    let log = Log::create(&config.log).map_err(|error| format!("no log: {error}"))?;
    let stage = match config.backend {
        Backend::Redis => Stage::open_durable(Vec::new()),
        Backend::File => Stage::open(Vec::new(), Backend::File),
    };
    let server = version(&stage);
    play(config, &stage, &log)?;
    log.finish().map_err(|error| format!("no log: {error}"))?;
    let events = log::read(&config.log)?;
    Ok(Outcome { verdict: check(events, &BOUNDS), server })
}

fn play(config: &Config, stage: &Stage, log: &Log) -> Result<(), String> {
    stall::watch();
    let begun = fencelock_conformance::kit::boot_nanos();
    let proxy = stage.kept_in().is_none().then(|| Proxy::start(stage.server.port()));
    let seats = seats(config, stage, proxy.as_ref());
    let locks: Vec<String> = (0..LOCKS).map(|number| format!("lock-{number}")).collect();
    let stores = Stores::new(log, config.store_looks);
    let (over, calm) = (AtomicBool::new(false), AtomicBool::new(false));
    let common =
        Common { log, stores: &stores, locks: &locks, over: &over, credulous: config.credulous };
    let field = Field::new(stage, proxy.as_ref(), &seats, &locks, log);
    // Drivers end with the thread that started them, so workers stay until the curtain falls.
    let (curtain, parked) = (RwLock::new(()), AtomicUsize::new(0));
    let mut rng = Rng::with_seed(config.seed);
    thread::scope(|threads| {
        let stage_is_set = curtain.write().unwrap_or_else(PoisonError::into_inner);
        let (at_end, calm_at_end) = (Flag(&over), Flag(&calm));
        for (number, seat) in seats.iter().enumerate() {
            for caller in 0..CALLERS {
                let name = format!("w{number}-{caller}");
                let worker = Worker::new(&common, seat, name, caller == 0, rng.fork());
                threads.spawn(|| {
                    worker.work();
                    parked.fetch_add(1, Ordering::Relaxed);
                    drop(curtain.read());
                });
            }
        }
        await_all(|| seats.iter().all(|seat| seat.present().is_some()), "start")?;
        let faults = rng.fork();
        let nemesis = threads.spawn(|| nemesis::run(&field, &config.plan, faults, &calm));
        let quarter = config.time / 4;
        thread::sleep(quarter);
        ending::measure(&seats, false, log);
        thread::sleep(config.time.saturating_sub(quarter));
        drop(calm_at_end);
        nemesis.join().map_err(|_| "the nemesis panicked".to_owned())?;
        drop(at_end);
        let workers = seats.len() * CALLERS;
        await_all(|| parked.load(Ordering::Relaxed) == workers, "end")?;
        ending::settle(stage, &seats, &locks, log);
        drop(stage_is_set);
        Ok::<(), String>(())
    })?;
    for (at, took) in stall::all_since(begun) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        log.note_at(at, What::Stall { took });
    }
    Ok(())
}

fn seats(config: &Config, stage: &Stage, proxy: Option<&Proxy>) -> Vec<Seat> {
    let mut seats = Vec::new();
    for process in 0..config.processes {
        for (number, language) in config.languages.iter().enumerate() {
            // One half goes through the proxy, another half is never killed.
            let by_proxy = proxy.filter(|_| (process + number / 2).is_multiple_of(2));
            let url = by_proxy.map_or_else(|| stage.url.clone(), Proxy::url);
            let spared = (process + number).is_multiple_of(2);
            seats.push(Seat::new(seats.len(), language, &url, spared));
        }
    }
    seats
}

fn await_all(mut done: impl FnMut() -> bool, what: &str) -> Result<(), String> {
    let give_up = Instant::now() + LIMIT;
    while !done() {
        if Instant::now() > give_up {
            return Err(format!("not all of it did {what} in time"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn version(stage: &Stage) -> String {
    if stage.kept_in().is_some() {
        return "embedded store".to_owned();
    }
    let info: String = stage.redis_patiently(&["INFO", "server"]);
    let value = |key: &str| info.lines().find_map(|line| line.strip_prefix(key));
    let mut said = String::new();
    match (value("valkey_version:"), value("redis_version:")) {
        // Writing to a String cannot fail.
        (Some(valkey), _) => drop(write!(said, "Valkey {}", valkey.trim())),
        (None, redis) => drop(write!(said, "Redis {}", redis.unwrap_or("?").trim())),
    }
    said
}
