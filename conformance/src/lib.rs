//! One set of scenarios for every language that fencelock speaks (`README.md` beside this crate).
//!
//! A *driver* is a small program in one language that carries out requests on its standard input
//! ([`line`]) through that language's own API. The runner starts any mix of drivers against
//! private servers or files, injects faults, and asserts once for all.
//!
//! A scenario cannot go on when a driver does not answer, so every failure here is a panic that
//! says what went wrong; the runner shows what the drivers said.

pub mod backend;
pub mod cast;
pub mod driver;
pub mod history;
pub mod kit;
pub mod lease;
pub mod line;
pub mod party;
pub mod proxy;
pub mod runner;
pub mod stage;
pub mod stall;
