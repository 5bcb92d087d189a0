//! loom's atomics and cells, which can be made in a constant as the standard library's: each is
//! made when it is used first.

use std::ops::Deref;
use std::sync::OnceLock;

use loom::cell;
use loom::sync::atomic;

macro_rules! made_when_used {
    ($name:ident $(<$value:ident>)?, $inner:ty, $first:ty) => {
        pub(crate) struct $name $(<$value>)? {
            inner: OnceLock<$inner>,
            first: $first,
        }

        impl $(<$value>)? $name $(<$value>)? {
            pub(crate) const fn new(first: $first) -> Self {
                Self { inner: OnceLock::new(), first }
            }
        }

        impl $(<$value>)? Deref for $name $(<$value>)? {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                // To make one is no moment at which loom goes on with another thread.
                self.inner.get_or_init(|| <$inner>::new(self.first))
            }
        }
    };
}

made_when_used!(AtomicU32, atomic::AtomicU32, u32);
made_when_used!(AtomicU64, atomic::AtomicU64, u64);
made_when_used!(AtomicPtr<T>, atomic::AtomicPtr<T>, *mut T);

// SAFETY: what it holds is a number to it; the pointer is followed by others.
unsafe impl<T> Sync for AtomicPtr<T> {}

pub(crate) use cell::UnsafeCell;
