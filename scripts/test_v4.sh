#!/usr/bin/env bash
# Runs the v4 build (AVX-512) on a CPU without AVX-512: boots a small Linux in Bochs, which emulates
# such a CPU, and compares there what v4 computes with fcnn.reference and with the v2 build; see
# compare_builds.py. For Debian 12 on x86-64; nothing is changed outside build/v4, and root is
# needed for the first line alone:
#
#     apt-get install bochs bochs-term bochsbios cpio genisoimage isolinux mmdebstrap \
#         python3-venv syslinux-common vgabios
#     scripts/test_v4.sh                  builds the wheel first
#     scripts/test_v4.sh dist/fcnn-*.whl  takes that one, of this machine's platform
#
# The exit status is 0 if all is as expected. Besides the build of the wheel it takes 2 min 45 s of
# CPU time, most of it in Bochs: Debian's has its debugger in it and runs 40 million instructions a
# second. One core is enough. Where the CPU has AVX-512, pytest runs v4 without all this.
set -euo pipefail
[ $# = 0 ] || wheel=$(realpath "$1")
cd "$(dirname "$0")/.."

work=$PWD/build/v4
root=$work/root
packages=$root/usr/local/lib/python3.11/dist-packages
mkdir -p "$work"
python3 -m venv "$work/venv"
python=$work/venv/bin/python
if [ -z "${wheel-}" ]; then
    rm -rf "$work/dist"
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/dist" .
    wheel=$(echo "$work"/dist/*.whl)
fi

# Debian 12's Python and kernel, unpacked and not configured. The root is made once; delete build/v4
# for a new one. The cloud kernel is the small one.
if [ ! -d "$root" ]; then
    rm -rf "$root.part"
    # shellcheck disable=SC2016
    mmdebstrap --quiet --mode=chrootless --variant=extract \
        --include=busybox-static,libstdc++6,python3.11 \
        --setup-hook='cd "$1" && mkdir -p usr/bin usr/lib usr/lib64 usr/sbin && ln -s usr/* . \
            && mkdir -p boot dev fcnn proc' \
        --extract-hook='cd "$1/boot" && apt-get download \
            "$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: linux/linux/p")"' \
        bookworm "$root.part"
    mv "$root.part" "$root"
fi

# NumPy draws the data and computes the references: one version here and there.
"$python" -m pip install --quiet --force-reinstall "$wheel" pytest
rm -rf "$packages"
"$python" -m pip install --quiet --target "$packages" --only-binary=:all: --no-compile \
    --implementation cp --python-version 3.11 --platform linux_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    "$wheel" "$("$python" -m pip freeze | grep '^numpy==')"
cp scripts/compare_builds.py scripts/hash_training.py "$root/fcnn"
FCNN_ISA=v2 "$python" scripts/compare_builds.py record "$root/fcnn/expected.npz"
# So that the emulator need not compile them.
"$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
    "$root/usr/bin/python3.11" -I -m compileall -q --invalidation-mode unchecked-hash \
    "$root/usr/lib/python3.11" "$packages" "$root/fcnn"

cat > "$root/init" << 'END'
#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t tmpfs tmpfs /tmp
busybox mount -t devtmpfs devtmpfs /dev
exec > /dev/console 2>&1
FCNN_ISA=v4 PATH=/bin python3.11 /fcnn/compare_builds.py compare /fcnn/expected.npz
echo "exit status: $?"
busybox poweroff -f
END
chmod +x "$root/init"

# Neither xsaves nor xsavec: the sizes that Bochs 2.7 gives for them contradict each other, and
# Linux would do without AVX. The baud rate and the instructions per second (ips) are how long an
# emulated device waits, in instructions.
rm -rf "$work/disk"
mkdir "$work/disk"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/disk"
dpkg-deb --fsys-tarfile "$root"/boot/linux-image-*.deb \
    | tar --extract --to-stdout --wildcards './boot/vmlinuz-*' > "$work/disk/linux"
(
    cd "$root"
    find . \( -path ./boot -o -path ./var -o -path ./usr/share \) -prune -o -print0 \
        | cpio --null --create --quiet --format=newc --owner=0:0
) > "$work/disk/initrd"
cat > "$work/disk/isolinux.cfg" << END
default linux
label linux
    kernel linux
    append initrd=initrd console=ttyS0,115200 quiet mitigations=off clearcpuid=xsaves,xsavec
END
genisoimage -quiet -o "$work/boot.iso" -b isolinux.bin -c boot.cat \
    -no-emul-boot -boot-load-size 4 -boot-info-table "$work/disk"
cat > "$work/bochsrc" << END
config_interface: textconfig
display_library: term
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
vga: extension=vbe, update_freq=1
cpu: model=corei7_skylake_x, count=1, ips=50000000, reset_on_triple_fault=0
clock: sync=none
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/console
log: $work/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
END
echo c > "$work/commands" # the debugger's "continue"

echo "Bochs runs v4; its console is $work/console"
rm -f "$work/console"
# Its own exit status is 1 whatever happened. What hangs is ended after an hour.
TERM=vt100 timeout --signal=KILL 3600 bochs -q -f "$work/bochsrc" -rc "$work/commands" \
    > "$work/screen" 2>&1 < /dev/null || true
tr -d '\r' < "$work/console" | grep --text -v '^\['
tr -d '\r' < "$work/console" | grep --text -q '^exit status: 0$'
