#!/usr/bin/env bash
# Builds the C library and installs it: make install [PREFIX=/usr/local] [DESTDIR=…] [LIBDIR=…]
# FENCELOCK_PROFILE=dev installs what `cargo build` makes, for tests.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
prefix="${PREFIX:-/usr/local}"
libdir="${LIBDIR:-$prefix/lib}"
includedir="$prefix/include"
profile="${FENCELOCK_PROFILE:-release}"
to="${DESTDIR:-}"
source=bindings/c

[[ "$(uname -s)" == Linux ]] || fail "make install knows Linux only so far; link with target/"
[[ "$prefix" == /* && "$libdir" == "$prefix"/* ]] ||
    fail "PREFIX must be an absolute path, and LIBDIR below it"
for tool in cargo ld objcopy; do
    command -v "$tool" >/dev/null || fail "$tool is missing; Debian's gcc and rustup bring it"
done

built="$CARGO_TARGET_DIR/debug"
target=()
if [[ "$profile" != dev ]]; then
    # As the Python and Node packages are built: what all use is built once.
    host="$(rustc --print host-tuple)"
    built="$CARGO_TARGET_DIR/$host/$profile"
    target=(--target "$host")
fi
# Not the rlib that our tests link: beside it the compiler would do without link-time optimization.
cargo rustc --locked --quiet --profile "$profile" "${target[@]}" -p fencelock-c --lib \
    --crate-type cdylib,staticlib
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
abi="$(sed -n 's/^#define FENCELOCK_ABI_VERSION //p' include/fencelock.h)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# What Rust's standard library needs of the system; the compiler knows it for a static library.
: >"$work/empty.rs"
private_libs="$(rustc --crate-type staticlib --print native-static-libs --out-dir "$work" \
    "$work/empty.rs" 2>&1 | sed -n 's/^note: native-static-libs: //p')"
[[ -n "$private_libs" ]] || fail "rustc does not tell what a static library needs"

# The static library: one object that shows nothing but our functions. Everything else in it
# (Rust's standard library, what its crates bundle) would meet its like in the same program.
ld -r --force-group-allocation -o "$work/whole.o" --whole-archive "$built/libfencelock_c.a"
# The compiler's own representation of it would confuse tools that know another version's.
objcopy --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd \
    --keep-global-symbols="$source/symbols.txt" "$work/whole.o" "$work/fencelock.o"
ar rcsD "$work/libfencelock.a" "$work/fencelock.o"
objcopy --strip-debug "$built/libfencelock_c.so" "$work/libfencelock.so"

fill() {
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@LIBDIR@|$libdir|g" -e "s|@INCLUDEDIR@|$includedir|g" \
        -e "s|@VERSION@|$version|g" -e "s|@MAJOR_MINOR@|${version%.*}|g" -e "s|@ABI@|$abi|g" \
        -e "s|@INCLUDE_FROM_LIB@|$(realpath -m --relative-to "$libdir" "$includedir")|g" \
        -e "s|@PRIVATE_LIBS@|$private_libs|g" "$source/install/$1.in" >"$work/$1"
}
fill fencelock.pc
fill fencelock-config.cmake
fill fencelock-config-version.cmake

install -d "$to$libdir/pkgconfig" "$to$libdir/cmake/fencelock" "$to$includedir"
install -m 755 "$work/libfencelock.so" "$to$libdir/libfencelock.so.$version"
ln -sfn "libfencelock.so.$version" "$to$libdir/libfencelock.so.$abi"
ln -sfn "libfencelock.so.$abi" "$to$libdir/libfencelock.so"
install -m 644 "$work/libfencelock.a" "$to$libdir/"
install -m 644 "$work/fencelock.pc" "$to$libdir/pkgconfig/"
install -m 644 "$work"/fencelock-config*.cmake "$to$libdir/cmake/fencelock/"
install -m 644 include/fencelock.h include/fencelock.hpp "$to$includedir/"
say "fencelock $version is in $to$prefix"
