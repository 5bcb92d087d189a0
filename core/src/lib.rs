//! fencelock
