"""The long tests' own machinery: what is lacking is no error, and what hangs is ended."""

import os
import subprocess
import sys

import pytest
from structure import ROOT

pytestmark = [
    pytest.mark.slow(reason="starts Python"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the long tests need Linux"),
]


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, **environment}, timeout=60,
    )  # fmt: skip


def test_a_part_that_lacks_a_program_is_left_out(tmp_path):
    done = run("-m", "tests.soak", "kills", "--size", "1", PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LEFT OUT: needs strace" in done.stdout
    assert "all well" in done.stdout


def test_a_part_that_hangs_is_ended_where_it_hangs():
    program = "import time\nfrom tests.soak.common import goes_on\ngoes_on(1)\ntime.sleep(60)"
    done = run("-c", program)
    assert done.returncode != 0
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 4' in done.stderr
