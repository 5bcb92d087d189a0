//! What fencelock's backends are compared with: a small fake Redis that runs the shipped scripts.
#![expect(
    clippy::panic,
    reason = "what is compared with it can't be judged by a fake that guesses: it stops instead"
)]

mod commands;
pub mod keyspace;
pub mod lua;

pub use keyspace::{Bytes, Connection, Keyspace, Published};
pub use lua::Scripts;
