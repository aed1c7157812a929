#!/usr/bin/env python3
"""Checks what is in a wheel: files, size, and on Linux what its modules are linked with.

python scripts/check_wheel.py WHEEL...

Exits with 1 and a list of what is wrong.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# The three builds of the core are 2.0 of 2.8 MB, the page that teaches 0.3.
MOST_BYTES = 3_000_000
PRESENT = {
    "__init__.pxd", "__init__.py", "_core.pyi", "_cpu.pyi", "data/digits.npz", "include/fcnn.h",
    "py.typed",
}  # fmt: skip
X86 = re.compile(r"x86_64|amd64")
# The modules of the core's builds, in the one table of instruction sets.
ISA_H = Path(__file__).resolve().parent.parent / "src" / "fcnn" / "kernels" / "isa.h"
X86_BUILD = re.compile(r"ISA\(v\d, (\w+),")
MODULE = re.compile(r"(\w+)\.(?:abi3\.so|pyd|cpython-\d+t-.+\.so|cp\d+t-.+\.pyd)")
# All that may be linked: C library, its mathematics, its loader.
LIBRARY = re.compile(r"lib[cm]\.so\.6|ld-linux.*|libc\.musl-\w+\.so\.1")


def linked_wrongly(module):
    """Yield what is wrong with a module's ELF file."""
    text = subprocess.run(
        ["readelf", "--wide", "--dynamic", "--sections", module],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for library in re.findall(r"\(NEEDED\).*\[(.*)\]", text):
        if not LIBRARY.fullmatch(library):
            yield f"{module.name} is linked with {library}"
    if re.search(r"\((RPATH|RUNPATH)\)", text):
        yield f"{module.name} has a search path for libraries"
    if " .symtab " in text:
        yield f"{module.name} is not stripped"


def wrong(wheel):
    """Yield what is wrong with a wheel."""
    if wheel.stat().st_size > MOST_BYTES:
        yield f"{wheel.stat().st_size:,} bytes, more than {MOST_BYTES:,}"
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = archive.namelist()
        archive.extractall(folder)
        package = Path(folder, "fcnn")
        inside = {path.relative_to(package).as_posix() for path in package.rglob("*")}
        yield from (f"{name} is missing" for name in sorted(PRESENT - inside))
        # A folder beside them would be of vendored libraries (fcnn.libs).
        for name in names:
            if not re.match(r"fcnn/|fcnn-[^/]+\.dist-info/", name):
                yield f"{name} is not expected"
            if re.search(r"\.(pyx|pxi|c)$|^fcnn/(_[a-z].*\.pxd|core/|kernels/)", name):
                yield f"{name} is of the build"
        modules = {match[1] for name in inside if (match := MODULE.fullmatch(name))}
        isas = X86_BUILD.findall(ISA_H.read_text()) if X86.search(wheel.name) else ["_core"]
        if modules != (expected := {"_cpu", *isas}):
            yield f"modules {sorted(modules)}, expected {sorted(expected)}"
        if "linux" in wheel.name and shutil.which("readelf"):
            for module in package.glob("*.so"):
                yield from linked_wrongly(module)


def main():
    """Check each wheel; return 1 if anything is wrong."""
    found = False
    for wheel in map(Path, sys.argv[1:]):
        faults = list(wrong(wheel))
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, {'; '.join(faults) or 'all well'}")
        found |= bool(faults)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
