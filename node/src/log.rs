//! fencelock's log for JavaScript: one environment of the process gets the records.

use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use fencelock_bridge::{Record, Sender, log};
use napi_derive::napi;
use tracing::level_filters::LevelFilter;

use crate::port::{Numbered, Outcome, Port};

/// Where the environments of this process take them from, the oldest first, by number.
static LISTENERS: Mutex<Vec<(u64, Sender<Numbered>)>> = Mutex::new(Vec::new());

/// A line of the log.
#[napi(object)]
#[derive(Debug)]
pub struct RecordParts {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The text.
    pub message: String,
    /// What the text is about, such as `["lock", "a"]`.
    pub fields: Vec<Vec<String>>,
}

impl From<Record> for RecordParts {
    fn from(record: Record) -> Self {
        let fields = record.fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
        Self {
            level: record.level.as_str().to_lowercase(),
            message: record.message,
            fields: fields.collect(),
        }
    }
}

fn listeners() -> MutexGuard<'static, Vec<(u64, Sender<Numbered>)>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has records told to an environment; its number comes back.
pub(crate) fn listen(sender: Sender<Numbered>) -> u64 {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::divert(|record| {
            let first = listeners().first().map(|(_, sender)| sender.clone());
            if let Some(sender) = first {
                sender.send((0, Ok(Outcome::Log(record))));
            }
        });
        log::forward(LevelFilter::WARN);
    });
    let mut listeners = listeners();
    let number = listeners.last().map_or(0, |(number, _)| number + 1);
    listeners.push((number, sender));
    number
}

/// Its environment has ended.
pub(crate) fn unlisten(number: u64) {
    let mut listeners = listeners();
    let place = listeners.iter().position(|(known, _)| *known == number);
    let gone = place.map(|place| listeners.remove(place));
    drop(listeners);
    drop(gone);
}

#[napi]
impl Port {
    /// Forwards what is at least this grave: 0 nothing, 1 errors, to 5 for everything.
    #[napi(catch_unwind)]
    pub fn forward_log(rank: u32) {
        log::forward(match rank {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        });
    }
}
