//! In the place of what the included files only pass on.

pub(crate) mod error {
    /// The C library's.
    #[derive(Debug)]
    pub(crate) struct Failure(#[expect(dead_code, reason = "shown if a model fails")] String);

    impl Failure {
        pub(crate) fn invalid(message: impl Into<String>) -> Self {
            Self(message.into())
        }

        pub(crate) fn internal(message: impl Into<String>) -> Self {
            Self(message.into())
        }
    }

    /// The core's.
    #[derive(Debug)]
    pub(crate) struct Error(pub(crate) ErrorKind);

    #[derive(Debug, PartialEq, Eq)]
    pub(crate) enum ErrorKind {
        Cancelled,
    }

    impl Error {
        pub(crate) fn new(kind: ErrorKind, _: &str, _: &str) -> Self {
            Self(kind)
        }
    }

    pub(crate) type Result<T> = std::result::Result<T, Error>;
}

pub(crate) mod backend {
    pub(crate) type Interrupt<'a> = &'a mut (dyn FnMut() -> bool + Send);
}

pub(crate) mod lease {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how many were given back, as a lease is that is dropped.
    #[derive(Debug)]
    pub(crate) struct Lease(pub(crate) Arc<AtomicUsize>);

    impl Drop for Lease {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(crate) mod per_process {
    use std::marker::PhantomData;
    use std::sync::Arc;

    /// There is no process here that something would belong to.
    pub(crate) struct PerProcess<T>(PhantomData<fn() -> T>);

    impl<T> PerProcess<T> {
        pub(crate) const fn new() -> Self {
            Self(PhantomData)
        }

        #[expect(clippy::unused_self, reason = "as the one that it stands for")]
        pub(crate) fn get_or_try<E>(&self, make: impl Fn() -> Result<T, E>) -> Result<Arc<T>, E> {
            make().map(Arc::new)
        }
    }
}
