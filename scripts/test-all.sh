#!/usr/bin/env bash
# What takes longer than `make test` may. Everything runs, and what failed is named at the end.
# test-all.sh REGEX: only the parts whose names match; test-all.sh '' names them all.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
unset FENCELOCK_URL
summary="$(mktemp)"
trap 'rm -f "$summary"' EXIT
failed=() only="${1-.}"

# Runs one check, and keeps its lines that sum up for the end.
run() {
    local name="$1" started="$SECONDS"
    shift
    [[ -n "$only" ]] || { echo "$name" && return; }
    [[ "$name" =~ $only ]] || return 0
    say "$name"
    limited 3600 "$@" 2>&1 | tee >(grep -aE '^test result: |^=+ .*(passed|failed|error).* in |not guarded$|^fuzz [a-z_]+: |^NOT CHECKED|^torture: |^overlaps |^faults |^[^ ]+ (pass|fail) [0-9]+$' |
        grep -v ' 0 passed; 0 failed' | sed "s/^/    /" >>"$summary") || failed+=("$name")
    echo "$name: $((SECONDS - started)) s" | tee -a "$summary"
}

# Longer counts where a scenario or a test has two.
export FENCELOCK_LONG=1

"$(dirname "$0")/servers.sh" >target/servers.txt
run "all servers: Debian's" cargo test --locked --no-fail-fast -p fencelock -p fencelock-conformance -p fencelock-reference
while read -r name program; do
    # Its clock must stand still to the µs, and other servers go by more clocks than one.
    [[ "$name" != redis-6.2 ]] || FENCELOCK_REDIS_SERVER="$program" run "the fake and the oracle on $name" \
        cargo test --locked -p fencelock-reference </dev/null
    FENCELOCK_CONFORMANCE_ON=redis FENCELOCK_REDIS_SERVER="$program" run "all servers: $name" \
        cargo test --locked --no-fail-fast -p fencelock -p fencelock-conformance </dev/null
    FENCELOCK_REDIS_SERVER="$program" run "Python on $name" "$VENV/bin/python" -m pytest -q python </dev/null
done <target/servers.txt
for via in tls unix resp2; do
    FENCELOCK_CONFORMANCE_VIA="$via" run "the conformance suite by $via" \
        cargo test --locked --no-fail-fast -p fencelock-conformance --test scenarios
done
run "Python, long" "$VENV/bin/python" -m pytest -q python
run "the C library under valgrind" cargo test --locked --no-fail-fast -p fencelock-c
"$(dirname "$0")/nodes.sh" >target/nodes.txt
while read -r version program npm; do
    FENCELOCK_NODE="$program" FENCELOCK_NPM="$program $npm" run "Node $version, long" scripts/test-node.sh </dev/null
    FENCELOCK_NODE="$program" run "the conformance suite with Node $version" \
        cargo test --locked --no-fail-fast -p fencelock-conformance --test scenarios -- node </dev/null
done <target/nodes.txt
# Several minutes each; where a run finds something it says what, and where its log is.
# The reports are what scripts/reliability.py publishes.
run "torture on Debian's Redis" env SECONDS_=240 REPORT=target/torture-redis.json scripts/torture.sh
run "torture on Valkey" env SECONDS_=240 REPORT=target/torture-valkey.json \
    FENCELOCK_REDIS_SERVER="$(sed -n 's/^valkey //p' target/servers.txt)" scripts/torture.sh
run "torture on a file" env SECONDS_=240 REPORT=target/torture-file.json BACKEND=file scripts/torture.sh
run "fuzzing, ten seconds a target" "$(dirname "$0")/fuzz.sh" 10
run "the fuzzer: clippy" cargo clippy --quiet --locked -p fencelock-fuzz --features fuzzer -- -D warnings
run "the C library's handles, every interleaving" cargo test --locked -p fencelock-interleavings
run "supply chain" "$(dirname "$0")/supply-chain.sh"
run "each rule of the protocol taken out: its test must fail" "$VENV/bin/python" scripts/check_rules.py
run "the peers' adapters: clippy" cargo clippy --quiet --locked \
    --manifest-path bench/adapters/rslock/Cargo.toml -- -D warnings
if command -v go >/dev/null; then
    run "the peers' adapters: go vet" env GOTOOLCHAIN=local GOFLAGS=-mod=readonly go vet -C bench/adapters/go .
fi
run "the demo" "$VENV/bin/python" scripts/demo.py
run "the figures, quickly: no contender may fail" "$VENV/bin/python" bench/run.py --quick

say "in all:"
cat "$summary"
[[ ${#failed[@]} == 0 ]] || {
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
}
[[ "$only" != . ]] || echo "test-all: all passed"
