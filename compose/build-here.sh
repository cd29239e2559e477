#!/usr/bin/env bash
# Builds the image where there is no Docker engine, and runs every service of compose.yaml in it:
#
#   compose/build-here.sh FOLDER
#
# As root, on a Debian with the packages buildah, debootstrap and util-linux, after `make setup`. FOLDER is made, takes
# some 3 GB, and is removed at the end unless KEEP=1 is set; then a second run in it reuses the base and the layers.
# MODEL_FILE, MODEL and MODEL_SLOTS build a model in, as the Dockerfile says.
#
# The base is made of Debian's packages, and the Dockerfile is the same as everywhere. pip's settings on this machine
# reach the build as a secret, with what they name here, and stay out of the image. Each step says `ok` when it is done;
# the status is 0 when every service became healthy as compose.yaml has it: its command, health check, user, read-only
# root and environment, with a PostgreSQL and a Redis started here for it.
set -euo pipefail
[ $# = 1 ] || { echo "compose/build-here.sh FOLDER" >&2; exit 2; }
FOLDER=$(realpath -m "$1")
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=$ROOT/.venv/bin/python
SUITE=bookworm
export BUILDAH_ISOLATION=chroot TMPDIR=$FOLDER/tmp

# Mounts and processes are in namespaces of their own, and gone with them however this ends.
if [ -z "${WITHIN:-}" ]; then
    [ ! -e "$FOLDER" ] || [ -e "$FOLDER/of-forebay" ] || { echo "$FOLDER is there already" >&2; exit 2; }
    mkdir -p "$TMPDIR"
    touch "$FOLDER/of-forebay"
    clear_up() {
        status=$?
        kill -KILL "$within" 2>/dev/null && wait "$within" || true # which leaves nothing in its namespaces
        rm -rf "$TMPDIR" "$FOLDER/pip.conf" "$FOLDER/services"
        [ "${KEEP:-0}" = 1 ] || rm -rf "$FOLDER"
        exit "$status"
    }
    trap clear_up EXIT
    trap 'exit 143' TERM INT
    WITHIN=1 unshare --mount --pid --fork --kill-child --mount-proc bash "$0" "$FOLDER" &
    within=$!
    wait "$within"
    exit
fi

# Own places: whatever the machine's other images are in is left alone.
buildah() { command buildah --storage-driver "$driver" --root "$FOLDER/storage" --runroot "$FOLDER/run" "$@"; }

# Whether layers can lie over each other here; else each is a copy of all before it.
storage_driver() {
    mkdir -p "$TMPDIR"/overlay/{lower,upper,work,merged}
    local places="lowerdir=$TMPDIR/overlay/lower,upperdir=$TMPDIR/overlay/upper,workdir=$TMPDIR/overlay/work"
    unshare --mount mount -t overlay -o "$places" overlay "$TMPDIR/overlay/merged" 2>/dev/null && echo overlay || echo vfs
    rm -rf "$TMPDIR/overlay"
}

ok() { echo "ok: $*"; }

make_base() {
    [ -f "$FOLDER/base.tar" ] && return
    local include=python3,python3-venv,libgomp1,ca-certificates
    debootstrap --variant=minbase --include="$include" "$SUITE" "$TMPDIR/base" >"$FOLDER/debootstrap.log" || { tail -20 "$FOLDER/debootstrap.log" >&2; return 1; }
    rm -rf "$TMPDIR/base/var/cache/apt/archives/"*.deb "$TMPDIR/base/var/lib/apt/lists/"*
    tar -C "$TMPDIR/base" --numeric-owner -cf "$FOLDER/base.tar.new" .
    rm -rf "$TMPDIR/base"
    mv "$FOLDER/base.tar.new" "$FOLDER/base.tar"
}

import_base() {
    buildah images --quiet localhost/base >/dev/null 2>&1 && return
    local made
    made=$(buildah from scratch)
    buildah add --quiet "$made" "$FOLDER/base.tar" / >/dev/null
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$made"
    buildah commit --quiet --rm "$made" localhost/base >/dev/null
}

# pip's settings as one file, and as volumes what they name of this machine: folders of wheels, certificates, constraints.
pip_settings() {
    "$PYTHON" -m pip config list | sed "s/^:env:\.//; s/^global\.//; s/='\(.*\)'$/ = \1/" >"$FOLDER/settings"
    { echo "[global]"; sort --unique --key=1,1 --field-separator='=' "$FOLDER/settings"; } >"$FOLDER/pip.conf"
    { grep --only-matching --extended-regexp '(file://)?/[^ ]+' "$FOLDER/settings" || true; } | sed 's#^file://##; s#\(/simple\)$##' |
        sort --unique | while read -r path; do
        [ ! -e "$path" ] || printf -- '--volume=%s:%s:ro\n' "$path" "$path"
    done
    rm "$FOLDER/settings"
}

build() {
    local volumes
    mapfile -t volumes < <(pip_settings)
    buildah bud --layers --quiet --network host --file "$ROOT/compose/Dockerfile" \
        --ignorefile "$ROOT/compose/Dockerfile.dockerignore" --build-arg BASE=localhost/base \
        --build-arg "MODEL_FILE=${MODEL_FILE:-}" --build-arg "MODEL=${MODEL:-}" --build-arg "MODEL_SLOTS=${MODEL_SLOTS:-4}" \
        --secret "id=pip.conf,src=$FOLDER/pip.conf" "${volumes[@]}" --tag localhost/forebay "$ROOT" \
        >"$FOLDER/build.log" 2>&1 || { tail -30 "$FOLDER/build.log" >&2; return 1; }
}

driver=$(storage_driver)
make_base
ok "a base of Debian $SUITE"
import_base
ok "imported as an image"
build
ok "the image, from compose/Dockerfile"

container=$(buildah from localhost/forebay)
# With a network of its own, which reaches nothing: what the machine listens on is left alone, and nothing is fetched.
PYTHONPATH=$ROOT unshare --net "$PYTHON" "$ROOT/compose/run_here.py" "$(buildah mount "$container")" "$FOLDER/services"
buildah rm "$container" >/dev/null
