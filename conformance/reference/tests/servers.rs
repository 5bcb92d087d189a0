//! What vouches for the fake Redis and for the oracle: random sequences of operations.
//!
//! Each prints its seed; `FENCELOCK_SEED` repeats it, and `FENCELOCK_LONG` runs ten times as many.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "servers/differential.rs"]
mod differential;
#[path = "servers/ops.rs"]
mod ops;
#[path = "servers/oracle.rs"]
mod oracle;
#[path = "servers/real.rs"]
mod real;
