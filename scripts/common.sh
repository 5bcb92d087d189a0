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

# What hangs is to be seen as failed, not as a CI that never ended; at a terminal Ctrl-C does that.
ended_by_hand=
[[ ! -t 0 ]] || ended_by_hand=1

# Runs a command for so many seconds at most.
limited() {
    if [[ -n "$ended_by_hand" ]]; then "${@:2}"; else timeout --kill-after=10 "$@"; fi
}

say() { printf '== %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
