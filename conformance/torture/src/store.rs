//! What the lock protects: a record for each lock in a store that looks at fences, and beside it in
//! one that does not. Every holder reads a version, and writes the next.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fencelock_conformance::kit::boot_nanos;

use crate::event::What;
use crate::log::Log;

/// Both stores.
#[derive(Debug)]
pub struct Stores<'a> {
    log: &'a Log,
    /// A store that takes older fences is a negative control.
    looks: bool,
    records: Mutex<HashMap<String, Record>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    highest: u64,
    version: u64,
    plain: u64,
}

/// What a holder has read, before it writes.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    version: u64,
    plain: u64,
}

impl<'a> Stores<'a> {
    /// New stores; `looks` unless the fenced one is to take any fence.
    pub fn new(log: &'a Log, looks: bool) -> Self {
        Self { log, looks, records: Mutex::default() }
    }

    /// Reads a record under a fence. The fenced store refuses one older than it has seen.
    pub fn read(&self, lock: &str, fence: u64) -> Option<Seen> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let record = records.entry(lock.to_owned()).or_default();
        let accepted = fence >= record.highest || !self.looks;
        record.highest = record.highest.max(fence);
        let seen = Seen { version: record.version, plain: record.plain };
        // Under the lock, so that the log has the store's own order.
        self.log.note_at(boot_nanos(), What::Read { lock: lock.to_owned(), fence, accepted });
        accepted.then_some(seen)
    }

    /// Writes the next version of what was read, to both; whether the fenced one took it.
    pub fn write(&self, lock: &str, fence: u64, seen: &mut Seen) -> bool {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let record = records.entry(lock.to_owned()).or_default();
        let accepted = fence >= record.highest || !self.looks;
        record.highest = record.highest.max(fence);
        let what = What::Write {
            lock: lock.to_owned(),
            fence,
            accepted,
            seen: seen.version,
            version: record.version,
            lost: seen.plain != record.plain,
        };
        self.log.note_at(boot_nanos(), what);
        record.plain += 1;
        seen.plain = record.plain;
        if accepted {
            record.version += 1;
            seen.version = record.version;
        }
        accepted
    }
}
