//! One store of this process, shared by all its clients: transactions on it, and what goes on
//! around them.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::task::AbortHandle;

use super::boot::Boot;
use super::connection::Open;
use super::fault::Fault;
use super::gate::Gate;
use super::ledger::{Grant, Ledger};
use super::place::Ready;
use super::post::{self, Inbox, Post, Sent};
use super::process::{Life, Process};
use super::registry::{Key, Registry};
use super::watch::Deaths;
use crate::backend::{Signal, SignalSink};
use crate::clock::Moment;
use crate::engine;
use crate::error::Result;
use crate::fork::{self, Native};

/// A log longer than this is taken over into the file, in the background.
const LONG_LOG: u64 = 1 << 20;
/// And one longer than this is begun anew, for which everybody waits a moment.
const LONGEST_LOG: u64 = 4 << 20;
/// How often its length is looked at, in transactions.
const LOG_LOOK: u64 = 128;
/// A free lock's last fence is remembered so long; then the clock is past it.
const FENCE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// So many messages in one go mean that more may have found no room.
const BURST: usize = 8;
/// How long clean-up in the background waits for others.
const TIDY_TIME: Duration = Duration::from_secs(1);

/// One open store.
pub(super) struct Store {
    /// For people to read.
    pub(super) shown: String,
    gate: Gate<Open>,
    file: Option<Shared>,
    sinks: Mutex<HashMap<String, SignalSink>>,
    pub(super) deaths: Deaths,
    transactions: AtomicU64,
    /// Its file was deleted or replaced.
    replaced: AtomicBool,
    hearing: OnceLock<AbortHandle>,
    generation: u64,
    myself: Weak<Store>,
}

/// What a store in a file has to share it with other processes.
struct Shared {
    ready: Ready,
    log: PathBuf,
    process: Process,
    post: Post,
    /// Nobody else takes the log over.
    log_gate: Gate<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("shown", &self.shown).finish_non_exhaustive()
    }
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Store {
    fn new(shown: String, open: Open, file: Option<Shared>) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            shown,
            gate: Gate::new(Some(open)),
            file,
            sinks: Mutex::default(),
            deaths: Deaths::default(),
            transactions: AtomicU64::new(1),
            replaced: AtomicBool::new(false),
            hearing: OnceLock::new(),
            generation: fork::generation(),
            myself: myself.clone(),
        })
    }

    pub(super) fn in_memory() -> Result<Arc<Self>> {
        let shown = "memory:".to_owned();
        let open = Open::in_memory(&Boot::read()).map_err(|fault| fault.into_error(&shown))?;
        Ok(Self::new(shown, open, None))
    }

    pub(super) fn in_file(
        ready: Ready,
        until: Moment,
        names: &Mutex<HashSet<String>>,
    ) -> Result<Arc<Self>> {
        let shown = ready.path.display().to_string();
        let process = Process::register(&ready.dir, ready.mode, names)?;
        let (post, inbox) = Post::open(&ready.dir, &process.name, ready.mode)?;
        let mut log = ready.path.clone().into_os_string();
        log.push("-wal");
        let file = Shared { log: log.into(), process, post, log_gate: Gate::new(Some(())), ready };
        let opened = Open::in_file(&file.ready.path, &shown, &Boot::read(), until);
        let open = match opened {
            Ok(open) => open,
            Err(fault) => {
                file.process.retire(names);
                return Err(fault.into_error(&shown));
            }
        };
        let store = Self::new(shown, open, Some(file));
        let hearing = engine::handle()?.spawn(hear(Arc::downgrade(&store), inbox));
        // It is set once.
        let _ = store.hearing.set(hearing.abort_handle());
        store.tidy();
        Ok(store)
    }

    pub(super) fn key(&self) -> Key {
        match &self.file {
            Some(file) => Key::File(file.ready.inode.0, file.ready.inode.1),
            None => Key::Memory(String::new()),
        }
    }

    /// Whether it is still the store at its place.
    pub(super) fn is_current(&self) -> bool {
        !self.replaced.load(Ordering::Acquire)
    }

    /// The name of this process in the store.
    pub(super) fn process(&self) -> &str {
        self.file.as_ref().map_or("", |file| &file.process.name)
    }

    fn sinks(&self) -> MutexGuard<'_, HashMap<String, SignalSink>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a client's signals go.
    pub(super) fn enter(&self, client: &str, sink: &SignalSink) {
        self.sinks().insert(client.to_owned(), sink.clone());
    }

    pub(super) fn leave(&self, client: &str) {
        self.sinks().remove(client);
    }

    pub(super) fn life(&self, process: &str) -> Life {
        match &self.file {
            Some(file) => file.process.life(process),
            None => Life::Alive(None),
        }
    }

    /// Fails if the file is not the one that was opened. Others would use the new one.
    fn check_file(&self) -> std::result::Result<(), Fault> {
        let Some(file) = &self.file else { return Ok(()) };
        let found = std::fs::metadata(&file.ready.path);
        let same = found.is_ok_and(|found| (found.dev(), found.ino()) == file.ready.inode);
        if !same {
            self.replaced.store(true, Ordering::Release);
        }
        if self.is_current() { Ok(()) } else { Err(Fault::Replaced) }
    }

    /// Runs a transaction, and tells those who were granted a lock in it. Blocks until `until` at
    /// most, then fails with `Busy`, and nothing was done.
    pub(super) fn transact<T>(
        &self,
        until: Moment,
        work: impl FnOnce(&mut Ledger<'_>) -> std::result::Result<T, Fault>,
    ) -> std::result::Result<T, Fault> {
        let (done, granted) = self.carry_out(until, &HashSet::new(), work)?;
        self.tell(granted);
        self.look_at_log();
        Ok(done)
    }

    /// The same without telling; `refused` are processes that did not hear.
    fn carry_out<T>(
        &self,
        until: Moment,
        refused: &HashSet<String>,
        work: impl FnOnce(&mut Ledger<'_>) -> std::result::Result<T, Fault>,
    ) -> std::result::Result<(T, Vec<Grant>), Fault> {
        let mut turn = self.gate.turn(until).ok_or(Fault::Busy)?;
        self.check_file()?;
        let open = match turn.value.take() {
            Some(open) => open,
            None => self.reopen(until)?,
        };
        let open = turn.value.insert(open);
        let lives = |process: &str| !refused.contains(process) && self.life(process) != Life::Dead;
        open.transact(until, |connection| {
            // The time when nobody else can be in between.
            let now = Moment::now();
            let mut ledger = Ledger::new(connection, now.nanos(), micros(), &lives);
            let done = work(&mut ledger)?;
            Ok((done, ledger.granted))
        })
    }

    /// After a fork, or after one that another thread has begun.
    fn reopen(&self, until: Moment) -> std::result::Result<Open, Fault> {
        match &self.file {
            Some(file) => Open::in_file(&file.ready.path, &self.shown, &Boot::read(), until),
            None => Err(Fault::Busy),
        }
    }

    /// Tells waiters that they were granted a lock. Where nobody is there to hear it, the lock goes
    /// to the next.
    fn tell(&self, mut grants: Vec<Grant>) {
        let mut refused = HashSet::new();
        while let Some(grant) = grants.pop() {
            if self.is_told(&grant) {
                continue;
            }
            refused.insert(grant.process.clone());
            let until = Moment::now() + TIDY_TIME;
            match self.carry_out(until, &refused, |ledger| ledger.revoke(&grant)) {
                Ok(((), next)) => grants.extend(next),
                Err(fault) => {
                    let error = fault.into_error(&self.shown);
                    tracing::warn!(lock = grant.name, "a lock is left to a dead waiter: {error}");
                }
            }
        }
    }

    /// False if nobody is there to hear it.
    fn is_told(&self, grant: &Grant) -> bool {
        if let Some(file) = self.file.as_ref().filter(|file| grant.process != file.process.name) {
            return file.post.send(grant) != Sent::Refused;
        }
        let (store, grant) = (self.myself.clone(), grant.clone());
        // Signals come on the engine's thread only.
        engine::spawn(async move {
            if let Some(store) = store.upgrade() {
                store.signal(grant);
            }
        });
        true
    }

    /// On the engine's thread.
    fn signal(&self, grant: Grant) {
        let Grant { name, token, fence, client, .. } = grant;
        let sink = self.sinks().get(&client).cloned();
        if let Some(sink) = sink {
            sink(Signal::Granted { name, token, fence });
        }
    }

    /// Everybody who waits is to look. On the engine's thread.
    pub(super) fn look_all(&self) {
        let sinks: Vec<SignalSink> = self.sinks().values().cloned().collect();
        for sink in sinks {
            sink(Signal::LookAll);
        }
    }

    /// Hears of the end of these processes.
    pub(super) fn watch(&self, processes: &[String]) {
        if let Some(store) = self.myself.upgrade() {
            self.deaths.watch(&store, processes);
        }
    }

    /// Removes what dead processes and forgotten locks left behind.
    fn tidy(&self) {
        let Some(file) = &self.file else { return };
        let dead = file.process.dead();
        let until = Moment::now() + TIDY_TIME;
        let week = u64::try_from(FENCE_LIFE.as_micros()).unwrap_or(u64::MAX);
        let tidied = self.transact(until, |ledger| {
            for process in &dead {
                ledger.bury(process)?;
            }
            ledger.forget(week)
        });
        match tidied {
            Ok(()) => dead.iter().for_each(|process| file.process.remove(process)),
            // The next to open it does so.
            Err(fault) => {
                let error = fault.into_error(&self.shown);
                tracing::debug!("nothing was tidied up: {error}");
            }
        }
    }

    /// Has a long log taken over into the file, in the background: that waits for the disk.
    fn look_at_log(&self) {
        let count = self.transactions.fetch_add(1, Ordering::Relaxed);
        let due = count.is_multiple_of(LOG_LOOK);
        let Some(file) = self.file.as_ref().filter(|_| due) else { return };
        if std::fs::metadata(&file.log).is_ok_and(|log| log.len() < LONG_LOG) {
            return;
        }
        let (Some(store), Ok(engine)) = (self.myself.upgrade(), engine::handle()) else { return };
        drop(engine.spawn_blocking(move || store.take_over_log()));
    }

    fn take_over_log(&self) {
        let Some(file) = &self.file else { return };
        let Some(_turn) = file.log_gate.turn(Moment::now()) else { return };
        let until = Moment::now() + TIDY_TIME;
        let length = std::fs::metadata(&file.log).map_or(0, |log| log.len());
        let done = Open::in_file(&file.ready.path, &self.shown, &Boot::read(), until)
            .and_then(|open| open.take_over_log(length > LONGEST_LOG, until));
        if let Err(fault) = done {
            tracing::debug!("the log was not taken over: {}", fault.into_error(&self.shown));
        }
    }

    /// Nobody is in `SQLite`, and no file is open by it, until [`after_fork`](Self::after_fork).
    pub(super) fn before_fork(&self, until: Moment) {
        let to_file = self.file.is_some();
        // Dropped here: closed.
        drop(self.gate.seize(until, to_file));
        if let Some(file) = &self.file {
            file.log_gate.seize(until, false);
        }
    }

    pub(super) fn after_fork(&self) {
        if let Some(file) = &self.file {
            file.log_gate.unseize();
        }
        self.gate.unseize();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let Some(file) = self.file.as_ref() else { return };
        if self.generation == fork::generation() {
            if let Some(hearing) = self.hearing.get() {
                hearing.abort();
            }
            let registry = Registry::current();
            file.process.retire(&registry.names);
            // Not in the middle of a fork.
            let _closing = registry.opening.turn(Moment::now() + TIDY_TIME);
            if let Some(mut turn) = self.gate.turn(Moment::now()) {
                drop(turn.value.take());
            }
        }
    }
}

/// Hears what other processes tell, for as long as the store is open.
async fn hear(store: Weak<Store>, inbox: Inbox) {
    let _inherited = Native::new(inbox.inherited);
    let socket = match tokio::net::UnixDatagram::from_std(inbox.socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!("grants are not heard: {error}"),
    };
    let mut buffer = post::buffer();
    loop {
        let first = socket.recv(&mut buffer).await;
        let Some(open) = store.upgrade() else { return };
        let mut heard = first.ok();
        let mut count = 0;
        while let Some(length) = heard {
            count += 1;
            if let Some(grant) = post::read(&buffer[..length]) {
                open.signal(grant);
            }
            heard = socket.try_recv(&mut buffer).ok();
        }
        if count >= BURST {
            open.look_all();
        }
    }
}
