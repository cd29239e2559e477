#!/usr/bin/env bash
# Asks a running API everything its OpenAPI page allows and forbids: no 5xx, no undocumented status, no wrong shape.
#
#   benchmarks/schemathesis.sh http://127.0.0.1:8000 fb_… [options of `schemathesis run`, as in --seed 7]
set -eu
here="$(cd "$(dirname "$0")" && pwd)"
notes="${TMPDIR:-/tmp}/forebay-schemathesis"
mkdir -p "$notes" && cd "$notes" # where it keeps what `st replay` needs
exec "$here/../.venv/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$1/openapi.json" \
    --header "Authorization: Bearer $2" --checks all "${@:3}"
