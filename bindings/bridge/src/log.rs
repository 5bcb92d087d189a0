//! fencelock's log, which Rust writes through `tracing`, on the queue of events or where the
//! language wants it.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};

use crate::queue::{Event, Record, queue};

/// The least grave rank that is forwarded; 0 forwards nothing.
static MOST: AtomicUsize = AtomicUsize::new(0);

type Sink = Box<dyn Fn(Record) + Send + Sync>;

static SINK: OnceLock<Sink> = OnceLock::new();

/// Has records go there from now on, instead of on the queue; only the first call counts. It is
/// called on the thread that writes the record, and must be quick.
pub fn divert(sink: impl Fn(Record) + Send + Sync + 'static) {
    let _ = SINK.set(Box::new(sink));
}

/// Forwards what is at least this grave from now on. What others have already made the
/// `tracing` subscriber of this library stays it.
pub fn forward(level: LevelFilter) {
    static INSTALL: std::sync::Once = std::sync::Once::new();
    MOST.store(level.into_level().map_or(0, rank), Ordering::Relaxed);
    INSTALL.call_once(|| {
        let _ = tracing::subscriber::set_global_default(Forwarder);
    });
}

/// 1 for errors to 5 for traces.
fn rank(level: Level) -> usize {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        _ => 5,
    }
}

/// Puts fencelock's events on the queue. Spans are not looked at.
#[derive(Debug)]
struct Forwarder;

impl Subscriber for Forwarder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Not "always": the level may change, and changing it must not take tracing's locks.
        if metadata.is_event() && metadata.target().starts_with("fencelock") {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        rank(*metadata.level()) <= MOST.load(Ordering::Relaxed)
            && metadata.target().starts_with("fencelock")
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut record =
            Record { level: *event.metadata().level(), message: String::new(), fields: Vec::new() };
        event.record(&mut Collect(&mut record));
        match SINK.get() {
            Some(sink) => sink(record),
            None => queue().push(Event::Log(record)),
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Collect<'a>(&'a mut Record);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.0.message = format!("{value:?}"),
            name => self.0.fields.push((name, format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.0.message),
            name => self.0.fields.push((name, value.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_grave_enough_and_ours_is_forwarded() {
        forward(LevelFilter::WARN);
        tracing::warn!(target: "fencelock::lease", lock = "a b", count = 3, "lease {}", "lost");
        tracing::info!(target: "fencelock::lease", "not grave enough");
        tracing::error!(target: "redis", "not ours");
        forward(LevelFilter::OFF);
        tracing::error!(target: "fencelock", "nobody listens");
        forward(LevelFilter::DEBUG);
        tracing::debug!(target: "fencelock", "grave enough now");
        queue().stop();
        let events: Vec<_> = std::iter::from_fn(|| queue().next()).collect();
        let expected = [
            Record {
                level: Level::WARN,
                message: "lease lost".to_owned(),
                fields: vec![("lock", "a b".to_owned()), ("count", "3".to_owned())],
            },
            Record {
                level: Level::DEBUG,
                message: "grave enough now".to_owned(),
                fields: Vec::new(),
            },
        ];
        assert_eq!(events, expected.map(Event::Log));
    }
}
