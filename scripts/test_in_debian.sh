#!/usr/bin/env bash
# Tests one wheel file under other CPythons, each in the Debian that has it: scripts/test_wheel.sh
# in a root of its own.
#
#     scripts/test_in_debian.sh dist/fcnn-*.whl                                all of PYTHONS
#     scripts/test_in_debian.sh dist/fcnn-*.whl "sid:3.14 sid:3.15" [pytest's arguments]
#
# Needs root, debootstrap, and 1 GB of disk for each Debian. The roots stay in build/roots.
set -euo pipefail
wheel=$(realpath "$1")
PYTHONS=${2:-bookworm:3.11 trixie:3.13 sid:3.14 sid:3.15}
shift $(($# < 2 ? $# : 2))
cd "$(dirname "$0")/.."

# Certificates, and where pip looks for its configuration: a copy of this machine's.
SHARED=(/etc/ssl/certs /etc/pip.conf /etc/xdg/pip ~/.pip ~/.config/pip)

# Runs a command in a root, in a namespace whose mounts go with it.
run_in() {
    local root=$1
    shift
    mount_at() {
        mkdir -p "$root$2"
        mount --bind "$1" "$root$2"
        mount -o remount,bind,ro "$root$2"
    }
    mount_at "$PWD" /project
    mount_at "${wheel%/*}" /wheel
    mount_at /sys /sys
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    chroot "$root" /usr/bin/env -C /project PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
in_root() (
    export -f run_in
    export wheel
    unshare --mount bash -euc 'run_in "$@"' bash "$@"
)

failed=()
for which in $PYTHONS; do
    suite=${which%:*} python=python${which#*:} root=$PWD/build/roots/${which%:*}
    echo "== $which"
    mkdir -p build/roots
    if [ ! -e "$root.done" ]; then
        rm -rf "$root"
        debootstrap --variant=minbase "$suite" "$root" > "$root.log"
        touch "$root.done"
    fi
    # A mirror of sid may lag by more than the week that its index is valid for.
    in_root "$root" apt-get -qq -o Acquire::Check-Valid-Until=false update
    in_root "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
        gcc libc6-dev "$python" "$python-venv" "$python-dev" > "$root.log"
    tar --create --dereference --files-from <(ls -d "${SHARED[@]}" 2> /dev/null) 2> "$root.log" \
        | in_root "$root" tar --extract --directory /
    in_root "$root" scripts/test_wheel.sh "$python" "/wheel/${wheel##*/}" "$@" || failed+=("$which")
done
[ ${#failed[@]} = 0 ] || { echo "FAILED: ${failed[*]}"; exit 1; }
