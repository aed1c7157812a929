"""That peers' contestants compute the reference's numbers, and that one which does not is caught.

Nothing is timed. A peer that is not installed is skipped by name.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from peers import checks, contestants, fits, images, threads, timing, workloads
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


@pytest.mark.parametrize("workload", workloads.STEPS, ids=lambda workload: workload.name)
def test_training_by_calls_of_train_step(peer, workload):
    if not hasattr(peer, "stepper"):
        pytest.skip(f"{peer.name} is not timed so")
    small = replace(workload, steps=3)
    checks.check_trainer(peer, peer.stepper, workloads.make_task(small, "float32"))


@pytest.mark.parametrize("workload", SMALL, ids=lambda workload: workload.name)
def test_training_by_the_core(workload):
    checks.check_training(contestants.FcnnCore(1), workloads.make_task(workload, "float32"))


@pytest.fixture(scope="module")
def pictures():
    return images.load(None, "float32")


def test_the_stand_in_has_as_many_zeros_as_mnist(pictures):
    assert pictures.X.shape == (60_000, 784)
    assert len(pictures.X_test) == len(pictures.y_test) == 10_000
    assert (pictures.X[-5000:] == 0).mean() == pytest.approx(0.81, abs=0.01)
    assert 0 <= pictures.X.min() < pictures.X.max() <= 1
    assert set(pictures.y) == set(range(10))


def test_training_on_images(peer, pictures):
    task = workloads.make_task(
        workloads.Workload((784, 16, 10), 32, 3, images=True), "float32", pictures
    )
    assert task.X is not pictures.X
    np.testing.assert_array_equal(task.X, pictures.X[:96])
    try:
        checks.check_training(peer, task)
    except workloads.UnsupportedError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("rows", workloads.PREDICTION_ROWS)
@pytest.mark.parametrize("sizes", [(4, 16, 3), (3, 5, 4, 2)])
def test_prediction(peer, sizes, rows):
    pair = bench.make_pair(sizes, rows, "float32")
    x = pair.X[0] if rows == 1 else pair.X
    try:
        call = peer.predictor(pair.network, x)
    except workloads.UnsupportedError as reason:
        pytest.skip(str(reason))
    checks.check_prediction(call, pair.twin.predict(x))


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
        monkeypatch.setattr(workloads, "STEPS", SMALL[:1])
        monkeypatch.setattr(workloads, "PREDICTION_OF_IMAGES", ((784, 16, 10), 1000))
        monkeypatch.setattr(workloads, "SCALED", SMALL[:1])
        monkeypatch.setattr(images, "ROWS", 2000)
        monkeypatch.setattr(images, "TEST_ROWS", 100)
        monkeypatch.setattr(fits, "FITS", (FIT,))
        monkeypatch.setattr(timing, "LIMIT_LAPS", 1)
        file = tmp_path / "peers.json"
        asked = parse_arguments(
            ["--seconds", "0.01", "--json", str(file), "--rows", "training", "prediction"]
        )
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
        "prediction of 1,000 rows",
    ]
    assert workloads.CORE in results["rows"][0]["peers"]
    assert results["load"].startswith(("load: idle run, ", "load: noisy run, ", "load: this"))
    assert results["load"].split(",")[0] in out
    for row in results["rows"]:
        times = row["peers"]
        assert row["name"] in out
        assert times["NumPy"]["ratio_to_fcnn"] > 0
        assert times["fcnn"]["ratio_to_fcnn"] == 1
    assert "fcnn loses" in out


def test_a_peer_that_computes_something_else_is_named_and_not_timed(run):
    status, out, results = run(contestants.Fcnn, Careless)
    assert status == 1
    assert "error: training, 4-16-3, batch 16: careless:" in out
    assert all("careless" not in row["peers"] for row in (results["rows"][0], results["rows"][2]))


def test_an_absent_peer_is_named(run):
    class Absent(contestants.Torch):
        def __init__(self, threads):
            raise ImportError("No module named 'torch'")

    status, out, results = run(contestants.Fcnn, Absent)
    assert status == 0
    assert "PyTorch is absent (pip install torch)" in out
    assert results["absent"]


FIT = fits.Fit("digits, small", fits.digits, "float64", {"hidden_layer_sizes": (8,), "max_iter": 4})


def test_all_other_kinds_of_rows(run, monkeypatch):
    all_cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    monkeypatch.setattr(threads, "_all_cpus", all_cpus)
    for library in ("sklearn", "scipy"):
        pytest.importorskip(library)
    status, out, results = run(
        contestants.Fcnn, contestants.NumPy, rows=["train_step", "fit of", "threads", "MNIST: "]
    )
    assert status == 0, out
    rows = {row["section"]: row for row in results["rows"]}
    assert set(rows["train_step in a loop"]["peers"]) == {"fcnn", "NumPy", workloads.CORE}
    assert set(rows["fit of MLPClassifier"]["peers"]) == {"fcnn", "scikit-learn"}
    assert "fcnn" in rows["MNIST"]["peers"]
    if len(all_cpus) > 1:
        assert rows["threads"]["facts"].keys() == {"gain", "gain of None"}


def test_another_fit_is_caught():
    pytest.importorskip("sklearn")
    from sklearn.neural_network import MLPClassifier

    import fcnn.sklearn

    X, y = fits.digits("float64")
    mine = fcnn.sklearn.MLPClassifier(random_state=0, **FIT.parameters)
    theirs = MLPClassifier(random_state=0, alpha=0.01, **FIT.parameters)
    with pytest.warns(), pytest.raises(ArithmeticError, match="weights after an epoch"):
        checks.check_fit(mine, theirs, X, y)


def test_the_sparse_data_are_what_they_are_called():
    pytest.importorskip("scipy")
    X, y = fits.counts("float32")
    assert (X.format, X.shape, X.dtype, len(y)) == ("csr", (20_000, 10_000), np.float32, 20_000)
    assert X.nnz / (X.shape[0] * X.shape[1]) == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize("place", ["table", "idle"])
def test_a_document_is_given_the_numbers(run, tmp_path, monkeypatch, place):
    file = tmp_path / "README.md"
    kind = f"<!-- benchmarks/peers {place} {{}} -->".format
    file.write_text(f"before\n{kind('begin')}\nformer\n{kind('end')}\nafter\n")
    monkeypatch.setattr(threads.Load, "kind", "idle")
    rows = ["training", "threads", "MNIST: "]
    run(contestants.Fcnn, contestants.NumPy, readme=[file], rows=rows)
    text = file.read_text()
    assert text.startswith(f"before\n{kind('begin')}\n")
    assert text.endswith(f"\n{kind('end')}\nafter\n")
    assert "former" not in text
    if place == "table":
        assert "| 4-16-3, batch 16 | " in text
        assert "A whole training" in text
        (table,) = [part for part in text.split("\n\n") if part.startswith("|")]
        assert len({line.count("|") for line in table.splitlines()}) == 1
    else:
        assert "training: time over fcnn's" in text
        assert "least, us" not in text
    monkeypatch.setattr(threads.Load, "kind", "noisy")
    file.write_text("without a place for it")
    with pytest.raises(ValueError, match="no place for a table or noisy of benchmarks/peers"):
        run(contestants.Fcnn, readme=[file])


@pytest.mark.parametrize(
    ("file", "places"), [("../docs/speed.md", ["table"]), ("README.md", ["idle", "noisy"])]
)
def test_the_documents_have_places_for_them(file, places):
    text = (Path(__file__).parent / file).read_text()
    found = re.findall(r"<!-- benchmarks/peers (\w+) (begin|end) -->", text)
    assert found == [(place, end) for place in places for end in ("begin", "end")]


def test_load():
    load = threads.Load()
    if not load.began:
        pytest.skip("this system does not say")
    load.began[0] -= 100.0  # seconds of all CPUs
    assert load.note().startswith("load: idle run, ")
    load.began[1] -= 50.0  # in which others were busy
    others = float(load.note().split("took ")[1].split("%")[0])
    assert load.note().startswith("load: noisy run, ")
    assert 45 < others < 55


def test_a_ratio_is_that_of_the_laps_of_a_turn():
    row = timing.Row("training", "4-16-3", 1.0)
    row.timings = {  # of a machine that becomes half as fast
        "fcnn": timing.Timing(1.0, [1.0, 1.0, 2.0, 2.0, 2.0]),
        "JAX": timing.Timing(1.0, [3.0, 3.0, 3.0, 6.0, 6.0]),
    }
    assert row.ratio("JAX") == 3.0
    assert row.ratio("fcnn", "JAX") == 1 / 3


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
    row.timings = dict.fromkeys(workloads.OWN, row.timings["JAX"]) | {"fcnn": row.timings["fcnn"]}
    assert not list(row.losses())


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
