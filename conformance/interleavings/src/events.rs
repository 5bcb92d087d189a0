//! What the engine's threads tell a language: nothing is lost, and nobody waits for what is there.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::inbox::Inbox;
use crate::queue::{Event, Queue};
use crate::{every_interleaving, join};

/// Two threads push, and the reader is stopped when they have.
pub fn the_reader_of_a_queue_gets_all_in_order() {
    every_interleaving(|| {
        let queue = Arc::new(Queue::default());
        let reader = thread::spawn({
            let queue = queue.clone();
            move || std::iter::from_fn(|| queue.next()).collect::<Vec<_>>()
        });
        let other = thread::spawn({
            let queue = queue.clone();
            move || queue.push(Event::Lost(1))
        });
        queue.push(Event::Lost(2));
        queue.push(Event::Lost(3));
        join(other);
        queue.stop();
        let got = join(reader);
        let place = |number| got.iter().position(|event| *event == Event::Lost(number));
        assert!(got.len() == 3 && place(1).is_some() && place(2) < place(3), "{got:?}");
    });
}

/// A reader that waits is woken by each push, not only at the end.
pub fn every_push_wakes_the_reader() {
    every_interleaving(|| {
        let queue = Arc::new(Queue::default());
        let reader = thread::spawn({
            let queue = queue.clone();
            move || [queue.next(), queue.next()]
        });
        let other = thread::spawn({
            let queue = queue.clone();
            move || queue.push(Event::Lost(1))
        });
        queue.push(Event::Lost(2));
        join(other);
        assert!(join(reader).iter().all(Option::is_some));
        queue.stop();
        assert_eq!(queue.next(), None);
    });
}

/// A descriptor: readable from a wake-up to the loop's turn.
#[derive(Default)]
struct Descriptor {
    readable: Mutex<bool>,
    changed: Condvar,
}

impl Descriptor {
    fn set(&self, readable: bool) {
        if let Ok(mut now) = self.readable.lock() {
            *now = readable;
        }
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut readable = self.readable.lock();
        while let Ok(now) = readable
            && !*now
        {
            readable = self.changed.wait(now);
        }
    }
}

/// An event loop fetches what three results of two threads left, only ever when it is woken.
pub fn an_event_loop_is_woken_for_every_result() {
    every_interleaving(|| {
        let descriptor = Arc::new(Descriptor::default());
        let woken = descriptor.clone();
        let inbox = Arc::new(Inbox::new(move || woken.set(true)));
        let threads = [vec![1, 2], vec![3]].map(|results| {
            let inbox = inbox.clone();
            thread::spawn(move || results.into_iter().for_each(|result| inbox.send(result)))
        });
        let mut got = Vec::new();
        while got.len() < 3 {
            descriptor.wait();
            got.extend(inbox.fetch(|| descriptor.set(false)));
        }
        for thread in threads {
            join(thread);
        }
        got.sort_unstable();
        assert_eq!(got, [1, 2, 3]);
    });
}

/// Results that come while the loop's end is dropped are dropped, too.
pub fn a_closed_inbox_keeps_nothing() {
    every_interleaving(|| {
        let (inbox, result) = (Arc::new(Inbox::new(|| {})), Arc::new(()));
        let sending = thread::spawn({
            let (inbox, result) = (inbox.clone(), result.clone());
            move || inbox.send(result)
        });
        inbox.close();
        join(sending);
        assert_eq!(Arc::strong_count(&result), 1);
        inbox.send(result.clone());
        assert_eq!(Arc::strong_count(&result), 1);
    });
}
