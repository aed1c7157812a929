"""The tests under AddressSanitizer and UBSan, but for the slow ones and those of other programs.

Leaks are not looked for: the interpreter itself has some. An error ends the run.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fcnn._dispatch import isa

from .common import ROOT, Lacking
from .instrumented import build

# Compilers, browsers, notebooks and commands, which a sanitizer's library would be loaded into.
OF_OTHER_PROGRAMS = ("embedding", "typing", "documents", "lessons", "site", "learn_page", "wasm")
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
        package = build(Path(name), FLAGS)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "--one-build", "-p", "no:cacheprovider",
             "-m", "not slow and not long", "--import-mode=append", "tests",
             *(f"--ignore=tests/test_{name}.py" for name in OF_OTHER_PROGRAMS)],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "LD_PRELOAD": preload, "FCNN_ISA": isa,
                 "PYTHONPATH": str(package.parent),
                 # Python's own pools hide an access behind an array's end.
                 "PYTHONMALLOC": "malloc",
                 "ASAN_OPTIONS": "detect_leaks=0,allocator_may_return_null=1,"
                                 "handle_segv=0,exitcode=99",
                 "UBSAN_OPTIONS": "print_stacktrace=1"},
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
        assert "runtime error" not in said
    passed = re.search(r"(\d+) passed", said)
    return f"{passed[1]} tests under AddressSanitizer and UBSan: no report"
