"""That peers' contestants compute the reference's numbers, and that one which does not is caught.

Nothing is timed. A peer that is not installed is skipped by name.
"""

import argparse
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from peers import checks, contestants, timing, workloads
from peers.options import parse_arguments
from peers.run import main

from fcnn import bench

pytestmark = pytest.mark.filterwarnings("default")  # the other libraries' own are not ours

SMALL = (
    workloads.Workload((4, 16, 3), 16, 10),
    workloads.Workload((2, 8, 8, 2), 32, 5),
    workloads.Workload((4, 8, 6, 4), 50, 1, "adam", "tanh", "squared_error"),
)


@pytest.fixture(scope="module", params=contestants.PEERS, ids=lambda peer: peer.name)
def peer(request):
    try:
        return request.param(1)
    except ImportError as error:
        pytest.skip(f"{request.param.name} is absent: {error}")


@pytest.mark.parametrize("workload", SMALL, ids=lambda workload: workload.name)
def test_training(peer, workload):
    try:
        checks.check_training(peer, workloads.make_task(workload, "float32"))
    except workloads.UnsupportedError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("rows", workloads.PREDICTION_ROWS)
@pytest.mark.parametrize("sizes", [(4, 16, 3), (3, 5, 4, 2)])
def test_prediction(peer, sizes, rows):
    pair = bench.make_pair(sizes, rows, "float32")
    x = pair.X[0] if rows == 1 else pair.X
    checks.check_prediction(peer.predictor(pair.network, x), pair.twin.predict(x))


class Careless(contestants.Fcnn):
    """Trains with a learning rate that is wrong by 1 %, and predicts one number wrong."""

    name = "careless"

    def trainer(self, task, lr):
        return super().trainer(task, 1.01 * lr)

    def predictor(self, network, x):
        answer = network.predict(x)
        answer[0, 0] *= 1.01
        return lambda: answer


@pytest.mark.parametrize("workload", SMALL, ids=lambda workload: workload.name)
def test_another_training_is_caught(workload):
    with pytest.raises(ArithmeticError, match="away from the reference"):
        checks.check_training(Careless(1), workloads.make_task(workload, "float32"))


def test_another_prediction_is_caught():
    pair = bench.make_pair((4, 16, 3), 100, "float32")
    call = Careless(1).predictor(pair.network, pair.X)
    with pytest.raises(ArithmeticError, match="the prediction"):
        checks.check_prediction(call, pair.twin.predict(pair.X))
    with pytest.raises(ArithmeticError):
        checks.check_prediction(lambda: np.full((100, 3), math.nan), pair.twin.predict(pair.X))


def test_flops():
    # 2 x 3 + 3 x 4 products forward and again for the weight gradient, 3 x 4 for the delta.
    assert workloads.Workload((2, 3, 4), 5, 1).flops == 2 * 5 * (2 * (6 + 12) + 12)


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run a few small rows; return the exit status, what was printed and the JSON."""

    def run(*those, **options):
        monkeypatch.setattr(contestants, "PEERS", those)
        monkeypatch.setattr(workloads, "TRAINING", SMALL[:1])
        monkeypatch.setattr(workloads, "PREDICTION", ((4, 16, 3),))
        monkeypatch.setattr(workloads, "SCALED", ())
        monkeypatch.setattr(timing, "LIMIT_LAPS", 1)
        file = tmp_path / "peers.json"
        asked = parse_arguments(["--seconds", "0.01", "--json", str(file)])
        status = main(argparse.Namespace(**{**vars(asked), **options}), "not bound")
        return status, capsys.readouterr().out, json.loads(file.read_text())

    return run


def test_run(run):
    status, out, results = run(contestants.Fcnn, contestants.NumPy)
    assert status == 0
    assert [row["section"] for row in results["rows"]] == [
        "training",
        "prediction of one row",
        "prediction of 1,000 rows",
    ]
    for row in results["rows"]:
        times = row["peers"]
        assert row["name"] in out
        assert times["NumPy"]["median"] / times["fcnn"]["median"] == pytest.approx(
            times["NumPy"]["ratio_to_fcnn"]
        )
    assert "fcnn loses" in out


def test_a_peer_that_computes_something_else_is_named_and_not_timed(run):
    status, out, results = run(contestants.Fcnn, Careless)
    assert status == 1
    assert "error: training, 4-16-3, batch 16: careless:" in out
    assert all("careless" not in row["peers"] for row in results["rows"][::2])


def test_an_absent_peer_is_named(run):
    class Absent(contestants.Torch):
        def __init__(self, threads):
            raise ImportError("No module named 'torch'")

    status, out, results = run(contestants.Fcnn, Absent)
    assert status == 0
    assert "PyTorch is absent (pip install torch)" in out
    assert results["absent"]


def test_losses_are_said():
    row = timing.Row("training", "4-16-3", 1.0)
    row.timings = {
        "fcnn": timing.Timing(1.0, [2.0, 2.0, 2.0]),
        "JAX": timing.Timing(1.0, [1.0, 1.0, 1.0]),
        "NumPy": timing.Timing(1.0, [3.0, 3.0, 3.0]),
    }
    (sentence,) = row.losses()
    assert "JAX takes 0.50 of its time" in sentence
    assert "apart" not in sentence
    row.timings["JAX"] = replace(row.timings["JAX"], laps=[1.0, 1.9, 2.6])
    assert "less apart than their spreads" in next(row.losses())


def test_as_a_script():
    """The BLAS is limited before it is loaded: the limits are NumPy's from the start."""
    folder = Path(workloads.__file__).parent
    command = [sys.executable, folder, "--rows", "prediction of one row: 4-16-3"]
    done = subprocess.run(
        [*command, "--seconds", "0.01"], capture_output=True, text=True, check=True
    )
    assert "prediction of one row: time over fcnn's" in done.stdout
    assert "threads\n" not in done.stdout.partition("\n\n")[0]
    early = "import sys, peers.options, peers.threads; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", early], cwd=folder.parent, check=True)


def test_chart(run, tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "peers.svg"
    run(contestants.Fcnn, contestants.NumPy, chart=file)
    assert "<svg" in file.read_text()
