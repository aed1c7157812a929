"""Targets: numbers stay numbers, classes keep their texts; what is neither is refused by line."""

import json
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import fcnn.tables.training
from fcnn.tables import TableError, Target, as_table, read_table, read_target

CASES = Path(__file__).parent / "cases"


def read(values, task="auto"):
    return read_target(as_table({"y": values}), ["y"], task)


def again(target):
    return Target.from_json(json.loads(json.dumps(target.to_json())), target.mean, target.scale)


def test_numbers_at_once_are_those_of_careful_reading():
    rng = np.random.default_rng(0)
    odd = ["", "NA", "?", "x", "007", "1e200", "1.50", "nan", "-", "1,5", "45%"]
    quick = 0
    for trial in range(120):
        count, n = int(rng.integers(1, 60)), int(rng.integers(2, 60))
        texts = [f"{v:g}" for v in rng.normal(size=count).round(trial % 4)]
        texts += rng.choice(odd[: 1 + trial % len(odd)], trial % 3).tolist()
        texts = rng.choice(texts, n).tolist()
        task = ("auto", "regression", "classification")[trial % 3]
        table = as_table({"y": texts})
        found, at_once = [], fcnn.tables.training._read_plain
        for careful in (False, True):
            with pytest.MonkeyPatch.context() as patch:
                if careful:
                    patch.setattr(fcnn.tables.training, "_read_plain", lambda *arguments: None)
                try:
                    one = read_target(table, ["y"], task)
                    found.append((one.target.to_json(), one.y.tolist(), one.rows.tolist(),
                                  one.reason, one.notes))  # fmt: skip
                except TableError as error:
                    found.append(str(error))
        assert found[0] == found[1]
        if isinstance(found[0], tuple):
            quick += at_once(table, table["y"], ("y",), task, False) is not None
    assert 8 < quick < 100


@pytest.mark.parametrize(
    ("name", "first", "rows"),
    [
        ("de_all", 81.0, 60), ("de_target", 81.0, 60), ("money", 81000, 60),
        ("thousands", 81000, 60), ("percent", 81.0, 60), ("na_target", 81.0, 59),
        ("q_target", 81.0, 59), ("null_target", 81, 59), ("unix.csv", 1700000003.580667, 500),
    ],
)  # fmt: skip
def test_numbers_in_texts(name, first, rows):
    table = read_table(CASES / f"{name.removesuffix('.csv')}.csv")
    found = read_target(table, table.names[-1:])
    assert (found.task, found.y.shape, found.y[0, 0]) == ("regression", (rows, 1), first)
    if rows == 59:
        assert "1 row without a value" in found.notes[0]
        assert "line 9" in found.notes[0]
        assert 7 not in found.rows
        assert len(found.rows) == 59


def test_a_typo_is_refused_by_its_line():
    table = read_table(CASES / "one_typo.csv")
    for task in ("auto", "regression"):
        with pytest.raises(TableError, match=r"59 cells are numbers, 1 is not.*\n  line 9: 'l2.5'"):
            read_target(table, ["y"], task)
    assert len(read_target(table, ["y"], "classification").target.classes) > 2


def test_ten_of_many_are_listed():
    values = [str(v) for v in range(100)]
    for i in range(0, 60, 5):
        values[i] = f"{i}x"
    with pytest.raises(TableError) as error:
        read(values)
    lines = str(error.value).splitlines()
    assert "88 cells are numbers, 12 are not" in lines[0]
    assert lines[1:3] == ["  row 0: '0x'", "  row 5: '5x'"]
    assert lines[-1] == "  ... and 2 more"


@pytest.mark.parametrize(
    ("name", "classes", "note"),
    [
        ("id01", ("00", "01"), ""), ("zip", ("0123", "123"), ""),
        ("nan_class", ("hi", "lo", "nan"), "'nan' is taken for a class"),
        ("none_class", ("None", "hi", "lo"), "'None' is taken for a class"),
        ("booltarget", (False, True), ""), ("bom", ("hi", "lo"), ""),
    ],
)  # fmt: skip
def test_classes_keep_their_texts(name, classes, note):
    found = read_target(read_table(CASES / f"{name}.csv"), ["y"])
    assert found.target.classes == again(found.target).classes == classes
    assert len(found.y) == 60
    assert note in " ".join(found.notes)
    if not note:
        assert not found.notes


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["a", "b"] * 5, ("a", "b")),
        ([3, -1] * 5, (-1, 3)),
        ([3.0, -1.0] * 5, (-1, 3)),
        (["3", "-1"] * 5, (-1, 3)),
        (["10", "9"] * 5, (9, 10)),
        (["3", "03"] * 5, ("03", "3")),
        (["1.0", "2.0"] * 5, (1.0, 2.0)),
        ([True, False] * 5, (False, True)),
        (["1", "2", "3", "4+", "4+"] * 5, ("1", "2", "3", "4+")),
        (["true", "false"] * 5, ("false", "true")),
    ],
)
def test_classes(values, classes):
    found = read(values)
    if values[0] == "1.0":  # as numbers these are whole; as texts they are written
        assert found.target.class_texts == ("1.0", "2.0")
    assert found.target.classes == classes
    assert [*map(type, found.target.classes)] == [*map(type, classes)]
    decoded = found.target.decode(np.eye(len(classes))[found.y])
    assert decoded.tolist() == (
        values if isinstance(values[0], type(classes[0])) else [type(classes[0])(v) for v in values]
    )
    np.testing.assert_array_equal(found.target.encode(values), found.y)
    np.testing.assert_array_equal(found.target.encode({"y": values}), found.y)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([f"name {i}" for i in range(150)], "150 distinct values; is it the right column"),
        (["same"] * 9, "'same' in all rows"),
        ([None] * 9, "empty in all rows"),
        ([""] * 9, "empty in all rows"),
        (["2026-01-01", "2026-01-02"] * 5, "has dates like"),
        (["NA", "2026-01-01", "2026-01-02"] * 5, "has dates like '2026-01-01'"),
        (np.array(["2026-01-01"] * 5, "datetime64[D]"), "has dates"),
        ([0.5, np.inf, 1.0], "row 1, column 'y': 'inf'"),
        ([2**53 + 1, 5, 7], "float64 cannot represent"),
    ],
)
def test_targets_that_are_refused(values, said):
    with pytest.raises(TableError, match=said):
        read(values)


def test_names_of_columns():
    table = as_table({"a": [1, 2, 1], "b": [1.5, 2.5, 1.0]})
    with pytest.raises(TableError, match="names: X has no column 'c', only a, b"):
        read_target(table, ["c"])
    with pytest.raises(TableError, match="different columns"):
        read_target(table, ["a", "a"])
    with pytest.raises(TableError, match="2 targets; classification expects one"):
        read_target(table, ["a", "b"], "classification")


def test_several_targets():
    table = as_table({"a": ["1,5", "NA", "3,5", "2,25"], "b": [1, 2, 3, None], "c": list("xyxy")})
    found = read_target(table, ["b", "a"])
    assert found.rows.tolist() == [0, 2]
    assert found.y.tolist() == [[1, 1.5], [3, 3.5]]
    assert found.target.names == ("b", "a")
    assert found.target.rules[1].decimal == ","
    target = again(found.target.scaled(found.y))
    np.testing.assert_array_equal(target.decode(np.array([[-1.0, 1.0]])), [[1, 3.5]])
    np.testing.assert_array_equal(
        target.encode({"a": ["1,5", "2"], "b": [1, 2], "z": [0, 0]}), [[1, 1.5], [2, 2]]
    )
    with pytest.raises(TableError, match="'x'"):
        read_target(table, ["b", "c"])
    table = as_table({"a": ["1", "2", "u"], "c": list("xyx")})
    with pytest.raises(TableError, match=r"(?s)2 kinds of problems.*row 2: 'u'.*row 0: 'x'"):
        read_target(table, ["a", "c"])


def test_scaling_is_in_float64():
    y = 1.7e9 + np.arange(1000.0)[:, np.newaxis] / 10
    target = Target(("y",)).scaled(y)
    outputs = ((y - target.mean) / target.scale).astype(np.float32)
    assert np.abs(target.decode(outputs) - y[:, 0]).max() < 1e-5
    assert target.decode(outputs).dtype == np.float64
    assert Target(("y",)).scaled(np.full((5, 1), 0.3)).scale == 1


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["a", "c", "b"], "'c'; expected one of the classes a, b"),
        (["a", None, "b"], "a missing value"),
        ([["a", "b"]], "expected 1 column"),
        ({"z": ["a", "b"], "x": ["a", "b"]}, "y: lacks the target 'y'; it has z, x"),
    ],
)
def test_values_that_are_no_classes(y, said):
    with pytest.raises((TableError, ValueError), match=said):
        Target(("y",), ("a", "b")).encode(y)


def test_one_output_above_a_half_is_yes():
    target = Target((), ("no", "yes"))
    assert target.decode(np.array([[0.4], [0.6], [0.5]])).tolist() == ["no", "yes", "no"]


def test_numbers_for_classes_that_are_written_otherwise():
    target = Target((), ("00", "01"))
    assert target.encode([1, 0, 1]).tolist() == [1, 0, 1]
    with pytest.raises(TableError, match="several are the same number"):
        Target((), ("0123", "123")).encode([123])


def test_classes_of_other_types_are_refused():
    assert Target((), np.array([3, 5])).classes == (3, 5)
    assert json.loads(json.dumps(Target((), np.array(["a", "b"])).to_json()))["classes"] == [
        "a",
        "b",
    ]
    for classes in ([None, "a"], [float("nan"), 1.0], [(1,), (2,)]):
        with pytest.raises(TypeError, match="classes: expected texts or numbers"):
            Target((), classes)


def test_outputs_that_are_no_numbers_are_no_class():
    with pytest.raises(ValueError, match="outputs for row 1"):
        Target((), ("a", "b")).decode(np.array([[0.0, 1.0], [np.nan, np.nan]]))


def test_classes_that_are_floats():
    rows = ["10.0", "2.0", "1.5", "2.0"] * 10
    target = read(rows, "classification").target
    assert target.classes == (1.5, 2.0, 10.0)
    assert target.class_texts == ("1.5", "2.0", "10.0")
    for one in (target, again(target)):
        assert (one.classes, one.class_texts) == (target.classes, target.class_texts)
        answers = one.decode(np.eye(3))
        assert answers.dtype == np.float64
        assert (answers == np.array([1.5, 2.0, 10.0])).all()
        assert one.encode(["2.0", "10.0"]).tolist() == [1, 2]
        assert one.encode(np.array([2.0, 10.0])).tolist() == [1, 2]
    # As texts they would not be the same again.
    for texts in (["1.0", "2.00"], ["nan", "1.0"], ["1.5", "2"], ["1e5", "1.0"], ["inf", "1.0"]):
        assert set(read(texts * 9, "classification").target.classes) == {*texts}
    assert "class_texts" not in read(["a", "b"] * 9).target.to_json()


def test_texts_of_classes_are_one_for_each():
    with pytest.raises(ValueError, match="class_texts: expected one for each class"):
        Target(["y"], [1.0, 2.0], class_texts=["1.0", "2.0", "3.0"])


def test_numbers_whose_deviation_underflows_are_refused():
    y = np.array([[1e-200], [3e-200]])
    with pytest.raises(ValueError, match="y: expected numbers whose squares float64 holds"):
        Target(["y"]).scaled(y)
    same = Target(["y"]).scaled(np.full((3, 1), 1e-200))
    assert same.scale.tolist() == [1]
    assert Target(["y"]).scaled(y * 1e60).scale == pytest.approx([1e-140])


@pytest.mark.parametrize("convert", [list, lambda values: list(map(str, values)), np.array])
def test_whole_numbers_are_numbers_but_for_two(convert):
    """Digits, counts, ratings, years: nobody said that they are classes; 0 and 1 are, said."""
    for values in ([*range(10)] * 9, [1990, 1991, 1992] * 9, [3, 0, 20] * 9):
        found = read(convert(values))
        assert found.task == "regression"
        assert found.y[:, 0].tolist() == values
        assert f"{len({*values})} whole values, {min(values)} to {max(values)}" in found.notes[0]
        assert "--task classification makes them classes" in found.notes[0]
        table = as_table({"y": convert(values)})
        labels = read_target(table, ["y"], are_labels=True)
        assert (labels.target.classes, labels.notes) == (tuple(sorted({*values})), ())
        assert read(convert(values), "regression").notes == ()
    found = read(convert([0, 1, 1, 0, 1]))
    assert found.target.classes == (0, 1)
    assert "0 and 1 alone, taken for two classes; --task regression" in found.notes[0]
    assert read(convert([0, 1, 1, 0, 1]), "regression").task == "regression"
    assert read(convert([0.5, 1.5] * 5)).task == "regression"
    assert read(convert([*range(50)] * 3)).notes == ()


def test_one_number_in_two_spellings_is_not_two_classes():
    found = read(["0", "1", "1.0"] * 9)
    assert found.task == "regression"


def test_a_target_of_shares_and_percent_is_refused():
    values = ["45%", "0.45", "20%", "3%"] * 3
    with pytest.raises(TableError, match=r"3 cells have no %.*\n  row 1: '0.45'"):
        read(values)
    found = read(values, "regression")
    assert found.y[1, 0] == 0.45
    assert any("'0.45' is taken for 0.45 %" in note for note in found.notes)


@pytest.mark.parametrize("is_bare", [False, True])
def test_shares_beside_percent_are_refused_at_evaluation_unless_training_had_them(is_bare):
    texts = ["45%", "30%", "20%", "3%"] + (["0.45"] if is_bare else [])
    found = read(texts, "regression")
    target = again(found.target.scaled(found.y))
    assert target.encode(["50%", "7 %"]).tolist() == [[50], [7]]
    assert target.encode([50.0, 0.5, 7.0]).tolist() == [[50], [0.5], [7]]
    for y, said in (
        (["50%", "0.5"], "row 1: '0.5'; expected percent with their sign"),
        ({"y": ["50%", "0.5", "0.25", "2"]}, r"2 cells: expected percent .*\n  row 1, column 'y'"),
        (["0.5", "0.25", "-0.1"], "is in percent, .* got numbers from 0 to 1"),
        ([0.5, 0.25, 0.0], "is in percent, .* got numbers from 0 to 1"),
    ):
        if is_bare:
            assert len(target.encode(y)) == len(y["y"] if isinstance(y, dict) else y)
        else:
            with pytest.raises(TableError, match=said):
                target.encode(y)
    assert target.encode(["0%", "0"]).tolist() == [[0], [0]]


def test_large_targets_are_refused_by_row():
    for values in ([1.0, 1e300, 2.5], ["1.0", "1e300", "2.5"]):
        with pytest.raises(TableError, match=r"row 1, column 'y': '1e\+?300'; expected a number"):
            read(values)


def test_targets_of_named_tuples_go_by_name():
    Row = namedtuple("Row", "b a")
    target = Target(("a",), ("x", "y"))
    assert target.encode([Row("y", "x"), Row("x", "y")]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({"table": None}, "table"), ({"table": 3}, "table"), ({"names": 1j}, "names"),
        ({"names": [["a"]]}, "names"), ({"names": None}, "names"), ({"task": 1}, "task"),
        ({"are_labels": "no"}, "are_labels"), ({"names": "ab"}, "names"),
    ],
)  # fmt: skip
def test_targets_of_other_kinds_are_refused_by_name(words, name):
    data = {"a": [1.0, 2, 4], "abc": [0.5, 1, 1]}
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        read_target(**{"table": data, "names": ["a"], **words})
    assert read_target(data, "a").y.ravel().tolist() == read_target(data, ["a"]).y.ravel().tolist()


def test_a_table_without_columns_has_no_target():
    with pytest.raises(TableError, match=r"table: .* has no columns"):
        read_target([], ())
