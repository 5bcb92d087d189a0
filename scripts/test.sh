#!/usr/bin/env bash
# Every test that is quick enough for each change. What takes longer: scripts/test-all.sh.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
# Tests start servers of their own, and some want it unset.
unset FENCELOCK_URL
summary="$(mktemp)"
trap 'rm -f "$summary"' EXIT
failed=()

# What hangs is to be seen as failed, not as a CI that never ended; at a terminal Ctrl-C does that.
limit=()
[[ -t 0 ]] || limit=(timeout --kill-after=10 1800)

# Runs one suite, and keeps its lines that sum up for the end; the rest go on if it fails.
run() {
    say "$*"
    "${limit[@]}" "$@" 2>&1 | tee >(grep -aE '^test result: |^model: [0-9]+ states|^=+ .*(passed|failed|error).* in |examples in the doc|^[^ ]+ (pass|fail) [0-9]+$' \
        >>"$summary") || failed+=("$*")
}

# --all-targets leaves out the examples in the documentation.
run cargo test --locked --no-fail-fast --workspace --all-targets
run cargo test --locked --no-fail-fast --workspace --doc
run "$VENV/bin/python" scripts/check_readme.py
run "$VENV/bin/python" scripts/check_c.py
run "$VENV/bin/python" -m pytest python
run scripts/test-node.sh

say "in all:"
# Crates without tests have nothing to say here.
grep -v ': ok. 0 passed; 0 failed' "$summary"
[[ ${#failed[@]} == 0 ]] || {
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
}
