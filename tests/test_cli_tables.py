"""The command line on tables as people have them: each case, and what is right for it."""

import ast
import csv
import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import fcnn
from fcnn.cli import terminal

CASES = Path(__file__).parent / "tables" / "cases"


@pytest.fixture
def trained(run):
    """A model of a case, what was printed, and what was noted."""

    def call(name, target="y", *words):
        path = CASES / name
        code, out, err = run(
            "train", path, "--target", target, "--epochs", 30, "--no-plot", "--output", "m", *words
        )
        assert code == 0, err
        return fcnn.load("m"), out, err

    return call


def predictions(text):
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["prediction"]
    return [row[0] for row in rows]


CLASSES = {
    "bool.csv": "flag  boolean   False or True",
    "date.csv": "when  date      2026-01-01 to 2026-01-28",
    "bom.csv": "", "data.tsv": "", "emptyend.csv": "", "g.csv.gz": "", "pipe.csv": "",
    "sepline.csv": "", "utf16.csv": "", "commahdr.csv": "", "commahdr2.csv": "",
    "trail.csv": "Unnamed: 3  left out  all cells are empty",
    "comment.csv": "", "dup.csv": "", "d.parquet": "", "d.jsonl": "", "d.xlsx": "",
    "const.csv": "left out  constant, '7' everywhere",
}  # fmt: skip
NOTES = {
    "comment.csv": "note: 1 comment line (#) left out: line 1\n",
    "emptyend.csv": "note: 2 empty rows at the end left out\n",
    "dup.csv": "note: columns named 'a' twice: the one at 2 is 'a.1' here\n",
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name, run, trained):
    if name.endswith((".parquet", ".jsonl", ".xlsx")):
        pytest.importorskip("polars")
    if name.endswith(".xlsx"):
        pytest.importorskip("fastexcel")
    model, out, err = trained(name)
    assert "60 samples" in out
    assert CLASSES[name] in out
    assert err == NOTES.get(name, "")
    assert model.classes == ("hi", "lo")
    code, out, err = run("predict", "m", CASES / name)
    assert code == 0
    assert re.search(r"accuracy (0\.[89]|1\.)", err)
    assert set(predictions(out)) <= {"hi", "lo"}


@pytest.mark.parametrize(
    ("name", "least", "most", "note"),
    [
        ("de_all.csv", -10, 110, ""), ("de_target.csv", -10, 110, ""),
        ("money.csv", -10_000, 110_000, "in $, as written"),
        ("thousands.csv", -10_000, 110_000, "'81,000' is read as 81000"),
        ("percent.csv", -10, 110, "in %, as written"),
        ("na_target.csv", -10, 110, "1 row without a value ('NA') left out: line 9"),
        ("q_target.csv", -10, 110, "1 row without a value ('?') left out: line 9"),
        ("null_target.csv", -10, 110, "1 row without a value ('NULL') left out: line 9"),
    ],
)  # fmt: skip
def test_numbers(name, least, most, note, run, trained):
    model, out, err = trained(name)
    assert not model.classes
    assert "task       regression" in out
    assert note in err
    assert bool(note) == bool(err)
    code, out, err = run("predict", "m", CASES / name)
    values = np.array(predictions(out), float)
    assert (code, len(values)) == (0, 60)
    assert least < values.min() < values.max() < most
    assert float(re.search(r"r2 (\S+),", err)[1]) > 0.5


def test_a_typo_is_refused(run):
    code, out, err = run("train", CASES / "one_typo.csv", "--target", "y")
    assert (code, out) == (2, "")
    assert "59 cells are numbers, 1 is not" in err
    assert err.endswith("\n  line 9: 'l2.5'\n")


@pytest.mark.parametrize(
    ("name", "classes", "note"),
    [
        ("id01.csv", {"00", "01"}, ""), ("zip.csv", {"0123", "123"}, ""),
        ("nan_class.csv", {"hi", "lo", "nan"}, "'nan' is taken for a class"),
        ("none_class.csv", {"hi", "lo", "None"}, "'None' is taken for a class"),
        ("booltarget.csv", {"True", "False"}, ""),
    ],
)  # fmt: skip
def test_texts_of_classes(name, classes, note, run, trained):
    model, out, err = trained(name)
    assert set(model.target.class_texts) == classes
    assert note in err
    assert bool(note) == bool(err)
    _, out, err = run("predict", "m", CASES / name)
    assert set(predictions(out)) <= classes
    assert "of 60 samples" in err
    header = run("predict", "m", CASES / name, "--probabilities")[1].splitlines()[0]
    assert set(header.split(",")) == classes


@pytest.mark.slow
def test_a_target_far_from_zero(run):
    """About 1.7e9 +- 67: the saved model answers as well as float64 does."""
    scores = {}
    for dtype in ("float32", "float64"):
        words = ("--target", "when", "--no-plot", "--output", dtype, "--dtype", dtype)
        assert run("train", CASES / "unix.csv", *words, "--quiet")[0] == 0
        table = fcnn.tables.read_table(CASES / "unix.csv")
        scores[dtype] = fcnn.load(dtype).evaluate(table)["r2"]
    assert scores["float64"] > 0.99
    assert abs(scores["float32"] - scores["float64"]) < 0.01
    words = ("--target", "when", "--no-plot", "--output", "huber", "--loss", "huber", "--lr", 0.01)
    assert run("train", CASES / "unix.csv", *words, "--quiet")[0] == 0
    assert fcnn.load("huber").evaluate(table)["r2"] > 0.9


def test_a_first_line_of_data(run, trained):
    model, _, err = trained("noheader.csv", "column_3", "--no-header")
    assert (err, model.features) == ("", ("column_1", "column_2"))
    code, out, err = run("predict", "m", CASES / "noheader.csv", "--no-header")
    assert (code, len(predictions(out))) == (0, 60)
    _, _, err = trained("noheader.csv", "hi")
    assert "the first line looks like data" in err
    _, _, err = run("train", CASES / "noheader.csv", "--target", "y")
    assert "the first line looks like data" in err


def test_standard_input(run):
    data = (CASES / "g.csv.gz").read_bytes()
    words = ("--target", "y", "--epochs", 30, "--no-plot", "--quiet", "--output", "m")
    assert run("train", "-", *words, stdin=data)[0] == 0
    _, expected, _ = run("predict", "m", CASES / "g.csv.gz")
    code, out, err = run("predict", "m", "-", stdin=data)
    assert (code, out) == (0, expected)
    assert "accuracy" in err
    code, _, err = run("train", "-", "--target", "y")
    assert (code, "standard input: is empty" in err) == (2, True)


def test_kinds_can_be_given_and_columns_ignored(run, trained):
    model, out, _ = trained("bool.csv", "y", "--columns", "flag=category", "--columns", "a=number")
    assert "flag  category  2: 'False', 'True'" in out
    assert model.preparation.output_names == ["a", "flag=False", "flag=True"]
    model, out, _ = trained("trail.csv", "y", "--ignore", "")
    assert "Unnamed: 3  left out  ignored" in out
    model, out, _ = trained("commahdr.csv", "y", "--ignore", "d, e, f")
    assert model.features == ("w, h",)
    _, out, _ = trained("date.csv", "y", "--columns", "when=date,a=category")
    assert "a     category" in out


def test_several_targets(run, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    lines = ["x1,x2,b,a"]
    lines += [f"{p},{q},{100 * p + 5},{q / 1000}" for p, q in x.tolist()]
    (tmp_path / "two.csv").write_text("\n".join(lines))
    code, out, _ = run("train", "two.csv", "--target", "a,b", "--no-plot", "--epochs", 100)
    assert code == 0
    assert "regression: 2 numbers for each row" in out
    _, out, err = run("predict", "two.safetensors", "two.csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["prediction_a", "prediction_b"]
    answers = np.array(rows[1:], float)
    assert np.corrcoef(answers[:, 0], x[:, 1])[0, 1] > 0.98
    assert np.abs(answers[:, 1] - 100 * x[:, 0] - 5).mean() < 20
    assert re.search(r"r2 (?:0\.9\d+|1\.0000), root mean square error \S+, \S+ on 300", err)


def test_what_prediction_fills_is_said(run, trained, tmp_path):
    trained("bool.csv")
    (tmp_path / "new.csv").write_text("flag,a\n,3\nTrue,NA\n")
    code, out, err = run("predict", "m", "new.csv")
    assert (code, len(predictions(out))) == (0, 2)
    assert "note: column 'a': 1 missing, filled with " in err
    assert "note: column 'flag': 1 missing, filled with true" in err
    (tmp_path / "bad.csv").write_text("flag,a\nmaybe,3\nTrue,x\nNo,y\n")
    code, out, err = run("predict", "m", "bad.csv")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "fcnn predict: error: bad.csv: 3 problems",
        "  line 2, column 'flag': 'maybe'; expected true or false",
        "  line 3, column 'a': 'x'; expected a number",
        "  line 4, column 'a': 'y'; expected a number",
    ]


def test_every_form_of_a_dataframe_gives_the_same_answers(run, tmp_path):
    """Raw rows of all kinds: from the file, permuted, from Parquet, from Python."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    rows = 200
    frame = pd.DataFrame(
        {
            "n": rng.normal(50, 10, rows).round(2), "ok": rng.random(rows) < 0.5,
            "c": rng.choice(["red", "green", "blue", None], rows),
            "d": pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 500, rows), "D"),
        }
    )  # fmt: skip
    frame.loc[::9, "n"] = np.nan
    frame["y"] = np.where(frame.ok & (frame.c != "red"), "A", "B")
    frame.to_csv("t.csv", index=False)
    words = ("--target", "y", "--no-plot", "--quiet", "--output", "m", "--epochs", 20)
    assert run("train", "t.csv", *words)[0] == 0
    expected = predictions(run("predict", "m", "t.csv")[1])
    assert set(expected) == {"A", "B"}
    permuted = frame.assign(z=1)[["d", "z", "y", "c", "ok", "n"]]
    model = fcnn.load("m")
    assert model.predict(permuted).tolist() == expected
    permuted.to_parquet("t.parquet")
    permuted.to_csv("p.csv", index=False, sep=";")
    for path in ("t.parquet", "p.csv"):
        assert predictions(run("predict", "m", path)[1]) == expected
    stdin = Path("t.parquet").read_bytes()
    assert predictions(run("predict", "m", "-", stdin=stdin)[1]) == expected


HEADLESS = ("t.parquet", "t.jsonl", "t.json", "t.npz", "digits", "-")


@pytest.mark.parametrize("source", HEADLESS)
def test_no_header_is_refused_where_it_means_nothing(source, run, tmp_path):
    """By train, predict and report; an option that is ignored would be believed."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    rows = [f'{{"a": {a:.4f}, "b": {b:.4f}, "y": {a + b:.4f}}}' for a, b in X]
    Path("t.jsonl").write_text("\n".join(rows))
    stdin = b""
    if source == "t.npz":
        np.savez("t.npz", X=X, y=X.sum(axis=1))
    elif source == "t.json":
        Path("t.json").write_text(f"[{', '.join(rows)}]")
    elif source != "digits":
        pl = pytest.importorskip("polars")
        pl.read_ndjson("t.jsonl").write_parquet("t.parquet")
        stdin = Path("t.parquet").read_bytes()
    named = [] if source in ("t.npz", "digits") else ["--target", "y"]
    model = fcnn.Network((64 if source == "digits" else 2, 1), loss="squared_error")
    model.save("m")
    for words in (["train", source, *named], ["predict", "m", source], ["report", "m", source]):
        code, out, err = run(*words, "--no-header", stdin=stdin)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "error: --no-header: " in err
    assert not [*tmp_path.glob("*.html")]


def test_tables_need_polars_where_they_do(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    code, out, err = run("train", CASES / "d.parquet", "--target", "y")
    assert (code, out) == (2, "")
    assert "needs polars: pip install fcnn[cli]" in err


@pytest.mark.slow
def test_each_row_has_an_answer_though_it_has_no_value(run, tmp_path):
    rows = [f"{i % 50}.5,{2 * (i % 50)}.25" for i in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows[:100], "", ",", *rows[100:], ""]))
    code, _, err = run("train", "t.csv", "--target", "y", "--epochs", 1, "--output", "m")
    assert code == 0
    assert "note: 2 empty rows left out: line 102, line 103\n" in err
    assert "at the end" not in err
    (tmp_path / "e.csv").write_text("\n".join(["a,y", *rows, ",", " , ", ""]))
    code, _, err = run("train", "e.csv", "--target", "y", "--epochs", 1, "--output", "e")
    assert code == 0
    assert "note: 2 empty rows at the end left out\n" in err
    code, out, err = run("predict", "m", "e.csv")
    assert code == 0
    assert "2 empty rows at the end left out\n" in err
    assert len(out.splitlines()) == 1 + len(rows)
    cells = [row.split(",")[0] for row in rows]
    cells[7] = ""
    (tmp_path / "p.csv").write_text("\n".join(["a", *cells, ""]))
    code, out, err = run("predict", "m", "p.csv")
    assert (code, len(predictions(out))) == (0, 200)
    assert "column 'a': 1 missing, filled with" in err
    cells[7] = "24.5"
    (tmp_path / "q.csv").write_text("\n".join(["a", *cells, ""]))
    filled, given = predictions(out), predictions(run("predict", "m", "q.csv")[1])
    assert filled[:7] + filled[8:] == given[:7] + given[8:]


@pytest.mark.slow
def test_the_score_is_that_of_python_or_none(run, tmp_path):
    kinds = ["1", "2"] * 30
    rows = [f"{i % 30}.5,{kind}" for i, kind in enumerate(kinds)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows, ""]))
    run("train", "t.csv", "--target", "y", "--epochs", 3, "--output", "m")
    model = fcnn.load("m")
    err = run("predict", "m", "t.csv")[2]
    scores = model.evaluate(fcnn.tables.read_table("t.csv"))
    assert f"accuracy {scores['accuracy']:.4f}, " in err
    (tmp_path / "u.csv").write_text("\n".join(["a,y", *rows, "1.5,3", ""]))
    expected = "u.csv: line 62, column 'y': '3'; expected one of the classes 1, 2"
    err = run("predict", "m", "u.csv")[2]
    assert f"no score: {expected}\n" in err
    with pytest.raises(ValueError, match=re.escape(expected)):
        model.evaluate(fcnn.tables.read_table("u.csv"))
    # A class is yet to be known: the command scores the other rows.
    (tmp_path / "v.csv").write_text("\n".join(["a,y", *rows, "1.5,", ""]))
    assert "of 60 samples" in run("predict", "m", "v.csv")[2]


@pytest.mark.slow
def test_the_score_of_numbers_that_are_classes(run, tmp_path):
    pl = pytest.importorskip("polars")
    codes = ["00501", "00502"] * 30
    rows = [f"{i % 30}.5,{code}" for i, code in enumerate(codes)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows, ""]))
    words = ("--task", "classification", "--epochs", 3, "--output", "m")
    run("train", "t.csv", "--target", "y", *words)
    data = pl.DataFrame({"a": [i % 30 + 0.5 for i in range(60)], "y": list(map(int, codes))})
    data.write_parquet(tmp_path / "t.parquet")
    accuracy = fcnn.load("m").evaluate(data)["accuracy"]
    assert f"accuracy {accuracy:.4f}, " in run("predict", "m", "t.parquet")[2]


def test_all_problems_of_a_file_are_listed_at_once(run, tmp_path):
    rows = [f"{i}.5,{i % 7},{i}.25" for i in range(60)]
    rows[3], rows[5], rows[9] = "3.5,x,3", "5.5,5", "9.5,2,l2.5"
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *rows, ""]))
    code, out, err = run("train", "t.csv", "--target", "y", "--columns", "b=number")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "fcnn train: error: t.csv: 3 kinds of problems",
        "  1 row has not 3 cells, as the header",
        "    line 7: 2 cells",
        "  column 'b' is not a number",
        "    line 5: 'x'",
        "  the target 'y': 58 cells are numbers, 1 is not (--task classification takes each for a "
        "class)",
        "    line 11: 'l2.5'",
    ]


def test_whole_numbers_are_classes_if_it_is_said(run, tmp_path):
    rows = [f"{i % 10}.5,{i % 10}" for i in range(100)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows, ""]))
    words = ("train", "t.csv", "--target", "y", "--epochs", 1, "--no-plot", "--output", "m")
    code, _, err = run(*words)
    assert (code, fcnn.load("m").classes) == (0, ())
    assert err.startswith("note: target 'y': 10 whole values, 0 to 9, trained as a number; --task")
    for more in (
        ("--task", "classification"), ("--columns", "y=category"), ("--loss", "cross_entropy"),
        ("--loss", "binary_cross_entropy"),
    ):  # fmt: skip
        code, _, err = run(*words, *more)
        assert (code, err, fcnn.load("m").classes) == (0, "", tuple(range(10))), more
    assert run(*words, "--columns", "y=number")[2] == ""
    for words_of_task in (("--columns", "y=category"), ("--task", "classification")):
        told = f"task       classification: {' '.join(words_of_task)}\n"
        assert told in run(*words, *words_of_task)[1]
    for more, said in (
        (("--columns", "y=date"), "expected the target 'y' to be number, category or boolean"),
        (("--columns", "y=number", "--task", "classification"), "contradicts --task"),
    ):
        code, _, err = run(*words, *more)
        assert code == 2
        assert said in err


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("yes no", ""), ("0 1", ""), ("0 1 _", ""),
        ("0.5 1.5 2.5", "column 'y' is not a boolean"), ("0 1 2", "column 'y' is not a boolean"),
        ("yes no perhaps", "column 'y' is not a boolean"),
        ("yes no true", "expected two values of the target 'y', got 'no', 'true', 'yes'"),
        ("0 1 NA", "expected two values of the target 'y', got '0', '1', 'NA'"),
    ],
)  # fmt: skip
def test_a_boolean_target_is_as_a_boolean_input(run, tmp_path, cells, said):
    kinds = cells.replace("_", "").split(" ")
    rows = [f"{i}.5,{kinds[i % len(kinds)]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows, ""]))
    words = ("train", "t.csv", "--target", "y", "--epochs", 1, "--no-plot", "--output", "m")
    code, out, err = run(*words, "--columns", "y=boolean")
    if said:
        assert (code, out) == (2, "")
        assert said in err
        assert f"'{kinds[-1]}'" in err
    else:
        assert code == 0, err
        assert "task       classification: --columns y=boolean\n" in out
        assert len(fcnn.load("m").classes) == 2


@pytest.mark.parametrize(
    ("y", "classes"), [(np.arange(100) % 10, 10), (np.eye(30)[np.arange(100) % 30], 30)]
)
def test_integers_in_arrays_are_labels(run, tmp_path, y, classes):
    np.savez(tmp_path / "t.npz", X=np.arange(200.0).reshape(100, 2), y=y)
    code, _, err = run("train", "t.npz", "--epochs", 1, "--no-plot", "--output", "m")
    assert (code, err) == (0, "")
    assert fcnn.load("m").classes == tuple(range(classes))


def test_a_class_is_written_the_same_way_everywhere(run, tmp_path):
    rows = [f"{i % 20}.5,{1 + i % 2}.0" for i in range(100)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows, ""]))
    words = ("--target", "y", "--epochs", 1, "--no-plot", "--output", "m")
    code, out, _ = run("train", "t.csv", *words)
    assert code == 0
    assert re.search(r"^ +1\.0 .*\n +2\.0 ", out, re.M)
    assert "always '1.0' has" in out
    assert "classes    1.0, 2.0" in run("inspect", "m")[1]
    assert set(predictions(run("predict", "m", "t.csv")[1])) <= {"1.0", "2.0"}


def test_sheets(run, tmp_path):
    xlsxwriter = pytest.importorskip("xlsxwriter")
    pytest.importorskip("polars")
    pytest.importorskip("fastexcel")
    with xlsxwriter.Workbook(tmp_path / "t.xlsx") as book:
        for name in ("old", "new"):
            sheet = book.add_worksheet(name)
            for i, row in enumerate([["a", "y"], *[[i + 0.5, i * 1.5] for i in range(60)]]):
                sheet.write_row(i, 0, row)
    words = ("--target", "y", "--epochs", 1, "--no-plot", "--output", "m")
    code, _, err = run("train", "t.xlsx", *words)
    assert code == 2
    assert "error: --sheet: t.xlsx has several sheets with rows, 'old', 'new'" in err
    assert run("train", "t.xlsx", *words, "--sheet", "new")[0] == 0
    code, out, _ = run("predict", "m", "t.xlsx", "--sheet", "old")
    assert (code, len(predictions(out))) == (0, 60)
    assert "--sheet: is for tables" in run("train", "digits", "--sheet", "old")[2]


@pytest.mark.slow
def test_a_second_column_of_the_target_is_no_feature(run, tmp_path):
    rows = [f"{i}.5,{i % 7},{i}.5" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["y,a,y", *rows, ""]))
    code, out, err = run("train", "t.csv", "--target", "y", "--epochs", 1, "--output", "m")
    assert code == 0
    assert "columns named 'y' twice: the one at 3 is 'y.1' here" in err
    assert re.search(r"y\.1 +left out  has the name of the target, 'y'\n", out)
    assert fcnn.load("m").features == ("a",)
    words = ("--columns", "y.1=number", "--epochs", 1, "--output", "m")
    run("train", "t.csv", "--target", "y", *words)
    assert fcnn.load("m").features == ("a", "y.1")


def test_what_is_said_can_be_copied_and_moves_no_cursor(run, tmp_path):
    """Quotes around paths with blanks; names with the codes of terminals, or of wide letters."""
    path = tmp_path / "my data.csv"
    rows = [f"{i % 7},{i % 5},{'yes' if i % 3 else 'no'}" for i in range(60)]
    path.write_text("\n".join(["a\x1b[2J\x08,\u65e5\u672c,y\x07", *rows]) + "\n")
    code, out, err = run("train", path, "--target", "y\x07", "--no-plot", "--epochs", 2,
                         "--output", tmp_path / "my model")  # fmt: skip
    assert code == 0, err
    use = re.search(r"use it +(.*)", out)[1]
    assert shlex.split(use) == ["fcnn", "predict", str(tmp_path / "my model"), str(path)]
    load = re.search(r"in Python +model = fcnn.load\((.*)\);", out)[1]
    assert ast.literal_eval(load) == str(tmp_path / "my model")
    kinds = [line for line in out.splitlines() if "0 to " in line]
    assert [terminal.columns_of(line.partition("number")[0]) for line in kinds] == [19, 19]
    shown = out + err + "".join(run("inspect", tmp_path / "my model")[1:])
    shown += "".join(run("train", path, "--target", "yy\x07")[1:])
    assert "did you mean" in shown
    assert not {*shown} & {"\x1b", "\x08", "\x07"}


def test_hints(run, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{i},{'yn'[i % 2]}\n" for i in range(40)))
    words = ("train", path, "--target", "y", "--no-plot", "--epochs", 1, "--output")
    code, out, err = run(*words, "m.safetensors")
    assert code == 0, err
    assert "training   1 epoch in batches" in out
    assert "s for 1 epoch; kept" in out
    for command in ("predict", "report"):
        err = run(command, path, "m.safetensors")[2]
        assert err == (
            f"fcnn {command}: error: {path}: not a model file; did you mean m.safetensors {path}?\n"
        )
    assert "; of several targets each is a number\n" in run("train", path, "--target", "a,y")[2]
    (tmp_path / "new.csv").write_text("a\n1\n")
    err = run("report", "m.safetensors", "new.csv")[2]
    assert err == "fcnn report: error: new.csv: expected targets; new.csv has no column 'y'\n"


@pytest.mark.parametrize("words", [(), ("--target", "column")])
def test_of_a_thousand_columns_some_are_named(run, tmp_path, words):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"column{j}" for j in range(1000)) + "\n" + ",".join("1" * 1000))
    code, _, err = run("train", path, *words)
    assert code == 2
    assert "(1,000 in all)" in err
    assert len(err) < 1000
