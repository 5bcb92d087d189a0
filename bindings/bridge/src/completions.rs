//! What comes of the operations of one event loop, until the loop's turn.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use fencelock::{EventLoop, fork_generation};

use crate::inbox::Inbox;

/// The loop's end. Dropping it drops what was not fetched, and what comes later.
#[derive(Debug)]
pub struct Completions<T> {
    event_loop: EventLoop,
    inbox: Arc<Inbox<T>>,
    generation: u64,
}

/// The end of operations; cheap to clone.
#[derive(Debug)]
pub struct Sender<T>(Arc<Inbox<T>>);

impl<T> Completions<T> {
    /// An empty queue, and the event loop that it is for.
    ///
    /// # Errors
    ///
    /// There are no more descriptors.
    pub fn new() -> io::Result<Self> {
        let event_loop = EventLoop::new()?;
        let inbox = Arc::new(Inbox::new(event_loop.waker()));
        Ok(Self { event_loop, inbox, generation: fork_generation() })
    }

    /// The event loop, for operations to begin on.
    pub fn event_loop(&self) -> &EventLoop {
        &self.event_loop
    }

    /// What to watch: readable when there is something to fetch.
    pub fn descriptor(&self) -> RawFd {
        self.event_loop.descriptor()
    }

    /// Where results are put.
    pub fn sender(&self) -> Sender<T> {
        Sender(Arc::clone(&self.inbox))
    }

    /// Makes the descriptor readable although nothing came, for a reader that left something for
    /// the next time.
    pub fn wake(&self) {
        self.inbox.wake();
    }

    /// Takes the loop's turn, and everything that is there then. Does not block; in a forked child
    /// it finds nothing.
    pub fn fetch(&self) -> Vec<T> {
        if self.generation != fork_generation() {
            return Vec::new();
        }
        self.inbox.fetch(|| self.event_loop.turn())
    }
}

impl<T> Drop for Completions<T> {
    fn drop(&mut self) {
        if self.generation != fork_generation() {
            // Another thread may have held it locked: it is left alone in a child for ever.
            std::mem::forget(self.inbox.clone());
            return;
        }
        self.inbox.close();
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
        self.0.send(result);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Watches a queue as an event loop does.
    struct Watch(mio::Poll, mio::Events);

    impl Watch {
        fn new(queue: &Completions<u64>) -> Self {
            let poll = mio::Poll::new().unwrap();
            let (descriptor, readable) = (queue.descriptor(), mio::Interest::READABLE);
            let mut source = mio::unix::SourceFd(&descriptor);
            poll.registry().register(&mut source, mio::Token(1), readable).unwrap();
            Self(poll, mio::Events::with_capacity(4))
        }

        fn is_readable(&mut self, wait: Duration) -> bool {
            self.0.poll(&mut self.1, Some(wait)).unwrap();
            !self.1.is_empty()
        }
    }

    #[test]
    fn many_results_are_one_wake_up() {
        let queue = Completions::new().unwrap();
        let (sender, mut watch) = (queue.sender(), Watch::new(&queue));
        assert_eq!(queue.fetch(), [0; 0], "nothing there, and no blocking");
        for round in 0..3 {
            assert!(!watch.is_readable(Duration::ZERO));
            for result in 0..100 {
                sender.send(round * 100 + result);
            }
            assert!(watch.is_readable(Duration::ZERO));
            assert_eq!(queue.fetch(), (round * 100..round * 100 + 100).collect::<Vec<_>>());
        }
        assert!(!watch.is_readable(Duration::ZERO));
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
        let (mut seen, mut watch) = (0, Watch::new(&queue));
        while seen < 4000 {
            assert!(watch.is_readable(Duration::from_secs(60)), "{seen}");
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
