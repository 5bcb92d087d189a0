//! Distributed locks that a service can trust: on Redis and Valkey, or on one machine without a
//! server (`file:PATH`, `memory:`), with a fencing token on every lock, waiters served in the order they came, and a holder that is told before anyone else can
//! get its lock.
//!
//! ```no_run
//! # async fn example() -> fencelock::Result<()> {
//! let client = fencelock::Client::connect("redis://localhost:6379/0").await?;
//! let lease = client.lock("orders").acquire().await?;
//! // ... the protected work; pass lease.fence() to what it writes to ...
//! lease.release().await?;
//! # Ok(()) }
//! ```
//!
//! # The promise
//!
//! A fencelock is a **lease**. While [`Lease::is_held`] is true and the backend's stated
//! assumptions hold, no other client holds the lock. A process can be paused between that check
//! and its write, and no lock can prevent that: where correctness matters, pass
//! [`Lease::fence`] to the resource and let it refuse smaller numbers. The lease turns *lost* no
//! later than its deadline, says so before anyone else can get the lock (except after a deleted
//! key, a forced release, a fail-over that lost writes, or a step of the server's clock), and
//! never silently comes back. Release is idempotent and best-effort; after a crash the next
//! waiter gets in when the lease runs out. Waiters are served in the order they came. Not
//! reentrant.
//!
//! # Logging
//!
//! Through the `tracing` crate: lost leases, failed renewals and long holds are warnings. Neither
//! passwords nor owner tokens are logged.

// What the model checker drives is `pub` in private modules; `model` lets it out.
#![cfg_attr(not(feature = "model"), expect(unreachable_pub, reason = "see `model`"))]

mod acquire;
mod attempt;
mod backend;
pub mod blocking;
mod client;
mod clock;
pub mod completion;
mod ending;
mod engine;
mod error;
mod event_loop;
mod flaw;
mod fork;
mod keeper;
mod lease;
mod lock;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod model;
mod options;
#[cfg(feature = "model")]
#[doc(hidden)]
pub mod parse;
mod release;
mod sync;
mod term;
mod tls;
mod token;
mod url;
mod wait;

pub use backend::{Holder, Inspection};
pub use client::Client;
pub use error::{Error, ErrorKind, LossReason, Result};
pub use event_loop::EventLoop;
pub use fork::generation as fork_generation;
pub use lease::Lease;
pub use lock::{Acquire, Lock};
pub use options::{ClientOptions, DEFAULT_TTL, MAX_NAME_BYTES, MAX_TTL, MIN_TTL};
pub use tls::{Pem, TlsVersion};
pub use url::{URL_VARIABLE, resolve_url};

// The examples in the documents for users are tests, too.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/rust.md")]
struct Documents;
