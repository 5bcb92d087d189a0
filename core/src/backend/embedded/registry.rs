//! The stores that this process has open: clients of one file share one, for `SQLite` and the
//! record locks of a process know no difference between them. And what a fork needs: nobody is
//! inside `SQLite` at that moment, and no connection to a file is open, since a child could neither
//! use nor close it.

#![expect(unsafe_code, reason = "pthread_atfork has no safe interface")]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::gate::Gate;
use super::place::{self, At};
use super::store::Store;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::fork;

static REGISTRY: ArcSwapOption<Registry> = ArcSwapOption::const_empty();
static PREPARED: AtomicBool = AtomicBool::new(false);
/// Connections to files that are open in this process. A child, or a process whose descriptors
/// were all closed behind our back, that finds any can't open another: `SQLite` would take them
/// for its own.
pub(super) static OPEN: AtomicUsize = AtomicUsize::new(0);
/// How long a fork waits for those who are inside.
const FORK_WAIT: Duration = Duration::from_secs(1);

/// The stores of one generation.
pub(super) struct Registry {
    generation: u64,
    stores: Mutex<HashMap<Key, Weak<Store>>>,
    /// Opening and closing, one at a time.
    pub(super) opening: Gate<()>,
    tainted: bool,
    /// What this process goes by in its stores.
    pub(super) names: Mutex<HashSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Memory(String),
    File(u64, u64),
}

impl Registry {
    /// That of this process; after a fork a new one.
    pub(super) fn current() -> Arc<Self> {
        fork::watch();
        prepare_for_forks();
        loop {
            let generation = fork::generation();
            let current = REGISTRY.load_full();
            if let Some(registry) = &current
                && registry.generation == generation
            {
                return registry.clone();
            }
            let fresh = Arc::new(Self {
                generation,
                stores: Mutex::default(),
                opening: Gate::new(Some(())),
                tainted: OPEN.load(Ordering::Acquire) != 0,
                names: Mutex::default(),
            });
            let before = REGISTRY.compare_and_swap(&current, Some(fresh));
            if before.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr) {
                // The parent's is left as it is.
                std::mem::forget(current);
            }
        }
    }

    fn all(&self) -> Vec<Arc<Store>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.values().filter_map(Weak::upgrade).collect()
    }

    fn find(&self, key: &Key) -> Option<Arc<Store>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.get(key).and_then(Weak::upgrade).filter(|store| store.is_current())
    }

    fn keep(&self, key: Key, store: &Arc<Store>) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| store.strong_count() > 0);
        stores.insert(key, Arc::downgrade(store));
    }

    /// The store at a place, opened if it is not open yet. Blocks.
    pub(super) fn open(&self, at: &At, until: Moment) -> Result<Arc<Store>> {
        let busy = || Error::unavailable("the store is being opened by another thread");
        match at {
            At::Memory(name) => {
                let key = Key::Memory(name.clone());
                let _one_at_a_time = self.opening.turn(until).ok_or_else(busy)?;
                if let Some(store) = self.find(&key) {
                    return Ok(store);
                }
                let store = Store::in_memory()?;
                self.keep(key, &store);
                Ok(store)
            }
            At::File { path, group, own } => {
                if self.tainted {
                    return Err(tainted());
                }
                let _one_at_a_time = self.opening.turn(until).ok_or_else(busy)?;
                // By its inode, without opening it.
                if let Some(key) = key_of(path)
                    && let Some(store) = self.find(&key)
                {
                    return Ok(store);
                }
                let ready = place::prepare(path, *group, *own)?;
                let store = Store::in_file(ready, until, &self.names)?;
                self.keep(store.key(), &store);
                Ok(store)
            }
        }
    }
}

fn key_of(path: &std::path::Path) -> Option<Key> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some(Key::File(found.dev(), found.ino()))
}

fn tainted() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "this process was forked in the middle of a transaction, or all its descriptors were \
         closed, while a file: store was open",
        "open the client after the fork or after becoming a daemon; start this process again",
    )
}

fn prepare_for_forks() {
    if PREPARED.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: the handlers are plain functions that live as long as the process. Two threads that
    // race register twice: the second call of each finds everything done.
    let failed = unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), None) };
    if failed == 0 {
        PREPARED.store(true, Ordering::Release);
    }
}

fn here() -> Option<Arc<Registry>> {
    REGISTRY.load_full().filter(|registry| registry.generation == fork::generation())
}

extern "C" fn before_fork() {
    let Some(registry) = here() else { return };
    let until = Moment::now() + FORK_WAIT;
    registry.opening.seize(until, false);
    for store in registry.all() {
        store.before_fork(until);
    }
}

extern "C" fn after_fork() {
    let Some(registry) = here() else { return };
    for store in registry.all() {
        store.after_fork();
    }
    registry.opening.unseize();
}
