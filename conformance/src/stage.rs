//! Where a scenario plays: a private server, the drivers, and what can be seen from outside.
#![expect(
    clippy::panic,
    reason = "a scenario that cannot see its server has nothing better to do than to fail"
)]

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fencelock_testserver::{Authority, TestServer};

use crate::backend::{Backend, Server, Store};
use crate::driver::{Driver, LIMIT, Language};
use crate::history::History;
use crate::kit::open;
use crate::line::{Fault, Fields, decode};
use crate::party::Party;

/// Begins every owner token; no driver may show one.
const TOKEN: &str = "fl1-";

/// One scenario's server, cast and history.
#[derive(Debug)]
pub struct Stage {
    /// What its locks are kept in.
    pub backend: Backend,
    /// The server, if that is one.
    pub server: Server,
    /// The file, if that is one.
    pub(crate) store: Option<Store>,
    /// How its drivers reach it; a server by `FENCELOCK_CONFORMANCE_VIA` (`tls`, `unix`, `resp2`).
    pub url: String,
    _authority: Option<Authority>,
    /// Who claimed what.
    pub history: History,
    cast: Vec<&'static Language>,
    drivers: Mutex<Vec<Arc<Driver>>>,
    secrets: Mutex<Vec<String>>,
    observer: Mutex<Option<Observer>>,
}

struct Observer(redis::Connection);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// Looks every few ms until something is there.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

impl Stage {
    /// Sets the stage for a cast.
    pub fn open(cast: Vec<&'static Language>, backend: Backend) -> Self {
        match backend {
            Backend::Redis => Self::with_server(cast),
            Backend::File => {
                let store = Store::new();
                let url = format!("file:{}", store.file().display());
                Self::with(cast, backend, Server(None), Some(store), url, None)
            }
        }
    }

    /// Sets the stage with a server that keeps what it was told, and whose clock can be set.
    pub fn open_durable(cast: Vec<&'static Language>) -> Self {
        let server = TestServer::start_durable();
        let url = server.url();
        Self::with(cast, Backend::Redis, Server(Some(server)), None, url, None)
    }

    fn with_server(cast: Vec<&'static Language>) -> Self {
        let via = std::env::var("FENCELOCK_CONFORMANCE_VIA").unwrap_or_default();
        let authority = (via == "tls").then(Authority::new);
        let server = authority.as_ref().map_or_else(TestServer::start, |authority| {
            TestServer::start_tls(authority, &authority.issue(&["127.0.0.1"]), false)
        });
        let url = match (via.as_str(), &authority) {
            (_, Some(authority)) => {
                format!("{}?tls_ca={}", server.tls_url(), authority.ca().display())
            }
            ("unix", _) => server.unix_url(),
            ("resp2", _) => format!("{}?protocol=2", server.url()),
            ("", _) => server.url(),
            _ => panic!("FENCELOCK_CONFORMANCE_VIA is {via:?}, not tls, unix or resp2"),
        };
        Self::with(cast, Backend::Redis, Server(Some(server)), None, url, authority)
    }

    fn with(
        cast: Vec<&'static Language>,
        backend: Backend,
        server: Server,
        store: Option<Store>,
        url: String,
        authority: Option<Authority>,
    ) -> Self {
        Self {
            backend,
            server,
            store,
            url,
            _authority: authority,
            history: History::default(),
            cast,
            drivers: Mutex::default(),
            secrets: Mutex::new(vec![TOKEN.to_owned()]),
            observer: Mutex::default(),
        }
    }

    /// The file that the locks are kept in.
    pub fn store(&self) -> &Store {
        let store = self.store.as_ref();
        store.unwrap_or_else(|| panic!("there is no file: mark the scenario `on(Backend::File)`"))
    }

    /// The file that the locks are kept in, if it is one.
    pub const fn kept_in(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Whether the driver in a role can do this.
    pub fn can(&self, role: usize, what: &str) -> bool {
        self.cast[role].can.contains(&what)
    }

    /// The name of a role's language.
    pub fn language(&self, role: usize) -> &'static str {
        self.cast[role].name
    }

    /// Starts a process for a role.
    pub fn driver(&self, role: usize) -> Arc<Driver> {
        self.start(self.cast[role])
    }

    /// Starts a process of a language that is not in the cast.
    pub fn start(&self, language: &Language) -> Arc<Driver> {
        self.enter(language, |name| Driver::start(language, name))
    }

    /// Starts a process for a role under a tool that takes a command, such as strace.
    pub fn driver_under(&self, tool: Command, role: usize) -> Arc<Driver> {
        let language = self.cast[role];
        self.enter(language, |name| Driver::start_under(tool, language, name))
    }

    fn enter(&self, language: &Language, start: impl FnOnce(&str) -> Driver) -> Arc<Driver> {
        let name = format!("{}#{}", language.name, open(&self.drivers).len());
        let driver = Arc::new(start(&name));
        open(&self.drivers).push(driver.clone());
        driver
    }

    /// Starts a process for a role, and connects it.
    pub fn party(&self, role: usize) -> Party {
        self.party_at(role, &self.url)
    }

    /// As [`party`](Self::party), to another URL.
    pub fn party_at(&self, role: usize, url: &str) -> Party {
        self.party_of(self.driver(role), url)
    }

    /// Connects a process.
    pub fn party_of(&self, driver: Arc<Driver>, url: &str) -> Party {
        let options = Fields::default().with("url", url);
        match self.connect(driver, &options) {
            Ok(party) => party,
            Err(fault) => panic!("connect: {fault:?}"),
        }
    }

    /// Connects a process with options of its own.
    ///
    /// # Errors
    ///
    /// What `connect` says.
    pub fn connect(&self, driver: Arc<Driver>, options: &Fields) -> Result<Party, Fault> {
        Party::connect(driver, &self.history, options)
    }

    /// No driver may show this text either.
    pub fn keep_secret(&self, text: &str) {
        open(&self.secrets).push(text.to_owned());
    }

    /// Sends a command of the scenario's own.
    pub fn redis<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_redis(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// As [`redis`](Self::redis), to a server that may be slow or away, as often as it takes within
    /// two minutes.
    pub fn redis_patiently<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let give_up = Instant::now() + LIMIT * 6;
        loop {
            match self.try_redis(words) {
                Ok(answer) => return answer,
                Err(error) if Instant::now() > give_up => panic!("{words:?}: {error}"),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn try_redis<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut command = redis::Cmd::new();
        command.arg(words);
        let mut observer = open(&self.observer);
        let known = observer.as_mut().map(|observer| command.query(&mut observer.0));
        if let Some(Ok(answer)) = known {
            return Ok(answer);
        }
        // The scenario may have restarted the server.
        let connection = self.server.try_connection()?;
        command.query(&mut observer.insert(Observer(connection)).0)
    }

    /// Waits until so many stand in the lock's queue.
    pub fn await_queue(&self, lock: &str, length: u64) {
        eventually(&format!("{length} in the queue of {lock}"), || {
            (self.queue(lock) == length).then_some(())
        });
    }

    /// Waits until nobody holds the lock, and asserts that nobody waits.
    pub fn await_free(&self, lock: &str) {
        eventually(&format!("{lock} is free"), || self.value(lock).is_none().then_some(()));
        self.nothing_left(lock);
    }

    /// How often the server has carried out a command.
    pub fn calls(&self, command: &str) -> u64 {
        let stats: String = self.redis(&["INFO", "commandstats"]);
        let line = format!("cmdstat_{command}:calls=");
        let found = stats.lines().find_map(|text| text.strip_prefix(&line));
        let digits = found.and_then(|rest| rest.split(',').next());
        digits.map_or(0, |digits| digits.parse().unwrap_or_default())
    }

    /// What holds after every scenario.
    ///
    /// # Errors
    ///
    /// A text that says what does not.
    pub fn verdict(&self) -> Result<(), String> {
        self.history.check()?;
        for driver in open(&self.drivers).iter() {
            let transcript = driver.transcript();
            let lines = transcript
                .lines()
                // Decoded too: a percent sign must not hide anything.
                .flat_map(|line| [line.to_owned(), decode(line).unwrap_or_default()]);
            for line in lines {
                if open(&self.secrets).iter().any(|secret| line.contains(secret)) {
                    return Err(format!("{} shows a secret: {line}", driver.name()));
                }
            }
        }
        Ok(())
    }

    /// The end of what each driver said, for people to find out what went wrong.
    pub fn transcripts(&self) -> String {
        let tail = |driver: &Arc<Driver>| {
            let transcript = driver.transcript();
            let readable = |line: &str| decode(line).unwrap_or_else(|_| line.to_owned());
            let lines: Vec<String> = transcript.lines().map(readable).collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n  ");
            format!("{}:\n  {last}\n", driver.name())
        };
        open(&self.drivers).iter().map(tail).collect()
    }
}
