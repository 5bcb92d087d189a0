//! Every language that plays.

use std::process::Command;

use fencelock_conformance::cast;
pub(crate) use fencelock_conformance::cast::REDIS_PY;
use fencelock_conformance::driver::Language;

pub(crate) const LANGUAGES: &[Language] = &cast::languages(
    || Command::new(env!("CARGO_BIN_EXE_driver_async")),
    || Command::new(env!("CARGO_BIN_EXE_driver_blocking")),
);
