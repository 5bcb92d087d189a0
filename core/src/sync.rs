//! What a waiting caller shares with the engine. The crate `conformance/interleavings` runs it with
//! loom's in their place.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
