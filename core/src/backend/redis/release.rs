//! A release whose answer is lost is sent again, and what its answers mean then. Knows no socket.

use redis::Value;

use super::protocol;
use crate::backend::Released;
use crate::error::{Error, Result};

/// How often a release is sent whose answer is lost, before the caller hears of it.
const TRIES: u32 = 4;

/// The tries of one release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tries {
    repeated: u32,
}

impl Tries {
    /// Of a release that was sent before, or not; the answer to that one was lost.
    pub(crate) fn new(sent: bool) -> Self {
        Self { repeated: sent.into() }
    }

    /// Whether it is sent again after this answer, on another connection: one was lost, this or,
    /// where this try got no connection, an earlier one.
    pub fn again(&mut self, answer: &Result<Value>) -> bool {
        let lost =
            |error: &Error| error.is_ambiguous() || self.repeated > 0 && error.is_retryable();
        let again = answer.as_ref().is_err_and(lost) && self.repeated + 1 < TRIES;
        self.repeated += u32::from(again);
        again
    }

    /// What the last answer comes to. That nobody holds the lock means, where the release was
    /// repeated, that an earlier one was heard.
    ///
    /// # Errors
    ///
    /// That of the last try; marked as maybe done, if it was not the first.
    pub fn read(self, answer: Result<Value>) -> Result<Released> {
        let repeated = self.repeated > 0;
        match answer.and_then(|value| protocol::read_release(&value)) {
            Ok(Released::NotHeld) if repeated => Ok(Released::Freed),
            Err(error) if repeated => Err(error.maybe_done()),
            released => released,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Result<Value> {
        Err(Error::unavailable("the connection broke").maybe_done())
    }

    #[test]
    fn only_a_lost_answer_is_asked_for_again_three_times() {
        let mut tries = Tries::default();
        assert!(!tries.again(&Ok(Value::Int(0))));
        assert!(!tries.again(&Err(Error::unavailable("nothing was sent"))));
        for _ in 0..3 {
            assert!(tries.again(&lost()));
        }
        assert!(!tries.again(&lost()));
    }

    #[test]
    fn once_an_answer_was_lost_a_connection_that_breaks_at_login_is_no_end() {
        let down = || Err(Error::unavailable("it was closed at the login"));
        let mut tries = Tries::default();
        assert!(tries.again(&lost()) && tries.again(&down()));
        let mut tries = Tries::new(true);
        assert!(tries.again(&down()));
        assert_eq!(tries.read(Ok(Value::Int(0))).unwrap(), Released::Freed);
        assert!(!Tries::new(true).again(&Err(Error::closed())));
    }

    #[test]
    fn not_held_means_freed_only_after_a_repetition() {
        let mut tries = Tries::default();
        assert_eq!(tries.read(Ok(Value::Int(0))).unwrap(), Released::NotHeld);
        tries.again(&lost());
        assert_eq!(tries.read(Ok(Value::Int(0))).unwrap(), Released::Freed);
        assert!(tries.read(Err(Error::unavailable("down"))).unwrap_err().is_ambiguous());
    }
}
