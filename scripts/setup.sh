#!/usr/bin/env bash
# Sets up what the other scripts need, as far as it is missing; quick when nothing is.
# setup.sh demo: what `make demo` needs.  setup.sh all: what tests, lint and bench need as well.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
scope="${1:-all}"

# Runs a command silently; shows its output if it fails.
quiet() {
    local log
    log="$(mktemp)"
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# --- Debian packages ---------------------------------------------------------------------------

find_missing_packages() {
    missing=()
    need() { "${@:2}" >/dev/null 2>&1 || missing+=("$1"); }
    need gcc command -v cc
    # The demo locks in a file, or on a server of the caller's.
    if [[ "$scope" == all ]]; then
        need redis-server command -v "${FENCELOCK_REDIS_SERVER:-redis-server}"
        need pkg-config command -v pkg-config
        need clang-format command -v clang-format
        need shellcheck command -v shellcheck
        need libhiredis-dev test -e /usr/include/hiredis/hiredis.h
        need g++ command -v g++
        need clang command -v clang++
        need cmake command -v cmake
        need valgrind command -v valgrind
        need strace command -v strace
        need libsqlite3-dev test -e /usr/include/sqlite3.h
        # Debian's is new enough from its 13th version on; build-node.sh tells if it is not.
        need nodejs command -v node
        need npm command -v npm
    fi
    # Debian splits the standard library's venv from its own python3.
    need python3-venv "$python" -c 'import ensurepip, venv'
}

as_root() {
    if [[ "$(id -u)" == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root or sudo: $*"
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"
}

install_packages() {
    command -v apt-get >/dev/null ||
        fail "please install these (Debian's names) and try again: ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    # Debian starts a packaged server at once, on port 6379; ours are private ones.
    local policy=/usr/sbin/policy-rc.d wrote_policy=
    if [[ ! -e "$policy" ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        wrote_policy=yes
    fi
    local status=0
    # The package lists may be missing or old: fetch them only if it does not go without.
    quiet apt_get install -y --no-install-recommends "${missing[@]}" 2>/dev/null || {
        quiet apt_get update &&
            quiet apt_get install -y --no-install-recommends "${missing[@]}"
    } || status=1
    [[ -z "$wrote_policy" ]] || as_root rm -f "$policy"
    [[ "$status" == 0 ]] || fail "apt-get could not install ${missing[*]}"
    # Nor is it to start at the next boot.
    if [[ " ${missing[*]} " == *" redis-server "* ]] && command -v systemctl >/dev/null; then
        as_root systemctl disable redis-server >/dev/null 2>&1 || true
    fi
}

# --- toolchains --------------------------------------------------------------------------------

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python="$candidate"
            return
        fi
    done
    fail "no Python 3.11 or later found; install one, or name it: PYTHON=/path/to/python3 make …"
}

check_rust() {
    local how="install it by rustup: https://rustup.rs" version
    version="$(rustc --version 2>/dev/null)" || fail "no Rust compiler found; $how"
    version="${version#rustc 1.}"
    [[ "${version%%.*}" -ge 88 ]] || fail "Rust 1.88 or later is needed, this is 1.$version; $how"
    [[ "$scope" == all ]] || return 0
    cargo fmt --version >/dev/null 2>&1 || fail "no rustfmt; run: rustup component add rustfmt"
    cargo clippy --version >/dev/null 2>&1 || fail "no clippy; run: rustup component add clippy"
}

# --- the virtual environment -------------------------------------------------------------------

make_venv() {
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 && return
    say "making .venv"
    quiet "$python" -m venv --clear "$VENV" || fail "could not make .venv"
}

pip_install() {
    quiet "$VENV/bin/python" -m pip --disable-pip-version-check --no-input install "$@"
}

# Installs the tools for development when their list has changed: those of the list as
# `supply-chain.sh lock` has locked them.
install_tools() {
    local list=python/requirements-dev.lock stamp="$VENV/.tools-stamp"
    cmp -s "$list" "$stamp" && return
    say "installing $list"
    pip_install --require-hashes -r "$list" || fail "pip could not install $list"
    cp "$list" "$stamp"
}

# What the Python package is built from, as one line.
package_fingerprint() {
    {
        "$VENV/bin/python" --version
        rustc --version
        find Cargo.toml Cargo.lock core/Cargo.toml core/src bindings/bridge python \
            \( -name target -o -name tests -o -name __pycache__ -o -name '.*' \) -prune -o \
            -type f ! -name '*.so' ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum
    } | sha256sum
}

# Builds and installs the package as its users do, when what it is built from has changed.
install_package() {
    local stamp="$VENV/.package-stamp" now
    now="$(package_fingerprint)"
    # A development install (maturin develop) has replaced ours if the folder is not there.
    if [[ "$(cat "$stamp" 2>/dev/null)" == "$now" ]] &&
        compgen -G "$VENV/lib/python3*/site-packages/fencelock/*.so" >/dev/null; then
        return
    fi
    say "building and installing the Python package (pip install ./python)"
    rm -f "$stamp"
    # The target that the Node package is built for, too: what both use is built once.
    CARGO_BUILD_TARGET="$(rustc --print host-tuple)" pip_install ./python || fail "pip install ./python failed"
    echo "$now" >"$stamp"
}

find_python
check_rust
find_missing_packages
[[ ${#missing[@]} == 0 ]] || install_packages
make_venv
[[ "$scope" != all ]] || install_tools
install_package
[[ "$scope" != all ]] || scripts/build-node.sh
