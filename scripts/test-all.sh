#!/usr/bin/env bash
# What takes longer than `make test` may: add further checks here, a line each.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

say "tests that are marked as long"
cargo test --locked --workspace -- --ignored
say "each rule of the protocol taken out: its test must fail"
"$VENV/bin/python" scripts/check_rules.py
say "the demo"
"$VENV/bin/python" scripts/demo.py
say "the figures, quickly: no contender may fail"
"$VENV/bin/python" bench/run.py --quick
