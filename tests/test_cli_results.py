"""What `fcnn train` and `fcnn report` print of scores, and what the command writes."""

import itertools
import json
import re
import sys

import numpy as np
import pytest

import fcnn
from fcnn.cli import results as cli_results
from fcnn.cli.results import results
from fcnn.cli.terminal import columns_of
from fcnn.metrics import ClassScores, NumberScores

CODES = re.compile("\x1b\\[[0-9;]*m")


def of_three():
    y = np.repeat([0, 1, 2], [5, 3, 2])
    return ClassScores.of(np.array([0, 0, 0, 0, 1, 1, 1, 0, 1, 0]), y, ["no", "yes", "漢字"])


def of_many(classes=60):
    y = np.repeat(np.arange(classes), 10)
    predictions = np.where(np.arange(len(y)) % 10 < y % 7, 0, y)
    names = [f"a long name of a class, number {k}" for k in range(classes)]
    return ClassScores.of(predictions, y, names)


def test_classes():
    lines = results(of_three())
    assert lines == [
        "test       accuracy 0.6000 (6 of 10); always 'no' has 0.5000",
        "           balanced accuracy 0.4889",
        "           class  precision  recall      F1  rows",
        "           no        0.6667  0.8000  0.7273     5",
        "           yes       0.5000  0.6667  0.5714     3",
        "           漢字           -  0.0000  0.0000     2",
        "warning    it never answers '漢字', which occurs",
    ]
    assert results(of_three(), short=True) == [lines[0], lines[-1]]


def test_two_classes_have_a_roc_auc():
    y = np.array([0, 0, 1, 1])
    scores = ClassScores.of(y, y, [False, True], probabilities=np.array([0.1, 0.4, 0.35, 0.8]))
    assert results(scores)[1] == "           balanced accuracy 1.0000, ROC AUC 0.7500"


def test_numbers():
    y = np.array([[1.0], [2.0], [3.0], [6.0]])
    scores = NumberScores.of(y + np.array([[1, -1, 1, -1]]).T, y, ["price"])
    assert results(scores, label="scores") == [
        "scores     r2 0.7143, root mean square error 1 on 4 samples",
        "           mean absolute error 1; always the mean, 3, has 1.5, and root mean square error "
        "1.871",
    ]
    wide = np.hstack([y, y[::-1]])
    lines = results(NumberScores.of(wide + 1, wide, ["a", "bb"]))
    assert lines[1:] == [
        "           target      r2  rmse  of mean  mae  of mean",
        "           a       0.7143     1    1.871    1      1.5",
        "           bb      0.7143     1    1.871    1      1.5",
    ]
    assert any(line.startswith("warning    the network is no better") for line in
               results(NumberScores.of(y * 0 + 3, y)))  # fmt: skip


@pytest.mark.parametrize("width", [40, 61, 80, 200])
@pytest.mark.parametrize("make", [of_three, of_many])
def test_lines_fit_the_width(make, width):
    plain = results(make(), width=width)
    assert max(map(columns_of, plain)) <= width
    colored = results(make(), width=width, color=True)
    assert [CODES.sub("", line) for line in colored] == plain
    assert not any(CODES.search(line) for line in plain)
    yellow = [CODES.sub("", line) for line in colored if line.startswith("\x1b[33m")]
    first = [k for k, line in enumerate(plain) if line.startswith("warning")]
    assert yellow == (plain[first[0] :] if first else [])


def test_of_many_classes_the_worst_are_shown():
    lines = results(of_many())
    table = [line for line in lines if "number" in line and not line.startswith(("test", "warn"))]
    assert len(table) == 20
    shown = {int(line.split("number ")[1].split()[0]) for line in table}
    assert {k for k in range(60) if k % 7 == 6} <= shown  # six of ten were wrong
    assert lines[-1].strip() == "the 20 of 60 classes with the lowest recall"


def test_names_cannot_move_the_cursor():
    scores = ClassScores.of(np.array([0, 1]), np.array([0, 1]), ["a\x1b[2Jb\r", "c\nd"])
    assert not any(set(line) & {"\x1b", "\r", "\n"} for line in results(scores))


def test_colour_only_on_a_terminal(monkeypatch, capsys):
    cli_results.print_results(of_three())
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "44")
    cli_results.print_results(of_three())
    out = capsys.readouterr().out
    assert "\x1b[33mwarning" in out
    assert max(map(columns_of, CODES.sub("", out).splitlines())) <= 44
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            cli_results.print_results(of_three())
            assert "\x1b" not in capsys.readouterr().out


# --- The commands --------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=200)
    x = label + rng.normal(0, 0.4, 200)
    rows = [f"{x:.4f},{['no', 'yes'][k]}" for x, k in zip(x, label, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["x,answer", *rows]))
    (tmp_path / "fraud.csv").write_text(
        "\n".join(["x,fraud", *(f"{v:.3f},{k % 50 == 0}" for k, v in enumerate(x))])
    )
    return tmp_path


@pytest.mark.slow(reason="draws pictures")
def test_train_then_report(here, run):
    pytest.importorskip("matplotlib")
    words = ["train", "t.csv", "--target", "answer", "--no-plot", "--epochs", "20"]
    code, out, _ = run(*words)
    assert code == 0
    found = re.search(r"accuracy (\S+) \((\d+) of 40\); always '(yes|no)' has (\S+)", out)
    assert float(found[1]) == int(found[2]) / 40
    assert "balanced accuracy" in out
    assert re.search(r"^ +yes +[\d.]+ +[\d.]+ +[\d.]+ +\d+$", out, re.M)
    model = fcnn.load("t.safetensors")
    assert model.training.command == "fcnn train t.csv --target answer --no-plot --epochs 20"
    assert model.training.data == "t.csv"
    assert len(model.training.history.loss) == 20
    assert model.training.parts == {"training": 144, "validation": 16, "test": 40}
    code, out, err = run("report", "t.safetensors", "t.csv", "--repeats", "2")
    assert code == 0
    assert "note: measured on the 40 of 200 rows that were held out for the test" in err
    assert out.startswith(f"scores     {found[0]}\n")
    assert out.endswith("report     t.html\n")
    page = (here / "t.html").read_text(encoding="utf-8")
    assert '<td class="text">fcnn report t.safetensors t.csv --repeats 2</td>' in page
    assert '<td class="text">fcnn train t.csv --target answer --no-plot --epochs 20</td>' in page
    assert "measured on the 40 of 200 rows that were held out for the test" in page
    assert "2 permutations of 40 rows" in page
    # The same rows in another order are other data, as far as can be told.
    lines = (here / "t.csv").read_text().splitlines()
    (here / "copy").mkdir()
    (here / "copy" / "t.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))
    code, _, err = run("report", "t.safetensors", "copy/t.csv", "--repeats", "1")
    assert code == 0
    assert "t.safetensors was trained on data of this name" in err
    assert "held out" not in err
    page = (here / "t.html").read_text(encoding="utf-8")
    scores = model.evaluate(fcnn.tables.read_table("t.csv"))
    assert f"{scores['roc_auc']:.4f}" in page
    assert "measured on 200 rows." in page


def scores_of(out, word):
    """Return all lines of scores that a command printed, without the word before them."""
    lines = out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(word))
    rest = itertools.takewhile(lambda line: line.startswith(" " * 11), lines[first + 1 :])
    return [lines[first].removeprefix(word).strip(), *(line.strip() for line in rest)]


def table_of(kind, rows=90):
    """Return a table with missing cells and targets, rows without anything, and its target."""
    rng = np.random.default_rng(3)
    x, color = rng.normal(size=rows), rng.choice(["red", "blue", "green"], rows)
    y = 50 * x + 20 * (color == "red") + rng.normal(0, 9, rows) + 1e6
    cells = {"x": [f"{v:.3f}" for v in x], "color": color, "y": [f"{v:.2f}" for v in y]}
    if kind == "classes":
        cells["y"] = np.where(y > 1e6 + 20, "much", np.where(y < 1e6 - 20, "little", "some"))
    lines = [list(row) for row in zip(*cells.values(), strict=True)]
    lines[3][2] = lines[17][2] = ""  # nobody knows
    lines[5][0] = lines[40][1] = ""
    lines.insert(60, ["", "", ""])
    return "\n".join(",".join(row) for row in [list(cells), *lines])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize(
    "words",
    [
        [], pytest.param(["--seed", "5", "--test", "0.35"], marks=pytest.mark.slow),
        pytest.param(["--validation", "0"], marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_report_on_the_training_data_is_of_the_rows_held_out(kind, words, here, run):
    pytest.importorskip("matplotlib")
    from fcnn.report import Report

    (here / "d.csv").write_text(table_of(kind))
    code, out, err = run("train", "d.csv", "--target", "y", "--no-plot", "--epochs", "4", *words)
    assert code == 0, err
    told = scores_of(out, "test")
    tested = fcnn.load("d.safetensors").training.parts["test"]
    assert tested == round(88 * (0.35 if "--test" in words else 0.2))
    code, out, err = run("report", "d.safetensors", "d.csv", "--repeats", "1")
    assert code == 0, err
    assert scores_of(out, "scores") == told
    assert f"the {tested} of 88 rows that were held out for the test" in err
    # A data frame with another column and in another order is the same, one without a row is not.
    model = fcnn.load("d.safetensors")
    table = {c.name: c.texts() for c in fcnn.tables.read_table("d.csv").columns}
    turned = {"more": np.arange(91), **dict(reversed(table.items()))}
    report = Report.of(model, turned, repeats=1)
    assert report.scores.rows == len(report.y) == tested
    one_less = {name: column[:-1] for name, column in table.items()}
    assert Report.of(model, one_less, repeats=1).which == ""


def test_other_data_of_the_same_length_are_measured_whole(here, run):
    """One cell of a row that was held out is another one: then they are not known to be those."""
    pytest.importorskip("matplotlib")
    from fcnn.report import Report

    (here / "d.csv").write_text(table_of("numbers"))
    run("train", "d.csv", "--target", "y", "--no-plot", "--epochs", "4")
    model = fcnn.load("d.safetensors")
    lines = (here / "d.csv").read_text().splitlines()
    held_out = set(Report.of(model, fcnn.tables.read_table("d.csv"), repeats=1).y[:, 0])
    told = []
    for i in range(20, 40):
        x, color, y = lines[i].split(",")
        changed = [*lines[:i], f"{float(x) + 1:.3f},{color},{y}", *lines[i + 1 :]]
        (here / "other.csv").write_text("\n".join(changed))
        report = Report.of(model, fcnn.tables.read_table("other.csv"), repeats=1)
        assert bool(report.which) == (float(y) not in held_out)
        assert report.scores.rows == (18 if report.which else 88)
        told.append(bool(report.which))
    assert 0 < sum(told) < 20


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trivial", 2), ("trivial", -1), ("trivial", True), ("trivial", [0.5]), ("trivial", "no"),
        ("held_out", {"seed": 0, "share": 1.0, "rows": 200, "digest": ""}),
        ("held_out", {"seed": 0, "share": 0.2, "rows": 200, "digest": 7}),
        ("held_out", {"seed": -1, "share": 0.2, "rows": 200, "digest": ""}),
        ("held_out", {"seed": 0, "share": 0.2}), ("held_out", 3),
    ],
)  # fmt: skip
def test_a_forged_record_is_refused(key, value, here, run):
    run("train", "t.csv", "--target", "answer", "--no-plot", "--epochs", "1")
    whole = (here / "t.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    description = json.loads(header["__metadata__"]["fcnn"])
    assert description["model"]["training"][key] is not value
    description["model"]["training"][key] = value
    # As before there was a checksum, which would refuse any change.
    description["format"] = 2
    del header["__metadata__"]["checksum"]
    header["__metadata__"]["fcnn"] = json.dumps(description)
    text = json.dumps(header).encode()
    forged = len(text).to_bytes(8, "little") + text + whole[8 + length :]
    (here / "forged").write_bytes(forged)
    with pytest.raises(ValueError, match="forged: not a sound fcnn model"):
        fcnn.load(here / "forged")


def test_the_trivial_answer_is_of_the_rows_trained_on(here, run):
    """Nine of ten are no; among the new rows nine of ten are yes: always no has 0.1 there."""
    rng = np.random.default_rng(0)
    rare = np.arange(300) % 10 == 0
    x = rare + rng.normal(0, 0.05, 300)
    y = np.where(rare, 700.0, 10.0)
    for name, chosen in (("old", np.arange(300)), ("new", np.flatnonzero(rare)[:27])):
        more = np.flatnonzero(~rare)[:3] if name == "new" else []
        rows = [*chosen, *more]
        (here / f"{name}.csv").write_text("\n".join(
            ["x,word,number", *(f"{x[i]},{['no', 'yes'][int(rare[i])]},{y[i]}" for i in rows)]
        ))  # fmt: skip
    for target, other in (("word", "number"), ("number", "word")):
        code, _, err = run(
            "train", "old.csv", "--target", target, "--ignore", other, "--no-plot",
            "--output", "m", "--task", "auto" if target == "word" else "regression",
        )  # fmt: skip
        assert code == 0, err
        model = fcnn.load("m")
        baseline = model.evaluate(fcnn.tables.read_table("new.csv"))["baseline"]
        if target == "word":
            assert baseline == {"answer": "no", "accuracy": 0.1, "balanced_accuracy": 0.5}
        else:
            mean = baseline["answer"]
            assert abs(mean - 79) < 8
            new = np.array([700.0] * 27 + [10.0] * 3)
            np.testing.assert_allclose(baseline["mae"], np.abs(new - mean).mean())
            np.testing.assert_allclose(
                baseline["r2"], 1 - ((new - mean) ** 2).sum() / ((new - new.mean()) ** 2).sum()
            )


def test_train_warns_of_a_model_that_predicts_nothing(here, run):
    words = ["train", "fraud.csv", "--target", "fraud", "--no-plot", "--epochs", "3", "--quiet"]
    code, out, _ = run(*words)
    assert code == 0
    assert "warning    the network is no better than always answering False: accuracy 0.98" in (
        out.replace("0.975", "0.98")
    )
    assert "warning    it answers False for every row" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["t.csv"], "no column 'answer'"), (["none.csv"], "no file or folder 'none.csv'"),
        (["t.csv", "--output", "t.csv"], "would replace what is read"),
        (["t.csv", "--repeats", "0"], "--repeats: expected at least 1"),
    ],
)  # fmt: skip
def test_refusals(words, message, here, run):
    pytest.importorskip("matplotlib")
    run("train", "t.csv", "--target", "answer", "--no-plot", "--epochs", "1")
    if words == ["t.csv"]:
        (here / "t.csv").write_text("x\n1\n2\n")
    code, out, err = run("report", "t.safetensors", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not (here / "t.html").exists()
