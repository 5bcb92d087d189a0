//! The fuzzer: libFuzzer on the target that `FENCELOCK_FUZZ_TARGET` names. `scripts/fuzz.sh` builds
//! it with the coverage that it needs, and starts it.
#![cfg_attr(not(test), no_main)]

use std::sync::OnceLock;

use fencelock_fuzz::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

#[expect(clippy::panic, reason = "without a target there is nothing to do")]
fn target() -> Target {
    *TARGET.get_or_init(|| {
        let name = std::env::var("FENCELOCK_FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("FENCELOCK_FUZZ_TARGET={name} is no target")).1
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| target()(data));
