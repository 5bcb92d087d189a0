//! A server whose time of day can be set: a small library, preloaded, adds what stands in a file, or
//! stops the clock there.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the preloaded library looks for the offset's file.
const VARIABLE: &str = "FENCELOCK_TEST_CLOCK";

/// A server's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// Compiles the library into a server's directory.
    pub(crate) fn new(dir: &Path) -> Self {
        let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
        let offset = dir.join("clock");
        let compiled = fs::write(&source, include_str!("clock.c"))
            .and_then(|()| fs::write(&offset, [0; 16]))
            .and_then(|()| {
                let mut cc = Command::new("cc");
                cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
                cc.output()
            });
        match compiled {
            Ok(output) if output.status.success() => Self { library, offset },
            Ok(output) => panic!("cc: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("the server's clock can't be compiled: {error}"),
        }
    }

    /// What the server's process needs to find it.
    pub(crate) fn environment(&self) -> Vec<(String, PathBuf)> {
        vec![
            ("LD_PRELOAD".to_owned(), self.library.clone()),
            (VARIABLE.to_owned(), self.offset.clone()),
        ]
    }

    /// Lets the server's time differ from ours by so many ms.
    pub(crate) fn set(&self, ahead_ms: i64) {
        self.write(ahead_ms * 1000, 0);
        self.write(0, 8);
    }

    /// Lets the server's time stand still, at so many µs since 1970.
    pub(crate) fn stop_at(&self, now_us: i64) {
        self.write(now_us, 8);
    }

    fn write(&self, us: i64, at: u64) {
        let written = File::options()
            .write(true)
            .open(&self.offset)
            .and_then(|file| file.write_all_at(&us.to_ne_bytes(), at));
        if let Err(error) = written {
            panic!("the server's clock can't be set: {error}");
        }
    }
}
