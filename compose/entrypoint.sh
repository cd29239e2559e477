#!/bin/sh
# What every container starts with: where FOREBAY_MIGRATE is 1 it brings the database to the newest tables, for which
# several at once wait for each other. Then it becomes the process that it was told.
set -eu
if [ "${FOREBAY_MIGRATE:-0}" = 1 ]; then
    forebay migrate
fi
exec "$@"
