#!/usr/bin/env bash
# Builds the Node package in its folder (node/), as far as what it is built from has changed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
cd node

# node_modules/ as package-lock.json says.
install_tools() {
    cmp -s package-lock.json node_modules/.stamp && return
    say "installing node/package-lock.json (npm ci)"
    npm ci --silent --ignore-scripts --no-audit --no-fund || fail "npm ci failed in node/"
    cp package-lock.json node_modules/.stamp
}

# What something is built from, as one line: the names of a target, a folder to keep it in, and files.
fingerprint() {
    {
        node --version
        rustc --version
        sha256sum package-lock.json package.json tsconfig*.json scripts/build.mjs
        find "$@" -type f -print0 | sort -z | xargs -0 sha256sum
    } | sha256sum
}

# Builds something if it is not there or its fingerprint has changed.
build() {
    local what="$1" made="$2" stamp="build/.$1-stamp" now
    now="$(fingerprint "${@:3}")"
    if [[ "$(cat "$stamp" 2>/dev/null)" == "$now" ]] && compgen -G "$made" >/dev/null; then
        return
    fi
    mkdir -p build
    rm -f "$stamp"
    say "building the Node package ($what)"
    node scripts/build.mjs "--$what" >"build/$what.log" 2>&1 || {
        cat "build/$what.log" >&2
        fail "the Node package could not be built"
    }
    # Building may have written a file that it is built from.
    fingerprint "${@:3}" >"$stamp"
}

version="$(node --version 2>/dev/null)" || fail "no Node found; Node 20 or later is needed (Debian: nodejs, npm)"
version="${version#v}"
[[ "${version%%.*}" -ge 20 ]] || fail "Node 20 or later is needed, this is $version"
command -v npm >/dev/null || fail "no npm found; it comes with Node (Debian: npm)"
install_tools
build native "fencelock.*.node" src build.rs Cargo.toml ../Cargo.toml ../Cargo.lock ../core/Cargo.toml \
    ../core/src ../bindings/bridge
build lib dist/index.mjs lib
build test build/test/server.mjs test lib
