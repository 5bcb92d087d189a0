//! The queue of events: anybody pushes, one thread of the language waits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};

use tracing::Level;

use crate::per_process::PerProcess;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// How many log records are kept for a reader that is slow or absent; the rest are dropped.
const RECORDS_MOST: usize = 1000;

/// What the engine tells a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The lease that was watched under this number is lost.
    Lost(u64),
    /// A line for the language's log.
    Log(Record),
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How grave it is.
    pub level: Level,
    /// The text.
    pub message: String,
    /// What the text is about, such as `lock`.
    pub fields: Vec<(&'static str, String)>,
}

/// Events in the order they were pushed.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    records: usize,
    stopped: bool,
}

static QUEUE: PerProcess<Queue> = PerProcess::new();

/// The queue of this process.
pub fn queue() -> Arc<Queue> {
    let Ok(queue) = QUEUE.get_or_try(|| Ok::<_, Infallible>(Queue::default()));
    queue
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event and wakes the reader. Never blocks for longer than another push.
    pub fn push(&self, event: Event) {
        let mut state = self.state();
        if let Event::Log(_) = event {
            if state.records >= RECORDS_MOST {
                return;
            }
            state.records += 1;
        }
        state.events.push_back(event);
        drop(state);
        self.more.notify_one();
    }

    /// Waits for the next event; `None` once the queue was stopped and is empty.
    pub fn next(&self) -> Option<Event> {
        let mut state = self.state();
        loop {
            if let Some(event) = state.events.pop_front() {
                if let Event::Log(_) = event {
                    state.records -= 1;
                }
                return Some(event);
            }
            if state.stopped {
                return None;
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the reader go when it has read what is there.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Event {
        Event::Log(Record { level: Level::WARN, message: String::new(), fields: Vec::new() })
    }

    #[test]
    fn a_waiting_reader_gets_events_in_order_and_then_the_end() {
        let queue = Arc::new(Queue::default());
        let reader = std::thread::spawn({
            let queue = queue.clone();
            move || std::iter::from_fn(|| queue.next()).collect::<Vec<_>>()
        });
        for id in 1..=3 {
            queue.push(Event::Lost(id));
        }
        queue.stop();
        let expected: Vec<_> = (1..=3).map(Event::Lost).collect();
        assert_eq!(reader.join().unwrap(), expected);
    }

    #[test]
    fn a_flood_of_records_is_cut_but_no_loss_is_dropped() {
        let queue = Queue::default();
        for _ in 0..=RECORDS_MOST {
            queue.push(record());
        }
        queue.push(Event::Lost(1));
        queue.stop();
        let events: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(events.len(), RECORDS_MOST + 1);
        assert_eq!(events.last(), Some(&Event::Lost(1)));
        queue.push(record());
        assert_eq!(queue.next(), Some(record()), "room again once read");
    }

    #[test]
    fn there_is_one_queue_per_process() {
        assert!(Arc::ptr_eq(&queue(), &queue()));
    }
}
