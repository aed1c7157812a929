"""The long tests' own machinery: what is lacking is no error, and what hangs is ended."""

import importlib
import os
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
from structure import ROOT

import fcnn

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the long tests need Linux"
)


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, **environment}, timeout=60,
    )  # fmt: skip


@pytest.mark.slow(reason="starts Python")
def test_a_part_that_lacks_a_program_is_left_out(tmp_path):
    done = run("-m", "tests.soak", "kills", "--size", "1", PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LEFT OUT: needs strace" in done.stdout
    assert "all well" in done.stdout


@pytest.mark.slow(reason="starts Python")
def test_a_part_that_hangs_is_ended_where_it_hangs():
    program = "import time\nfrom tests.soak.common import goes_on\ngoes_on(1)\ntime.sleep(60)"
    done = run("-c", program)
    assert done.returncode != 0
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 4' in done.stderr


# --- Any argument to anything public: tests/soak/generated.py -------------------------------------


@pytest.fixture
def generated():
    for package in ("scipy", "matplotlib", "sklearn"):
        pytest.importorskip(package)
    return importlib.import_module("soak.generated")


@pytest.fixture
def called(generated):
    net = fcnn.Network((4, 5, 3), rng=1)
    return {
        name: f for group in generated.everything(net, fcnn.Adam()) for name, f in group.items()
    }


def test_every_public_name_is_called_or_left_out_for_a_reason(generated, called):
    public = {name for name in fcnn.__all__ if name not in generated.MODULES}
    for module in generated.MODULES:
        public.update(f"{module}.{n}" for n in importlib.import_module(f"fcnn.{module}").__all__)
    assert public - {*called} == {*generated.LEFT_OUT}
    # Of the other modules what is public is a name of the package, or of one of these.
    known = {name.rpartition(".")[2] for name in public}
    for _, name, _ in pkgutil.iter_modules(fcnn.__path__):
        if name not in (*generated.MODULES, *generated.LEFT_OUT) and name[0] != "_":
            names = {*getattr(importlib.import_module(f"fcnn.{name}"), "__all__", ())}
            assert names <= known | OTHERS.get(name, set()), name


# Modules of which no call is made: what is so made is a record, or has tests of its own.
OTHERS = {
    "bench": {"run"}, "explanation": {"Explanation", "Step"}, "gradient_check": {"GradientCheck"},
    "halving": {"SearchResult", "Trial"}, "history": {"History", "Progress"},
    "optimizers": {"Optimizer"}, "sklearn": {"MLPClassifier", "MLPRegressor", "register_onnx"},
    "threads": {"resolve", "usable_cpus"}, "trace": {"Trace"}, "training": {"History", "Progress"},
}  # fmt: skip
# What takes a file, or another library's model: its own tests have some.
NEED_MORE = {
    "load", "convert.from_onnx", "convert.to_onnx", "datasets.load_idx", "datasets.load_idx_folder",
    "datasets.load_npz", "tables.read_table", "Ensemble.quantiles", "Ensemble.std",
    "Model.decode", "Model.deviations", "Model.predict_proba",
}  # fmt: skip


@pytest.mark.slow(reason="calls everything")
def test_what_is_right_is_made(generated, called, tmp_path, monkeypatch):
    """Or no call would come to what is behind its first argument."""
    monkeypatch.chdir(tmp_path)
    refused = {}
    for name, function in called.items():
        net = fcnn.Network((4, 5, 3), rng=1)
        rng = np.random.default_rng(0)
        what, call, _ = generated.call_of(rng, name, function, net, share=(0, 0))
        try:
            call()
        except Exception as error:
            refused[name] = f"{what}: {error!r}"
    assert {*refused} - NEED_MORE == set(), refused


def test_what_names_no_argument_is_seen(generated):
    assert generated.is_named("y: expected shape (5,)", ["X", "y"])
    assert not generated.is_named("'NoneType' object is not iterable", ["X", "y"])
    assert not generated.is_named("could not broadcast, may I?", ["a"])
