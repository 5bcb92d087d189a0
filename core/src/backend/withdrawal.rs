//! Giving up a claim that nobody waits for, until the server has heard of it. When that is done
//! says [`Withdrawal`], which knows no clock; [`withdraw`] does it.

use std::time::Duration;

use super::{Boxed, Claim};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};

/// Between two tries, and before the first look for a straggler.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an answer is waited for; a claim may have a TTL of milliseconds.
const ANSWER: Duration = Duration::from_secs(1);

/// When a claim is withdrawn: each second until the server has answered, or the claim has surely
/// lapsed by itself; and where a request for it may still be on its way on a connection that
/// broke, once more 1 s later, and after the TTL, each until it was heard (protocol, "The client's
/// part", 6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Withdrawal {
    ttl: Duration,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Not heard yet.
    First {
        at: Moment,
        lapsed: Moment,
        straggling: bool,
    },
    /// Heard before, but perhaps not behind the last request.
    Again {
        at: Moment,
        last: bool,
        /// When it is not repeated any more, though nobody heard it.
        until: Moment,
    },
    Done,
}

impl Withdrawal {
    /// Begins now; `straggling` if a request for the claim may still be on its way.
    pub fn new(ttl: Duration, straggling: bool, now: Moment) -> Self {
        Self { ttl, step: Step::First { at: now, lapsed: now + ttl + PAUSE, straggling } }
    }

    /// Of a claim whose withdrawal was heard, but perhaps before its last request.
    pub fn late(ttl: Duration, now: Moment) -> Self {
        let at = now + PAUSE;
        Self { ttl, step: Step::Again { at, last: false, until: at + ttl } }
    }

    /// When the cancel is to be sent next; `None` when it is over.
    pub fn next(&self) -> Option<Moment> {
        match self.step {
            Step::First { at, .. } | Step::Again { at, .. } => Some(at),
            Step::Done => None,
        }
    }

    /// How long the answer to a cancel is waited for that is sent now.
    pub fn by(&self, now: Moment) -> Moment {
        now + self.ttl.max(ANSWER)
    }

    /// Notes what became of a cancel; true if the claim is left to lapse, unheard.
    pub fn answered(&mut self, answer: &Result<()>, now: Moment) -> bool {
        let closed = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed);
        let again = answer.as_ref().is_err_and(Error::is_retryable);
        let mut left = false;
        self.step = match self.step {
            _ if closed => Step::Done,
            Step::First { lapsed, straggling, .. } if again && now < lapsed => {
                Step::First { at: now + PAUSE, lapsed, straggling }
            }
            Step::First { straggling, .. } => {
                left = answer.is_err();
                if straggling { Self::late(self.ttl, now).step } else { Step::Done }
            }
            Step::Again { last, until, .. } if again && now < until => {
                Step::Again { at: now + PAUSE, last, until }
            }
            Step::Again { last: false, .. } => {
                let at = now + self.ttl;
                Step::Again { at, last: true, until: at + self.ttl }
            }
            Step::Again { last: true, .. } => {
                left = answer.is_err();
                Step::Done
            }
            Step::Done => Step::Done,
        };
        left
    }
}

/// Withdraws a claim.
pub(crate) async fn withdraw<'a>(
    claim: &Claim,
    mut withdrawal: Withdrawal,
    cancel: impl Fn(Moment) -> Boxed<'a, Result<()>>,
) {
    while let Some(at) = withdrawal.next() {
        let pause = at.since(Moment::now());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let answer = cancel(withdrawal.by(Moment::now())).await;
        let left = withdrawal.answered(&answer, Moment::now());
        match answer {
            Err(error) if left => {
                tracing::warn!(lock = &*claim.name, "a late grant is left to lapse: {error}");
            }
            Err(error) => tracing::debug!(lock = &*claim.name, "a withdrawal failed: {error}"),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);
    const START: Moment = Moment::from_nanos(1_000_000_000);

    fn unheard() -> Result<()> {
        Err(Error::unavailable("down"))
    }

    fn after(seconds: u64) -> Moment {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_heard_is_over() {
        let mut withdrawal = Withdrawal::new(TTL, false, START);
        assert_eq!(withdrawal.next(), Some(START));
        assert!(!withdrawal.answered(&Ok(()), START));
        assert_eq!(withdrawal.next(), None);
    }

    #[test]
    fn what_is_not_heard_is_repeated_each_second_until_it_has_lapsed() {
        let mut withdrawal = Withdrawal::new(TTL, false, START);
        for second in 0..11 {
            assert_eq!(withdrawal.next(), Some(after(second)));
            assert!(!withdrawal.answered(&unheard(), after(second)));
        }
        assert!(withdrawal.answered(&unheard(), after(11)), "left to lapse");
        assert_eq!(withdrawal.next(), None);
    }

    #[test]
    fn a_straggler_is_looked_for_after_a_second_and_after_the_ttl() {
        let mut withdrawal = Withdrawal::new(TTL, true, START);
        withdrawal.answered(&Ok(()), START);
        assert_eq!(withdrawal, Withdrawal::late(TTL, START));
        assert_eq!(withdrawal.next(), Some(after(1)));
        withdrawal.answered(&Ok(()), after(1));
        assert_eq!(withdrawal.next(), Some(after(11)));
        withdrawal.answered(&Ok(()), after(11));
        assert_eq!(withdrawal.next(), None);
    }

    #[test]
    fn each_look_for_a_straggler_is_repeated_until_it_is_heard_for_a_ttl_at_most() {
        let mut withdrawal = Withdrawal::late(TTL, START);
        withdrawal.answered(&unheard(), after(1));
        assert_eq!(withdrawal.next(), Some(after(2)));
        withdrawal.answered(&Ok(()), after(2));
        for second in 12..22 {
            assert_eq!(withdrawal.next(), Some(after(second)));
            assert!(!withdrawal.answered(&unheard(), after(second)));
        }
        assert!(withdrawal.answered(&unheard(), after(22)), "left to lapse");
        assert_eq!(withdrawal.next(), None);
    }

    #[test]
    fn a_closed_client_withdraws_nothing() {
        let mut withdrawal = Withdrawal::new(TTL, true, START);
        assert!(!withdrawal.answered(&Err(Error::closed()), START));
        assert_eq!(withdrawal.next(), None);
    }
}
