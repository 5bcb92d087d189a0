//! What the engine's threads leave for one event loop: results, and a descriptor that turns
//! readable once for as many of them as there are.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::take;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fencelock::fork_generation;

/// The loop's end. Dropping it drops what was not fetched, and what comes later.
#[derive(Debug)]
pub struct Completions<T> {
    inbox: Arc<Inbox<T>>,
    readable: PipeReader,
    generation: u64,
}

/// The engine's end; cheap to clone.
#[derive(Debug)]
pub struct Sender<T>(Arc<Inbox<T>>);

#[derive(Debug)]
struct Inbox<T> {
    state: Mutex<State<T>>,
    wake: PipeWriter,
}

#[derive(Debug)]
struct State<T> {
    results: Vec<T>,
    /// Whether a byte for the reader is on its way or there.
    woken: bool,
    closed: bool,
}

impl<T> Inbox<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Completions<T> {
    /// An empty queue.
    ///
    /// # Errors
    ///
    /// There are no more descriptors.
    pub fn new() -> io::Result<Self> {
        let (readable, wake) = io::pipe()?;
        let state = State { results: Vec::new(), woken: false, closed: false };
        let inbox = Arc::new(Inbox { state: Mutex::new(state), wake });
        Ok(Self { inbox, readable, generation: fork_generation() })
    }

    /// What to watch: readable when there is something to fetch.
    pub fn descriptor(&self) -> RawFd {
        self.readable.as_raw_fd()
    }

    /// Where results are put.
    pub fn sender(&self) -> Sender<T> {
        Sender(Arc::clone(&self.inbox))
    }

    /// Takes everything that is there. Does not block; in a forked child it finds nothing.
    pub fn fetch(&self) -> Vec<T> {
        if self.generation != fork_generation() {
            return Vec::new();
        }
        let mut state = self.inbox.state();
        let results = take(&mut state.results);
        let woken = take(&mut state.woken);
        drop(state);
        if woken {
            // One byte is there, or at this moment being written; a failure can only mean that
            // the other end is gone, and then nothing comes any more.
            let _ = (&self.readable).read(&mut [0]);
        }
        results
    }
}

impl<T> Drop for Completions<T> {
    fn drop(&mut self) {
        if self.generation != fork_generation() {
            // Another thread may have held it locked: it is left alone in a child for ever.
            std::mem::forget(self.inbox.clone());
            return;
        }
        let mut state = self.inbox.state();
        state.closed = true;
        let results = take(&mut state.results);
        drop(state);
        drop(results);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Sender<T> {
    /// Adds a result, and wakes the reader unless that has been done. Dropped if there is none
    /// any more.
    pub fn send(&self, result: T) {
        let mut state = self.0.state();
        if state.closed {
            drop(state);
            drop(result);
            return;
        }
        state.results.push(result);
        let first = !std::mem::replace(&mut state.woken, true);
        drop(state);
        if first {
            // The pipe holds a byte or two at most; a reader that is gone needs no waking.
            let _ = (&self.0.wake).write(&[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_results_are_one_wake_up() {
        let queue = Completions::new().unwrap();
        let sender = queue.sender();
        assert_eq!(queue.fetch(), [0; 0], "nothing there, and no blocking");
        for round in 0..3 {
            for result in 0..100 {
                sender.send(round * 100 + result);
            }
            assert_eq!(queue.fetch(), (round * 100..round * 100 + 100).collect::<Vec<_>>());
        }
        let mut readable = queue.readable.try_clone().unwrap();
        drop((queue, sender));
        assert_eq!(readable.read(&mut [0]).unwrap(), 0, "each byte was read");
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let queue = Completions::new().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sender = queue.sender();
                std::thread::spawn(move || (0..1000).for_each(|result| sender.send(result)))
            })
            .collect();
        let mut seen = 0;
        let mut readable = queue.readable.try_clone().unwrap();
        while seen < 4000 {
            // Blocks until it is readable; the byte is put back for `fetch`.
            readable.read_exact(&mut [0]).unwrap();
            (&queue.inbox.wake).write_all(&[1]).unwrap();
            seen += queue.fetch().len();
        }
        assert_eq!(seen, 4000);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn what_nobody_fetches_is_dropped() {
        let queue = Completions::new().unwrap();
        let sender = queue.sender();
        let result = Arc::new(());
        sender.send(result.clone());
        assert_eq!(Arc::strong_count(&result), 2);
        drop(queue);
        sender.send(result.clone());
        assert_eq!(Arc::strong_count(&result), 1);
    }
}
