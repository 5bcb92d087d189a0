//! A place for a driver: where one was killed, another takes it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fencelock_conformance::cast;
use fencelock_conformance::driver::{Driver, Language};
use fencelock_conformance::kit::{boot_nanos, open};
use fencelock_conformance::line::{Answer, Fields};
use fencelock_conformance::stall;

use crate::event::What;
use crate::log::Log;

/// How long a client waits for an answer of the server, in ms.
pub const RESPONSE_TIMEOUT: u64 = 1000;
/// How long a driver may take for anything beyond what it was asked to wait: it may be stopped,
/// and the machine busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// All languages.
pub static LANGUAGES: [Language; 6] = cast::languages(
    || Command::new(beside("torture_driver_async")),
    || Command::new(beside("torture_driver_blocking")),
);

/// A negative control: a lock as many have written it, see `conformance/drivers/reckless.py`.
pub static RECKLESS: [Language; 1] = [Language {
    name: "reckless",
    program: || cast::python("reckless.py"),
    can: &["drop"],
    setup: cast::PYTHON_SETUP,
}];

/// A program that cargo has put beside this one, or, for a test, in the folder above.
fn beside(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let folder = here.parent().unwrap_or_else(|| Path::new("."));
    let above = folder.parent().unwrap_or(folder).join(name);
    Some(folder.join(name)).filter(|path| path.exists()).unwrap_or(above)
}

/// A place for a driver.
#[derive(Debug)]
pub struct Seat {
    /// What its drivers are.
    pub language: &'static Language,
    /// Whether it is never killed, so that it is seen whether it grows.
    pub spared: bool,
    /// Asked for by the nemesis: a worker is to fork the driver while it holds a lock.
    pub fork: AtomicBool,
    number: usize,
    url: String,
    driver: Mutex<Option<Arc<Driver>>>,
    starts: AtomicU64,
    killed: Mutex<HashSet<String>>,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The driver has answered.
    Said(Answer),
    /// It was gone before.
    Gone,
    /// It is there, and says nothing.
    Hung,
}

impl Seat {
    /// An empty place, for drivers that connect to this URL.
    pub fn new(number: usize, language: &'static Language, url: &str, spared: bool) -> Self {
        Self {
            language,
            spared,
            fork: AtomicBool::new(false),
            number,
            url: url.to_owned(),
            driver: Mutex::default(),
            starts: AtomicU64::new(0),
            killed: Mutex::default(),
        }
    }

    /// The driver that is there now, if it lives and nobody is just starting it.
    pub fn present(&self) -> Option<Arc<Driver>> {
        let driver = self.driver.try_lock().ok()?.clone();
        driver.filter(|driver| !driver.is_gone())
    }

    /// The driver; a new one if the last is gone. None when all is over.
    ///
    /// The thread that calls this must live until the driver has ended: its end is the driver's.
    pub fn driver(&self, log: &Log, over: &AtomicBool) -> Option<Arc<Driver>> {
        let mut place = open(&self.driver);
        if let Some(driver) = place.as_ref().filter(|driver| !driver.is_gone()) {
            return Some(driver.clone());
        }
        let by_itself = |died: &Arc<Driver>| !open(&self.killed).contains(died.name());
        if let Some(died) = place.take().filter(by_itself) {
            let said = died.transcript();
            let (worker, op) = (died.name().to_owned(), format!("died by itself: {said}"));
            log.note(What::Hung { worker, op });
        }
        while !over.load(Ordering::Relaxed) {
            let start = self.starts.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}#{}.{start}", self.language.name, self.number);
            let driver = Arc::new(Driver::start_quiet(self.language, &name));
            if self.connect(&driver, over) {
                let language = self.language.name.to_owned();
                log.note(What::Started { driver: name, language });
                *place = Some(driver.clone());
                return Some(driver);
            }
        }
        None
    }

    fn connect(&self, driver: &Driver, over: &AtomicBool) -> bool {
        let fields = Fields::default().with("client", "c").with("url", &self.url);
        let fields = fields.with("response_timeout", RESPONSE_TIMEOUT);
        while !over.load(Ordering::Relaxed) {
            match ask(driver, "connect", &fields, Duration::ZERO) {
                Reply::Said(Ok(_)) => return true,
                // The server may be away.
                Reply::Said(Err(_)) => thread::sleep(Duration::from_millis(50)),
                Reply::Gone | Reply::Hung => return false,
            }
        }
        false
    }

    /// Kills the driver (SIGKILL), and remembers that it did not die by itself.
    pub fn kill(&self, driver: &Driver) {
        open(&self.killed).insert(driver.name().to_owned());
        driver.kill();
    }
}

/// Sends a request, and waits for the answer for so long, and as much as drivers may be held up.
pub fn ask(driver: &Driver, op: &str, fields: &Fields, limit: Duration) -> Reply {
    let request = driver.send(op, fields);
    await_answer(driver, request, limit)
}

/// Waits for the answer to a request.
pub fn await_answer(driver: &Driver, request: u64, limit: Duration) -> Reply {
    let mut left = limit + PATIENCE;
    while !left.is_zero() {
        let begun = boot_nanos();
        if let Some(answer) = driver.answer_within(request, left) {
            return Reply::Said(answer);
        }
        if driver.is_gone() {
            return Reply::Gone;
        }
        // While the machine stood still it could not answer.
        left = stall::all_since(begun).iter().map(|(_, took)| *took).sum();
    }
    Reply::Hung
}

/// How many descriptors a driver has, and how much memory in KiB.
pub fn uses(driver: &Driver) -> Option<(u64, u64)> {
    let process = PathBuf::from(format!("/proc/{}", driver.pid()));
    let descriptors = fs::read_dir(process.join("fd")).ok()?.count();
    let status = fs::read_to_string(process.join("status")).ok()?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let memory = memory.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some((u64::try_from(descriptors).ok()?, memory))
}
