#!/usr/bin/env bash
# Asks a running API everything its OpenAPI page allows and forbids: no 5xx, no undocumented status, no wrong shape.
#
#   benchmarks/schemathesis.sh http://127.0.0.1:8000 fb_… [options of `schemathesis run`, as in --seed 7]
#
# Not among the requirements: it is installed into a folder of its own.
set -eu
tools="${TMPDIR:-/tmp}/forebay-schemathesis"
if [ ! -x "$tools/bin/schemathesis" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check schemathesis==4.32.5
fi
config="$(cd "$(dirname "$0")" && pwd)/schemathesis.toml"
cd "$tools" # where it keeps what `st replay` needs
exec bin/schemathesis --config-file "$config" run "$1/openapi.json" --header "Authorization: Bearer $2" --checks all "${@:3}"
