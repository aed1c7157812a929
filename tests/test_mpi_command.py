"""``mpiexec -n 2 fcnn train``: one training, of which rank 0 speaks; and what is refused."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest
from test_mpi import ENVIRONMENT, launcher

import fcnn
from fcnn.cli.main import main


@pytest.fixture(scope="module")
def mpiexec():
    found, why = launcher()
    if found is None:
        pytest.skip(f"NOT TESTED: the command line on several ranks; {why}")
    return found


@pytest.fixture
def run(mpiexec, tmp_path):
    def run(*words, ranks=2, before=None, environment=None):
        """Run fcnn on several ranks; `before` is what each does first, as Python."""
        program = (
            f"import os\nimport fcnn.cli.main as m\n{before or ''}\nraise SystemExit(m.main())"
        )
        return subprocess.run(
            [mpiexec, "-n", str(ranks), sys.executable, "-c", program, *map(str, words)],
            capture_output=True, text=True, timeout=180, cwd=tmp_path, stdin=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT, **(environment or {})},
        )  # fmt: skip

    return run


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = np.where(X[:, 0] + X[:, 1] * X[:, 2] > 0, "up", "down")
    rows = [",".join([*(f"{v:.4f}" for v in x), label]) for x, label in zip(X, y, strict=True)]
    path = tmp_path / "table.csv"
    path.write_text("a,b,c,way\n" + "\n".join(rows) + "\n")
    return path


OPTIONS = ("--target", "way", "--layers", "8", "--epochs", "4", "--batch-size", "16", "--no-plot")


def test_a_table(run, table, tmp_path, capsys):
    """The training is that of one process within rounding, and told once."""
    done = run("train", table, *OPTIONS, "--output", "together.safetensors", "--cv", "2",
               "--patience", "3", "--dropout", "0.1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for word in ("data  ", "training  ", "folds  ", "test  ", "model  ", "time  "):
        assert done.stdout.count(f"\n{word}") + done.stdout.startswith(word) == 1, done.stdout
    assert "in batches of 16, 8 on each of 2 ranks" in done.stdout
    assert done.stderr.count("fold 1 of 2") == 1
    alone = tmp_path / "alone.safetensors"
    assert main(["train", str(table), *OPTIONS, "--output", str(alone), "--patience", "3",
                 "--dropout", "0.1"]) == 0  # fmt: skip
    one, two = fcnn.load(alone), fcnn.load(tmp_path / "together.safetensors")
    assert two.training.history.loss == pytest.approx(one.training.history.loss, rel=1e-4)
    np.testing.assert_allclose(two.network.parameters, one.network.parameters, atol=1e-4)
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == [
        "alone.safetensors", "together.safetensors",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.long(reason="four starts; test_mpi.py has it of fit")
def test_a_training_goes_on(run, table, tmp_path):
    whole = run("train", table, *OPTIONS, "--output", "whole.safetensors", "--quiet")
    assert whole.returncode == 0, whole.stderr
    for epochs, name in (("2", "half"), ("4", "resumed")):
        words = ["train", table, *OPTIONS, "--schedule", "none", "--output", f"{name}.safetensors",
                 "--quiet", "--resume", "state.safetensors"]  # fmt: skip
        words[words.index("--epochs") + 1] = epochs
        done = run(*words)
        assert done.returncode == 0, done.stderr
    assert "goes on behind epoch 2" in done.stderr
    straight = run("train", table, *OPTIONS, "--schedule", "none", "--output", "s.safetensors")
    assert straight.returncode == 0
    np.testing.assert_array_equal(
        fcnn.load(tmp_path / "resumed.safetensors").network.parameters,
        fcnn.load(tmp_path / "s.safetensors").network.parameters,
    )


@pytest.mark.slow(reason="three starts")
def test_what_is_refused_is_said_once(run, table, tmp_path):
    def refused(text, *words, **options):
        done = run(*words, **options)
        assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("fcnn")]
        assert len(lines) == 1, done.stderr
        assert text in lines[0], lines
        assert not [*tmp_path.glob("*.safetensors")]

    refused(
        "--batch-size: 2 ranks cannot share 15 rows", "train", table, *OPTIONS, "--batch-size", "15"
    )
    # Of one rank alone: a node that does not have the file, or has another one.
    on_1 = "if os.environ.get('PMI_RANK', os.environ.get('OMPI_COMM_WORLD_RANK')) == '1':\n    "
    refused("rank 1 of 2: nowhere", "train", table, *OPTIONS, before=(
        f"{on_1}import fcnn.cli.train as t\n    def missing(*_, **__): raise m.CommandError("
        "'nowhere')\n    t.read_for_training = missing"))  # fmt: skip
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace("up", "down", 1))
    refused("expected the same on all 2 ranks, rank 1 has", "train", table, *OPTIONS,
            before=f"import sys\n{on_1}sys.argv[2] = {str(other)!r}")  # fmt: skip


@pytest.mark.slow(reason="starts two processes")
def test_divergence_ends_all(run, table):
    done = run("train", table, *OPTIONS, "--optimizer", "sgd", "--lr", "1e30", "--quiet")
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("training diverged in epoch 1 of 4") == 1


@pytest.mark.slow(reason="waits for a second")
def test_ctrl_c_of_one_rank_saves_the_best(run, table, tmp_path):
    before = """
import fcnn, signal, threading
fit = fcnn.Network.fit
def timed(*given, **options):
    fcnn.Network.fit = fit
    if os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK")) == "1":
        threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()
    return fit(*given, **options)
fcnn.Network.fit = timed
"""
    done = run("train", table, *OPTIONS, "--epochs", "1000000", "--quiet", "--output",
               "m.safetensors", before=before)  # fmt: skip
    assert done.returncode == 130, (done.returncode, done.stderr)
    assert done.stderr.count("interrupted in epoch") == 1
    assert fcnn.load(tmp_path / "m.safetensors").training is not None


class TwoRanks:
    """A communicator of two ranks that bring the same."""

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 2

    def allgather(self, mine):
        return [mine, mine]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["train", "t.csv", "--search", "1"], "--search: its networks are trained by one process"),
        (["train", "-"], "DATA: rank 0 alone has a standard input"),
        (["train", "t.csv", "--optimizer", "lbfgs"], "--optimizer: lbfgs has all rows in one"),
        (["train", "t.csv", "--optimizer", "lm"], "--optimizer: lm has all rows in one"),
        (["train", "no.csv"], "no.csv"),
        (["train", "t.csv", "--what"], "unrecognized arguments: --what"),
        *(([word, "x", "y"], "only fcnn train shares its work") for word in ("predict", "report")),
        (["bench"], "only fcnn train shares its work"),
        (None, "mpi4py and an MPI are needed: pip install"),
    ],
)  # fmt: skip
def test_what_ranks_cannot_do_is_refused_by_name(monkeypatch, capsys, words, text):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "2")
    mpi = types.SimpleNamespace(COMM_WORLD=TwoRanks())
    given = types.SimpleNamespace(MPI=mpi) if words else None
    monkeypatch.setitem(sys.modules, "mpi4py", given)
    assert main(words or ["train", "t.csv"]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    "environment", [{"PMI_RANK": "0", "PMI_SIZE": "1"}, {"PMIX_RANK": "0",
                    "SLURM_STEP_NUM_TASKS": "1"}, {}],
)  # fmt: skip
def test_one_process_needs_no_mpi(monkeypatch, table, tmp_path, environment):
    for name in ("PMI_RANK", "PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    path = tmp_path / "m.safetensors"
    assert main(["train", str(table), *OPTIONS, "--output", str(path)]) == 0
    assert len(fcnn.load(path).training.history.loss) == 4


def test_an_mpi_that_is_not_this_mpiexecs_is_refused(monkeypatch, table, capsys):
    """Each process would train, and write, for itself."""
    world = types.SimpleNamespace(Get_size=lambda: 1)
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=types.SimpleNamespace(
        COMM_WORLD=world, Get_library_version=lambda: "MPICH 5\nmore")))  # fmt: skip
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "3")
    assert main(["train", str(table), *OPTIONS]) == 2
    said = capsys.readouterr().err
    assert "mpiexec has started 3 processes, but mpi4py's MPI knows of one alone" in said
    assert "(MPICH 5)" in said
