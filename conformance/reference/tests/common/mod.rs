//! What the tests on real servers have in common.

pub(crate) mod real;
