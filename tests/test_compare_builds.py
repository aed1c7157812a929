"""scripts/compare_builds.py, which an emulator runs, of two builds that run here."""

import os
import subprocess
import sys

import numpy as np
import pytest
from structure import ROOT

from fcnn import _dispatch

SCRIPT = ROOT / "scripts" / "compare_builds.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCRIPT.exists(), reason="the scripts are not here"),
]


def compare(isa, command, path):
    return subprocess.run(
        [sys.executable, SCRIPT, command, path],
        env={**os.environ, "FCNN_ISA": isa}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_builds_of_this_machine_compute_the_same(tmp_path):
    isas = sorted(_dispatch.available())
    path = tmp_path / "expected.npz"
    recorded = compare(isas[0], "record", path)
    assert recorded.returncode == 0, recorded.stderr
    for isa in isas:
        compared = compare(isa, "compare", path)
        assert compared.returncode == 0, compared.stdout + compared.stderr
        assert compared.stdout.endswith(f"{isa}: all as expected\n")
    # What is another number is seen, one of each kind.
    expected = dict(np.load(path))
    for name in ("step 5", "training 3", "function 1"):
        spoilt = expected[name].copy()
        spoilt.flat[-1] = -123.25
        np.savez(path, **{**expected, name: spoilt})
        compared = compare(isas[-1], "compare", path)
        assert compared.returncode == 1
        assert compared.stdout.endswith(f"{isas[-1]}: 1 WRONG\n")
