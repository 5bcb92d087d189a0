//! fencelock for Node: thin classes over the blocking API's completions. The idioms (promises, signals, typed errors) are TypeScript,
//! in `lib/`; what a lock is stays in the core.

#![expect(clippy::needless_pass_by_value, reason = "napi gives arguments by value")]

mod client;
mod error;
mod lease;
mod lock;
mod log;
mod options;
mod port;
mod uv;

/// Small values come and go with each lock: glibc's allocator took a tenth of a pair's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
