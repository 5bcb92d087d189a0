//! What fencelock's backends are compared with: a small fake Redis that runs the shipped scripts
//! ([`keyspace`], [`lua`]), and the lock's state machine in plain Rust ([`oracle`]).
#![expect(
    clippy::panic,
    reason = "what is compared with it can't be judged by a fake that guesses: it stops instead"
)]

mod commands;
pub mod compare;
pub mod embedded;
pub mod keyspace;
pub mod locks;
pub mod lua;
pub mod oracle;
pub mod scripted;

pub use embedded::Embedded;
pub use keyspace::{Bytes, Connection, Keyspace, Published};
pub use locks::Locks;
pub use lua::Scripts;
pub use oracle::Reference;
pub use scripted::{FakeServer, Scripted, Server};
