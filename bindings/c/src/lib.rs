//! fencelock for C: thin functions over the blocking API, and over its completions for event
//! loops. What a lock is stays in the core.
//!
//! The documentation of the exports is that of the header, `include/fencelock.h`, which is
//! generated from here. The conventions stand at its top (`cbindgen.toml`).
#![expect(unsafe_code, reason = "this is the boundary to C")]
#![expect(non_camel_case_types, reason = "C's names")]
#![expect(clippy::missing_safety_doc, reason = "the header's top says what pointers must be")]

mod boundary;
pub mod callbacks;
pub mod cancel;
pub mod client;
pub mod client_options;
pub mod codes;
pub mod error;
pub mod events;
mod handle;
pub mod inspection;
pub mod lease;
pub mod lock;
pub mod log;
pub mod options;
mod sync;
pub mod version;
