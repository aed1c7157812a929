"""The command line: what it prints, writes and answers, and how it refuses and stops."""

import csv
import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fcnn
from fcnn import datasets
from fcnn._split import split
from fcnn.cli import data as cli_data
from fcnn.tables import Preparation, Target

SPECIES = np.array(["long, thin", "round", "small"])


@pytest.fixture
def refused(run):
    """A call that must be refused with exit code 2: its one line, and what that lists."""

    def call(*words):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert re.fullmatch(r"fcnn[ a-z]*: error: [^\n]+\n(  [^\n]+\n){0,11}", err)
        return err

    return call


def write_csv(path, names, *columns):
    """Write columns as a CSV file, numbers so that they read back as they are."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(zip(*(np.asarray(column).tolist() for column in columns), strict=True))
    return path


def flowers(rows=240, seed=0):
    """Return features of very different scales, and the name of a class that they decide."""
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=rows)
    X = rng.normal(size=(rows, 3)) * 0.5
    X[np.arange(rows), label] += 3
    return X * [1, 1000, 0.001] + [10, 0, 5], SPECIES[label]


def houses(rows=240, seed=0):
    """Return features and prices that are linear in them, but for a tenth of noise."""
    rng = np.random.default_rng(seed)
    X = rng.uniform([40, 1], [160, 6], (rows, 2))
    price = 2000 * X[:, 0] + 50_000 * X[:, 1] + rng.normal(0, 5000, rows)
    return X, price


@pytest.fixture
def flowers_csv(here):
    X, y = flowers()
    return write_csv(here / "flowers.csv", ["a", "b", "c", "species"], *X.T, y).name


@pytest.fixture
def houses_csv(here):
    X, y = houses()
    return write_csv(here / "houses.csv", ["area", "rooms", "price"], *X.T, y).name


def answers(text):
    """Return header and rows of CSV text."""
    header, *rows = csv.reader(io.StringIO(text))
    return header, rows


# --- Training and predicting ----------------------------------------------------------------------


@pytest.mark.slow
def test_digits_by_default(here, run):
    code, out, err = run("train", "digits")
    assert (code, err) == (0, "")
    assert "1,797 samples, 64 features, 10 classes" in out
    assert "1,294 training, 144 validation, 359 test" in out
    assert "64-128-10" in out
    accuracy, right = re.search(r"test +accuracy (0\.\d+) \((\d+) of 359\)", out).groups()
    assert float(accuracy) >= 0.97
    assert abs(int(right) / 359 - float(accuracy)) < 1e-4
    assert re.search(
        r"time +[\d.]+ s for 50 epochs; kept epoch \d+, the lowest validation loss", out
    )
    assert "fcnn predict digits.safetensors DATA" in out
    assert sorted(path.name for path in here.iterdir()) == ["digits.png", "digits.safetensors"]
    # The whole path again through the library: the model file alone reproduces the predictions.
    net = fcnn.load("digits.safetensors")
    X, y = datasets.load_digits()
    assert np.mean(net.outputs(X).argmax(axis=1) == y) > 0.97
    code, out, err = run("predict", "digits.safetensors", "digits")
    header, rows = answers(out)
    assert header == ["prediction"]
    right = sum(int(row[0]) == label for row, label in zip(rows, y, strict=True))
    assert err.startswith(f"accuracy {right / 1797:.4f}, {right:,} of 1,797 samples (all of digits")


def test_images_are_scaled_together_by_the_training_part_alone(here, run):
    assert run("train", "digits", "--epochs", 1, "--no-plot")[0] == 0
    net = fcnn.load("digits.safetensors")
    mean, scale = net.preparation.mean, net.preparation.scale
    assert np.unique(mean).size == np.unique(scale).size == 1
    X, _ = datasets.load_digits()
    # Of other samples than all: near their mean, but not it.
    assert 0 < abs(mean[0] - X.mean(dtype=float)) < 0.1
    assert 0 < abs(scale[0] - X.std(dtype=float)) < 0.1


def test_classification_of_a_table(flowers_csv, here, run):
    code, out, _ = run("train", flowers_csv, "--target", "species", "--no-plot")
    assert code == 0
    assert "task       classification: the targets are text with 3 distinct values" in out
    net = fcnn.load("flowers.safetensors")
    assert net.features == ("a", "b", "c")
    assert net.targets == ("species",)
    assert net.classes == tuple(SPECIES)

    # New samples, columns in another order, among columns of text that are not wanted.
    X, y = flowers(rows=100, seed=1)
    ids = [f"id {i}\nsecond line" for i in range(100)]
    write_csv(
        here / "new.csv", ["id", "c", "species", "a", "b", "note"],
        ids, X[:, 2], y, X[:, 0], X[:, 1], [""] * 100,
    )  # fmt: skip
    code, out, err = run("predict", "flowers.safetensors", "new.csv")
    header, rows = answers(out)
    predicted = np.array([row[0] for row in rows])
    expected = net.outputs(X)
    assert (code, header) == (0, ["prediction"])
    np.testing.assert_array_equal(predicted, SPECIES[expected.argmax(axis=1)])
    right = np.count_nonzero(predicted == y)
    assert right >= 95
    assert err == f"accuracy {right / 100:.4f}, {right} of 100 samples\n"

    code, out, _ = run("predict", "flowers.safetensors", "new.csv", "--probabilities")
    header, rows = answers(out)
    assert header == SPECIES.tolist()
    np.testing.assert_array_equal(np.array(rows, dtype=np.float32), expected)


def test_test_score_is_that_of_the_saved_model_on_held_out_samples(here, run):
    X, y = flowers(rows=300)
    np.savez("parts.npz", X_train=X[:200], y_train=y[:200], X_test=X[200:], y_test=y[200:])
    # So short that the score is not perfect.
    words = ["--layers", "4", "--epochs", 3, "--no-plot"]
    code, out, _ = run("train", "parts.npz", *words)
    assert code == 0
    assert "180 training, 20 validation, 100 test" in out
    net = fcnn.load("parts.safetensors")
    right = np.count_nonzero(SPECIES[net.outputs(X[200:]).argmax(axis=1)] == y[200:])
    assert 0 < right < 100
    assert f"test       accuracy {right / 100:.4f} ({right} of 100)" in out
    # predict takes the test part, too.
    _, out, err = run("predict", "parts.safetensors", "parts.npz")
    assert len(answers(out)[1]) == 100
    assert err == f"accuracy {right / 100:.4f}, {right} of 100 samples (the test part)\n"


@pytest.mark.slow
def test_regression_in_original_units(houses_csv, here, run):
    code, out, _ = run("train", houses_csv, "--target", "price", "--epochs", 200, "--no-plot")
    assert code == 0
    assert "task       regression: the targets are decimal numbers" in out
    assert "target standardized for training" in out
    r2, error = map(
        float, re.search(r"test +r2 (\S+), root mean square error (\S+) on 48", out).groups()
    )
    assert r2 > 0.95
    assert 3000 < error < 15_000  # the noise is 5000

    X, y = houses(rows=100, seed=1)
    write_csv(here / "new.csv", ["rooms", "area", "price"], X[:, 1], X[:, 0], y)
    code, out, err = run("predict", "houses.safetensors", "new.csv")
    header, rows = answers(out)
    net = fcnn.load("houses.safetensors")
    assert (code, header) == (0, ["prediction"])
    predicted = np.array([row[0] for row in rows], dtype=np.float64)
    np.testing.assert_array_equal(predicted, net.predict(X))
    residual = predicted - y
    r2 = 1 - np.mean(residual**2) / np.var(y)
    assert r2 > 0.95
    error = np.sqrt(np.mean(residual**2))
    assert err == f"r2 {r2:.4f}, root mean square error {error:.4g} on 100 samples\n"
    # The library's own score of the saved file agrees.
    assert net.evaluate(X, y)["r2"] == pytest.approx(r2, rel=1e-12)


def test_several_targets_of_different_scale(here, run):
    X, price = houses()
    np.savez("two.npz", X=X, y=np.c_[price, price / 1e8])
    assert run("train", "two.npz", "--epochs", 100, "--no-plot")[0] == 0
    _, out, _ = run("predict", "two.safetensors", "two.npz")
    header, rows = answers(out)
    assert header == ["prediction_1", "prediction_2"]
    predicted = np.array(rows, dtype=float)
    for column, y in zip(predicted.T, (price, price / 1e8), strict=True):
        assert 1 - np.mean((column - y) ** 2) / np.var(y) > 0.95


@pytest.mark.parametrize("loss", ["huber", "poisson"])
def test_losses_with_units_of_their_own_are_not_rescaled(houses_csv, run, loss):
    words = ["train", houses_csv, "--target", "area", "--loss", loss, "--lr", 0.01, "--no-plot"]
    code, out, _ = run(*words)
    assert code == 0
    assert "target standardized" not in out
    assert float(re.search(r"r2 (\S+),", out)[1]) > 0.8


@pytest.mark.parametrize(
    ("loss", "output", "n_classes", "n_out"),
    [
        ("cross_entropy", None, 3, 3),
        ("squared_error", "sigmoid", 3, 3),
        ("squared_error", None, 2, 2),
        ("huber", "softmax", 3, 3),
        ("binary_cross_entropy", None, 2, 1),
        ("binary_cross_entropy", None, 3, 3),
    ],
)
def test_losses_of_a_classifier(here, run, loss, output, n_classes, n_out):
    X, names = flowers()
    few = names != SPECIES[2] if n_classes == 2 else names != ""
    X, names = X[few], names[few]
    # Labels with gaps, and negative ones.
    y = np.array([-5, 7, 12])[np.searchsorted(SPECIES, names)]
    np.savez("labels.npz", X=X, y=y)
    words = ["train", "labels.npz", "--loss", loss, "--no-plot", "--lr", 0.01]
    code, out, _ = run(*words, *(["--output-activation", output] if output else []))
    assert code == 0
    net = fcnn.load("labels.safetensors")
    assert net.network.sizes == (3, 128, n_out)
    assert net.classes == (-5, 7, 12)[:n_classes]
    assert float(re.search(r"accuracy (\S+)", out)[1]) > 0.9

    code, out, err = run("predict", "labels.safetensors", "labels.npz")
    right = sum(int(row[0]) == label for row, label in zip(answers(out)[1], y, strict=True))
    assert right > 0.95 * len(y)
    assert err.startswith(f"accuracy {right / len(y):.4f}, {right} of {len(y)} samples (the model")

    code, out, _ = run("predict", "labels.safetensors", "labels.npz", "--probabilities")
    header, rows = answers(out)
    outputs = net.outputs(X)
    if n_out == 1:
        outputs = np.hstack([1 - outputs, outputs])
    assert header == ["-5", "7", "12"][:n_classes]
    np.testing.assert_array_equal(np.array(rows, dtype=np.float32), outputs)


@pytest.mark.parametrize("task", ["regression", "auto"])
def test_one_hot_rows_are_numbers_where_these_are_asked_for(here, run, task):
    X, names = flowers()
    labels = np.searchsorted(SPECIES, names)
    np.savez("rows.npz", X=X, y=np.eye(3)[labels])
    code, out, _ = run("train", "rows.npz", "--task", task, "--no-plot", "--epochs", 20)
    assert code == 0
    model = fcnn.load("rows.safetensors")
    assert (model.network.loss == "squared_error") == (task == "regression")
    code, out, err = run("predict", "rows.safetensors", "rows.npz")
    header, rows = answers(out)
    assert code == 0
    if task == "auto":
        right = np.mean([int(row[0]) for row in rows] == labels)
        assert err.startswith(f"accuracy {right:.4f}")
        return
    assert header == ["prediction_1", "prediction_2", "prediction_3"]
    found = np.array(rows, float)
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-5, atol=1e-7)
    assert "r2 " in err


def test_validation_score_of_one_hot_targets_is_accuracy(here, run, monkeypatch):
    seen = []
    monkeypatch.setattr("fcnn.plot.plot_history", lambda history, *_, **__: seen.append(history))
    pytest.importorskip("matplotlib")
    assert run("train", "digits", "--loss", "squared_error", "--epochs", 5)[0] == 0
    assert seen[0].score_name == "accuracy"
    # Shares of the 144 validation samples: r2 would not be.
    shares = np.array(seen[0].validation_score) * 144
    np.testing.assert_allclose(shares, shares.round(), atol=1e-9)
    assert len(shares) == 5


def test_the_kept_epoch_is_the_best_on_validation(here, run, monkeypatch):
    """Training goes on after the best epoch; the file holds that one."""
    snapshots = {}
    fit = fcnn.Network.fit

    def spy(net, X, y, **options):
        def snapshot(progress):
            snapshots[progress.epoch] = net.parameters.copy(), progress.history.validation_loss[-1]

        options["callbacks"] = [*options["callbacks"], snapshot]
        return fit(net, X, y, **options)

    monkeypatch.setattr(fcnn.Network, "fit", spy)
    rng = np.random.default_rng(0)
    np.savez("noise.npz", X=rng.normal(size=(60, 5)), y=rng.integers(2, size=60))
    code, out, _ = run("train", "noise.npz", "--epochs", 60, "--lr", 0.05, "--no-plot")
    assert code == 0
    best = min(snapshots, key=lambda epoch: snapshots[epoch][1])
    assert best < 60
    assert f"kept epoch {best}," in out
    np.testing.assert_array_equal(
        fcnn.load("noise.safetensors").network.parameters, snapshots[best][0]
    )


@pytest.mark.slow
def test_without_validation_and_test(flowers_csv, run):
    code, out, err = run(
        "train", flowers_csv, "--target", "species", "--validation", 0, "--test", 0, "--epochs", 3
    )
    assert (code, err) == (0, "")
    assert "240 training, 0 validation, 0 test" in out
    assert "test       none (--test 0)" in out
    assert "kept epoch 3, the last" in out


def test_no_hidden_layer_and_several(flowers_csv, run):
    words = ["train", flowers_csv, "--target", "species", "--epochs", 1, "--no-plot"]
    words += ["--output", "flowers.safetensors"]
    assert run(*words, "--layers", "none")[0] == 0
    assert fcnn.load("flowers.safetensors").network.sizes == (3, 3)
    assert run(*words, "--layers", "7,5", "--activation", "tanh,relu", "--dtype", "float64")[0] == 0
    net = fcnn.load("flowers.safetensors").network
    assert net.sizes == (3, 7, 5, 3)
    assert net.activations == ("tanh", "relu", "softmax")
    assert net.dtype == np.float64


def test_the_seed_decides_everything(flowers_csv, here, run):
    words = ["train", flowers_csv, "--target", "species", "--epochs", 3, "--no-plot"]
    nets = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        assert run(*words, "--seed", seed, "--output", name)[0] == 0
        nets[name] = fcnn.load(name)
    first, again, other = nets.values()
    np.testing.assert_array_equal(first.network.parameters, again.network.parameters)
    # The split, which the scaling is measured on, and the initial weights.
    assert not np.array_equal(first.preparation.mean, other.preparation.mean)
    assert run(*words, "--seed", 5, "--optimizer", "sgd", "--lr", 1e-30)[0] == 0
    begun = fcnn.Network((3, 128, 3), rng=5)
    begun.weights[-1][...] = 0  # every class is equally probable at first
    np.testing.assert_allclose(
        fcnn.load("flowers.safetensors").network.parameters, begun.parameters, rtol=0, atol=1e-20
    )
    given = (*words, "--seed", 5, "--optimizer", "sgd", "--lr", 1e-30, "--init", "he_normal")
    assert run(*given, "--output", "given")[0] == 0
    begun = fcnn.Network((3, 128, 3), init="he_normal", rng=5)
    np.testing.assert_allclose(
        fcnn.load("given").network.parameters, begun.parameters, rtol=0, atol=1e-20
    )


@pytest.mark.slow
def test_optimizer_options_reach_the_optimizer(flowers_csv, run, monkeypatch):
    seen = []
    fit = fcnn.Network.fit

    def spy(net, *data, **options):
        seen.append((repr(options["optimizer"]), options["batch_size"]))
        return fit(net, *data, **options)

    monkeypatch.setattr(fcnn.Network, "fit", spy)
    words = ["train", flowers_csv, "--target", "species", "--epochs", 1, "--no-plot"]
    for extra in (
        "--optimizer sgd --momentum 0.9 --nesterov --weight-decay 0.01 --batch-size 5",
        "--optimizer sgd",
        "--optimizer adamw",
        "--lr 0.5 --epochs 400",
        "--lr 0.5 --epochs 10000 --layers 1 --patience 1",
        "--optimizer adam",
    ):
        assert run(*words, *extra.split())[0] == 0
    updates = -(-fcnn.load("flowers.safetensors").training.parts["training"] // 16)
    assert seen == [
        (repr(fcnn.SGD(0.1, 0.9, True, 0.01)), 5),
        (repr(fcnn.SGD(0.1)), 16),
        (repr(fcnn.AdamW(0.003, weight_decay=0.3)), 16),
        (repr(fcnn.AdamW(0.5, weight_decay=500 / (400 * updates))), 16),
        (repr(fcnn.AdamW(0.5, weight_decay=0.01)), 16),
        (repr(fcnn.Adam(0.003)), 16),
    ]


def test_standardize_none(houses_csv, run):
    words = ["train", houses_csv, "--target", "price", "--epochs", 1, "--no-plot"]
    assert run(*words, "--standardize", "none")[0] == 0
    preparation = fcnn.load("houses.safetensors").preparation
    assert (preparation.mean == 0).all()
    assert (preparation.scale == 1).all()
    assert preparation.features == ("area", "rooms")


def test_idx_folder(here, run):
    X, y = datasets.load_digits()
    (here / "tiny").mkdir()
    for part, rows in (("train", slice(0, 500)), ("t10k", slice(500, 600))):
        images = X[rows].astype(np.uint8)
        head = b"\0\0\x08\x03" + np.array([len(images), 8, 8], ">u4").tobytes()
        (here / "tiny" / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = b"\0\0\x08\x01" + np.array([len(images)], ">u4").tobytes()
        (here / "tiny" / f"{part}-labels-idx1-ubyte").write_bytes(
            head + y[rows].astype(np.uint8).tobytes()
        )
    code, out, _ = run("train", "tiny", "--lr", 0.01, "--no-plot")
    assert code == 0
    assert "450 training, 50 validation, 100 test" in out
    assert "the same two for all features" in out
    assert float(re.search(r"accuracy (\S+)", out)[1]) > 0.75  # other writers
    _, out, err = run("predict", "tiny.safetensors", "tiny")
    assert len(answers(out)[1]) == 100
    assert "(the test part)" in err


def test_model_without_preprocessing(here, run):
    """A network that Python saved, without names: columns by position."""
    X, _ = flowers(rows=20)
    net = fcnn.Network((3, 4, 2))
    net.save("plain.safetensors")
    write_csv(here / "new.csv", ["p", "q", "r"], *X.T)
    code, out, err = run("predict", "plain.safetensors", "new.csv")
    assert (code, err) == (
        0, "note: plain.safetensors holds no scaling: the inputs are taken as they are\n"
    )  # fmt: skip
    expected = net.predict(X).argmax(axis=1)
    assert answers(out) == (["prediction"], [[str(k)] for k in expected])


def test_targets_that_are_not_known_yet_do_not_matter(flowers_csv, here, run):
    run("train", flowers_csv, "--target", "species", "--epochs", 1, "--no-plot")
    X, _ = flowers(rows=5)
    write_csv(here / "new.csv", ["a", "b", "c", "species"], *X.T, [""] * 5)
    code, out, err = run("predict", "flowers.safetensors", "new.csv")
    assert (code, err, len(answers(out)[1])) == (0, "", 5)


def test_predict_to_a_file(houses_csv, here, run):
    run("train", houses_csv, "--target", "price", "--epochs", 1, "--no-plot")
    _, printed, _ = run("predict", "houses.safetensors", houses_csv)
    code, out, _ = run("predict", "houses.safetensors", houses_csv, "--output", "answers.csv")
    assert (code, out) == (0, "")
    assert (here / "answers.csv").read_text() == printed


# --- Choices that auto makes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["a", "b"] * 50, "classification"),
        ([0, 1] * 50, "classification"),
        (list(range(20)) * 2, "classification"),
        (list(range(21)) * 2, "regression"),
        (list(range(15)), "regression"),
        ([0.0, 1.0] * 50, "classification"),
        ([0.5, 1.0] * 50, "regression"),
        ([True, False] * 50, "classification"),
        (np.eye(3)[[0, 1, 2] * 10], "classification"),
        (np.arange(90.0).reshape(30, 3), "regression"),
        ([[0], [1]] * 20, "classification"),
    ],
)
def test_auto_task(y, task, here):
    y = np.asarray(y)
    np.savez("d.npz", X=np.zeros((len(y), 2)), y=y)
    assert cli_data.read_for_training("d.npz", None).targets.task == task


def test_splits_are_disjoint_and_stratified():
    labels = np.repeat([0, 1, 2], [10, 100, 890])
    stay, held = split("--test", 0.2, 1000, labels, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.r_[stay, held]), np.arange(1000))
    assert np.bincount(labels[held]).tolist() == [2, 20, 178]
    assert (np.diff(labels[stay]) < 0).any()
    assert (np.diff(labels[held]) < 0).any()
    # Another seed holds out other samples of the same classes.
    _, other = split("--test", 0.2, 1000, labels, np.random.default_rng(1))
    assert not np.array_equal(np.sort(held), np.sort(other))


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("train nothing.csv", ["DATA", "'nothing.csv'", "digits, a table"]),
        ("train houses.csv", ["--target", "houses.csv", "area, rooms, price"]),
        ("train houses.csv --target cost", ["--target", "'cost'", "area", "price"]),
        ("train digits --target digit", ["--target", "digits"]),
        ("train digits --layers 10,0", ["--layers", "'10,0'", "none for no hidden layer"]),
        ("train digits --layers ten", ["--layers", "'ten'"]),
        ("train digits --activation swish", ["--activation", "'swish'", "relu", "gelu"]),
        ("train digits --activation relu,tanh", ["--activation", "list of 1", "got 2"]),
        ("train digits --output-activation relux", ["--output-activation", "'relux'", "softmax"]),
        ("train digits --loss rmse", ["--loss", "'rmse'", "squared_error"]),
        ("train digits --loss poisson --output-activation relu",
         ["--output-activation", "'relu'", "'poisson'", "exp or softplus"]),
        ("train houses.csv --target price --loss cross_entropy",
         ["--loss", "cross_entropy", "houses.csv, column 'price'", "squared_error", "--task"]),
        ("train houses.csv --target price --loss binary_cross_entropy",
         ["houses.csv, column 'price'", "from 0 to 1"]),
        ("train digits --optimizer rmsprop", ["'rmsprop'", "sgd, adam, adamw, lm or lbfgs"]),
        ("train digits --momentum 0.9", ["--momentum", "sgd", "adamw here"]),
        ("train digits --optimizer sgd --nesterov", ["--nesterov", "momentum"]),
        ("train digits --lr 0", ["--lr", "greater than 0", "0"]),
        ("train digits --lr nan", ["--lr", "nan"]),
        ("train digits --lr fast", ["--lr", "a number", "'fast'"]),
        ("train digits --epochs 0", ["--epochs", "at least 1", "0"]),
        ("train digits --epochs 1.5", ["--epochs", "whole number", "'1.5'"]),
        ("train digits --batch-size -1", ["--batch-size", "at least 1", "-1"]),
        ("train digits --seed -1", ["--seed", "at least 0", "-1"]),
        ("train digits --validation 1", ["--validation", "less than 1"]),
        ("train digits --test -0.1", ["--test", "at least 0"]),
        ("train digits --dtype float16", ["--dtype", "'float16'", "float32 or float64"]),
        ("train digits --init xavier", ["--init", "'xavier'", "glorot_normal"]),
        ("train digits --standardize all", ["--standardize", "'all'", "together"]),
        ("train digits --task guess", ["--task", "'guess'", "regression"]),
        ("train digits --layers 10000000000,100000", ["not enough memory", "--layers"]),
        ("train digits --layer 5", ["--layer", "fcnn"]),
        ("train digits --output none/x.safetensors", ["--output", "none/x.safetensors"]),
        ("train digits --output folder", ["--output", "folder is a folder"]),
        ("train houses.csv --target price --output houses.csv", ["--output", "houses.csv"]),
        ("train digits --plot x.foo", ["--plot", "'x.foo'", "'foo'", "png"]),
        ("train digits --plot none/x.png", ["--plot", "none/x.png"]),
        ("train digits --plot x.png --output x.png", ["--plot", "x.png"]),
        ("train digits --plot x.png --no-plot", ["--plot", "--no-plot"]),
        ("train folder", ["folder", "train-images-idx3-ubyte"]),
        ("train nan.npz", ["nan.npz", "nan", "[1, 0]"]),
        ("train one.npz", ["one.npz", "7 in all rows", "nothing to learn"]),
        ("train names.csv --target name", ["names.csv", "'name'", "150 distinct", "--task"]),
        ("train names.csv --target name --task regression",
         ["'name'", "0 cells are numbers, 150 are not", "\n  line 2: 'n0'", "... and 140 more"]),
        ("train text.csv --target y --columns b=number", ["'b' is not a number", "line 3: 'x'"]),
        ("train text.csv --target y --columns b:number", ["--columns", "NAME=KIND"]),
        ("train text.csv --target y --columns b=text", ["--columns", "number, boolean"]),
        ("train text.csv --target y --columns c=number", ["--columns: got 'c'"]),
        ("train text.csv --target y,z", ["--target", "'z'"]),
        ("train digits --columns b=number", ["--columns: is for tables"]),
        ("predict", ["MODEL, DATA"]),
        ("predict none.safetensors digits", ["none.safetensors", "no such file"]),
        ("predict houses.csv digits", ["houses.csv", "not a model file"]),
        ("predict cut.safetensors digits", ["cut.safetensors", "truncated"]),
        ("predict foreign.safetensors digits", ["foreign.safetensors", "not one of fcnn's"]),
        ("predict houses.safetensors digits", ["got (1797, 64)", "2 columns: area, rooms"]),
        ("predict houses.safetensors text.csv",
         ["text.csv", "columns 'area', 'rooms'", "it has a, b, y"]),
        ("predict houses.safetensors part.csv",
         ["part.csv", "column 'rooms';", "it has area, price"]),
        ("predict houses.safetensors cell.csv", ["cell.csv", "line 4", "'rooms'", "'many'"]),
        ("predict houses.safetensors short.csv", ["short.csv", "line 2", "2 cells"]),
        ("predict houses.safetensors zeros.csv", ["zeros.csv", "line 2", "NUL"]),
        ("predict houses.safetensors houses.csv --probabilities", ["--probabilities", "numbers"]),
        ("predict houses.safetensors houses.csv --output none/x", ["--output", "none/x"]),
        ("predict houses.safetensors houses.csv --output houses.safetensors",
         ["--output", "houses.safetensors"]),
        ("inspect none.safetensors", ["none.safetensors", "no such file"]),
        ("inspect folder", ["folder", "expected a model file"]),
        ("bench --seconds 0", ["--seconds", "greater than 0"]),
        ("bench --dtype int8", ["--dtype", "'int8'"]),
        ("", ["a command is missing"]),
        ("fly", ["'fly'", "train", "predict"]),
    ],
)  # fmt: skip
def test_refusals(refused, bad_files, words, parts):
    before = {path: path.read_bytes() for path in bad_files.iterdir() if path.is_file()}
    message = refused(*words.split())
    for part in parts:
        assert part in message
    assert {p: p.read_bytes() for p in bad_files.iterdir() if p.is_file()} == before


@pytest.fixture
def bad_files(houses_csv, here):
    """A folder with one sound data set and model, and many that are not."""
    from safetensors.numpy import save_file

    net = fcnn.Network((2, 1), loss="squared_error")
    preparation = Preparation.of_numbers(np.zeros(2), np.ones(2), ("area", "rooms"))
    fcnn.Model(net, preparation, Target(["price"])).save("houses.safetensors")
    (here / "folder").mkdir()
    (here / "cut.safetensors").write_bytes((here / "houses.safetensors").read_bytes()[:-3])
    save_file({"w": np.zeros(2)}, "foreign.safetensors")
    np.savez("nan.npz", X=[[1.0], [np.nan]], y=[0, 1])
    np.savez("one.npz", X=np.zeros((20, 2)), y=[7] * 20)
    write_csv(here / "names.csv", ["a", "name"], range(150), [f"n{i}" for i in range(150)])
    (here / "text.csv").write_text("a,b,y\n1,2,3\n1,x,3\n")
    (here / "part.csv").write_text("area,price\n1,2\n")
    (here / "cell.csv").write_text('area,note,rooms\n1,"two\nlines",2\n3,,many\n')
    (here / "short.csv").write_text("area,note,rooms\n1,2\n")
    (here / "zeros.csv").write_bytes(b"area,note,rooms\n1,\0,2\n")
    return here


def test_unwritable_output_is_refused_before_the_data_are_read(here, refused, monkeypatch):
    def never(*_):
        raise AssertionError("the data were read")

    monkeypatch.setattr(datasets, "load_digits", never)
    message = refused("train", "digits", "--output", "absent/digits.safetensors")
    assert "--output: absent" in message
    assert "cannot be written: No such file or directory" in message
    assert "--plot: absent" in refused("train", "digits", "--plot", "absent/digits.png")
    assert list(here.iterdir()) == []


def test_a_file_that_may_not_be_read_is_named(houses_csv, refused, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    message = refused("train", houses_csv, "--target", "price")
    assert message == "fcnn train: error: houses.csv: Permission denied\n"


def test_own_test_part_and_a_share(here, refused):
    X, y = flowers(rows=30)
    np.savez("parts.npz", X_train=X, y_train=y, X_test=X, y_test=y)
    assert "--test: parts.npz has a test part of its own" in refused(
        "train", "parts.npz", "--test", 0.5
    )


def test_extremes_are_refused_by_name(here, refused):
    np.savez("huge.npz", X=[[1e300], [-1e300]] * 10, y=[0, 1] * 10)
    assert "huge.npz: row 0, column 1: 1e+300; too large to be" in refused("train", "huge.npz")
    message = refused("train", "huge.npz", "--standardize", "none")
    assert "huge.npz: row 0, column 1: 1e+300; expected a number that float32" in message
    np.savez("high.npz", X=np.eye(20), y=np.linspace(0, 1e300, 20))
    message = refused("train", "high.npz")
    assert "high.npz: 19 cells: expected a number whose square float64 can hold" in message
    np.savez("single.npz", X=[[1.0]], y=[0.5])
    message = refused("train", "single.npz", "--task", "regression")
    assert "single.npz: 1 row with a target" in message


# --- Divergence and interruption ------------------------------------------------------------------


def test_divergence_at_once(houses_csv, here, run):
    code, _, err = run(
        "train", houses_csv, "--target", "price", "--optimizer", "sgd", "--lr", 1e30, "--no-plot"
    )
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("training diverged in epoch 1 of 50: ")
    assert "try a smaller --lr than 1e+30; no epoch was completed, nothing was saved" in err
    assert not (here / "houses.safetensors").exists()


def test_divergence_after_good_epochs_keeps_the_best(houses_csv, here, run):
    # One step an epoch that overshoots by a constant factor: the loss grows until it overflows.
    code, _, err = run(
        "train", houses_csv, "--target", "price", "--optimizer", "sgd", "--lr", 3, "--layers",
        "none", "--batch-size", 1000, "--epochs", 100_000, "--no-plot",
    )  # fmt: skip
    assert code == 1
    epoch, best = map(
        int,
        re.fullmatch(
            r"training diverged in epoch (\d+) of 100000: [^\n;]+; try a smaller --lr than 3: "
            r"saved the best model so far \(epoch (\d+)\) to houses\.safetensors\n",
            err,
        ).groups(),
    )
    assert 1 <= best < epoch - 10
    assert np.isfinite(fcnn.load("houses.safetensors").network.parameters).all()


def interrupting(monkeypatch, after):
    """Let `fit` be interrupted after so many epochs; return the parameters after each epoch."""
    parameters = []
    fit = fcnn.Network.fit

    def interrupted(net, X, y, **options):
        def stop(progress):
            parameters.append(net.parameters.copy())
            if progress.epoch == after:
                raise KeyboardInterrupt

        if after == 0:
            raise KeyboardInterrupt
        options["callbacks"] = [*options["callbacks"], stop]
        return fit(net, X, y, **options)

    monkeypatch.setattr(fcnn.Network, "fit", interrupted)
    return parameters


def test_interrupted_training_keeps_the_best(here, run, monkeypatch):
    parameters = interrupting(monkeypatch, after=6)
    code, _, err = run("train", "digits", "--epochs", 30)
    assert code == 130
    best = int(
        re.fullmatch(
            r"interrupted in epoch 7 of 30: saved the best model so far \(epoch (\d)\) to "
            r"digits\.safetensors\n",
            err,
        )[1]
    )
    np.testing.assert_array_equal(
        fcnn.load("digits.safetensors").network.parameters, parameters[best - 1]
    )


def test_interrupted_without_validation_keeps_the_last(here, run, monkeypatch):
    parameters = interrupting(monkeypatch, after=3)
    code, _, err = run("train", "digits", "--epochs", 30, "--validation", 0)
    assert code == 130
    assert "saved the model of the last completed epoch so far (epoch 3)" in err
    np.testing.assert_array_equal(fcnn.load("digits.safetensors").network.parameters, parameters[2])


def test_interrupted_in_the_first_epoch_saves_nothing(here, run, monkeypatch):
    (here / "digits.safetensors").write_text("an earlier model")
    interrupting(monkeypatch, after=0)
    code, _, err = run("train", "digits")
    assert code == 130
    assert err == "interrupted in epoch 1 of 50; no epoch was completed, nothing was saved\n"
    assert (here / "digits.safetensors").read_text() == "an earlier model"


def test_interrupted_elsewhere(here, run, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load_digits", interrupt)
    assert run("train", "digits") == (130, "", "fcnn train: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudoterminal and SIGINT")
@pytest.mark.skipif(os.name == "nt", reason="a POSIX terminal")
@pytest.mark.slow(reason="a process that imports matplotlib and tqdm")
def test_ctrl_c_on_a_terminal(here):
    """A real SIGINT to a real process, once its bar shows that an epoch is done."""
    pytest.importorskip("tqdm")
    terminal, stderr = os.openpty()
    words = [sys.executable, "-m", "fcnn", "train", "digits", "--epochs", "99999"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        os.close(stderr)
        try:
            shown = read_terminal(terminal, until=r"\r[1-9]\d*/99999 ")
            process.send_signal(signal.SIGINT)
            shown += read_terminal(terminal, until=None)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            os.close(terminal)
    assert process.returncode == 130
    assert "Traceback" not in shown
    assert re.search(r"validation=\S+, accuracy=\S+", shown)
    assert re.search(
        r"\ninterrupted in epoch \d+ of 99999: saved the best model so far \(epoch \d+\) to "
        r"digits\.safetensors\r?\n$",
        shown,
    )
    assert "64-128-10" in out
    assert fcnn.load("digits.safetensors").network.sizes == (64, 128, 10)
    assert sorted(path.name for path in here.iterdir()) == ["digits.safetensors"]


def read_terminal(terminal, until, seconds=30):
    """Return what a process writes to a terminal, until a pattern or its end."""
    text = ""
    deadline = time.monotonic() + seconds
    while until is None or not re.search(until, text):
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing like {until!r} after {seconds} s, but {text!r}")
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the process has closed it
            piece = b""
        if not piece:
            break
        text += piece.decode()
    return text


# --- Around it ------------------------------------------------------------------------------------


def test_inspect(flowers_csv, run):
    run("train", flowers_csv, "--target", "species", "--no-plot", "--epochs", 1)
    code, out, err = run("inspect", "flowers.safetensors")
    model = fcnn.load("flowers.safetensors")
    net = model.network
    assert (code, err) == (0, "")
    assert f"{os.path.getsize('flowers.safetensors'):,} bytes" in out
    assert re.search(r"^checksum   crc32:[0-9a-f]{8} is right$", out, re.MULTILINE)
    assert net.summary() in out
    assert "classes    long, thin, round, small" in out
    assert "target     species" in out
    scaling = model.preparation
    rows = [line.split() for line in out.splitlines()]
    for name, mean, scale in zip("abc", scaling.mean, scaling.scale, strict=True):
        assert any(
            row[:2] == [name, "number"]
            and f"(v - {mean:.6g}) / {scale:.6g}, v from" in " ".join(row)
            for row in rows
        )
    for l, W in enumerate(net.weights, start=1):
        row = next(row for row in rows if row[:1] == [f"W{l}"])
        assert [float(v) for v in row[1:5]] == pytest.approx(
            [W.mean(), W.std(), W.min(), W.max()], rel=1e-3, abs=1e-6
        )


@pytest.mark.slow
def test_quiet(flowers_csv, run):
    code, out, err = run("train", flowers_csv, "--target", "species", "--quiet", "--epochs", 1)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["test", "time", "model", "picture"]


def test_without_matplotlib(flowers_csv, here, run, monkeypatch):
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, module, None)
    code, out, err = run("train", flowers_csv, "--target", "species", "--epochs", 1)
    assert (code, err) == (0, "")
    line = "picture    not drawn, that needs matplotlib: pip install fcnn[cli]\n"
    assert out.count(line) == 1
    assert not list(here.glob("*.png"))


def test_help_names_every_option(run):
    code, out, err = run("train", "--help")
    assert (code, err) == (0, "")
    options = (
        "target columns ignore no-header task test validation standardize layers activation "
        "output-activation loss init dtype optimizer lr momentum nesterov weight-decay epochs "
        "batch-size seed output plot no-plot quiet"
    )
    for option in options.split():
        assert re.search(rf"^  --{option}\b.*", out, re.M)
    for command in ("predict", "inspect", "bench"):
        code, out, _ = run(command, "--help")
        assert code == 0
        assert out.startswith(f"usage: fcnn {command} ")


def test_bench_passes_its_options_on(run, monkeypatch):
    bench = pytest.importorskip("fcnn.bench")
    monkeypatch.setattr(bench, "run", lambda seconds, dtype: f"{seconds} s of {dtype}")
    assert run("bench") == (0, "10.0 s of float32\n", "")
    assert run("bench", "--seconds", "3", "--dtype", "float64") == (0, "3.0 s of float64\n", "")
    assert run("bench", "--quick") == (0, "2.0 s of float32\n", "")

    def differ(*_):
        raise RuntimeError("the two sides differ")

    monkeypatch.setattr(bench, "run", differ)
    assert run("bench") == (1, "", "fcnn bench: error: the two sides differ\n")


def python_m(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "fcnn", *words],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@pytest.mark.slow(reason="three processes")
def test_as_a_module(here):
    done = python_m("--version")
    isa = fcnn.show_config("dicts")["instruction set"]
    assert (done.returncode, done.stdout) == (
        0,
        f"fcnn {fcnn.__version__} ({isa} instruction set)\n",
    )
    done = python_m("train", "nothing.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fcnn train: error: DATA: there is no file")
    # No bar where stderr is not a terminal; and what is only wanted for pictures stays away.
    done = python_m("train", "digits", "--epochs", "2", "--no-plot")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_start_is_light(here):
    code = (
        "import json, sys; from fcnn.cli.main import main; main(['train', '--help']); "
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "fcnn.cli.main" in modules
    heavy = {"matplotlib", "tqdm", "webbrowser", "fcnn.bench", "fcnn.cli.train"}
    assert not heavy & set(modules)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pipe")
def test_a_closed_pipe_is_quiet(here, run):
    run("train", "digits", "--epochs", 1, "--no-plot")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "fcnn", "predict", "digits.safetensors", "digits"],
        stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # all answers fit into the buffer
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_predict_inputs_without_targets(here, run):
    X, y = flowers()
    np.savez(here / "known.npz", X=X, y=y)
    assert run("train", "known.npz", "--epochs", 3, "--no-plot", "--quiet")[0] == 0
    np.savez(here / "new.npz", X=X[:5])
    code, out, err = run("predict", "known.safetensors", "new.npz")
    assert (code, err, len(answers(out)[1])) == (0, "", 5)
    assert run("train", "new.npz")[0] == 2


def test_columns_can_be_ignored(here, run, refused):
    X, y = flowers()
    names = np.arange(len(y)) * 7 % 31
    write_csv(here / "t.csv", ["id", "a", "b", "c", "species"], names, *X.T, y)
    words = ("train", "t.csv", "--target", "species", "--epochs", 20, "--no-plot", "--quiet")
    words += ("--output", "t.safetensors")
    assert run(*words, "--ignore", "id")[0] == 0
    assert fcnn.load("t.safetensors").features == ("a", "b", "c")
    assert "accuracy 1.0000" in run("predict", "t.safetensors", "t.csv")[2]
    assert "--ignore: got 'species'" in refused(*words, "--ignore", "id,species")
    assert run(*words, "--ignore", "id", "--ignore", "b,c")[0] == 0
    assert fcnn.load("t.safetensors").features == ("a",)
    assert "--ignore: is for tables" in refused("train", "digits", "--ignore", "id")


def test_narrow_integers_and_booleans_are_standardized(here, run):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    for X in (
        (rng.normal(size=(200, 3)) * 9000 + 20000 * y[:, None])
        .clip(-32000, 32000)
        .astype(np.int16),
        rng.random((200, 3)) < 0.2 + 0.6 * y[:, None],
    ):
        np.savez(here / "t.npz", X=X, y=y)
        words = ("train", "t.npz", "--epochs", 2, "--no-plot", "--test", 0)
        assert run(*words, "--output", "t.safetensors")[0] == 0
        scale = fcnn.load("t.safetensors").preparation.scale
        np.testing.assert_allclose(scale, X.std(axis=0, dtype=float), rtol=0.1)


def test_narrow_integer_targets_are_standardized(here, run):
    """From -30,000 to 30,000: the range of these does not fit their own type."""
    X = np.linspace(-1, 1, 400)[:, None]
    np.savez(here / "t.npz", X=X, y=(30000 * X[:, 0]).astype(np.int16))
    _, out, _ = run("train", "t.npz", "--layers", "none", "--lr", 0.05, "--epochs", 30, "--no-plot")
    assert float(re.search(r"r2 (\S+),", out).group(1)) > 0.99


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a POSIX pipe")
def test_a_model_goes_through_a_pipe(flowers_csv, here):
    words = [sys.executable, "-m", "fcnn", "train", flowers_csv, "--target", "species"]
    words += ["--epochs", "1", "--no-plot", "--quiet", "--output", "/dev/stdout"]
    done = subprocess.run(words, capture_output=True, check=True)
    assert b'"fcnn"' in done.stdout


def test_no_score_against_other_classes(flowers_csv, here, run):
    run("train", flowers_csv, "--target", "species", "--epochs", 1, "--no-plot")
    X, _ = flowers()
    np.savez(here / "other.npz", X=X, y=np.arange(len(X)) % 2)
    err = run("predict", "flowers.safetensors", "other.npz")[2]
    assert re.search(
        r"no score: other\.npz: [\d,]+ cells: expected one of the classes .*: '0'", err
    )


@pytest.mark.skipif(os.name != "posix", reason="a POSIX device")
def test_a_device_takes_the_answer_and_stays_one(flowers_csv, run):
    run("train", flowers_csv, "--target", "species", "--epochs", 1, "--no-plot")
    code, out, _ = run("predict", "flowers.safetensors", flowers_csv, "--output", os.devnull)
    assert (code, out) == (0, "")
    fcnn.load("flowers.safetensors").save(os.devnull)
    assert not os.path.isfile(os.devnull)


@pytest.mark.parametrize("target", ["kind", "height"])
def test_rows_that_a_model_was_made_of_are_told_from_those_held_out(target, here, run):
    rng = np.random.default_rng(3)
    X, kind = rng.normal(size=(60, 4)), rng.choice(["no", "yes"], 60)
    write_csv(
        here / "all.csv", [*"abcd", "kind", "height"], *X.T, kind, X[:, 0] + rng.normal(size=60)
    )
    other = "height" if target == "kind" else "kind"
    words = ["--target", target, "--ignore", other, "--epochs", 20, "--no-plot"]
    code, out, _ = run("train", "all.csv", *words)
    assert code == 0
    code, _, err = run("predict", "all.safetensors", "all.csv")
    first, second = err.splitlines()[-2:]
    assert (code, first.endswith("60 samples (the model was made of 48 of them)")) == (0, True)
    assert second.endswith("12 samples (those that were held out)")
    score = re.search(r"test +(?:accuracy|r2) (\S+?)[ ,]", out)[1]
    assert second.startswith(("accuracy ", "r2 "))
    assert score in second
    lines = (here / "all.csv").read_text().splitlines(keepends=True)
    (here / "some.csv").write_text("".join(lines[:-1]))  # other data
    _, _, err = run("predict", "all.safetensors", "some.csv")
    assert "59 samples\n" in err
    assert "held out" not in err
