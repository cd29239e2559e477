#!/usr/bin/env bash
# Whether the process of this container is well, told without a start of Python, which every few seconds would cost more
# than the process itself.
#
#   healthy 8000 /healthz          it answers there with 200
#   healthy 5555 /healthcheck 401  it answers there, and only to who has its password
#   healthy                        it is a worker whose sign of life, the file FOREBAY_HEART, is no older than 30 seconds
set -eu
if [ $# = 0 ]; then
    [ -n "$(find "$FOREBAY_HEART" -newermt '-30 seconds')" ]
    exit
fi
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
read -r -t 3 _ status _ <&3
[ "$status" = "${3:-200}" ]
