//! In the place of the C library's errors.

#[derive(Debug)]
pub(crate) struct Failure(#[expect(dead_code, reason = "shown if a model fails")] String);

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
