#!/usr/bin/env bash
# Builds the wheel for aarch64 with a cross compiler and runs the tests with it, in Debian's arm64
# Python under qemu. For Debian on x86-64; nothing is changed outside build/aarch64, and root is
# needed for the first line alone:
#
#     apt-get install mmdebstrap qemu-user-static gcc-aarch64-linux-gnu python3-venv
#     scripts/test_aarch64.sh                             all tests: an hour
#     scripts/test_aarch64.sh tests/test_network.py -x    what pytest shall have
#
# The root is Debian 12, which has the oldest Python and GCC that fcnn takes. It is made once;
# delete build/aarch64 for a new one.
#
# The tests run in a user namespace. There qemu is registered for them, which takes Linux 6.7; on an
# older one it has to be registered for the whole machine, as the package does where systemd runs.
#
# The CPU is a Neoverse N1, NEON alone. On the emulated "max", OpenBLAS takes its SME kernels, and
# NumPy warns of a division by zero in a product of finite matrices.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/build/aarch64
root=$work/root
site=$root/usr/local/lib/python3.11/dist-packages
python=$work/venv/bin/python

# Unpacked and not configured: no package's script has to be emulated.
if [ ! -d "$root" ]; then
    mkdir -p "$work"
    rm -rf "$root.part"
    mmdebstrap --mode=chrootless --variant=extract --arch=arm64 \
        --setup-hook='cd "$1" && mkdir -p usr/bin usr/lib usr/sbin && ln -s usr/* .' \
        --include=base-files,base-passwd,bash,coreutils,dash,findutils,g++,grep,hostname,sed \
        --include=python3-dev \
        bookworm "$root.part"
    for name in passwd group; do
        cp "$root.part/usr/share/base-passwd/$name.master" "$root.part/etc/$name"
    done
    ln -s gcc "$root.part/usr/bin/cc"
    ln -s g++ "$root.part/usr/bin/c++"
    mkdir "$root.part/fcnn"
    mv "$root.part" "$root"
fi

python3 -m venv "$work/venv"
rm -rf "$work/dist"
# The host platform is for the wheel's tag. CMAKE_SYSROOT would also have CMake look for programs in
# the root.
"$python" -m pip wheel --no-deps --wheel-dir "$work/dist" \
    --config-settings env._PYTHON_HOST_PLATFORM=linux-aarch64 \
    --config-settings cmake.define.CMAKE_SYSTEM_NAME=Linux \
    --config-settings cmake.define.CMAKE_SYSTEM_PROCESSOR=aarch64 \
    --config-settings cmake.define.CMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
    --config-settings "cmake.define.CMAKE_C_FLAGS=--sysroot=$root" \
    --config-settings "cmake.define.Python_INCLUDE_DIR=$root/usr/include/python3.11" \
    .

# pip takes a platform literally; Debian 12 has glibc 2.36.
platforms=(--platform linux_aarch64)
for minor in {17..36}; do platforms+=(--platform "manylinux_2_${minor}_aarch64"); done
rm -rf "$site"
"$python" -m pip install --target "$site" --only-binary=:all: --no-compile \
    --implementation cp --python-version 3.11 "${platforms[@]}" "$(echo "$work"/dist/*.whl)[test-all]"

"$python" .ci/check_kernels.py "$site/fcnn"

# shellcheck disable=SC2016
unshare --map-root-user --mount bash -euc '
    root=$1
    shift
    if ! /usr/sbin/chroot "$root" /bin/true 2> /dev/null; then
        mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
        cat /usr/lib/binfmt.d/qemu-aarch64.conf > /proc/sys/fs/binfmt_misc/register
    fi
    for folder in dev proc sys; do mount --rbind "/$folder" "$root/$folder"; done
    mount --bind . "$root/fcnn"
    exec env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin QEMU_CPU=neoverse-n1 \
        PYTHONDONTWRITEBYTECODE=1 /usr/sbin/chroot "$root" \
        /bin/sh -c "cd /fcnn && exec python3 -m pytest \"\$@\"" sh "$@"
' bash "$root" -p no:cacheprovider "$@"
