//! The registry of C's handles: threads that give out, use and free handles at the same time.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::atomic;
use loom::thread;

use crate::handle::{self, Kind, Registry};
use crate::{every_interleaving, join};

struct Opaque;

/// Tells its number, and counts how many like it were dropped.
struct Thing {
    number: usize,
    dropped: Arc<AtomicUsize>,
}

impl Kind for Thing {
    type Opaque = Opaque;
    const NUMBER: u64 = 15;
    const NAME: &'static str = "thing";

    fn registry() -> &'static Registry<Self> {
        loom::lazy_static! {
            static ref THINGS: Registry<Thing> = Registry::new();
        }
        &THINGS
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// As C keeps it.
type Handle = usize;

/// What the threads of one run share.
#[derive(Clone, Default)]
struct Run {
    dropped: Arc<AtomicUsize>,
}

impl Run {
    fn hand_out(&self, number: usize) -> Handle {
        let thing = Thing { number, dropped: self.dropped.clone() };
        match handle::hand_out(thing) {
            Ok(handle) => handle.addr(),
            Err(failure) => unreachable!("{failure:?}"),
        }
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn free(handle: Handle) -> bool {
    handle::free::<Thing>(ptr::without_provenance_mut(handle)).is_ok()
}

/// The number of what a handle stands for, looked at twice; `None` if it is refused.
fn look(handle: Handle) -> Option<usize> {
    let used = handle::find::<Thing>(ptr::without_provenance_mut(handle)).ok()?;
    let number = used.number;
    thread::yield_now();
    assert_eq!(used.number, number, "it was changed while in use");
    Some(number)
}

/// One thread looks while two free: one of them does, and what is looked at is there until then.
pub fn freed_once_and_dropped_by_the_last() {
    every_interleaving(|| {
        let run = Run::default();
        let handle = run.hand_out(1);
        let threads = [(); 2].map(|()| thread::spawn(move || free(handle)));
        assert!(look(handle).is_none_or(|number| number == 1));
        let freed = threads.map(join);
        assert_eq!(freed.iter().filter(|&&freed| freed).count(), 1);
        assert_eq!(run.dropped(), 1);
        assert!(look(handle).is_none() && !free(handle));
    });
}

/// A place is used anew while an old handle of it is looked at: it never shows what is there now.
pub fn an_old_handle_never_shows_what_came_after() {
    every_interleaving(|| {
        let run = Run::default();
        let old = run.hand_out(1);
        // The next place, for loom to see its atomic first in this thread.
        assert_eq!(look(old + 1), None);
        // A program may pass a handle on in a way that orders nothing else.
        let passed = Arc::new(atomic::AtomicUsize::new(0));
        let anew = thread::spawn({
            let (run, passed) = (run.clone(), passed.clone());
            move || {
                assert!(free(old));
                let new = run.hand_out(2);
                passed.store(new, Ordering::Relaxed);
                new
            }
        });
        let looking = thread::spawn(move || look(old));
        assert!(look(old).is_none_or(|number| number == 1));
        let new = passed.load(Ordering::Relaxed);
        assert!(new == 0 || look(new).is_none_or(|number| number == 2));
        assert!(join(looking).is_none_or(|number| number == 1));
        let new = join(anew);
        assert_ne!(old, new);
        assert_eq!((look(old), look(new), run.dropped()), (None, Some(2), 1));
        assert!(free(new) && run.dropped() == 2);
    });
}

/// Threads take and give back places of one list: no place is given to two.
pub fn no_place_is_given_out_twice() {
    every_interleaving(|| {
        let run = Run::default();
        let vacant = [run.hand_out(1), run.hand_out(2)];
        assert!(vacant.map(free).iter().all(|&freed| freed));
        let other = thread::spawn({
            let run = run.clone();
            move || {
                let (first, second) = (run.hand_out(3), run.hand_out(4));
                assert!(free(first));
                (second, run.hand_out(5))
            }
        });
        let here = run.hand_out(6);
        let (second, third) = join(other);
        assert_eq!([here, second, third].map(look), [Some(6), Some(4), Some(5)]);
    });
}

/// Threads find the places used up at the same time, and each makes a chunk of new ones.
pub fn one_chunk_of_new_places_is_kept() {
    every_interleaving(|| {
        let run = Run::default();
        let full: Vec<Handle> = (0..64).map(|number| run.hand_out(number)).collect();
        // loom wants to see an atomic first in the thread that the others come from: this handle
        // is in the chunk that is not there yet.
        assert_eq!(look(full[0] + 64), None);
        let threads = [1, 2].map(|number| {
            let run = run.clone();
            thread::spawn(move || run.hand_out(number))
        });
        let here = run.hand_out(3);
        let [one, two] = threads.map(join);
        assert_eq!([one, two, here].map(look), [Some(1), Some(2), Some(3)]);
    });
}
