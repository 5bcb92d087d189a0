//! The list of languages, and how the driver of each is started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::driver::Language;

/// To add a language: write its driver, and put it here. Cargo tells only the package that builds
/// them where the two Rust drivers are.
pub const fn languages(
    rust_async: fn() -> Command,
    rust_blocking: fn() -> Command,
) -> [Language; 6] {
    [
        Language {
            name: "rust-async",
            program: rust_async,
            can: &["apart", "block", "cancel", "drop", "exact_cancel"],
            setup: "cargo builds it",
        },
        Language {
            name: "rust-blocking",
            program: rust_blocking,
            can: &["apart", "cancel", "drop", "exact_cancel", "fork", "release_twice"],
            setup: "cargo builds it",
        },
        Language {
            name: "python-sync",
            program: || python("python_sync.py"),
            can: &["apart", "block", "cancel", "discard", "fork", "release_twice"],
            setup: PYTHON_SETUP,
        },
        Language {
            name: "python-aio",
            program: || python("python_aio.py"),
            can: &["block", "cancel", "discard", "exact_cancel", "fork", "release_twice"],
            setup: PYTHON_SETUP,
        },
        Language {
            name: "c",
            program: || Command::new(&*C_DRIVER),
            can: &["apart", "cancel", "drop", "exact_cancel", "fork", "release_twice"],
            setup: "cargo builds its library, the test itself compiles it: it needs gcc",
        },
        Language {
            name: "node",
            program: node,
            can: &["block", "cancel", "discard", "exact_cancel", "release_twice"],
            setup: "run `make build-node`, or name another Node: FENCELOCK_NODE=/path/to/node",
        },
    ]
}

static C_DRIVER: LazyLock<PathBuf> = LazyLock::new(|| {
    let sources = ["conformance/drivers/c_driver.c", "conformance/drivers/c_line.c"];
    fencelock_testserver::compile("c_driver", "gcc", &["-std=c11"], &sources)
});

/// redis-py's own lock, on the same keys.
pub const REDIS_PY: Language =
    Language { name: "redis-py", program: || python("redis_py.py"), can: &[], setup: PYTHON_SETUP };

/// How to get what the drivers in Python need.
pub const PYTHON_SETUP: &str = "run `make setup` for a .venv with the packages fencelock and redis, or \
                            name another Python that has them: FENCELOCK_PYTHON=/path/to/python";

/// A driver in Python, in the environment that has fencelock and redis-py.
pub fn python(driver: &str) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("FENCELOCK_PYTHON")
        .map_or_else(|| here.join("../.venv/bin/python"), PathBuf::from);
    let mut command = Command::new(python);
    command.arg(here.join("drivers").join(driver));
    command
}

fn node() -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(std::env::var_os("FENCELOCK_NODE").unwrap_or("node".into()));
    // A lease is discarded by collecting it.
    command.arg("--expose-gc").arg(here.join("drivers/node.mjs"));
    command
}
