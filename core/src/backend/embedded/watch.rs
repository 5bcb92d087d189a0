//! Hears of a process's end at the moment that it ends, so that those who wait behind it look at
//! once. Linux tells it through a descriptor of the process; where the process can't be seen (in
//! another container that shares the file) its record lock is asked after every 50 ms.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::process::Life;
use super::store::Store;
use crate::engine;

/// How often a process that can't be seen is asked after.
const GLANCE: Duration = Duration::from_millis(50);
/// So many processes are watched at most; who waits behind more relies on heartbeats.
const WATCHED_MOST: usize = 256;

/// The processes that are watched, or were until they ended.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    known: Mutex<HashSet<String>>,
}

impl Deaths {
    /// Watches these, too.
    pub(super) fn watch(&self, store: &Arc<Store>, processes: &[String]) {
        if processes.is_empty() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for process in processes {
            if known.contains(process) {
                continue;
            }
            if known.len() >= WATCHED_MOST {
                // The ended among them are not known from the others, and are few as a rule.
                return;
            }
            known.insert(process.clone());
            engine::spawn(watch(Arc::downgrade(store), process.clone()));
        }
    }

    fn forget(&self, process: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(process);
    }
}

async fn watch(store: Weak<Store>, process: String) {
    loop {
        let life = match store.upgrade() {
            Some(store) => store.life(&process),
            None => return,
        };
        match life {
            Life::Alive(Some(pid)) => ended(&store, &process, pid).await,
            Life::Alive(None) => tokio::time::sleep(GLANCE).await,
            // Where its file is gone it went in order, or it can't be told: whoever waits looks
            // once, and what it holds ends at its TTL.
            Life::Dead | Life::Unknown => break,
        }
    }
    if let Some(store) = store.upgrade() {
        store.look_all();
    }
    // Long enough that nobody's queue shows it any more.
    tokio::time::sleep(Duration::from_secs(60)).await;
    if let Some(store) = store.upgrade() {
        store.deaths.forget(&process);
    }
}

/// Returns when the process with this number has ended, or should be looked at again.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "tokio can't tell from its type that a descriptor stays the same")]
async fn ended(store: &Weak<Store>, process: &str, pid: i32) {
    use std::os::fd::AsRawFd;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use crate::fork::Inherited;

    let opened = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok());
    let Some(opened) = opened else {
        return tokio::time::sleep(GLANCE).await;
    };
    let _inherited = Inherited::register(opened.as_raw_fd());
    // Its number may have become another's before it was opened.
    let same = store.upgrade().map(|store| store.life(process));
    if same != Some(Life::Alive(Some(pid))) {
        return;
    }
    // SAFETY: the descriptor is owned by what is given, is the same for as long as that lives, and
    // closed after it was taken off the list of what is watched.
    let watched = unsafe { AsyncFd::register_with_interest(opened, Interest::READABLE) };
    let Ok(opened) = watched else {
        return tokio::time::sleep(GLANCE).await;
    };
    let _ = opened.readable().await;
    if store.upgrade().is_some_and(|store| store.life(process) == Life::Alive(Some(pid))) {
        // It has ended but for a task that still has its files.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[cfg(not(target_os = "linux"))]
async fn ended(_store: &Weak<Store>, _process: &str, _pid: i32) {
    tokio::time::sleep(GLANCE).await;
}
