#!/usr/bin/env bash
# Removes what the other scripts made in this folder; installed Debian packages stay.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
rm -rf target .venv .tools .demo bench/out .mypy_cache .ruff_cache .pytest_cache
find . -name __pycache__ -type d -prune -exec rm -rf {} +
