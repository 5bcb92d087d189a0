#!/usr/bin/env bash
# Every test that is quick enough for each change. What takes longer: scripts/test-all.sh.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
# Tests start servers of their own, and some want it unset.
unset FENCELOCK_URL
summary="$(mktemp)" failed="$(mktemp)" beside="$(mktemp)"
trap 'rm -f "$summary" "$failed" "$beside"; jobs -p | xargs --no-run-if-empty kill' EXIT

# Runs one suite, and keeps its lines that sum up for the end; the rest go on if it fails.
run() {
    say "$*"
    limited 1800 "$@" 2>&1 | tee >(grep -aE '^test result: |^model: [0-9]+ states|^=+ .*(passed|failed|error).* in |examples in the doc|^[^ ]+ (pass|fail) [0-9]+$' \
        >>"$summary") || echo "$*" >>"$failed"
}

# --all-targets leaves out the examples in the documentation.
run cargo test --locked --no-fail-fast --workspace --all-targets
run cargo test --locked --no-fail-fast --workspace --doc
# What is left waits more than it computes: half of it runs beside the other, and is shown after it.
{
    run "$VENV/bin/python" scripts/check_readme.py
    run "$VENV/bin/python" scripts/check_c.py
    run scripts/test-node.sh
} >"$beside" 2>&1 &
other="$!"
run "$VENV/bin/python" -m pytest python
wait "$other" || echo "what ran beside pytest" >>"$failed"
cat "$beside"

say "in all:"
# Crates without tests have nothing to say here.
grep -v ': ok. 0 passed; 0 failed' "$summary"
[[ ! -s "$failed" ]] || {
    sed 's/^/failed: /' "$failed" >&2
    exit 1
}
