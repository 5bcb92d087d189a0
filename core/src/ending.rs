//! Telling those who wait for a holding's end, futures and callbacks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::LossReason;

/// Called with why a lease was lost; `None` if it ended otherwise.
pub(crate) type Told = Box<dyn FnOnce(Option<LossReason>) + Send>;

/// Who is to be told.
#[derive(Default)]
pub(crate) struct Ending {
    changed: Notify,
    watchers: Mutex<Watchers>,
}

#[derive(Default)]
struct Watchers {
    last: u64,
    waiting: Vec<(u64, Told)>,
}

impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ending")
    }
}

impl Ending {
    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be enabled before the look at what it is about.
    pub(crate) fn notified(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// It has come, and can be seen. Called without locks that a watcher might take.
    pub(crate) fn tell(&self, reason: Option<LossReason>) {
        let waiting = std::mem::take(&mut self.watchers().waiting);
        for (_, told) in waiting {
            told(reason);
        }
        self.changed.notify_waiters();
    }

    /// Has somebody told, unless it `has_come`; back comes the number to forget him by.
    pub(crate) fn watch(&self, told: Told, has_come: impl FnOnce() -> bool) -> Result<u64, Told> {
        let mut watchers = self.watchers();
        // Looked at under the lock: what comes from here on finds him.
        if has_come() {
            return Err(told);
        }
        watchers.last += 1;
        let number = watchers.last;
        watchers.waiting.push((number, told));
        Ok(number)
    }

    /// Does not tell him.
    pub(crate) fn forget(&self, number: u64) {
        let mut watchers = self.watchers();
        let place = watchers.waiting.iter().position(|(known, _)| *known == number);
        let told = place.map(|place| watchers.waiting.swap_remove(place));
        drop(watchers);
        drop(told);
    }
}
