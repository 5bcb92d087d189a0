//! A caller's own attempts at a lock: how long they may take, and what each answer leads to.
//! Knows no clock.

use std::time::Duration;

use crate::backend::Answer;
use crate::clock::Moment;
use crate::error::{Error, Result};

/// The shortest time that an attempt's answer is given, however soon the caller wants an end.
const SHORTEST_ANSWER: Duration = Duration::from_millis(100);

/// How long a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Patience {
    /// One attempt, without entering the queue.
    Once,
    /// So long.
    For(Duration),
    /// Without an end.
    Forever,
}

/// What an attempt's answer leads to.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
pub enum Decision {
    /// A lease, or the end of the wait that the caller has entered.
    Granted {
        /// Its fence.
        fence: u64,
        /// Until when it is valid.
        valid_until: Moment,
        /// Whether a request with its token may still arrive.
        straggler: bool,
    },
    /// Somebody else has it, and the caller does not wait.
    Busy {
        /// Whether an earlier request may still be on its way: it would take the lock for nobody,
        /// so the claim is withdrawn as one whose requests may be.
        withdraw: bool,
    },
    /// The engine goes on from this answer.
    Wait(Result<Answer>),
    /// The outcome is not known: the same token once more.
    Again,
    /// It has failed.
    Failed {
        /// Why.
        error: Error,
        /// Whether it may have been granted all the same: the claim is withdrawn as one whose
        /// requests may still be on their way.
        withdraw: bool,
    },
}

impl Patience {
    /// Whether the claim enters the table before its first attempt, and the queue with it: not
    /// before messages are heard.
    pub fn queues(self, listening: bool) -> bool {
        self != Self::Once && listening
    }

    /// When a wait that began then was long enough.
    pub fn until(self, since: Moment) -> Moment {
        match self {
            Self::For(time) => since + time,
            Self::Once | Self::Forever => Moment::NEVER,
        }
    }

    /// When the answer to an attempt is of no use any more; `by` is when it is for the lease.
    pub fn by(self, since: Moment, by: Moment) -> Moment {
        match self {
            Self::For(time) => by.min(since + time.max(SHORTEST_ANSWER)),
            Self::Once | Self::Forever => by,
        }
    }

    /// What to do after an attempt, the second with this token if it was `repeated`.
    pub fn next(self, answer: Result<Answer>, repeated: bool) -> Decision {
        match answer {
            Ok(Answer::Granted { fence, valid_until }) => {
                Decision::Granted { fence, valid_until, straggler: repeated }
            }
            Ok(_) if self == Self::Once => Decision::Busy { withdraw: repeated },
            Err(error) if self == Self::Once && repeated => {
                Decision::Failed { error, withdraw: true }
            }
            Err(error) if !error.is_ambiguous() => Decision::Failed { error, withdraw: false },
            Err(_) if self == Self::Once => Decision::Again,
            answer => Decision::Wait(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Result<Answer> {
        Err(Error::unavailable("the connection broke").maybe_done())
    }

    #[test]
    fn a_single_attempt_is_repeated_once_and_then_withdrawn() {
        assert!(matches!(Patience::Once.next(lost(), false), Decision::Again));
        let failed = Patience::Once.next(lost(), true);
        assert!(matches!(failed, Decision::Failed { withdraw: true, .. }), "{failed:?}");
    }

    #[test]
    fn what_was_attempted_twice_is_withdrawn_whatever_the_second_answer() {
        let busy = |repeated| Patience::Once.next(Ok(Answer::Busy), repeated);
        assert!(matches!(busy(false), Decision::Busy { withdraw: false }));
        assert!(matches!(busy(true), Decision::Busy { withdraw: true }));
        let refused = Patience::Once.next(Err(Error::unavailable("down")), true);
        assert!(matches!(refused, Decision::Failed { withdraw: true, .. }), "{refused:?}");
    }

    #[test]
    fn a_wait_goes_on_after_a_lost_answer_and_ends_with_a_refusal() {
        assert!(matches!(Patience::Forever.next(lost(), false), Decision::Wait(Err(_))));
        let refused = Patience::Forever.next(Err(Error::unavailable("down")), false);
        assert!(matches!(refused, Decision::Failed { withdraw: false, .. }), "{refused:?}");
    }

    #[test]
    fn an_answer_is_waited_for_as_long_as_the_caller_waits_but_not_less_than_100_ms() {
        let at = |ms| Moment::from_nanos(0) + Duration::from_millis(ms);
        let patience = |ms| Patience::For(Duration::from_millis(ms));
        assert_eq!(patience(300).by(at(0), at(5000)), at(300));
        assert_eq!(patience(1).by(at(0), at(5000)), at(100));
        assert_eq!(patience(9000).by(at(0), at(5000)), at(5000));
        assert_eq!(Patience::Forever.by(at(0), at(5000)), at(5000));
    }
}
