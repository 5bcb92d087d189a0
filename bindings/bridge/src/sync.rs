//! What the queues share between threads. The crate `conformance/interleavings` runs them with
//! loom's in their place.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
