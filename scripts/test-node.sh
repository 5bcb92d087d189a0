#!/usr/bin/env bash
# The Node package's own tests, under the Node that is there, or the one that FENCELOCK_NODE names.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
cd node
exec "${FENCELOCK_NODE:-node}" --test --test-reporter=spec build/test/*.test.mjs
