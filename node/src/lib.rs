//! fencelock for Node: thin classes over the blocking API's completions. The idioms (promises, signals, typed errors) are TypeScript,
//! in `lib/`; what a lock is stays in the core.

#![expect(unreachable_pub, reason = "napi exports what is `pub`, to JavaScript")]

mod client;
mod error;
mod lease;
mod lock;
mod log;
mod options;
mod port;
mod uv;
