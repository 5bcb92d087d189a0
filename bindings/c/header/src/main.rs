//! Writes `include/fencelock.h` from the C library's source; with `--check`, only tells whether it
//! is as it should be.

use std::path::Path;
use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a program's messages")]
fn main() -> ExitCode {
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let header = source.join("../../include/fencelock.h");
    let written = match cbindgen::generate(source) {
        Ok(bindings) => bindings,
        Err(error) => {
            eprintln!("the header can't be generated: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut text = Vec::new();
    written.write(&mut text);
    let current = std::fs::read(&header).unwrap_or_default();
    if current == text {
        return ExitCode::SUCCESS;
    }
    if std::env::args().nth(1).as_deref() == Some("--check") {
        eprintln!("include/fencelock.h is stale: run `make fmt`");
        return ExitCode::FAILURE;
    }
    match std::fs::write(&header, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", header.display());
            ExitCode::FAILURE
        }
    }
}
