//! The C library from C: each program of this folder, with the compiler's sanitizers of addresses,
//! leaks and undefined behaviour, on a real server; with `FENCELOCK_LONG=1` under valgrind as well.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use fencelock_testserver::{TestServer, compile};

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const ALL: &str = "-fsanitize=address,undefined";
/// `AddressSanitizer` before GCC 14 takes no lock of its allocator at a fork: when another thread is
/// in it just then, the child hangs at its first thread. Valgrind looks at addresses instead.
const FOR_A_FORK: &str = "-fsanitize=undefined";

fn flags(extra: &[&'static str]) -> Vec<&'static str> {
    [&["-std=c11"], extra].concat()
}

/// What hangs is killed (and then has no success) after this many seconds.
const LIMIT: &str = "300";

fn run(program: &mut Command, name: &str) {
    let server = TestServer::start();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT]).arg(program.get_program()).args(program.get_args());
    let Output { status, stdout, stderr } =
        command.env("FENCELOCK_URL", server.url()).output().unwrap();
    assert!(
        status.success(),
        "{name}: {status}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}

/// Compiles and runs a program of this folder.
fn program(name: &str, sanitizers: &'static str, arguments: &[&str]) {
    let source = format!("bindings/c/tests/{name}.c");
    let sanitized = flags(&[sanitizers, "-fno-sanitize-recover=all"]);
    let mut command = Command::new(compile(name, "gcc", &sanitized, &[&source]));
    run(command.args(arguments), name);
    if std::env::var_os("FENCELOCK_LONG").is_some_and(|value| value == "1") {
        under_valgrind(name, &source, arguments);
    }
}

fn under_valgrind(name: &str, source: &str, arguments: &[&str]) {
    // One at a time: what is so slow would run into its own timeouts.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--error-exitcode=9"])
        // A forked child has none of the parent's threads: what only they point to looks leaked.
        .arg(if name == "fork" { "--leak-check=no" } else { "--leak-check=full" })
        // What the engine's thread has is still in use at the end.
        .args(["--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"])
        .arg(compile(&format!("{name}-plain"), "gcc", &flags(&[]), &[source]))
        .args(arguments);
    run(&mut command, name);
}

#[test]
fn functions_do_what_they_say() {
    program("basics", ALL, &[]);
}

#[test]
fn event_loops_are_told_everything_once() {
    program("events", ALL, &[]);
}

#[test]
fn misuse_and_panics_are_errors_in_every_export() {
    program("every", ALL, &[&format!("{HERE}/symbols.txt")]);
}

#[test]
fn threads_share_clients_and_leases() {
    program("threads", ALL, &[]);
}

#[test]
fn a_forked_child_uses_its_parents_client_and_not_its_leases() {
    program("fork", FOR_A_FORK, &[]);
}

#[test]
fn the_exports_are_those_of_the_list() {
    let library = compile("symbols", "gcc", &flags(&[]), &["bindings/c/examples/lock.c"]);
    let library = library.with_file_name("libfencelock.so");
    let told = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=just-symbols"])
        .arg(&library)
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let mut exported: Vec<_> = std::str::from_utf8(&told.stdout).unwrap().lines().collect();
    exported.sort_unstable();
    let list = std::fs::read_to_string(Path::new(HERE).join("symbols.txt")).unwrap();
    assert_eq!(exported, list.lines().collect::<Vec<_>>(), "see bindings/c/symbols.txt");
}

#[test]
fn the_headers_numbers_are_those_of_the_list_of_errors() {
    let root = Path::new(HERE).join("../..");
    let header = std::fs::read_to_string(root.join("include/fencelock.h")).unwrap();
    let list = std::fs::read_to_string(root.join("conformance/errors.toml")).unwrap();
    let list: toml::Table = list.parse().unwrap();
    for (kind, prefix, others) in [("kind", "FENCELOCK_", 0), ("loss", "FENCELOCK_LOSS_", 1)] {
        let entries = list[kind].as_table().unwrap();
        for (name, entry) in entries {
            let define = format!("#define {prefix}{} {}\n", name.to_uppercase(), entry["code"]);
            assert!(header.contains(&define), "{define}");
            let c = entry["c"].as_str().unwrap();
            assert_eq!(c, format!("{prefix}{}", name.to_uppercase()));
        }
        if kind == "loss" {
            let defined = header.matches("#define FENCELOCK_LOSS_").count();
            assert_eq!(defined, entries.len() + others, "the header has reasons of its own");
        }
    }
}
