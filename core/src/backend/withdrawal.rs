//! Giving up a claim that nobody waits for, until the server has heard of it.

use std::time::Duration;

use tokio::time::sleep;

use super::{Boxed, Claim};
use crate::clock::Moment;
use crate::error::{ErrorKind, Result};

/// Between two tries, and before the first look for a straggler.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an answer is waited for; a claim may have a TTL of milliseconds.
const ANSWER: Duration = Duration::from_secs(1);

/// Withdraws a claim each second until the server has answered, or the claim has surely lapsed
/// by itself. Where a request for it may still be on its way on a connection that broke
/// (`straggling`), goes on with [`withdraw_late`] (protocol, "The client's part", 6).
pub(crate) async fn withdraw<'a>(
    claim: &Claim,
    straggling: bool,
    cancel: impl Fn(Moment) -> Boxed<'a, Result<()>>,
) {
    let lapsed = Moment::now() + claim.ttl() + PAUSE;
    while let Err(error) = cancel(Moment::now() + claim.ttl().max(ANSWER)).await {
        if error.kind() == ErrorKind::Closed {
            return;
        }
        if !error.is_retryable() || Moment::now() >= lapsed {
            tracing::warn!(lock = &*claim.name, "a late grant is left to lapse: {error}");
            break;
        }
        sleep(PAUSE).await;
    }
    if straggling {
        withdraw_late(claim, cancel).await;
    }
}

/// Withdraws a claim that was withdrawn before once more after 1 s, and after the TTL.
pub(crate) async fn withdraw_late<'a>(
    claim: &Claim,
    cancel: impl Fn(Moment) -> Boxed<'a, Result<()>>,
) {
    for pause in [PAUSE, claim.ttl()] {
        sleep(pause).await;
        match cancel(Moment::now() + claim.ttl().max(ANSWER)).await {
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => tracing::debug!(lock = &*claim.name, "a withdrawal failed: {error}"),
            Ok(()) => {}
        }
    }
}
