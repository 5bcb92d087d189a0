#!/usr/bin/env bash
# Removes what the other scripts made in this folder; installed Debian packages stay.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
rm -rf target .venv .tools .demo bench/out .mypy_cache .ruff_cache .pytest_cache
rm -rf node/node_modules node/dist node/build node/npm node/*.node bench/adapters/node/node_modules
find . -name __pycache__ -type d -prune -exec rm -rf {} +
