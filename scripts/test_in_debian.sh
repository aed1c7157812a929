#!/usr/bin/env bash
# Tests one wheel file under other CPythons, each in the Debian that has it: scripts/test_wheel.sh in
# a root of its own.
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

# What resolves and certifies hosts, and where pip looks for its configuration: this machine's.
SHARED=(/etc/hosts /etc/resolv.conf /etc/ssl/certs /etc/pip.conf /etc/xdg/pip ~/.pip ~/.config/pip)

# Runs a command in a root, in a namespace whose mounts go with it.
run_in() {
    local root=$1
    shift
    mount_at() {
        if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$root${2%/*}" && touch "$root$2"; fi
        mount --rbind "$1" "$root$2"
    }
    for path in "${SHARED[@]}" /dev /proc /sys; do [ ! -e "$path" ] || mount_at "$path" "$path"; done
    mount_at "$PWD" /project
    mount -o remount,bind,ro "$root/project"
    mount_at "${wheel%/*}" /wheel
    chroot "$root" /usr/bin/env -C /project PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
in_root() (
    export -f run_in
    export wheel
    unshare --mount bash -euc "$(declare -p SHARED); run_in \"\$@\"" bash "$@"
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
    in_root "$root" apt-get -qq update
    in_root "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
        ca-certificates gcc libc6-dev "$python" "$python-venv" "$python-dev" > "$root.log"
    in_root "$root" scripts/test_wheel.sh "$python" "/wheel/${wheel##*/}" "$@" || failed+=("$which")
done
[ ${#failed[@]} = 0 ] || { echo "FAILED: ${failed[*]}"; exit 1; }
