#!/usr/bin/env bash
# Every test that is quick enough for each change. What takes longer: scripts/test-all.sh.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
summary="$(mktemp)"
trap 'rm -f "$summary"' EXIT

# Runs a command, and keeps its lines that sum up tests for the end.
run() {
    say "$*"
    "$@" 2>&1 | tee >(grep -aE '^test result: |^=+ .*(passed|failed|error).* in ' >>"$summary")
}

# --all-targets leaves out the examples in the documentation.
run cargo test --locked --workspace --all-targets
run cargo test --locked --workspace --doc
run "$VENV/bin/python" scripts/check_readme.py
run "$VENV/bin/python" -m pytest python

say "all passed:"
# Crates without tests have nothing to say here.
grep -v ': ok. 0 passed; 0 failed' "$summary"
