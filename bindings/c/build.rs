//! Gives the shared library its name for the run-time linker.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "linux" {
        // Its number is that of `fencelock_abi_version`.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libfencelock.so.0");
        // A library whose threads run can't be unloaded.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
