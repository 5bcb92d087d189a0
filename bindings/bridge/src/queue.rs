//! The queue of events: anybody pushes, one thread of the language waits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use fencelock::fork_generation;
use tracing::Level;

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
#[derive(Debug)]
pub struct Queue {
    generation: u64,
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    records: usize,
    stopped: bool,
}

static QUEUE: ArcSwapOption<Queue> = ArcSwapOption::const_empty();

/// The queue of this process. A forked child has one of its own: the parent's may be locked
/// for ever, and is left as it is.
pub fn queue() -> Arc<Queue> {
    let generation = fork_generation();
    loop {
        let current = QUEUE.load_full();
        if let Some(queue) = &current
            && queue.generation == generation
        {
            return queue.clone();
        }
        let fresh = Arc::new(Queue::new(generation));
        let before = QUEUE.compare_and_swap(&current, Some(fresh.clone()));
        if before.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr) {
            std::mem::forget(current);
            return fresh;
        }
    }
}

impl Queue {
    fn new(generation: u64) -> Self {
        Self { generation, state: Mutex::default(), more: Condvar::new() }
    }

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
        let queue = Arc::new(Queue::new(0));
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
        let queue = Queue::new(0);
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
