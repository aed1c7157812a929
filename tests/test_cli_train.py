"""Options of ``fcnn train``: what a run leaves behind, names that are nearly right, and more."""

import _thread
import ctypes
import functools
import io
import json
import operator
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import safetensors.numpy

import fcnn
from fcnn.cli import crossvalidation, search, terminal
from fcnn.cli.crossvalidation import folds


@pytest.fixture
def points(here):
    """A table of two classes, which a line tells apart."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2))
    rows = [f"{a:.5f},{b:.5f},{'hi' if a > b else 'lo'}" for a, b in X]
    path = here / "points.csv"
    path.write_text("\n".join(["a,b,y", *rows]) + "\n")
    return path.name


def test_too_few_rows_are_called_so(run, here):
    (here / "two.csv").write_text("a,y\n1,2.5\n2,3.5\n")
    code, out, err = run("train", "two.csv", "--target", "y")
    assert (code, out) == (2, "")
    assert err == (
        "fcnn train: error: two.csv: 2 rows with a target, of which 2 would be held out; expected "
        "more, or --test 0 --validation 0\n"
    )


# --- What a run leaves behind ---------------------------------------------------------------------


def test_each_run_has_a_name_of_its_own(run, here, points):
    (here / "points.tsv").write_text((here / points).read_text().replace(",", "\t"))
    (here / "points-2.png").write_bytes(b"somebody's own")
    words = ("--target", "y", "--epochs", 1, "--quiet", "--no-plot")
    for data, name in ((points, "points"), (points, "points-3"), ("points.tsv", "points.tsv")):
        code, out, err = run("train", data, *words)
        assert code == 0, err
        assert f"model      {name}.safetensors\n" in out
    assert sorted(path.name for path in here.glob("*.safetensors")) == [
        "points-3.safetensors", "points.safetensors", "points.tsv.safetensors",
    ]  # fmt: skip
    assert (here / "points-2.png").read_bytes() == b"somebody's own"


@pytest.mark.parametrize("how", ["diverged", "interrupted"])
def test_a_run_that_ends_badly_leaves_the_model_of_yesterday(how, run, here, points, monkeypatch):
    """It has got through an epoch, so it has something to save: beside the file, not over it."""
    words = ("train", points, "--target", "y", "--output", "m.safetensors", "--no-plot", "--quiet")
    assert run(*words, "--epochs", 2)[0] == 0
    before = (here / "m.safetensors").read_bytes()

    def fit(self, X, y, *, callbacks, **options):
        real(self, X, y, callbacks=callbacks, **{**options, "epochs": 1})
        raise fcnn.DivergenceError("the loss is nan") if how == "diverged" else KeyboardInterrupt

    real = fcnn.Network.fit
    monkeypatch.setattr(fcnn.Network, "fit", fit)
    code, out, err = run(*words, "--epochs", 9)
    assert (code, out) == (1 if how == "diverged" else 130, "")
    assert "so far (epoch 1) to m-2.safetensors; m.safetensors is as it was" in err
    assert (here / "m.safetensors").read_bytes() == before
    assert fcnn.load("m-2.safetensors").classes == ("hi", "lo")
    assert sorted(path.name for path in here.iterdir()) == [
        "m-2.safetensors", "m.safetensors", points,
    ]  # fmt: skip


# --- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("trian digits", "train"),
        ("train digits --epoch 3", "--epochs"),
        ("train digits --layrs=3", "--layers"),
        ("train points.csv --target Y", "y"),
        ("train points.csv --target y --ignore bb", "b"),
        ("train digits --loss cros_entropy", "cross_entropy"),
        ("train digits --activation rellu", "relu"),
        ("train digits --optimizer adamm", "adam"),
        ("train points.csv --target y --class-weight hii=3", "hi"),
        ("train digits --schedule cosin", "cosine"),
    ],
)
def test_did_you_mean(words, meant, run, points):
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert f"; did you mean '{meant}'?" in err
    assert err.count("\n") == 1
    far = run("train", "points.csv", "--target", "entirely-different")[2]
    assert "did you mean" not in far


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"loss": "mse"}, "squared_error"), ({"loss": "MAE"}, "absolute_error"),
        ({"loss": "bce"}, "binary_cross_entropy"), ({"loss": "CrossEntropy"}, "cross_entropy"),
        ({"activation": "ReLU"}, "relu"), ({"activation": "LeakyReLU"}, "leaky_relu"),
        ({"activation": ["Tanh"]}, "tanh"), ({"output_activation": "linear"}, "identity"),
    ],
)  # fmt: skip
def test_names_of_others_are_understood(given, name, tmp_path):
    net = fcnn.Network((2, 3, 2), **{"loss": "squared_error", **given})
    assert name in (net.loss, *net.activations)
    net.save(tmp_path / "n")
    assert fcnn.load(tmp_path / "n").loss == net.loss


def test_an_optimizer_by_its_name():
    nets = [fcnn.Network((2, 3, 1), loss="mse") for _ in range(2)]
    X, y = np.eye(2), [0.5, 1.5]
    for net, optimizer in zip(nets, ("Adam", fcnn.Adam()), strict=True):
        net.fit(X, y, epochs=3, optimizer=optimizer)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    with pytest.raises(ValueError, match=r"optimizer: 'sgd' needs a learning rate: fcnn.SGD\(lr\)"):
        nets[0].fit(X, y, optimizer="sgd")


def test_append(run, here, points):
    lines = (here / points).read_text().splitlines()
    (here / "new.csv").write_text(
        "\n".join(["id,prediction,b,a", *(f"00{i},x,{i},1.50" for i in range(1, 4))]) + "\n"
    )
    words = ("train", points, "--target", "y", "--epochs", 20, "--no-plot", "--quiet")
    assert run(*words, "--output", "m")[0] == 0
    _, alone, _ = run("predict", "m", "new.csv")
    _, out, _ = run("predict", "m", "new.csv", "--append")
    answers = alone.splitlines()[1:]
    assert out.splitlines() == [
        "id,prediction,b,a,prediction_2",
        *(f"00{i},x,{i},1.50,{answers[i - 1]}" for i in range(1, 4)),
    ]
    _, out, _ = run("predict", "m", points, "--append", "--probabilities")
    assert out.splitlines()[0] == "a,b,y,hi,lo"
    assert [line.rsplit(",", 2)[0] for line in out.splitlines()] == lines
    np.savez("x.npz", X=np.zeros((2, 2)))
    assert "--append: is for tables" in run("predict", "m", "x.npz", "--append")[2]


def test_completion(run):
    pytest.importorskip("shtab")
    code, out, err = run("completion", "bash")
    assert (code, err) == (0, "")
    for word in ("train", "--label-smoothing", "cross_entropy", "leaky_relu"):
        assert word in out
    with open("completion.sh", "w") as file:
        file.write(out)
    words = "COMP_WORDS=(fcnn train --lo); COMP_CWORD=2; _shtab_fcnn; echo ${COMPREPLY[@]}"
    found = subprocess.run(
        ["bash", "-c", f"source ./completion.sh; {words}"], capture_output=True, text=True
    )
    assert found.stdout.split() == ["--loss"]


# --- What fit has ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("--l2 0.5", {"l2": 0.5}),
        ("--dropout 0.25", {"dropout": 0.25}),
        ("--dropout 0.1,0.25", {"dropout": (0.1, 0.25)}),
        ("--label-smoothing 0.1", {"label_smoothing": 0.1}),
        ("--threads 2", {"n_threads": 2}),
        ("--class-weight balanced", {"class_weight": "balanced"}),
        ("--class-weight lo=5", {"class_weight": {1: 5.0}}),
        ("--schedule warmup:2,cosine", {"schedule": ["WarmUp", "Cosine"]}),
        ("--schedule step:3", {"schedule": ["Step"]}),
    ],
)
def test_options_reach_fit(words, given, run, points, monkeypatch):
    seen = {}

    def fit(self, X, y, **options):
        seen.update(options)
        return real(self, X, y, **options)

    real = fcnn.Network.fit
    monkeypatch.setattr(fcnn.Network, "fit", fit)
    words = ("train", points, "--target", "y", "--epochs", 1, "--no-plot", *words.split())
    code, _, err = run(*words)
    assert code == 0, err
    for name, value in given.items():
        got = seen[name]
        assert ([type(one).__name__ for one in got] if name == "schedule" else got) == value


def test_patience(run, points):
    words = ("train", points, "--target", "y", "--epochs", 400, "--lr", 0.05, "--no-plot")
    _, out, _ = run(*words, "--patience", 3)
    made, kept = map(int, re.search(r"for (\d+) epochs; kept epoch (\d+)", out).groups())
    assert made == kept + 3 < 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "lbfgs",
        "lbfgs --l2 0.001 --class-weight balanced",
        "lm --loss squared_error",
        "lm --loss squared_error --cv 2",
    ],
)
def test_optimizers_of_all_rows_at_once(words, run, points):
    words = ("train", points, "--target", "y", "--epochs", 15, "--no-plot", "--optimizer",
             *words.split())  # fmt: skip
    if "lm" in words:
        table = np.loadtxt(points, delimiter=",", skiprows=1, usecols=(0, 1))
        with open(points, "w") as file:
            file.write("a,b,y\n")
            file.writelines(f"{a},{b},{np.sin(a) + b}\n" for a, b in table)
    code, out, err = run(*words)
    assert code == 0, err
    assert f"epochs of all rows at once, {'lm' if 'lm' in words else 'lbfgs'}, seed" in out
    assert re.search(r"accuracy +(1\.0|0\.9)|r2 +0\.9", out), out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--class-weight lo", "expected balanced, or weights as in hi=5; got 'lo'"),
        ("--class-weight lo=x", "expected a finite number at least 0, got 'lo=x'"),
        ("--class-weight lo=-1", "expected a finite number at least 0, got 'lo=-1'"),
        ("--columns a=number --ignore y", "--ignore: got 'y', which is a target, expected"),
        ("--epoch 3", "fcnn train: error: unrecognized arguments: --epoch 3; did you mean '--ep"),
        ("--epochs x", "fcnn train: error: argument --epochs: expected a whole number, got 'x'"),
        ("--class-weight lo=2,lo=3", "--class-weight: two weights of 'lo'; expected one"),
        ("--columns a=number,a=category", "--columns: 'a' is to be number and category;"),
        ("--columns a=number --ignore b,a", "--ignore: 'a' has a kind by --columns;"),
        ("--class-weight balanced --task regression", "error: "),
        ("--dropout 1", "--dropout"), ("--dropout a", "--dropout"),
        ("--dropout 0.1,0.1,0.1", "--dropout: expected one number, or 2"),
        ("--schedule step", "expected step:EPOCHS, as in step:10, got 'step'"),
        ("--schedule cosine:3", "expected cosine without a number"),
        ("--label-smoothing 1", "--label-smoothing"),
        ("--cv 1", "--cv"), ("--search 0", "--search"),
        ("--cv 3 --search 9", "--cv: scores networks of the options, and a --search looks for"),
        ("--optimizer lm", "--optimizer: LevenbergMarquardt trains with the loss squared_error or "
                           "huber, got cross_entropy"),
        ("--output a --resume a", "--output: a is also the file of --resume"),
        ("--output a --resume ./a", "--output: a is also the file of --resume"),
        ("--optimizer lbfgs --lr 0.1", "--lr: belongs to --optimizer sgd, adam or adamw, which is"),
        ("--optimizer lbfgs --batch-size 9", "--batch-size: lbfgs takes all rows at once"),
        ("--optimizer lbfgs --dropout 0.1", "--dropout: not with fcnn.LBFGS"),
        ("--optimizer lbfgs --schedule cosine", "--schedule: not with fcnn.LBFGS"),
        ("--optimizer lbfgs --label-smoothing 0.1", "--label-smoothing: not with fcnn.LBFGS"),
    ],
)  # fmt: skip
def test_refused_options(words, message, run, points):
    code, _, err = run("train", points, "--target", "y", "--quiet", "--no-plot", *words.split())
    assert code == 2
    assert message in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss", ["gaussian_nll", "quantile", "quantile(0.1, 0.9)", "quantile(0.9)"]
)
@pytest.mark.parametrize("more", [(), ("--search", 1), ("--cv", 2), ("--task", "classification")])
def test_losses_of_numbers_are_refused_for_classes(run, here, points, loss, more):
    (here / "whole.csv").write_text("a,y\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(40)))
    np.savez("arrays.npz", X=np.arange(80.0).reshape(40, 2), y=np.arange(40) % 3)
    for words, end in (
        ((points, "--target", "y"), "cross_entropy\n"),
        (("whole.csv", "--target", "y"), "cross_entropy, or --task regression\n"),
        (("arrays.npz",), "cross_entropy, or --task regression\n"),
    ):
        code, out, err = run("train", *words, "--loss", loss, "--epochs", 1, "--no-plot", *more)
        assert (code, out) == (2, "")
        assert f"error: --loss: {loss} is for numbers, but {words[0]}, " in err
        assert err.endswith(end)
        others = err.partition("expected ")[2]
        assert "gaussian_nll" not in others
        assert "quantile" not in others


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["quantile(0.9)", "quantile(0.1, 0.9)"])
def test_quantiles_are_not_judged_by_r2(run, here, loss):
    rng = np.random.default_rng(3)
    a = rng.normal(size=2000)
    rows = [f"{x:.5f},{y:.5f}" for x, y in zip(a, a + rng.normal(size=2000), strict=True)]
    (here / "t.csv").write_text("\n".join(["a,y", *rows, ""]))
    words = ("train", "t.csv", "--target", "y", "--layers", "none", "--epochs", 20, "--no-plot")
    code, out, err = run(*words, "--loss", loss, "--output", "m", "--lr", 0.02)
    assert code == 0, err
    told = " ".join(out.split())
    found = re.search(r"test r2 (\S+), root mean .*, d2 of the quantiles (\d\.\d+)", told)
    assert found, told
    assert float(found[1]) < 0 < 0.1 < float(found[2])
    assert "warning" not in out
    assert "d2 of the quantiles 0." in run("predict", "m", "t.csv")[2]
    code, out, err = run(*words, "--loss", loss, "--output", "m", "--lr", 0.02, "--cv", 2)
    assert code == 0, err
    scores = [float(s) for s in re.findall(r"fold \d of 2: d2 (\d\.\d+)", err)]
    assert min(scores) > 0.1
    assert f"folds d2 {np.mean(scores):.3g}"[:11] in " ".join(out.split())
    assert "r2" not in out.partition("folds")[2].partition("\n")[0]
    assert ("coverage 0." in err) == ("," in loss)
    code, out, _ = run(*words, "--loss", loss, "--output", "m", "--lr", 1e-9)
    assert "the network is no better than always answering the same quantiles: d2 " in (
        " ".join(out.split())
    )


def test_a_training_that_is_resumed_is_as_if_it_had_never_ended(run, here, points):
    words = ("train", points, "--target", "y", "--no-plot", "--quiet", "--dropout", 0.2)
    words = (*words, "--schedule", "none")  # the cosine is over all epochs
    assert run(*words, "--output", "whole", "--epochs", 12)[0] == 0
    assert run(*words, "--epochs", 5, "--resume", "state", "--output", "part")[0] == 0
    code, out, err = run(*words, "--epochs", 12, "--resume", "state", "--output", "rest")
    assert code == 0, err
    assert "for 7 epochs behind the 5 of state;" in out
    assert "note: goes on behind epoch 5 of state: --epochs 12\n" in err
    whole, part, rest = (fcnn.load(name).network.parameters for name in ("whole", "part", "rest"))
    np.testing.assert_array_equal(whole, rest)
    assert not np.array_equal(whole, part)
    # The best epoch is remembered, too: nothing is left to do.
    code, _, err = run(*words, "--epochs", 12, "--resume", "state", "--output", "again")
    assert code == 0
    assert "note: goes on behind epoch 12 of state: --epochs 12, of which none is left" in err
    np.testing.assert_array_equal(fcnn.load("again").network.parameters, whole)
    before = (here / "whole").read_bytes()
    code, _, err = run(*words, "--epochs", 12, "--resume", "whole", "--output", "x")
    assert code == 2
    assert "--resume" in err or "whole" in err
    assert (here / "whole").read_bytes() == before


def test_what_hidden_layers_have_is_refused_without_any(run, points):
    words = ("train", points, "--target", "y", "--layers", "none", "--no-plot", "--epochs", 1)
    for option, value in (("--activation", "tanh"), ("--dropout", 0.5)):
        code, _, err = run(*words, option, value)
        assert code == 2
        assert f"error: {option}: there is no hidden layer" in err
        # A search draws networks without hidden layers, which is not what was asked for.
    for option, value in (("--activation", "relu"), ("--dropout", 0), ("--dropout", "0.1,")):
        code, _, err = run(*words, option, value)
        assert code == (2 if value == "0.1," else 0), err


OTHERS = {
    "--target": ("a", "--target y, here it is --target a"),
    "--seed": (7, "--seed 0, here it is --seed 7"),
    "--test": (0.3, "--test 0.2, here it is --test 0.3"),
    "--validation": (0.2, "--validation 0.1, here it is --validation 0.2"),
    "--ignore": ("a", "no --ignore, here it is --ignore a"),
    "--columns": ("a=category", "no --columns, here it is --columns a=category"),
    "--patience": (3, "no --patience, here it is --patience 3"),
    "--layers": (9, "--layers 8, here it is --layers 9"),
    "--activation": ("tanh", "--activation relu, here it is --activation tanh"),
    "--standardize": ("none", "--standardize auto, here it is --standardize none"),
    "--dropout": ("0.1,0.2", "--dropout 0.0, here it is --dropout 0.1,0.2"),
    "--batch-size": (8, "--batch-size 16, here it is --batch-size 8"),
    "--schedule": ("none", "no --schedule, here it is --schedule none"),
    "--lr": (0.5, "--lr 0.003, here it is --lr 0.5"),
    "--weight-decay": (0.01, "--weight-decay 0.3, here it is --weight-decay 0.01"),
    "--optimizer": ("adam", "--optimizer adamw, here it is --optimizer adam"),
}  # fmt: skip


@pytest.mark.slow
def test_resume_refuses_another_training_by_the_option_that_differs(run, here, points):
    words = ["train", points, "--target", "y", "--layers", 8, "--no-plot", "--quiet"]
    assert run(*words, "--epochs", 2, "--resume", "state", "--output", "m")[0] == 0
    before = (here / "state").read_bytes(), (here / "m").read_bytes()
    for option, (value, said) in OTHERS.items():
        own = [*words, option, value, "--epochs", 3, "--resume", "state", "--output", "m"]
        code, _, err = run(*own)
        assert (code, err.count("\n")) == (2, 1), err
        assert f"error: --resume: state is of a training with {said}\n" in err, err
    # Said with the value that the file has, they are the same; these are free.
    more = ("--lr", 0.003, "--batch-size", 16, "--threads", 1, "--test", 0.2)
    assert ((here / "state").read_bytes(), (here / "m").read_bytes()) == before
    code, _, err = run(*words, *more, "--epochs", 3, "--resume", "state", "--output", "n")
    assert code == 0, err
    # A patience that is left out is named as well, and no object of the program's.
    words += ["--resume", "patient", "--output", "n"]
    assert run(*words, "--epochs", 2, "--patience", 3)[0] == 0
    assert "training with --patience 3, here it is no --patience\n" in run(*words)[2]


@pytest.mark.slow
def test_resume_refuses_other_data_and_files_of_other_makers(run, here, points):
    words = ["train", points, "--target", "y", "--no-plot", "--quiet", "--resume", "state"]
    assert run(*words, "--epochs", 2)[0] == 0
    text = (here / points).read_text()
    lines = text.splitlines()
    # In the same rows other numbers: there is no row that is neither trained on, nor tested with.
    (here / points).write_text("\n".join([lines[0], *reversed(lines[1:])]))
    code, _, err = run(*words, "--epochs", 3)
    assert code == 2
    assert "error: --resume: state is of a training with other data: X" in err
    (here / points).write_text(text)
    (here / "copy.csv").write_text(text)  # another name is no other data
    words[1] = "copy.csv"
    assert run(*words, "--epochs", 3)[0] == 0
    net = fcnn.load("state")
    net.fit(np.eye(2, net.sizes[0]), [0, 1], epochs=1, optimizer=fcnn.AdamW(),
            callbacks=[fcnn.ModelCheckpoint("state")])  # fmt: skip
    code, _, err = run(*words, "--epochs", 3)
    assert code == 2
    assert "--resume: state is of a training in Python" in err


@pytest.mark.slow
def test_resume_says_what_the_file_has(run, here, points):
    words = ["train", points, "--target", "y", "--no-plot", "--schedule", "none"]
    words += ["--resume", "state"]
    run(*words, "--epochs", 1, "--lr", 0.25, "--weight-decay", 0.125)
    code, out, _ = run(*words, "--epochs", 2)
    assert code == 0
    assert "adamw with lr 0.25, weight decay 0.12," in out
    assert re.search(r"time +\S+ s for 1 epoch behind the 1 of state; kept", out)


@pytest.mark.slow
def test_a_file_of_an_earlier_fcnn_is_gone_on_with_and_marked(run, here, points):
    words = ["train", points, "--target", "y", "--no-plot", "--quiet", "--resume", "state"]
    assert run(*words, "--epochs", 2)[0] == 0
    with safetensors.safe_open("state", "np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state = json.loads(metadata["fcnn_training"])
    del state["data"]
    for callback in state["callbacks"]:
        callback["state"].pop("options", None)
    description = {**json.loads(metadata["fcnn"]), "format": 1}
    metadata = {"fcnn": json.dumps(description), "fcnn_training": json.dumps(state)}
    safetensors.numpy.save_file(tensors, "state", metadata=metadata)
    code, _, err = run(*words, "--epochs", 3)
    assert code == 0, err
    assert "note: state does not say which data and options it is of" in err
    assert "Warning" not in err
    safetensors.numpy.save_file(tensors, "state", metadata=metadata)
    assert "--lr 0.003, here it is --lr 0.5" in run(*words, "--epochs", 3, "--lr", 0.5)[2]


def test_cross_validation(run, points):
    """The folds' scores, and the same model as without them."""
    words = ("train", points, "--target", "y", "--epochs", 15, "--no-plot")
    run(*words, "--output", "plain")
    code, out, err = run(*words, "--output", "m", "--cv", 4)
    assert code == 0
    scores = [float(s) for s in re.findall(r"fold \d of 4: accuracy (\S+)", err)]
    assert len(scores) == 4
    assert all(score > 0.7 for score in scores)
    mean, deviation = re.search(r"folds +accuracy (\S+) \+- (\S+): mean and", out).groups()
    assert abs(float(mean) - np.mean(scores)) < 1e-3
    assert abs(float(deviation) - np.std(scores, ddof=1)) < 1e-2
    np.testing.assert_array_equal(
        fcnn.load("m").network.parameters, fcnn.load("plain").network.parameters
    )
    assert "--cv: 97 folds of 96 samples" in run(*words, "--cv", 97)[2]


def test_folds_of_numbers_have_the_errors_of_each_target_and_no_r2_of_a_single_row(run, here):
    rng = np.random.default_rng(0)
    rows = [f"{x:.5f},{x + 1:.5f},{1000 * x:.5f}" for x in rng.normal(size=12)]
    (here / "t.csv").write_text("\n".join(["a,y,z", *rows, ""]))
    words = ("train", "t.csv", "--target", "y,z", "--layers", "none", "--epochs", 3, "--no-plot",
             "--test", 0, "--output", "m")  # fmt: skip
    code, out, err = run(*words, "--cv", 2)
    assert code == 0, err
    folds = " ".join(out.partition("folds")[2].partition("time")[0].split())
    for name in ("root mean square error", "mean absolute error"):
        y, z = (float(re.search(rf"{name} of {one} (\S+)", folds)[1]) for one in "yz")
        # Both are the same numbers but for scale: so are the errors of a network that is linear.
        assert 300 < z / y < 3000
    assert re.search(r"r2 -?\d", folds)
    code, out, err = run(*words, "--cv", 12)
    assert code == 0, err
    assert "nan" not in out + err
    assert "r2" not in out.partition("folds")[2].partition("time")[0] + err


@pytest.mark.parametrize("target", ["answer", "number"])
def test_a_fold_is_not_seen_before_it_is_tested(target, run, here, monkeypatch):
    """Neither training, validation and its choice of an epoch, nor preparation know of its rows."""
    rows = 60
    rng = np.random.default_rng(2)
    x = rng.permutation(rows).astype(float) ** 3  # each once: it says which row it is
    word = [f"w{i // 2}" for i in range(rows)]  # each twice: of some both are in one fold
    number = rng.normal(size=rows) * np.where(np.arange(rows) % 7 == 0, 1e4, 1)
    gap = np.where(rng.random(rows) < 0.3, np.nan, rng.exponential(size=rows) ** 4)
    answer = ["yes" if v > np.median(x) else "no" for v in x]
    cells = zip(x, word, gap, number, answer, strict=True)
    (here / "t.csv").write_text("x,word,gap,number,answer\n" + "\n".join(
        f"{a},{b},{'' if np.isnan(c) else repr(float(c))},{d!r},{e}"
        for a, b, c, d, e in ((a, b, c, float(d), e) for a, b, c, d, e in cells)
    ))  # fmt: skip
    fits, tested = [], []
    fit, prepared = crossvalidation.fit, crossvalidation.prepared

    def watched_prepared(*arguments):
        tested.append(prepared(*arguments))
        return tested[-1]

    def watched_fit(net, X, y, kept, data, **further):
        end = fit(net, X, y, kept, data, **further)
        fits.append((X, y, kept, further["validation"]))
        return end

    def watched_scores(model, X, y):
        ready, (_, _, kept, validation) = tested[-1], fits[-1]
        assert ready.model is model
        assert X is ready.X_test
        losses = kept.history.validation_loss
        assert kept.best[0] == np.argmin(losses) + 1
        # The parameters that are tested are those that validation found the best.
        found = model.network.evaluate(*validation)["loss"]
        np.testing.assert_allclose(found, min(losses), rtol=1e-5)
        return scores(model, X, y)

    scores = crossvalidation._scores
    for name, watched in (
        ("prepared", watched_prepared), ("fit", watched_fit), ("_scores", watched_scores)
    ):  # fmt: skip
        monkeypatch.setattr(crossvalidation, name, watched)
    code, _, err = run("train", "t.csv", "--target", target, "--cv", 4, "--epochs", 12, "--no-plot",
                       "--ignore", "number" if target == "answer" else "answer",
                       "--columns", "word=category", "--output", "m")  # fmt: skip
    assert code == 0, err
    assert len(fits) == len(tested) == 4
    seen = []
    for ready, (X, _, _, validation) in zip(tested, fits, strict=True):
        preparation = ready.model.preparation
        assert [column.name for column in preparation.columns][:3] == ["x", "word", "gap"]

        def row_of(inputs, preparation=preparation):
            values = inputs[:, 0] * preparation.scale[0] + preparation.mean[0]
            return {int(np.argmin(np.abs(x - value))) for value in values}

        trained, chosen, held = map(row_of, (X, validation[0], ready.X_test))
        assert len(trained) + len(chosen) + len(held) == 48 == len(trained | chosen | held)
        seen.append(held)
        mine = sorted(trained)
        np.testing.assert_allclose(preparation.mean[0], x[mine].mean())
        np.testing.assert_allclose(preparation.scale[0], x[mine].std())
        words = {word[i] for i in mine}
        twice = {w for w in words if sum(word[i] == w for i in mine) == 2}
        assert set(preparation.columns[1].categories) == twice
        np.testing.assert_allclose(preparation.columns[2].fill, np.nanmedian(gap[mine]))
        if target == "number":
            np.testing.assert_allclose(ready.model.target.mean, number[mine].mean())
            np.testing.assert_allclose(ready.model.target.scale, number[mine].std())
    assert len(set().union(*seen)) == 48 == sum(map(len, seen))


@pytest.mark.slow
def test_a_held_out_part_of_new_categories_is_no_error(run, here):
    """Of 24 towns each is twice or thrice in the table: some are held out alone."""
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal():.3f},town{i % 24},{rng.normal():.3f}" for i in range(60)]
    (here / "towns.csv").write_text("\n".join(["x,town,y", *rows]))
    for seed in range(6):
        code, _, err = run("train", "towns.csv", "--target", "y", "--epochs", 1, "--no-plot",
                           "--columns", "town=category", "--seed", seed, "--cv", 12,
                           "--test", 0.05, "--validation", 0.04, "--output", "m")  # fmt: skip
        assert code == 0, err


def test_every_row_is_in_one_fold():
    labels = np.repeat([0, 1, 2], [50, 20, 9])
    fold = folds(79, 5, labels, 0)
    for label, least in ((0, 10), (1, 4), (2, 1)):
        assert np.bincount(fold[labels == label], minlength=5).min() >= least
    assert np.bincount(fold).tolist() == [16, 16, 16, 16, 15]
    assert not np.array_equal(fold, folds(79, 5, labels, 1))


# --- Search ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_search_saves_the_best_network(run, here, points):
    began = time.perf_counter()
    words = ("train", points, "--target", "y", "--epochs", 9, "--no-plot", "--output", "m")
    code, out, err = run(*words, "--search", 1.5)
    assert code == 0, err
    assert time.perf_counter() - began < 4
    found = json.loads((here / "m.search.json").read_text())
    losses = [one["validation_loss"] for one in found]
    assert losses == sorted(losses)
    assert len(found) >= 3
    model = fcnn.load("m")
    assert list(model.network.sizes[1:-1]) == found[0]["layers"]
    assert f"kept epoch {found[0]['best_epoch']}," in out
    shown = [float(loss) for loss in re.findall(r"validation loss (\S+) in epoch", err)]
    np.testing.assert_allclose(shown, losses[: len(shown)], rtol=1e-4)
    assert float(re.search(r"accuracy (\S+)", out).group(1)) > 0.8
    # The curves are of all its epochs, not of those after its last survival.
    history = model.training.history
    assert len(history.loss) == len(history.validation_loss) == found[0]["epochs"]
    assert np.argmin(history.validation_loss) + 1 == found[0]["best_epoch"]
    np.testing.assert_allclose(min(history.validation_loss), losses[0], rtol=1e-5)
    assert f"s for {found[0]['epochs']} epochs;" in out
    assert max(one["epochs"] for one in found) == 9


@pytest.mark.slow(reason="a search of three seconds")
def test_the_curves_of_a_search_are_those_of_all_rounds(run, here, points, monkeypatch):
    calls = []
    train = search.train_trials

    def watched(trials, epochs, *arguments, **further):
        calls.append((epochs, list(trials)))
        return train(trials, epochs, *arguments, **further)

    monkeypatch.setattr(search, "train_trials", watched)
    words = ("train", points, "--target", "y", "--epochs", 9, "--no-plot", "--output", "m")
    assert run(*words, "--search", 3)[0] == 0
    assert [(epochs, len(trials)) for epochs, trials in calls[:2]] == [(3, 9), (9, 3)]
    assert all(len(trial.history.loss) == 9 for trial in calls[1][1])


@pytest.mark.slow(reason="searches of several seconds")
def test_a_search_goes_on_where_it_was(run, here, points, monkeypatch):
    """An interrupted one, with the same rounds: as one that never ended."""
    words = ("train", points, "--target", "y", "--epochs", 9, "--no-plot", "--output", "m")
    train, rounds = search.train_trials, []

    def watched(trials, epochs, *arguments, **further):
        rounds.append(epochs)
        if len(rounds) == 4:  # behind the first group and a round of the second
            raise KeyboardInterrupt
        return train(trials, epochs, *arguments, **further)

    monkeypatch.setattr(search, "train_trials", watched)
    expected = run(*words, "--search", 60)
    assert expected[0] == 0, expected[2]
    losses = json.loads((here / "m.search.json").read_text())
    for configurations in (0, 9, 9):  # that are there before each of three rounds
        rounds[:] = [0, 0]
        code, _, err = run(*words, "--search", 60, "--resume", "s")
        assert code == 0, err
        said = f"note: goes on with {configurations} configurations of s"
        assert (said in err) is (configurations > 0)
    assert json.loads((here / "m.search.json").read_text()) == losses
    # Of other data or options it is no search to go on with.
    code, _, err = run(*words, "--search", 60, "--resume", "s", "--seed", 3)
    assert code == 2
    assert "--resume: s is no search to go on with" in err
    assert "of a search with another" in err


@pytest.mark.slow
def test_interrupting_a_search_ends_it_with_what_it_has(run, points):
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    words = ("train", points, "--target", "y", "--epochs", 30, "--no-plot", "--output", "m")
    code, _, err = run(*words, "--search", 60)
    timer.join()
    assert code == 0, err
    assert fcnn.load("m").classes == ("hi", "lo")
    assert re.search(r"configurations in (\S+) s", err)


@pytest.mark.slow(reason="a search of a second")
def test_the_time_of_a_search_ends_an_epoch_that_is_longer(run, here, points, monkeypatch):
    """In the core, where interrupts are heard, and not where Python might swallow them."""
    train, told = search.train_trials, []
    X = np.zeros((4, 2), np.float32)

    def endless(trials, *arguments, **further):
        train(trials, *arguments, **further)
        end = time.perf_counter() + 1.5
        while time.perf_counter() < end:  # interrupted here it would be no frame of fcnn's
            pass
        told.append("waited")
        fcnn.Network((2, 2), rng=0).fit(X, [0, 1, 0, 1], epochs=10**8, batch_size=4)
        told.append("trained")

    monkeypatch.setattr(search, "train_trials", endless)
    before, began = signal.getsignal(signal.SIGINT), time.perf_counter()
    words = ("train", points, "--target", "y", "--epochs", 1, "--no-plot", "--output", "m")
    code, _, err = run(*words, "--search", 1)
    assert code == 0, err
    assert told == ["waited"]
    assert time.perf_counter() - began < 8
    assert signal.getsignal(signal.SIGINT) is before
    assert len(json.loads((here / "m.search.json").read_text())) == 9


def test_a_clock_leaves_ctrl_c_as_it_was():
    def hear(number, frame):
        heard.append(number)

    heard, before = [], signal.signal(signal.SIGINT, hear)
    try:
        with search._Clock(1000).running():
            _thread.interrupt_main()
            for _ in range(1000):
                pass
        assert heard == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is hear
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a job behind nohup
        with search._Clock(0).running(), pytest.raises(KeyboardInterrupt):
            fcnn.Network((2, 2), rng=0).fit(np.zeros((4, 2)), [0, 1, 0, 1], epochs=10**8)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow(reason="half a second of rings")
def test_a_clock_does_not_cut_off_its_own_end():
    program = "end = time.perf_counter() + 0.4\nwhile time.perf_counter() < end: pass"
    with search._Clock(0).running():
        exec(program, {"__name__": search.__name__, "time": time})
    with pytest.raises(KeyboardInterrupt), search._Clock(0).running():
        exec(program, {"__name__": "fcnn.halving", "time": time})


def test_a_clock_that_is_interrupted_while_it_starts_rings_no_more(monkeypatch):
    start, bells = threading.Thread.start, []

    def interrupted(bell):
        start(bell)
        bells.append(bell)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), search._Clock(1000).running():
        pass
    (bell,) = bells
    assert not bell.is_alive()


@pytest.mark.parametrize("seconds", [1e10, 1e300])
def test_a_clock_of_centuries_waits(seconds):
    others = threading.enumerate()
    with search._Clock(seconds).running():
        (bell,) = {*threading.enumerate()} - {*others}
        bell.join(0.1)
        assert bell.is_alive()


@pytest.mark.slow(reason="rings for most of a second")
@pytest.mark.skipif(sys.platform == "win32", reason="needs usleep")
def test_a_clock_that_rings_where_nobody_hears_is_never_ctrl_c(monkeypatch):
    """It rang amid a call that keeps the lock until the clock would ring again."""
    monkeypatch.setattr(search._Clock, "GRACE", 0.02)
    sleeps = ctypes.PyDLL(None).usleep  # PyDLL keeps Python's lock
    calls = [functools.partial(time.sleep, 0.03), functools.partial(sleeps, 100_000)]
    heard, before = [], signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with search._Clock(0).running():
            for _ in range(6):
                list(map(operator.call, calls))
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == []


def test_refused_searches(run, points):
    words = ("train", points, "--target", "y", "--no-plot", "--quiet", "--search", 5)
    assert "--search: needs samples to choose by" in run(*words, "--validation", 0)[2]
    with open("s", "w") as file:
        file.write("no search")
    assert "s: not a model file" in run(*words, "--resume", "s")[2]
    for optimizer in ("sgd", "lm"):
        said = f"--optimizer: a --search trains by adamw, not by {optimizer}"
        assert said in run(*words, "--optimizer", optimizer)[2]


@pytest.mark.slow
def test_the_first_configuration_of_a_search_is_that_of_the_options(run, here, points):
    words = ("train", points, "--target", "y", "--epochs", 1, "--no-plot", "--output", "m")
    own = ("--layers", "7,5", "--dropout", "0.1,0.2,0.3", "--lr", 0.01, "--weight-decay", 0.2)
    code, _, err = run(*words, *own, "--search", 0.5)
    assert code == 0, err
    found = [one for one in json.loads((here / "m.search.json").read_text())
             if one["layers"] == [7, 5]]  # fmt: skip
    assert len(found) == 1
    assert found[0]["dropout"] == [0.1, 0.2, 0.3]
    assert (found[0]["lr"], found[0]["weight_decay"]) == (0.01, 0.2)


# --- Terminals ------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True

    def fileno(self):
        return 1


def test_colour_and_width_are_a_terminals(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.red("error:", io.StringIO()) == "error:"
    assert terminal.red("error:", Terminal()) == "\x1b[1;31merror:\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.red("error:", Terminal()) == "error:"
    line = "task       " + "word " * 30
    for stream, columns in ((Terminal(), 50), (io.StringIO(), None)):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((50, 20)))
        terminal.tell(line)
        lines = stream.getvalue().splitlines()
        if columns is None:
            assert lines == [line]
        else:
            assert len(lines) > 2
            assert max(map(len, lines)) <= columns
            assert all(one.startswith(" " * 11 + "word") for one in lines[1:])
