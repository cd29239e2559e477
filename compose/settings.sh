#!/bin/sh
# Makes a file of settings after .env.example, with random secrets, unless it is there: `settings.sh compose/.env.prod`.
set -eu
[ ! -e "$1" ] || exit 0
secret() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
umask 077
sed -e "s/^FOREBAY_DATABASE_PASSWORD=\$/&$(secret)/" -e "s/^FOREBAY_KEY_PEPPER=\$/&$(secret)/" \
    -e "s/^FOREBAY_WEBHOOK_KEY=\$/&$(secret)/" -e "s/^FLOWER_BASIC_AUTH=\$/&forebay:$(secret)/" \
    "$(dirname "$0")/.env.example" >"$1.new"
mv "$1.new" "$1"
echo "made $1, with secrets of its own: look through it" >&2
