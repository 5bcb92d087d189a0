//! The clock that leases are judged by. It runs on while the machine sleeps, as
//! `std::time::Instant` does not on Linux and macOS, so that a lease that lapsed in a laptop's
//! sleep is seen to have lapsed.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on the boot clock, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// Later than every moment that comes.
    pub const NEVER: Self = Self(u64::MAX);

    pub(crate) fn now() -> Self {
        #[cfg(test)]
        return Self(boot_nanos() + testing::skew());
        #[cfg(not(test))]
        Self(boot_nanos())
    }

    /// The moment this many ns after the machine started.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The ns from the machine's start to it.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment, zero if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same moment for Tokio's timers, which stop in sleep: they only wake the engine, and
    /// what it does then is judged by this clock again.
    pub(crate) fn for_timer(self) -> tokio::time::Instant {
        let ahead = self.since(Self::now()).min(Duration::from_secs(24 * 3600));
        tokio::time::Instant::now() + ahead
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

/// Until when a lease is valid that the server granted or renewed for `ttl` in answer to a
/// request sent at `sent`: less 1 % of the TTL and 2 ms for clocks that run apart (protocol,
/// "The client's part", 1).
pub fn valid_until(sent: Moment, ttl: Duration) -> Moment {
    let drift = ttl / 100 + Duration::from_millis(2);
    sent + ttl.saturating_sub(drift)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT_CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
// On macOS CLOCK_MONOTONIC runs on in sleep; CLOCK_UPTIME_RAW, which std uses, does not.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT_CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

fn boot_nanos() -> u64 {
    let time = rustix::time::clock_gettime(BOOT_CLOCK);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
}

/// Lets a test put the machine to sleep, as its own thread sees it.
#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;
    use std::time::Duration;

    thread_local! {
        static SKEW: Cell<u64> = const { Cell::new(0) };
    }

    /// How far the test's clock runs ahead, in ns.
    pub(super) fn skew() -> u64 {
        SKEW.get()
    }

    /// The clock jumps ahead, as it does when a machine wakes from sleep.
    pub(crate) fn sleep(time: Duration) {
        SKEW.set(SKEW.get() + u64::try_from(time.as_nanos()).unwrap());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_the_servers_copy_does() {
        let sent = Moment::from_nanos(1_000_000_000);
        let until = valid_until(sent, Duration::from_secs(10));
        assert_eq!(until.since(sent), Duration::from_millis(10_000 - 100 - 2));
    }

    #[test]
    fn moments_do_not_wrap() {
        assert_eq!(Moment::NEVER + Duration::from_secs(1), Moment::NEVER);
        assert_eq!(Moment::from_nanos(5).since(Moment::NEVER), Duration::ZERO);
    }
}
