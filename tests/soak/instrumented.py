"""fcnn, compiled once more with a sanitizer: a copy of the installed package with another core."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fcnn
from fcnn._dispatch import core, isa

from .common import ROOT, Lacking, goes_on


def build(folder, flags, *options):
    """Return the folder of a package whose core has these flags, and CMake these options."""
    # That of pip before the system's, which may be too old.
    cmake = shutil.which("cmake", path=os.path.dirname(sys.executable)) or shutil.which("cmake")
    if not cmake or not shutil.which("gcc"):
        raise Lacking("needs CMake and GCC, Cython and NumPy")
    goes_on(4 * 3600)  # of compilers and instruments, which take long
    name = core.__name__.rpartition(".")[2]
    package = folder / "path" / "fcnn"
    shutil.copytree(Path(fcnn.__file__).parent, package)
    # Where it would be found, not imported: the instrument is not there yet, nor its library.
    found = subprocess.run(
        [sys.executable, "-c",
         "import importlib.util; print(importlib.util.find_spec('fcnn').origin)"],
        cwd=folder, check=True, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
    ).stdout  # fmt: skip
    if Path(found).parent != package:
        raise Lacking("needs fcnn installed from a wheel: a development install comes first")
    made = folder / "build"
    configure = [
        cmake, "-S", ROOT, "-B", made, "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_C_FLAGS={flags}",
        f"-DPython_EXECUTABLE={sys.executable}", f"-DFCNN_ONLY={isa}", *options,
    ]  # fmt: skip
    for command in (configure, [cmake, "--build", made, "--target", name]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (module,) = made.glob(f"{name}.*so")
    for installed in package.glob(f"{name}.*so"):
        installed.unlink()
    shutil.copyfile(module, package / module.name)
    return package
