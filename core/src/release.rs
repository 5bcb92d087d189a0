//! What the answers to a release come to, for its caller and in the background. Knows no clock.

use std::time::Duration;

use crate::backend::Released;
use crate::error::{Error, LossReason, Result};

/// What the answer to a holder's release comes to.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
pub enum Outcome {
    /// The server has answered, and the holder hears this.
    Over(Result<()>),
    /// The holder hears this, and the release is repeated in the background.
    Open(Error),
}

impl Outcome {
    /// Of a release of a lease that was `lost` before, if it was.
    pub fn of(answer: Result<Released>, lost: Option<LossReason>) -> Self {
        match (answer, lost) {
            (Ok(_), Some(reason)) => Self::Over(Err(Error::lost(reason))),
            (Ok(Released::Freed | Released::HandedOn), None) => Self::Over(Ok(())),
            (Ok(Released::NotHeld), None) => Self::Over(Err(Error::lost(LossReason::Refused))),
            (Err(error), lost) => Self::Open(lost.map_or(error, Error::lost)),
        }
    }
}

/// A release that is repeated in the background, for as long as the lease is valid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repetition {
    pause: Duration,
}

impl Default for Repetition {
    fn default() -> Self {
        Self { pause: Duration::from_millis(20) }
    }
}

impl Repetition {
    /// How long to wait before it is sent again, 20 ms to 1 s; `None` when that is enough.
    pub fn again(&mut self, answer: &Result<Released>) -> Option<Duration> {
        if !answer.as_ref().is_err_and(Error::is_retryable) {
            return None;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(Duration::from_secs(1));
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_lease_stays_lost_whatever_the_server_answers() {
        let lost = Some(LossReason::Expired);
        let reason = |outcome| match outcome {
            Outcome::Over(Err(error)) | Outcome::Open(error) => error.loss(),
            Outcome::Over(Ok(())) => None,
        };
        assert_eq!(reason(Outcome::of(Ok(Released::Freed), lost)), lost);
        assert_eq!(reason(Outcome::of(Err(Error::unavailable("down")), lost)), lost);
        let refused = Outcome::of(Ok(Released::NotHeld), None);
        assert_eq!(reason(refused), Some(LossReason::Refused));
    }

    #[test]
    fn a_release_is_repeated_ever_more_slowly_until_it_is_answered() {
        let mut repetition = Repetition::default();
        let down = || Err(Error::unavailable("down"));
        let pauses: Vec<_> = (0..7).filter_map(|_| repetition.again(&down())).collect();
        let ms = [20, 40, 80, 160, 320, 640, 1000].map(Duration::from_millis);
        assert_eq!(pauses, ms);
        assert_eq!(repetition.again(&Ok(Released::NotHeld)), None);
        assert_eq!(repetition.again(&Err(Error::closed())), None);
    }
}
