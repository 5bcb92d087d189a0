//! When to look at a claim in the queue again, as far as every backend agrees (protocol, "The
//! client's part", 5).

use std::time::Duration;

/// A live waiter's client must be heard of within this time, by the TTL.
pub(crate) fn window(ttl: Duration) -> Duration {
    ttl.clamp(Duration::from_secs(3), Duration::from_secs(30))
}

/// How long until the next heartbeat: a third of the window less up to a tenth; `jitter` is 0 to
/// 1.
pub(crate) fn heartbeat(ttl: Duration, jitter: f64) -> Duration {
    (window(ttl) / 3).mul_f64(1.0 - 0.1 * jitter.clamp(0.0, 1.0))
}

/// How long until the holder's lease runs out and the one at this rank may look; those further
/// behind rely on their heartbeat.
pub(crate) fn at_expiry(remaining: Duration, rank: u64) -> Option<Duration> {
    let rank = u32::try_from(rank).ok().filter(|&rank| rank <= 3)?;
    Some(remaining + Duration::from_millis(2) + Duration::from_millis(50) * rank)
}
