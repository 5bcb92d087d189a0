#!/usr/bin/env bash
# Checks form and types of every language here; with --fix, puts right what can be.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
bin="$VENV/bin"
fix="${1:-}"
mapfile -t c_files < <(git ls-files '*.c' '*.h' '*.hpp' '*.cpp')
mapfile -t shell_files < <(git ls-files '*.sh' .ci/run)
# python/ has settings of its own; these are the programs outside it.
python_folders=(bench scripts)

if [[ "$fix" == --fix ]]; then
    cargo fmt --all
    clang-format -i "${c_files[@]}"
    "$bin/ruff" check --fix --quiet --config scripts/ruff.toml "${python_folders[@]}" || true
    "$bin/ruff" format --config scripts/ruff.toml "${python_folders[@]}"
    (cd python && { "$bin/ruff" check --fix --quiet . || true; } && "$bin/ruff" format .)
    exit
fi

check_lengths() {
    local long
    long="$(git ls-files '*.rs' '*.py' '*.pyi' '*.c' '*.h' '*.hpp' '*.cpp' '*.lua' '*.sh' '*.ts' |
        xargs wc -l | awk '$1 > 600 && $2 != "total" && $2 != "include/fencelock.h"')"
    [[ -z "$long" ]] || fail "over 600 lines, please divide: $long"
}

say "length of files"
check_lengths
say "shellcheck"
shellcheck -x "${shell_files[@]}"
say "clang-format"
clang-format --dry-run -Werror "${c_files[@]}"
say "ruff"
"$bin/ruff" check --config scripts/ruff.toml "${python_folders[@]}"
"$bin/ruff" format --check --config scripts/ruff.toml "${python_folders[@]}"
(cd python && "$bin/ruff" check . && "$bin/ruff" format --check .)
say "mypy"
"$bin/mypy" --strict scripts
(cd bench && "$bin/mypy" --strict .)
(cd python && "$bin/mypy")
say "cargo fmt"
cargo fmt --all --check
say "clippy"
cargo clippy --locked --workspace --all-targets -- -D warnings
