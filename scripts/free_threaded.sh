#!/usr/bin/env bash
# The free-threaded wheel: builds such a CPython from Debian's source, the wheel with it, and runs
# the tests in it, each of them on several threads at once.
#
#     scripts/free_threaded.sh [pytest's arguments]
#
# build/free-threaded keeps the interpreter for the next time. PYTHON=... takes one that is there
# already, THREADS=... another number than 8. Needs Debian with dpkg-dev, GCC, make, and the headers
# of libssl-dev, zlib1g-dev, libffi-dev, liblzma-dev and libbz2-dev. Nothing is installed elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$PWD/build/free-threaded
python=${PYTHON:-$folder/python/bin/python3.14}

# Sources of sid in lists of their own: the system's are not touched, and none of its packages.
fetch_source() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' "Origin: Debian" "Label: Debian" | head -n 1)
    [ -n "$mirror" ] || { echo "apt knows no mirror of Debian: run apt-get update" >&2; exit 1; }
    mkdir -p "$folder"/{apt/lists/partial,apt/cache,source}
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" \
        > "$folder/apt/sources.list"
    cat > "$folder/apt/apt.conf" <<EOF
Dir::Etc::sourcelist "$folder/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$folder/apt/lists";
Dir::Cache "$folder/apt/cache";
APT::Sandbox::User "";
EOF
    (
        export APT_CONFIG=$folder/apt/apt.conf
        cd "$folder/source"
        apt-get update
        apt-get source --download-only python3.14
    )
}

build_python() {
    fetch_source
    # Without Debian's patches, which are for an interpreter in /usr.
    tar -xf "$folder"/source/python3.14_*.orig.tar.xz -C "$folder/source"
    (
        cd "$folder"/source/*/
        ./configure --disable-gil --prefix="$folder/python"
        make -j"$(nproc)"
        make install
    )
}

[ -n "${PYTHON-}" ] || [ -x "$python" ] || build_python
rm -rf "$folder/dist"
"$python" -m pip wheel . --no-deps --wheel-dir "$folder/dist"
"$python" -m venv --clear "$folder/venv"
# The first safetensors with wheels for it is 0.9.0rc1; pip prefers 0.8's source, which needs Rust.
"$folder/venv/bin/pip" install --only-binary safetensors \
    "$(echo "$folder"/dist/*.whl)[test-all]" pytest-run-parallel
"$folder/venv/bin/python" -W error -c \
    'import sys, fcnn; assert not sys._is_gil_enabled(), "the lock is on"'
exec "$folder/venv/bin/python" -m pytest --parallel-threads="${THREADS:-8}" "$@"
