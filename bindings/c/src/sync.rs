//! What the handles' registry shares between threads. The crate `conformance/interleavings` runs
//! the registry with loom's in their place.

use std::cell;
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// A value that whoever may look at it is settled elsewhere.
pub(crate) struct UnsafeCell<T>(cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(cell::UnsafeCell::new(value))
    }

    /// Looks at it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        look(self.0.get())
    }

    /// Changes it.
    pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        change(self.0.get())
    }
}
