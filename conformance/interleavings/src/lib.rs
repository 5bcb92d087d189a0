//! What fencelock's threads share, as shipped, under [loom](https://docs.rs/loom): a model with a few
//! threads is run in every interleaving, and with every value that the memory model lets an atomic
//! show. The files are those of the other crates; here they get loom's locks and atomics
//! ([`sync`]), and stand-ins for what they only pass on.
#![cfg(not(test))] // What is included has unit tests, which run where it comes from.
#![expect(unsafe_code, reason = "the handles' registry has it")]

mod atomics;
pub mod events;
pub mod handles;
mod locks;
mod stand_ins;
pub mod waits;

use stand_ins::{backend, error, lease, per_process};

/// As the crates' own modules of this name.
mod sync {
    pub(crate) use crate::atomics::{AtomicPtr, AtomicU32, AtomicU64, UnsafeCell};
    pub(crate) use crate::locks::{Condvar, Mutex, MutexGuard};
}

#[path = "../../../bindings/c/src/handle.rs"]
mod handle;
#[path = "../../../bindings/bridge/src/inbox.rs"]
mod inbox;
#[path = "../../../bindings/bridge/src/queue.rs"]
#[expect(dead_code, unreachable_pub, reason = "public there, and not all is used here")]
mod queue;
#[path = "../../../core/src/wait/slot.rs"]
mod slot;

fn join<T>(thread: loom::thread::JoinHandle<T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs a model in every interleaving with at most two switches that no thread asked for, in `make
/// test-all` three: more find hardly any more.
fn every_interleaving(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let long = std::env::var("FENCELOCK_LONG").is_ok_and(|long| long == "1");
    builder.preemption_bound = Some(if long { 3 } else { 2 });
    builder.check(model);
}
