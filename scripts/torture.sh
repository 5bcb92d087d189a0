#!/usr/bin/env bash
# Tortures fencelock: SECONDS_ (60), SEED (random), BACKEND (redis, or file), REPORT (a JSON file).
# FENCELOCK_REDIS_SERVER names another server than redis-server.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
unset FENCELOCK_URL

cargo build --quiet --locked -p fencelock-torture --bins
exec "$CARGO_TARGET_DIR/debug/torture" --seconds "${SECONDS_:-60}" --backend "${BACKEND:-redis}" \
    ${SEED:+--seed "$SEED"} ${REPORT:+--report "$REPORT"}
