//! The scenarios. `cargo test -p fencelock-conformance` plays them all; a part of a name plays
//! some: `cargo test -p fencelock-conformance --test scenarios -- fifo`.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a scenario fails by panicking"
)]

mod bad_input;
mod cast;
mod connections;
mod cost;
mod embedded;
mod exclusion;
mod faults;
mod foreign;
mod leases;
mod loss;
mod outages;
mod processes;
mod secrets;
mod system_calls;
mod waiting;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use fencelock_conformance::runner;

/// How late something may come that should come at once. Generous, for machines that stand still
/// for a second; what must not happen takes far longer in every scenario.
const SLACK: Duration = Duration::from_secs(4);

/// The time from one moment of the boot clock to another, in ns each.
fn between(earlier: u64, later: u64) -> Duration {
    Duration::from_nanos(later.saturating_sub(earlier))
}

/// A count for `make test`, or the greater one for `make test-all` (`FENCELOCK_LONG=1`).
fn long(count: u64, longer: u64) -> u64 {
    if runner::is_long() { longer } else { count }
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn main() -> ExitCode {
    let scenarios = [
        exclusion::ALL,
        waiting::ALL,
        leases::ALL,
        loss::ALL,
        processes::ALL,
        connections::ALL,
        faults::ALL,
        outages::ALL,
        wire::ALL,
        bad_input::ALL,
        foreign::ALL,
        cost::ALL,
        system_calls::ALL,
        secrets::ALL,
        embedded::ALL,
    ];
    runner::main(&scenarios.concat(), cast::LANGUAGES)
}
