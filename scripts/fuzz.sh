#!/usr/bin/env bash
# Fuzzes: fuzz.sh [SECONDS [TARGET…]], so many seconds a target (default 60), all targets unless some
# are named. What breaks a promise is left in target/fuzz/found/TARGET, to be put in the corpus with
# the fix. FENCELOCK_FUZZ_KEEP=1 adds to the corpus what reached something new.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
seconds="${1:-60}"
shift || true
targets=("$@")
known=(fuzz/corpus/*)
[[ ${#targets[@]} -gt 0 ]] || targets=("${known[@]##*/}")

# libFuzzer's coverage, by flags that the stable compiler takes (cargo-fuzz's, less the sanitizer).
# With a target named they hold for the program alone, not for build scripts.
host="$(rustc --print host-tuple)"
flags=(-Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks)
for argument in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$argument")
done
# Conditions stay apart, so that each can be seen to be met.
flags+=(-Cllvm-args=-simplifycfg-branch-fold-threshold=0)
out="$CARGO_TARGET_DIR/fuzz"
program="$out/$host/release/fuzz"
RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR="$out" CARGO_PROFILE_RELEASE_LTO=off \
    cargo build --quiet --locked --release -p fencelock-fuzz --features fuzzer --target "$host"

failed=()
for target in "${targets[@]}"; do
    corpus="fuzz/corpus/$target" work="$out/work/$target" found="$out/found/$target"
    [[ -d "$corpus" ]] || fail "$target is no target; there are: ${known[*]##*/}"
    mkdir -p "$work" "$found"
    log="$out/$target.log"
    # Its first folder is where new inputs go; the others are only read.
    if FENCELOCK_FUZZ_TARGET="$target" "$program" -max_total_time="$seconds" -max_len=2048 \
        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$found/" \
        "$work" "$corpus" >"$log" 2>&1; then
        awk -v target="$target" -v seconds="$seconds" '
            /^#[0-9]+.* cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") covered = $(i + 1) }
            /stat::number_of_executed_units/ { executions = $2 }
            END { printf "fuzz %s: %d executions in %d s, %d edges covered\n",
                target, executions, seconds, covered }' "$log"
    else
        failed+=("$target")
        tail -n 30 "$log" >&2
    fi
    if [[ -n "${FENCELOCK_FUZZ_KEEP:-}" ]]; then
        FENCELOCK_FUZZ_TARGET="$target" "$program" -merge=1 -use_counters=0 "$corpus" "$work" >>"$log" 2>&1
    fi
done
[[ ${#failed[@]} == 0 ]] || fail "fuzzing found something in: ${failed[*]}"
