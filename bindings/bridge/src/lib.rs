//! What callers in other languages share: a queue on which the engine's threads leave events for
//! a thread of the language, so that they never enter its interpreter, and fencelock's log on
//! that queue; and a queue of results for an event loop.

mod completions;
mod inbox;
pub mod log;
mod per_process;
mod queue;
mod sync;

pub use completions::{Completions, Sender};
pub use per_process::PerProcess;
pub use queue::{Event, Queue, Record, queue};
