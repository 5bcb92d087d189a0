#!/usr/bin/env bash
# Checks form and types of every language here; with --fix, puts right what can be.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
bin="$VENV/bin"
fix="${1:-}"
# The header is as cbindgen writes it.
mapfile -t c_files < <(git ls-files '*.c' '*.h' '*.hpp' '*.cpp' ':!include/fencelock.h')
mapfile -t shell_files < <(git ls-files '*.sh' .ci/run)
# python/ has settings of its own; these are the programs outside it.
biome=(node/node_modules/.bin/biome check --config-path=scripts/biome.json)
biome_files=(node/lib node/scripts node/test conformance/drivers bench/adapters/node)
# rslock's adapter is a workspace of its own. Go is not set up here: checked where it is.
rslock=(--manifest-path bench/adapters/rslock/Cargo.toml)
go_folder=bench/adapters/go
ruff_outside=(--config scripts/ruff.toml bench bindings/c conformance scripts)

if [[ "$fix" == --fix ]]; then
    cargo run --quiet --locked -p fencelock-header
    cargo fmt --all
    cargo fmt "${rslock[@]}"
    if command -v gofmt >/dev/null; then gofmt -w "$go_folder"; fi
    "${biome[@]}" --write "${biome_files[@]}"
    clang-format -i "${c_files[@]}"
    "$bin/ruff" check --fix --quiet "${ruff_outside[@]}" || true
    "$bin/ruff" format "${ruff_outside[@]}"
    (cd python && { "$bin/ruff" check --fix --quiet . || true; } && "$bin/ruff" format .)
    exit
fi

failed=()
# Runs one check in a folder; the rest go on if it fails, so that one run shows all there is.
check() {
    local folder="$1"
    shift
    echo "-- ${*##*/}"
    (cd "$folder" && "$@") || failed+=("$* (in $folder)")
}

short_files() {
    git ls-files '*.rs' '*.py' '*.pyi' '*.c' '*.h' '*.hpp' '*.cpp' '*.lua' '*.sh' '*.ts' \
        '*.go' '*.java' |
        # The header is generated.
        grep -v '^include/fencelock.h$' | xargs wc -l |
        awk '$1 > 600 && $2 != "total" { print "over 600 lines, please divide:", $2; bad = 1 }
            END { exit bad }'
}

go_format() {
    local unformatted
    unformatted="$(gofmt -l .)"
    [[ -z "$unformatted" ]] || { echo "not as gofmt writes it: $unformatted" && false; }
}

check . short_files
check . "$bin/python" scripts/check_rules.py --texts
check . shellcheck -x "${shell_files[@]}"
check . clang-format --dry-run -Werror "${c_files[@]}"
check . "$bin/ruff" check --quiet "${ruff_outside[@]}"
check . "$bin/ruff" format --check --quiet "${ruff_outside[@]}"
check python "$bin/ruff" check --quiet .
check python "$bin/ruff" format --check --quiet .
check scripts "$bin/mypy" --strict .
check bench "$bin/mypy" --strict .
check conformance "$bin/mypy" --strict drivers
check python "$bin/mypy"
check . cargo run --quiet --locked -p fencelock-header -- --check
check . "${biome[@]}" "${biome_files[@]}"
check node node_modules/.bin/tsc --noEmit -p tsconfig.build.json
check node node_modules/.bin/tsc --noEmit -p tsconfig.json
# Written by the build (setup): the engine's side of the Node package.
check node git diff --exit-code -- lib/native.d.ts
check . cargo fmt --all --check
check . cargo clippy --locked --workspace --all-targets -- -D warnings
check . cargo fmt "${rslock[@]}" --check
if command -v gofmt >/dev/null; then check "$go_folder" go_format; fi

[[ ${#failed[@]} == 0 ]] || {
    printf 'lint failed: %s\n' "${failed[@]}" >&2
    exit 1
}
say "lint: all clean"
