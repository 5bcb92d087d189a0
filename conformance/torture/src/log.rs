//! A run's log: one file, written by every thread, read by the checker when all is over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fencelock_conformance::kit::boot_nanos;

use crate::event::{Event, What};

/// A log that is being written.
#[derive(Debug)]
pub struct Log(Mutex<Writing>);

#[derive(Debug)]
struct Writing {
    file: BufWriter<File>,
    failed: Option<io::Error>,
}

impl Log {
    /// A new log.
    ///
    /// # Errors
    ///
    /// When the file can't be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(Self(Mutex::new(Writing { file, failed: None })))
    }

    /// Notes what happened at this moment, in ns on the boot clock.
    pub fn note_at(&self, at: u64, what: What) {
        let mut writing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = writeln!(writing.file, "{}", Event { at, what });
        writing.failed = writing.failed.take().or(written.err());
    }

    /// Notes what happens now.
    pub fn note(&self, what: What) {
        self.note_at(boot_nanos(), what);
    }

    /// Brings all of it to the file.
    ///
    /// # Errors
    ///
    /// When anything could not be written.
    pub fn finish(&self) -> io::Result<()> {
        let mut writing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = writing.file.flush();
        writing.failed.take().map_or(flushed, Err)
    }
}

/// Reads a log.
///
/// # Errors
///
/// A text that says which line is wrong, or that it can't be read.
pub fn read(path: &Path) -> Result<Vec<Event>, String> {
    let wrong = |error: io::Error| format!("{}: {error}", path.display());
    let file = BufReader::new(File::open(path).map_err(wrong)?);
    file.lines().map(|line| Event::read(&line.map_err(wrong)?)).collect()
}
