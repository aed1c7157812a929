"""The tests under AddressSanitizer and UBSan, but for the slow ones and those of other programs.

``FCNN_ISA=v3`` takes another build; ``FCNN_SOAK_TESTS="-m slow tests/test_panels.py"`` takes other
tests, by pytest's arguments. Leaks are not looked for: the interpreter itself has some. An error
ends the run. First a call of the C interface is given too little memory, which it forbids: a
detector that does not see that one sees nothing, and fails the check, too.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from fcnn._dispatch import isa

from .common import ROOT, Lacking
from .instrumented import build

# Compilers, browsers, notebooks and commands, which a sanitizer's library would be loaded into.
OF_OTHER_PROGRAMS = ("embedding", "typing", "documents", "lessons", "site", "learn_page", "wasm")
# A forward pass whose result has room for all numbers but the last, where an argument says so.
PROGRAM = """
import ctypes, sys, fcnn
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
net, c = fcnn.Network((8, 40, 3), rng=0, dtype="float32"), fcnn.c_functions()
size = c.workspace_bytes(net.address, c.FORWARD, 5)
x, workspace = libc.malloc(5 * 8 * 4), libc.malloc(size)
a = libc.malloc(5 * 3 * 4 - int(sys.argv[1]))
ctypes.memset(x, 0, 5 * 8 * 4)
assert c.forward_f32(net.address, x, 5, a, workspace, size) == c.OK
"""
REPORTED = 99  # exit status
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"


def library(name):
    """Return where GCC has a sanitizer's library."""
    ask = ["gcc", f"-print-file-name=lib{name}.so"]
    found = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    if not os.path.isabs(found):
        raise Lacking(f"needs GCC with lib{name}")
    return os.path.realpath(found)


def run(size, seed):
    preload = f"{library('asan')} {library('ubsan')}"
    with tempfile.TemporaryDirectory() as name:
        # As for tests: 41 s of the processor. Of what is inlined for speed GCC 12 had not compiled
        # the checks after 250.
        package = build(Path(name), FLAGS, "-DFCNN_QUICK=ON")
        environment = {
            **os.environ, "LD_PRELOAD": preload, "FCNN_ISA": isa, "PYTHONPATH": str(package.parent),
            # Python's own pools hide an access behind an array's end.
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0,allocator_may_return_null=1,handle_segv=0,"
                            f"exitcode={REPORTED}",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }  # fmt: skip
        for short, code in ((0, 0), (4, REPORTED)):
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, str(short)], env=environment, cwd=name,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == code, f"{short} bytes too few:\n{done.stderr[-6000:]}"
        chosen = os.environ.get("FCNN_SOAK_TESTS", '-m "not slow and not long" tests')
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "--one-build", "-p", "no:cacheprovider",
             "--import-mode=append", *shlex.split(chosen),
             *(f"--ignore=tests/test_{name}.py" for name in OF_OTHER_PROGRAMS)],
            cwd=ROOT, capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
        assert "runtime error" not in said
    passed = re.search(r"(\d+) passed", said)
    return (f"{passed[1]} tests of {isa} under AddressSanitizer and UBSan: no report; a forbidden "
            "access is seen")  # fmt: skip
