//! What each process has one of.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use fencelock::fork_generation;

/// A value that is made when it is asked for first. A forked child makes its own: the parent's
/// may be locked for ever, and is left as it is. No mutex is involved, for the same reason.
#[derive(Debug)]
pub struct PerProcess<T>(ArcSwapOption<Made<T>>);

#[derive(Debug)]
struct Made<T> {
    generation: u64,
    value: Arc<T>,
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PerProcess<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// The value of this process, if it was made.
    pub fn get(&self) -> Option<Arc<T>> {
        let made = self.0.load();
        let made = made.as_ref().filter(|made| made.generation == fork_generation())?;
        Some(made.value.clone())
    }

    /// The value of this process. Of two threads that make it at the same time one drops its own.
    ///
    /// # Errors
    ///
    /// What `make` gives.
    pub fn get_or_try<E>(&self, make: impl Fn() -> Result<T, E>) -> Result<Arc<T>, E> {
        let generation = fork_generation();
        loop {
            let current = self.0.load_full();
            if let Some(made) = &current
                && made.generation == generation
            {
                return Ok(made.value.clone());
            }
            let value = Arc::new(make()?);
            let fresh = Arc::new(Made { generation, value: value.clone() });
            let before = self.0.compare_and_swap(&current, Some(fresh));
            if before.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr) {
                std::mem::forget(current);
                return Ok(value);
            }
        }
    }

    /// Takes it out; `None` where there is none of this process.
    pub fn take(&self) -> Option<Arc<T>> {
        let made = self.0.swap(None)?;
        if made.generation == fork_generation() {
            return Some(made.value.clone());
        }
        std::mem::forget(made);
        None
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
