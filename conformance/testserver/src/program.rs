//! Programs in C and C++ that tests compile, against the C library that cargo has built beside the
//! running test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Where the library lies under the names by which programs find it.
fn library() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let Ok(test) = std::env::current_exe() else { panic!("a test does not know its own path") };
    let beside = test.parent().unwrap_or_else(|| Path::new("."));
    // Cargo puts what a program depends on into `deps`, where tests are themselves.
    let found = ["libfencelock_c.so", "deps/libfencelock_c.so"].map(|name| beside.join(name));
    let [first, second] = found;
    let library = if second.exists() { second } else { first };
    assert!(library.exists(), "{}: is fencelock-c a dependency of this test?", library.display());
    let folder = beside.join("c-programs");
    must(fs::create_dir_all(&folder), &folder);
    for name in ["libfencelock.so", "libfencelock.so.0"] {
        let link = folder.join(name);
        if fs::read_link(&link).ok().as_ref() != Some(&library) {
            let _ = fs::remove_file(&link);
            must(symlink(&library, &link), &link);
        }
    }
    folder
}

fn must<T>(result: std::io::Result<T>, path: &Path) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compiles and links a program from sources under the repository's root, with the strictest
/// warnings as errors; gives its path.
///
/// ```no_run
/// let flags = ["-std=c11", "-fsanitize=address"];
/// let program = fencelock_testserver::compile("lock", "gcc", &flags, &["bindings/c/examples/lock.c"]);
/// ```
pub fn compile(name: &str, compiler: &str, flags: &[&str], sources: &[&str]) -> PathBuf {
    let folder = library();
    let program = folder.join(name);
    // Under another name first: a test that runs at the same time may have it open.
    let fresh = folder.join(format!("{name}.{}", std::process::id()));
    let sources = sources.iter().map(|source| Path::new(ROOT).join(source));
    let done = Command::new(compiler)
        .args(["-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow"])
        .args(["-Werror", "-pthread"])
        .args(flags)
        .arg(format!("-I{ROOT}/include"))
        .args(sources)
        .arg("-o")
        .arg(&fresh)
        .arg("-L")
        .arg(&folder)
        .arg("-lfencelock")
        .arg(format!("-Wl,-rpath,{}", folder.display()))
        .output();
    let done = must(done, Path::new(compiler));
    assert!(
        done.status.success(),
        "{compiler} can't compile {name}:\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
    must(fs::rename(&fresh, &program), &program);
    program
}
