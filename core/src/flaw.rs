//! Bugs on purpose: the model checker (feature `model`) puts one back at a time, and must find
//! it. Without that feature nothing of this is compiled in.

/// A bug that the client's logic can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// A message that tells of a grant is believed with a deadline counted from its arrival.
    DeadlineFromMessage,
    /// A deadline is counted from the reply, not from the request.
    DeadlineFromReply,
    /// A wait goes on under its old token after that one was spent.
    TokenReused,
}

#[cfg(feature = "model")]
std::thread_local! {
    static FLAW: std::cell::Cell<Option<Flaw>> = const { std::cell::Cell::new(None) };
}

/// Whether this thread runs with this bug.
#[cfg(feature = "model")]
pub(crate) fn has(flaw: Flaw) -> bool {
    FLAW.get() == Some(flaw)
}

/// Whether this thread runs with this bug.
#[cfg(not(feature = "model"))]
pub(crate) const fn has(_: Flaw) -> bool {
    false
}

/// Runs something on this thread with a bug, or without any.
#[cfg(feature = "model")]
pub fn with_flaw<T>(flaw: Option<Flaw>, run: impl FnOnce() -> T) -> T {
    struct Restore(Option<Flaw>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FLAW.set(self.0);
        }
    }
    let _restore = Restore(FLAW.replace(flaw));
    run()
}

#[cfg(all(test, feature = "model"))]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_ends_with_what_was_run_with_it() {
        assert!(!has(Flaw::TokenReused));
        with_flaw(Some(Flaw::TokenReused), || {
            assert!(has(Flaw::TokenReused) && !has(Flaw::DeadlineFromReply));
            with_flaw(None, || assert!(!has(Flaw::TokenReused)));
            assert!(has(Flaw::TokenReused));
        });
        assert!(!has(Flaw::TokenReused));
    }
}
