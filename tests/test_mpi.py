"""Training on several ranks: real processes of mpiexec, which run tests/mpi_ranks.py.

`FCNN_TEST_MPIEXEC` chooses another mpiexec than that beside the Python or on the path.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("mpi_ranks.py")
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Of Open MPI 4, and 5: more ranks than CPUs, and root in a container.
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


def launcher():
    """The mpiexec of the MPI that mpi4py finds, or why there is none."""
    given = os.environ.get("FCNN_TEST_MPIEXEC")
    beside = Path(sys.executable).with_name("mpiexec")
    found = given or (str(beside) if beside.exists() else shutil.which("mpiexec"))
    if found is None:
        return None, "there is no mpiexec: pip install mpich"
    asked = [found, "-n", "2", sys.executable, "-c",
             "from mpi4py import MPI; print(end=f'<{MPI.COMM_WORLD.size}>')"]  # fmt: skip
    try:
        answer = subprocess.run(
            asked, capture_output=True, text=True, timeout=60, env={**os.environ, **ENVIRONMENT}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"mpiexec does not work: {error}"
    if answer.stdout.count("<2>") != 2:
        last = (answer.stderr.strip().splitlines() or [answer.stdout])[-1]
        return None, f"mpi4py and {found} do not go together, or there is none: {last[:100]}"
    return found, ""


@pytest.fixture(scope="module")
def mpiexec():
    found, why = launcher()
    if found is None:
        pytest.skip(f"NOT TESTED: training on several ranks; {why}")
    return found


@pytest.fixture
def run(mpiexec, tmp_path):
    """A function that runs a part of mpi_ranks.py and returns what each rank answered."""

    def run(ranks, what, *more, with_mpi4py=True):
        module = ["-m", "mpi4py"] if with_mpi4py else []
        command = [mpiexec, "-n", str(ranks), sys.executable, *module, str(SCRIPT), what,
                   str(tmp_path), *more]  # fmt: skip
        answers = tmp_path / "answers.json"
        answers.unlink(missing_ok=True)
        began = time.perf_counter()
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=180, env={**os.environ, **ENVIRONMENT}
        )
        run.seconds = time.perf_counter() - began
        run.code, run.stderr = ended.returncode, ended.stderr
        if answers.exists():
            return json.loads(answers.read_text())
        assert ended.returncode != 0, ended.stderr
        return None

    return run


def all_alike(answers):
    assert all(answer == answers[0] for answer in answers), answers
    return answers[0]


def test_same_bits_for_1_2_and_4_ranks(run):
    first = all_alike(run(1, "bits"))
    assert len({digest for digest, _ in first.values()}) == len(first) / 2  # two ways of each
    for ranks in (2, 4):
        found = all_alike(run(ranks, "bits"))
        assert found == first, ranks


@pytest.mark.long(reason="eight processes")
@pytest.mark.slow
def test_same_bits_for_8_ranks(run):
    assert all_alike(run(8, "bits")) == all_alike(run(1, "bits"))


@pytest.mark.parametrize(
    "ranks", [2, pytest.param(3, marks=pytest.mark.slow(reason="2 stands for it")),
              pytest.param(8, marks=[pytest.mark.slow, pytest.mark.long(reason="2 and 3 stand")])]
)  # fmt: skip
def test_default_is_one_process_within_rounding(run, ranks):
    if ranks == 3:  # 64 rows a batch cannot be shared by three: other batches, but alike on all
        answers = run(ranks, "rounding")
        assert len({json.dumps([one[-1] for one in a.values()]) for a in answers}) == 1
        return
    found = all_alike(run(ranks, "rounding"))
    for name, (far, loss, validation, score, _) in found.items():
        assert far < 2e-5, name
        assert max(loss, validation) < 1e-5, name
        assert score < 0.02, name


@pytest.mark.parametrize(
    "ranks", [2, pytest.param(4, marks=pytest.mark.slow(reason="2 stands for it"))]
)
def test_rows_of_each_rank_are_one_batch(run, ranks):
    answers = run(ranks, "own_rows")
    assert {"arrays", "messages", "iterables", "memory maps"} <= set(answers[0])
    for name, (far, loss, validation, score, _) in answers[0].items():
        assert far < 5e-5, (name, far)
        assert max(loss, validation) < 1e-4, name
        assert score < 0.03, name
    for name in answers[0]:
        assert len({answer[name][-1] for answer in answers}) == 1, name


def test_callbacks_of_rank_0_are_for_all(run):
    first, *others = run(2, "around")
    assert first["called"] == ["begin", 1, 2, 3, "end"]
    assert all(other["called"] == [] for other in others)
    assert first["lr"] == [0.01, 0.005, 0.0025]
    assert first["bias"] == 7
    for other in others:
        for name in set(first) - {"called"}:
            assert other[name] == first[name], name
    assert run.stderr.count("3/9 epochs") <= 2, "a bar of one rank"


def test_refusals_name_rank_and_argument(run):
    first, last = run(2, "refusals")
    for name in ("sizes", "batch_size", "optimizer", "epochs", "l2", "validation"):
        for answer in (first, last):
            kind, text, seconds, same = answer[name]
            assert (kind, same) == ("ValueError", True), (name, text)
            assert text.startswith(name), text
            assert "rank 1 has" in text, text
            assert seconds < 10
    for name, kind, said in [
        ("X", "ValueError", "X: "), ("no rows", "ValueError", "X: "),
        ("iterable", "OSError", "the disk is gone"),
    ]:  # fmt: skip
        assert last[name][0] == kind, last[name]
        assert said in last[name][1], last[name]
        assert first[name][0] == "RankError", first[name]
        assert f"rank 1 of 2 has ended the training ({kind}: " in first[name][1]
    for name, kind in [("callback", "ValueError"), ("interrupt", "KeyboardInterrupt"),
                       ("resume", "FileNotFoundError")]:  # fmt: skip
        assert first[name][0] == kind, first[name]
        assert last[name][0] == "RankError", last[name]
        assert f"rank 0 of 2 has ended the training ({kind}" in last[name][1], last[name]
    for name, said in [
        ("lbfgs", "comm, reduce: not with fcnn.LBFGS"), ("loss", "loss: not with several ranks"),
        ("balanced", "class_weight: "), ("shuffle", "shuffle: "), ("uneven", "deterministic: "),
        ("other rows", "X: expected the same on all 2 ranks, rank 1 has 'rows with the checksum"),
        ("freed", "reduce: this Reducer has been freed"),
    ]:  # fmt: skip
        for answer in (first, last):
            assert answer[name][0] == "ValueError", answer[name]
            assert answer[name][1].startswith(said), answer[name]
    for answer in (first, last):
        assert answer["equal dicts"][0] == "nothing", answer["equal dicts"]
        assert answer["other dicts"][0] == "ValueError"
        assert "class_weight: expected the same on all 2 ranks, rank 1 has" in (
            answer["other dicts"][1])  # fmt: skip
        assert answer["diverges"][0] == answer["infinite on one"][0] == "DivergenceError"
        assert answer["still works"][0] == "nothing"
        assert all(seconds < 10 for _, _, seconds, _ in answer.values())


def test_a_training_that_raises_leaves_nothing_behind(run):
    first, last = run(2, "leaks")
    assert first.pop("ended") == ["ValueError", "OSError", "well"]
    assert last.pop("ended") == ["ValueError", "RankError", "well"]
    for answer in (first, last):
        assert answer == {"communicators": [True] * 3, "windows": [True] * 2}


def test_interrupt_of_one_rank_ends_all_with_equal_parameters(run):
    for first, last in zip(*run(2, "interrupted"), strict=True):
        assert last[0] == "KeyboardInterrupt"
        assert first[0] == "RankError"
        assert "rank 1 of 2" in first[1]
        assert "KeyboardInterrupt" in first[1]
        assert first[3:] == last[3:]
        assert first[4] > 0
        assert max(first[2], last[2]) < 15


def test_interrupt_at_the_beginning_ends_all(run):
    first, last = run(2, "interrupted_at_the_beginning")
    assert last == ["KeyboardInterrupt: "] * 2
    for answer in first:
        assert answer.startswith("RankError: rank 1 of 2 has ended the training (KeyboardInter")


@pytest.mark.parametrize("how", ["kill", "exit", "leave", "outside", "memory"])
def test_rank_that_dies_ends_the_job(run, how):
    assert run(2, "dies", how) is None
    assert run.code != 0
    assert run.seconds < 20, run.stderr


def test_rank_that_raises_ends_the_job_without_mpi4py_as_well(run):
    assert run(2, "dies", "leave", with_mpi4py=False) is None
    assert run.code != 0
    assert "RankError" in run.stderr
    assert run.seconds < 20


@pytest.mark.parametrize(
    ("mode", "ranks"),
    [("deterministic", (1, 4)),
     pytest.param("own", (2,), marks=pytest.mark.slow(reason="the other stands for it"))],
)  # fmt: skip
def test_killed_training_goes_on_to_the_same_bits(run, tmp_path, mode, ranks):
    whole = all_alike(run(2, "checkpointed", "whole", mode))
    assert run(2, "checkpointed", "killed", mode) is None
    assert run.seconds < 20
    for count in ranks:
        path = tmp_path / "training.safetensors"
        kept = path.read_bytes()
        assert all_alike(run(count, "checkpointed", "resumed", mode)) == whole, count
        path.write_bytes(kept)
    assert run(2, "checkpointed", "half", mode) is None
    assert "training.safetensors.half" in run.stderr
    assert run.seconds < 20


@pytest.mark.slow(reason="trains on the digits, twice")
def test_accuracy_on_digits(run):
    for alone, together in run(2, "accuracy"):
        assert abs(alone - together) <= 0.002
        assert alone > 0.9


def test_without_mpi4py(monkeypatch):
    import fcnn

    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"pip install 'fcnn\[mpi\]'"):
        fcnn.parallel.Reducer(object())
    net = fcnn.Network((2, 2), rng=0)
    with pytest.raises(ImportError, match="mpi4py"):
        net.fit(np.ones((4, 2)), [0, 1, 0, 1], comm=object())
