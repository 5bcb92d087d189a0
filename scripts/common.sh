# Sourced by the other scripts: where we are, and how to say things.
# shellcheck shell=bash

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT" || exit
# shellcheck disable=SC2034 # for those who source this
VENV="$ROOT/.venv"
# Everything that cargo builds goes to one place, also what pip builds through maturin.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}"
# A virtual environment or import path of the caller's must not leak into ours.
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME
# rustup puts cargo there, and a shell that was open before does not know it yet.
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

say() { printf '== %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
