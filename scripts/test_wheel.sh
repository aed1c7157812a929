#!/usr/bin/env bash
# Installs a wheel in a new virtual environment and runs the tests on it.
#
#     scripts/test_wheel.sh python3.13 dist/fcnn-*.whl [pytest's arguments]
#     CPU=Nehalem scripts/test_wheel.sh python3 dist/fcnn-*.whl      on that CPU, emulated by QEMU
#
# Packages of the test extra that have no wheel for this Python are left out and named.
set -euo pipefail
python=$1
wheel=$(realpath "$2")
shift 2
cd "$(dirname "$0")/.."

venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
"$python" -m venv "$venv"
install() { "$venv/bin/pip" install -qq --only-binary :all: "$@"; }
install "$wheel"
"$venv/bin/python" -c '
import re
from importlib.metadata import requires
for line in requires("fcnn"):
    requirement, _, marker = line.partition(";")
    if re.search("extra == .(test|cli|sklearn)\\b", marker) and not requirement.startswith("fcnn["):
        print(requirement.strip())
' | while read -r requirement; do
    install "$requirement" 2> "$venv/why" && continue
    echo "LEFT OUT: $requirement"
    tail -n 1 "$venv/why"
done

if [ -n "${CPU-}" ]; then
    # In the place of the interpreter, so that the processes that tests start are emulated, too.
    # What OpenBLAS is told of the machine's own CPU would be illegal instructions there.
    real=$(realpath "$venv/bin/python")
    rm "$venv/bin/python"
    cat > "$venv/bin/python" << END
#!/bin/sh
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
exec qemu-x86_64 -cpu $CPU -0 "\$0" $real "\$@"
END
    chmod +x "$venv/bin/python"
fi
export PYTHONDONTWRITEBYTECODE=1
"$venv/bin/python" -c 'import fcnn; print(fcnn.__file__); fcnn.show_config()'
"$venv/bin/python" -m pytest -q -p no:cacheprovider "$@"
