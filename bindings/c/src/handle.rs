//! Handles: what C sees as a pointer is a number that stands for a place in a registry, never an
//! address. It counts how often the place was used before, so that a handle that was freed is
//! recognised, and says what kind of thing it is of.
//!
//! No mutex: a thread that holds one at a fork would leave it locked in the child. A place whose
//! thing is in use by a thread at that moment is never used again in the child.

use std::ops::Deref;
use std::ptr;
use std::sync::atomic::Ordering;

use crate::error::Failure;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, UnsafeCell};

/// No address that x86-64 or arm64 programs have begins like this: to follow it is a fault.
const MARK: u64 = 0b10 << 62;
const KIND_SHIFT: u32 = 58;
const GENERATION_SHIFT: u32 = 26;
/// So many handles of one kind at a time, 67 million.
const PLACES_MOST: u32 = 1 << GENERATION_SHIFT;
/// The first chunk has so many places, each further one twice as many.
const CHUNK: u32 = 64;
const CHUNKS: usize = 21;
/// In a place's state: not freed. Below it is the number of calls that use it.
const LIVE: u64 = 1 << 31;

const _: () = assert!(usize::BITS == 64, "handles need 64 bits");

/// A kind of thing that C has handles of.
pub(crate) trait Kind: Send + Sync + Sized + 'static {
    /// What C calls it.
    type Opaque;
    /// Below 16.
    const NUMBER: u64;
    /// For messages.
    const NAME: &'static str;

    /// Where things of this kind are.
    fn registry() -> &'static Registry<Self>;

    /// What ends when it is freed, although another call may use it still.
    fn retire(&self) {}
}

/// The places of one kind.
pub(crate) struct Registry<T> {
    chunks: [AtomicPtr<Place<T>>; CHUNKS],
    /// How many places were handed out at all.
    count: AtomicU32,
    /// The first vacant place + 1, 0 for none; above it how often it changed.
    vacant: AtomicU64,
}

struct Place<T> {
    /// The generation, [`LIVE`], and the number of calls that use it.
    state: AtomicU64,
    /// The next vacant place + 1.
    next: AtomicU32,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: a place's value is written by the one thread that took it from the vacant ones, before
// it is live, and by the one that found it freed and unused; in between it is only shared.
unsafe impl<T: Send + Sync> Sync for Registry<T> {}

/// A thing in use: it is dropped when it was freed and nobody uses it any more.
pub(crate) struct Used<T: Kind> {
    place: &'static Place<T>,
    index: u32,
}

impl<T: Kind> Registry<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
            count: AtomicU32::new(0),
            vacant: AtomicU64::new(0),
        }
    }

    /// The chunk of a place, and where in it.
    fn locate(index: u32) -> (usize, usize) {
        let shifted = index + CHUNK;
        let chunk = shifted.ilog2() - CHUNK.ilog2();
        (chunk as usize, (shifted - (CHUNK << chunk)) as usize)
    }

    fn place(&'static self, index: u32) -> Option<&'static Place<T>> {
        let (chunk, offset) = Self::locate(index);
        let chunk = self.chunks.get(chunk)?.load(Ordering::Acquire);
        // SAFETY: a chunk is never freed, and `locate` stays within its length.
        (!chunk.is_null()).then(|| unsafe { &*chunk.add(offset) })
    }

    /// A place that was never used, its chunk made if need be.
    fn fresh(&'static self) -> Option<(u32, &'static Place<T>)> {
        let take = |count| (count < PLACES_MOST).then_some(count + 1);
        let index = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        let (number, _) = Self::locate(index);
        let chunk = &self.chunks[number];
        if chunk.load(Ordering::Acquire).is_null() {
            let places: Box<[Place<T>]> = (0..CHUNK << number).map(|_| Place::new()).collect();
            let made = Box::into_raw(places);
            let (none, first) = (ptr::null_mut(), made.cast::<Place<T>>());
            let set = chunk.compare_exchange(none, first, Ordering::AcqRel, Ordering::Acquire);
            if set.is_err() {
                // SAFETY: another thread was first; nobody knows this one.
                drop(unsafe { Box::from_raw(made) });
            }
        }
        Some((index, self.place(index)?))
    }

    fn pop(&'static self) -> Option<(u32, &'static Place<T>)> {
        let mut head = self.vacant.load(Ordering::Acquire);
        loop {
            let index = (low(head)).checked_sub(1)?;
            let place = self.place(index)?;
            let next = changed(head, place.next.load(Ordering::Relaxed));
            match self.vacant.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some((index, place)),
                Err(now) => head = now,
            }
        }
    }

    fn push(&self, index: u32, place: &Place<T>) {
        let mut head = self.vacant.load(Ordering::Acquire);
        loop {
            place.next.store(low(head), Ordering::Relaxed);
            let next = changed(head, index + 1);
            match self.vacant.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0)
}

fn changed(head: u64, index: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(index)
}

impl<T> Place<T> {
    fn new() -> Self {
        Self { state: AtomicU64::new(0), next: AtomicU32::new(0), value: UnsafeCell::new(None) }
    }
}

/// Gives a thing to C; it lives until [`free`].
pub(crate) fn hand_out<T: Kind>(value: T) -> Result<*mut T::Opaque, Failure> {
    let registry = T::registry();
    let Some((index, place)) = registry.pop().or_else(|| registry.fresh()) else {
        return Err(Failure::internal(format!("there are too many handles of a {}", T::NAME)));
    };
    // SAFETY: the place is vacant and was taken by this thread: nobody else looks at it.
    place.value.with_mut(|place| unsafe { *place = Some(value) });
    let generation = place.state.load(Ordering::Relaxed) >> 32;
    place.state.store((generation << 32) | LIVE, Ordering::Release);
    let handle =
        MARK | (T::NUMBER << KIND_SHIFT) | (generation << GENERATION_SHIFT) | u64::from(index);
    Ok(ptr::without_provenance_mut(usize::try_from(handle).unwrap_or(0)))
}

/// What a handle stands for, for the length of a call.
pub(crate) fn find<T: Kind>(handle: *const T::Opaque) -> Result<Used<T>, Failure> {
    let wrong = |what: &str| Failure::invalid(format!("the handle of a {} {what}", T::NAME));
    if handle.is_null() {
        return Err(wrong("is NULL"));
    }
    let handle = handle.addr() as u64;
    if (handle ^ MARK) >> KIND_SHIFT != T::NUMBER {
        return Err(wrong("is none: it is of another kind, or was never given out"));
    }
    let freed = || wrong("was freed before");
    let generation = u64::from(low(handle >> GENERATION_SHIFT));
    let index = low(handle) & (PLACES_MOST - 1);
    let place = T::registry().place(index).ok_or_else(freed)?;
    let use_it = |state| (state >> 32 == generation && state & LIVE != 0).then_some(state + 1);
    let used = place.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, use_it);
    used.map(|_| Used { place, index }).map_err(|_| freed())
}

/// As [`find`]; NULL stands for none.
pub(crate) fn find_or_none<T: Kind>(handle: *const T::Opaque) -> Result<Option<Used<T>>, Failure> {
    if handle.is_null() { Ok(None) } else { find(handle).map(Some) }
}

/// Ends a handle; NULL is none. What it stands for is dropped when no call uses it any more.
pub(crate) fn free<T: Kind>(handle: *mut T::Opaque) -> Result<(), Failure> {
    let Some(used) = find_or_none::<T>(handle)? else { return Ok(()) };
    // Another thread may have freed it since.
    if used.place.state.fetch_and(!LIVE, Ordering::AcqRel) & LIVE == 0 {
        return Err(Failure::invalid(format!("the handle of a {} was freed before", T::NAME)));
    }
    used.retire();
    Ok(())
}

impl<T: Kind> Deref for Used<T> {
    type Target = T;

    #[expect(clippy::panic, reason = "a bug; the boundary catches it")]
    fn deref(&self) -> &T {
        // SAFETY: while it is in use nobody writes.
        match self.place.value.with(|value| unsafe { &*value }) {
            Some(value) => value,
            None => panic!("a live place is empty"),
        }
    }
}

impl<T: Kind> Drop for Used<T> {
    fn drop(&mut self) {
        let before = self.place.state.fetch_sub(1, Ordering::AcqRel);
        if before & LIVE != 0 || before & (LIVE - 1) != 1 {
            return;
        }
        // SAFETY: freed, and this was the last call that used it: nobody else looks at it.
        let value = self.place.value.with_mut(|value| unsafe { (*value).take() });
        let generation = (before >> 32) + 1;
        // A place whose generations are used up stays empty, so that no handle comes back.
        if u32::try_from(generation).is_ok() {
            self.place.state.store(generation << 32, Ordering::Release);
            T::registry().push(self.index, self.place);
        }
        drop(value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct Opaque;
    struct Thing(Arc<AtomicUsize>);

    impl Kind for Thing {
        type Opaque = Opaque;
        const NUMBER: u64 = 15;
        const NAME: &'static str = "thing";

        fn registry() -> &'static Registry<Self> {
            static THINGS: Registry<Thing> = Registry::new();
            &THINGS
        }
    }

    impl Drop for Thing {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_is_in_use_is_dropped_by_its_last_user_once() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let handle = hand_out(Thing(dropped.clone())).unwrap();
        let used = find::<Thing>(handle).unwrap();
        free::<Thing>(handle).unwrap();
        assert!(find::<Thing>(handle).is_err() && free::<Thing>(handle).is_err());
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        drop(used);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn threads_that_race_to_free_a_thing_free_it_once_and_old_handles_stay_dead() {
        const ROUNDS: usize = 2000;
        let (dropped, freed) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        for _ in 0..ROUNDS {
            let handle = hand_out(Thing(dropped.clone())).unwrap().addr();
            let again = || ptr::without_provenance_mut::<Opaque>(handle);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        if let Ok(thing) = find::<Thing>(again()) {
                            assert!(thing.0.load(Ordering::SeqCst) < 2 * ROUNDS);
                        }
                        freed.fetch_add(
                            usize::from(free::<Thing>(again()).is_ok()),
                            Ordering::SeqCst,
                        );
                    });
                }
            });
            let next = hand_out(Thing(dropped.clone())).unwrap();
            assert!(find::<Thing>(again()).is_err(), "the place is used anew");
            free::<Thing>(next).unwrap();
        }
        assert_eq!(freed.load(Ordering::SeqCst), ROUNDS);
        assert_eq!(dropped.load(Ordering::SeqCst), 2 * ROUNDS);
    }

    #[test]
    fn there_is_room_for_many_and_none_is_given_out_twice() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> =
            (0..5000).map(|_| hand_out(Thing(dropped.clone())).unwrap()).collect();
        let mut distinct: Vec<_> = handles.iter().map(|handle| handle.addr()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 5000);
        for handle in handles {
            free::<Thing>(handle).unwrap();
        }
        assert_eq!(dropped.load(Ordering::SeqCst), 5000);
    }
}
