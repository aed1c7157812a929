"""Preparation: against scikit-learn's and pandas', by hand, and the same however data come."""

import json
import math
import warnings
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from fcnn.tables import Preparation, TableError, Target, as_table, infer_columns, read_table
from fcnn.tables.columns import NumberColumn
from fcnn.tables.numbers import PLAIN

RED = ["red", "blue", "red", "green", "blue", "red", "green", "red", "blue", "red"]
DATA = {
    "n": [1.5, 2.0, None, 8.0, -3.0, 0.0, None, 5.0, 2.5, None],
    "i": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3],
    "ok": [True, False, True, True, False, True, True, False, True, True],
    "c": RED,
    "d": [datetime(2026, 1, day, 12 * (day % 2)) for day in range(1, 11)],
}


def fitted(data=DATA, **options):
    table = as_table(data)
    return Preparation.fit(table, infer_columns(table), **options)


def again(preparation):
    """Return what a file would give back."""
    return Preparation.from_json(
        json.loads(json.dumps(preparation.to_json())), preparation.mean, preparation.scale
    )


def test_by_hand():
    preparation = fitted()
    assert preparation.features == ("n", "i", "ok", "c", "d")
    assert preparation.output_names == [
        "n", "i", "ok", "c=blue", "c=green", "c=red", "d days", "d week sine", "d week cosine",
        "d day sine", "d day cosine",
    ]  # fmt: skip
    X = preparation.transform(DATA)
    present = [v for v in DATA["n"] if v is not None]
    median = sorted(present)[3]
    n = [median if v is None else v for v in DATA["n"]]
    mean, deviation = sum(n) / 10, math.sqrt(sum((v - sum(n) / 10) ** 2 for v in n) / 10)
    np.testing.assert_allclose(X[:, 0], [(v - mean) / deviation for v in n], rtol=1e-14)
    np.testing.assert_allclose(X[:, 1].mean(), 0, atol=1e-14)
    np.testing.assert_allclose(X[:, 1].std(), 1, rtol=1e-14)
    assert X[:, 2].tolist() == [float(v) for v in DATA["ok"]]
    for j, color in enumerate(["blue", "green", "red"]):
        assert X[:, 3 + j].tolist() == [float(v == color) for v in RED]
    # 1 January 2026 was a Thursday, as 1 January 1970.
    for row, day in enumerate(range(1, 11)):
        phase = 2 * math.pi * ((day - 1) % 7 + 0.5 * (day % 2)) / 7
        np.testing.assert_allclose(X[row, 7:9], [math.sin(phase), math.cos(phase)], atol=1e-9)
        phase = math.pi * (day % 2)
        np.testing.assert_allclose(X[row, 9:], [math.sin(phase), math.cos(phase)], atol=1e-9)


@pytest.mark.slow
def test_a_dataframe_against_scikit_learn():
    pytest.importorskip("sklearn")
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(50, 20, 200), "b": rng.lognormal(3, 2, 200),
            "c": rng.choice(["x", "y", "z"], 200),
        }
    )  # fmt: skip
    frame.loc[rng.choice(200, 30, replace=False), "a"] = np.nan
    frame.loc[3, "b"] = np.nan
    transformer = ColumnTransformer(
        [
            ("a", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["a"]),
            ("flag", SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True), ["a"]),
            ("b", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["b"]),
            ("c", OneHotEncoder(sparse_output=False), ["c"]),
        ]
    )
    train, rest = np.arange(150), np.arange(150, 200)
    transformer.fit(frame.iloc[train])
    expected = np.delete(transformer.transform(frame), 1, axis=1)
    preparation = fitted(frame, rows=train)
    assert preparation.output_names == ["a", "a missing", "b", "c=x", "c=y", "c=z"]
    X = preparation.transform(frame)
    np.testing.assert_allclose(X, expected, rtol=1e-12, atol=1e-12)
    # The rows held out take no part.
    frame.loc[rest, ["a", "b"]] = 1e6
    np.testing.assert_array_equal(fitted(frame, rows=train).mean, preparation.mean)


@pytest.mark.slow
def test_every_form_of_a_dataframe_gives_the_same(tmp_path):
    pd, pl, pa = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))
    preparation = fitted()
    expected = preparation.transform(DATA)
    frame = pd.DataFrame(DATA)
    rows = [dict(zip(DATA, row, strict=True)) for row in zip(*DATA.values(), strict=True)]
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    forms = {
        "permuted, with others": frame.assign(z="?", q=1)[["z", "d", "c", "q", "ok", "i", "n"]],
        "nullable": frame.convert_dtypes(),
        "categorical": frame.astype({"c": "category"}),
        "objects": frame.astype(object),
        "UTC": frame.assign(d=frame.d.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")),
        "arrow types": pd.read_parquet(tmp_path / "t.parquet", dtype_backend="pyarrow"),
        "polars": pl.DataFrame(DATA),
        "polars categorical": pl.DataFrame(DATA).with_columns(pl.col("c").cast(pl.Categorical)),
        "pyarrow": pa.table(DATA),
        "pyarrow dictionary": pa.table(DATA).set_column(
            3, "c", pa.chunked_array([pa.array(RED).dictionary_encode()])
        ),
        "batch": pa.RecordBatch.from_pydict(DATA),
        "records": rows,
        "cells by position": list(zip(*DATA.values(), strict=True)),
        "CSV": read_table(path),
        "Parquet": read_table(tmp_path / "t.parquet"),
        "pandas' CSV": pd.read_csv(path),
    }
    for name, form in forms.items():
        np.testing.assert_array_equal(preparation.transform(form), expected, err_msg=name)
        np.testing.assert_array_equal(again(preparation).transform(form), expected, err_msg=name)
    one = preparation.transform(rows[4])
    np.testing.assert_array_equal(one, expected[4:5])
    np.testing.assert_array_equal(preparation.transform(frame.iloc[4]), expected[4:5])
    shuffled = frame.iloc[4][["d", "c", "ok", "i", "n"]]
    np.testing.assert_array_equal(preparation.transform(shuffled), expected[4:5])


def test_structured_arrays_go_by_name():
    array = np.array([(1.0, 5), (2.0, 7), (3.0, 5)], [("b", "f8"), ("a", "i4")])
    preparation = fitted({"a": [5, 7, 5], "b": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(
        preparation.transform(array), preparation.transform({"a": [5, 7, 5], "b": [1.0, 2.0, 3.0]})
    )


# --- Arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64", "bool"])
@pytest.mark.parametrize("how", ["features", "together", "none"])
def test_arrays_of_numbers(dtype, how):
    X = np.random.default_rng(0).integers(0, 200, (5000, 3)).astype(dtype)
    X[:, 2] = X[0, 2]
    preparation = fitted(X, standardize=how)
    axis = 0 if how == "features" else None
    mean = np.broadcast_to(X.astype(float).mean(axis=axis), 3)
    scale = np.broadcast_to(X.astype(float).std(axis=axis), 3).copy()
    scale[scale == 0] = 1
    if how == "none":
        mean, scale = np.zeros(3), np.ones(3)
    np.testing.assert_allclose(preparation.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(preparation.scale, scale, rtol=1e-13)
    expected = (X.astype(float) - preparation.mean) / preparation.scale
    np.testing.assert_array_equal(preparation.transform(X), expected)
    np.testing.assert_array_equal(preparation.transform(X[7]), expected[7:8])
    np.testing.assert_array_equal(
        again(preparation).transform(X, np.float32), expected.astype(np.float32)
    )
    assert preparation.features == ()
    assert preparation.output_names == ["x1", "x2", "x3"]


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (np.zeros((4, 1)), r"expected shape \(samples, 3\) or \(3,\), got \(4, 1\)"),
        (np.zeros((4, 5)), r"got \(4, 5\)"),
        (np.zeros(4), r"got \(4,\)"),
        (np.zeros((2, 2, 3)), r"got shape \(2, 2, 3\)"),
        (np.zeros((0, 3)), "at least one row"),
        (np.ma.masked_less(np.arange(3.0), 1), "masked"),
        (np.zeros((2, 3), complex), "complex128"),
        (np.zeros((2, 3), "datetime64[D]"), "got dates"),
        (np.full((2, 3), "x"), "'x'; expected a number"),
        (np.array([[1, 2, 3], [4, np.nan, 6]]), "row 1, column 2: nan"),
        (np.array([[1, 2, 3], [4, np.inf, 6]]), "row 1, column 2: inf"),
        (None, "expected a table"),
        ("text", "expected a table"),
    ],
)
def test_arrays_that_are_refused(X, said):
    preparation = fitted(np.random.default_rng(0).normal(size=(20, 3)))
    with pytest.raises((TypeError, ValueError), match=said):
        preparation.transform(X)


def test_numbers_beyond_float32_are_refused():
    unbounded = Preparation([NumberColumn("a", 2.0)], [2.0], [0.8])
    with pytest.raises(ValueError, match=r"row 1, column 'a': 1e\+300; .*float32"):
        unbounded.transform({"a": [1.0, 1e300]}, np.float32)
    with pytest.raises(ValueError, match=r"row 2, column 'a': -1e\+300; too large"):
        fitted({"a": [1.0, 1e200, -1e300]})
    rows = np.array([2, 0])
    table = as_table({"b": [1.0, 2.0, 3.0], "a": [1.0, 2.0, 1e300]})
    with pytest.raises(ValueError, match="row 2, column 'a'"):
        Preparation.fit(table, infer_columns(table), rows)
    matrix = np.array([[1.0, 2.0], [3.0, 1e300], [4.0, 5.0]])
    with pytest.raises(ValueError, match="row 1, column 2"):
        Preparation.fit(matrix, rows=np.array([2, 1]))
    with pytest.raises(ValueError, match=r"row 1, column 2.*float32"):
        Preparation.fit(np.arange(6.0).reshape(3, 2)).transform(matrix, np.float32)


# --- What is refused, filled and unseen ----------------------------------------------------------


def test_no_rows_are_nothing_to_fit():
    for nothing in (np.zeros((0, 3), np.uint64), np.zeros((0, 2))):
        with pytest.raises(TableError, match="expected at least one row"):
            Preparation.fit(nothing)


@pytest.mark.parametrize("standardize", ["features", "together", "none"])
@pytest.mark.parametrize("cell", [np.nan, np.inf])
def test_a_cell_of_an_array_that_is_no_number_is_named_where_it_is_fitted(standardize, cell):
    X = np.arange(8.0).reshape(4, 2)
    X[2, 1] = cell
    with pytest.raises(TableError, match=f"data: row 2, column 2: {cell}; expected a finite"):
        Preparation.fit(X, standardize=standardize)
    with pytest.raises(TableError, match=f"data: row 2, column 2: {cell}; expected a finite"):
        Preparation.fit(X, rows=np.array([3, 2]), standardize=standardize)
    assert Preparation.fit(X, rows=np.array([0, 3]), standardize=standardize).width == 2


def test_kinds_and_dtypes_that_there_are_not_are_refused_by_name():
    data = {"a": [1.0, 2.0, 4.0], "b": ["u", "v", "u"]}
    kinds = infer_columns(as_table(data))
    for changed, said in (
        ({"kind": "foo"}, "kinds: expected number, boolean, category or date, got 'foo'"),
        ({"position": -1}, "kinds: expected columns of these data, which have 2, got one at -1"),
        ({"position": 2}, "kinds: expected columns of these data, which have 2, got one at 2"),
    ):
        with pytest.raises(ValueError, match=said):
            Preparation.fit(data, [replace(kinds[0], **changed), kinds[1]])
    with pytest.raises(ValueError, match="kinds: expected at least one column that is not left ou"):
        Preparation.fit(data, [replace(kind, kind="") for kind in kinds])
    for dtype in (int, "abc", np.float16):
        with pytest.raises(ValueError, match="dtype: expected float32 or float64, got"):
            Preparation.fit(data, kinds).transform(data, dtype)


def test_columns_that_a_dataframe_lacks_are_named():
    with pytest.raises(TableError, match="X: lacks the columns 'i', 'd'; it has n, ok, c"):
        fitted().transform({key: DATA[key] for key in ("n", "ok", "c")})
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(DATA)
    with pytest.raises(TableError, match="has i more than once"):
        fitted().transform(pd.concat([frame, frame[["i"]]], axis=1))
    with pytest.raises(TableError, match=r"expected shape \(samples, 5\).*n, i, ok, c, d"):
        fitted().transform(np.zeros((3, 4)))


def test_all_wrong_cells_are_listed():
    bad = {key: list(values) for key, values in DATA.items()}
    bad["n"] = ["1", "x", *bad["n"][2:]]
    bad["ok"][3] = 2
    bad["i"] = ["7"] * 9 + ["8a"]
    with pytest.raises(TableError) as error:
        fitted().transform(bad)
    assert str(error.value).splitlines() == [
        "X: 3 problems",
        "  row 1, column 'n': 'x'; expected a number",
        "  row 3, column 'ok': '2'; expected true or false",
        "  row 9, column 'i': '8a'; expected a number",
    ]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("n", [datetime(2026, 1, 1)] * 10, "'n': expected numbers, got dates"),
        ("n", [math.inf] * 10, "'n': inf; expected a finite number"),
        ("n", [1j] * 10, "'n': expected numbers, texts, booleans or dates"),
        ("c", [1, 2] * 5, "'c': expected texts like 'blue', got numbers like 1"),
        ("d", [1.7e9] * 10, "'d': expected dates, got numbers"),
        ("d", ["1.1.2026"] * 10, "'d': '1.1.2026'; expected a date"),
        ("ok", [0.5] * 10, "'ok': 0.5; expected true or false"),
        ("ok", [datetime(2026, 1, 1)] * 10, "'ok': expected true or false, got dates"),
        ("i", [[1], [2]] * 5, "'i'"),
    ],
)
def test_wrong_kinds_are_refused(column, values, said):
    with pytest.raises((TypeError, ValueError), match=said):
        fitted().transform({**DATA, column: values})


def test_filled_and_unseen_are_told():
    preparation = fitted()
    notes = []
    X = preparation.transform({**DATA, "c": ["pink", None, *RED[2:]]}, notes=notes)
    assert X[0, 3:6].tolist() == X[1, 3:6].tolist() == [0, 0, 0]
    assert notes == [
        "column 'n': 3 missing, filled with 2",
        "column 'c': 1 of 10 (10.0%) with 'pink', not seen in training",
        "column 'c': 1 missing, as none was in training",
    ]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (["u", "v"] * 4, ["column 'k': 3 missing, as none was in training"]),
        (["u"] * 4 + ["v"] * 3 + ["rare"], ["column 'k': 3 missing, as none was in training"]),
        (["u", "v"] * 3 + ["u", None], []),  # there is an indicator for it
        (["u"] * 4 + ["v"] * 2 + ["rare", ""], []),
    ],
)
def test_missing_categories_are_told_where_training_had_none(seen, said):
    preparation = fitted({"k": seen, "n": list(range(7, 15))})
    notes = []
    X = preparation.transform({"k": ["u", "", None, "NA"], "n": [8] * 4}, notes=notes)
    assert notes == said
    assert preparation.transform({"k": ["u"] * 2, "n": [8] * 2}, notes=notes).shape[0] == 2
    assert notes == said
    at = [name for name, x in zip(preparation.output_names, X[1], strict=True) if x == 1]
    named = "k missing" if not said else "k other" if "rare" in seen else None
    assert at == ([] if named is None else [named])


def test_rare_and_many_categories():
    rare = ["a"] * 30 + ["b"] * 20 + ["once", "also once"] + [None] * 3
    preparation = fitted({"c": rare, "n": list(range(7, 62))})
    assert preparation.output_names == ["c=a", "c=b", "c other", "c missing", "n"]
    cells = ["a", "once", "never seen", None, "nan"]
    with pytest.warns(UserWarning, match="with 'never seen', not seen"):
        X = preparation.transform({"c": cells, "n": [1] * 5})
    assert X[:, :4].tolist() == [
        [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]
    ]  # fmt: skip
    many = [f"v{i}" for i in range(200) for _ in range(1 + i % 5)]
    preparation = fitted({"c": many, "n": list(np.arange(len(many)) * 1.5)})
    assert preparation.width == 50 + 1 + 1
    kept = preparation.columns[0].categories
    assert {text for text in many if many.count(text) == 5} <= {*kept}


def test_missing_flags_where_there_are_enough():
    values = [1.0, 2.0, 3.0, 4.0] * 25
    for missing, flag in ((4, False), (5, True)):
        data = {"a": [None] * missing + values[missing:], "b": values}
        preparation = fitted(data)
        assert preparation.output_names == ["a", *(["a missing"] if flag else []), "b"]
        if flag:
            X = preparation.transform(data)
            assert X[:, 1].tolist() == [1.0] * missing + [0.0] * (100 - missing)


def test_texts_are_read_by_the_rule_of_the_training(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a;b\n1.234,5;x\n2,25;y\n"7";x\n;y\n?;x\n')
    table = read_table(path)
    preparation = again(Preparation.fit(table, infer_columns(table)))
    numbers = preparation.transform({"a": [1234.5, 2.25, 7, None, None], "b": list("xyxyx")})
    np.testing.assert_array_equal(preparation.transform(table), numbers)
    texts = {"a": ["1.234,5", " 2,25", "7", "", "NA"], "b": list("xyxyx")}
    np.testing.assert_array_equal(preparation.transform(texts), numbers)
    with pytest.raises(TableError, match=r"'2\.25'; expected a number like 1\.234,5"):
        preparation.transform({"a": ["2.25"], "b": ["x"]})


def test_numbers_of_any_type():
    preparation = fitted({"a": [1.0, 2.0, 4.0]})
    expected = preparation.transform({"a": [1.0, 2.0, 4.0]})
    for values in (
        [Decimal("1"), Decimal("2"), Decimal("4")], np.array([1, 2, 4], np.int8), (1, 2, 4),
        np.array([1, 2, 4], np.float16), np.ma.array([1.0, 2.0, 4.0]),
        np.array(["1", "2", "4"]), np.array([b"1", b"2", b"4"]),
    ):  # fmt: skip
        np.testing.assert_array_equal(preparation.transform({"a": values}), expected)
    with pytest.raises(ValueError, match="masked"):
        preparation.transform({"a": np.ma.masked_equal([1.0, 2.0, 4.0], 2)})


def test_one_column_of_quantities_together():
    data = {"a": [1.0, 2.0, 3.0, 4.0], "b": [10.0, 20.0, 30.0, 50.0], "c": list("xyxy")}
    preparation = fitted(data, standardize="together")
    pooled = np.array([data["a"], data["b"]])
    np.testing.assert_allclose(preparation.mean, [pooled.mean()] * 2 + [0, 0])
    np.testing.assert_allclose(preparation.scale, [pooled.std()] * 2 + [1, 1])
    assert (fitted(data, standardize="none").scale == 1).all()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "text"}, {"low": 1.0}, {"low": 2.0, "high": 1.0}, {"low": "1", "high": "2"},
        {"fill": "3"}, {"fill": math.nan}, {"flag": 1}, {"name": 3}, {"odd": 1},
        {"rule": {"decimal": "x"}}, {"rule": {"unit": "kg"}}, {"rule": 3}, {"stray": [1]},
        {"kind": "date", "parts": ["hour"]}, {"kind": "category", "categories": ["a", "a"]},
    ],
)  # fmt: skip
def test_forged_descriptions_are_refused(change):
    value = {"named": True, "columns": [{"name": "a", "kind": "number", **change}]}
    with pytest.raises((ValueError, TypeError, KeyError)):
        Preparation.from_json(value, np.zeros(1), np.ones(1))


def test_numbers_for_categories_that_are_written_otherwise():
    """As pandas reads 00501 and 1.0: as numbers."""
    codes = fitted({"zip": ["00501", "10001"] * 4, "n": [1.5, 2.0, 4.0, 3.0] * 2})
    expected = codes.transform({"zip": ["10001", "00501"], "n": [1, 2]})
    for values in ([10001, 501], [10001.0, 501.0], np.array([10001, 501], np.uint16)):
        np.testing.assert_array_equal(codes.transform({"zip": values, "n": [1, 2]}), expected)
    both = fitted({"zip": ["0123", "123"] * 4, "n": [1.5, 2.0, 4.0, 3.0] * 2})
    with pytest.raises(TableError, match="'zip': expected texts, got numbers, and of 0123, 123"):
        both.transform({"zip": [123], "n": [1]})


def test_numbers_among_texts_are_not_read_by_the_rule_of_texts():
    """1.234 as a number is not the text 1.234, which is 1234 there."""
    table = as_table({"a": ["1.234", "2,5", "1.000,5", "7"], "n": [1.5, 2.0, 4.0, 3.0]})
    preparation = Preparation.fit(table, infer_columns(table))
    assert preparation.columns[0].rule.thousands == "."
    with pytest.raises(TableError, match="'a': has texts and numbers"):
        preparation.transform({"a": [1.234, "2,5"], "n": [1, 2]})
    plain = fitted({"a": ["1.234", 2.5, 7, "NA"], "n": [1.5, 2.0, 4.0, 3.0]})
    np.testing.assert_array_equal(
        plain.transform({"a": ["1.5", 2.5], "n": [1, 2]}),
        plain.transform({"a": [1.5, 2.5], "n": [1, 2]}),
    )


def test_blanks_around_names_of_which_one_is_meant():
    preparation = fitted({"a": [1.0, 2.5], "b": [3.0, 4.5]})
    expected = preparation.transform({"a": [1.0], "b": [2.0]})
    for data in ({" a": [9.0], "a": [1.0], "b": [2.0]}, {"a ": [1.0], " b": [2.0]}):
        np.testing.assert_array_equal(preparation.transform(data), expected)
    with pytest.raises(TableError, match="X: has a more than once, as ' a', 'a '; expected one"):
        preparation.transform({" a": [9.0], "a ": [1.0], "b": [2.0]})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinity_is_refused_by_its_row(dtype):
    preparation = fitted({"a": [1.0, 2.5], "b": [3.0, 4.5]})
    with pytest.raises(TableError, match=r"X: row 1, column 'a': inf; expected a finite number"):
        preparation.transform({"a": [1.0, np.inf], "b": [1.0, 2.0]}, dtype)


PAIRS = np.array([(1.0, 2.0), (3.0, 4.0)], [("a", float), ("b", float)])


@pytest.mark.parametrize(
    "data",
    [
        np.ma.array(PAIRS, mask=[(True, False), (False, False)]),
        np.ma.array(PAIRS, mask=[(True, False), (False, False)])[0],
        [np.ma.array([1.0, 2.0], mask=[1, 0]), np.ma.array([3.0, 4.0])],
        [[np.ma.masked, 2.0], [3.0, 4.0]],
        {"a": [np.ma.masked, 3.0], "b": [2.0, 4.0]},
        [{"a": np.ma.masked, "b": 2.0}, {"a": 3.0, "b": 4.0}],
    ],
)
def test_masked_entries_are_refused(data):
    preparation = Preparation.fit({"a": [1.0, 2.0, 4.0], "b": [1.0, 2.0, 4.0]})
    with pytest.raises(ValueError, match=r"^X.*: expected an array without masked entries"):
        preparation.transform(data)


def test_masked_arrays_without_masked_entries_are_read():
    preparation = Preparation.fit({"a": [1.0, 2.0, 4.0], "b": [1.0, 2.0, 4.0]})
    expected = preparation.transform(PAIRS)
    rows = [np.ma.array([1.0, 2.0]), np.ma.array([3.0, 4.0])]
    for same in (np.ma.array(PAIRS), rows):
        np.testing.assert_array_equal(preparation.transform(same), expected)


def test_durations_are_refused():
    durations = np.array([1, 2], "timedelta64[h]")
    said = r"expected numbers, texts, booleans or dates, got durations, timedelta64\["
    with pytest.raises(TypeError, match=f"X: column 'a': {said}"):
        Preparation.fit({"a": [1.0, 2.0, 4.0]}).transform({"a": durations})
    with pytest.raises(TypeError, match=said):
        Target(("y",), rules=(PLAIN,)).encode(durations)


def test_durations_of_polars_are_refused():
    pl = pytest.importorskip("polars")
    data = pl.DataFrame({"a": [timedelta(hours=1)]})
    with pytest.raises(TypeError, match=r"X: column 'a': .*got durations"):
        Preparation.fit({"a": [1.0, 2.0, 4.0]}).transform(data)


def test_categories_of_float32_are_the_numbers_as_written():
    table = as_table({"q": [0.1, 0.2] * 5})
    preparation = Preparation.fit(table, infer_columns(table, given={"q": "category"}))
    for dtype in (np.float32, np.float16):
        X = preparation.transform({"q": np.array([0.1, 0.2], dtype)})
        assert X.tolist() == [[1, 0], [0, 1]]


LARGE = [2**60 + 1, 2**60 + 2, None]


@pytest.mark.parametrize("library", ["list", "pandas", "polars", "pyarrow"])
def test_large_integers_are_kept_beside_a_missing_one(library):
    table = as_table({"id": LARGE[:2] * 5})
    preparation = Preparation.fit(table, infer_columns(table, given={"id": "category"}))
    data = {"id": LARGE}
    if library == "pandas":
        pd = pytest.importorskip("pandas")
        data = pd.DataFrame({"id": pd.array(LARGE, dtype="Int64")})
    elif library == "polars":
        data = pytest.importorskip("polars").DataFrame(data)
    elif library == "pyarrow":
        data = pytest.importorskip("pyarrow").table(data)
    assert preparation.transform(data).tolist() == [[1, 0], [0, 1], [0, 0]]


GERMAN = [f"1.{i:03d},5" for i in range(20)]


@pytest.mark.parametrize(
    ("training", "new", "beside", "said"),
    [
        (GERMAN, ["1.911"], ["0.5"], r"'1.911' is 1911 .* like training's 1\.234,5, but 1\.911"),
        (["1.5", "2.25"], ["1.500"], ["0,5"], r"'1.500' is 1\.5 .*, but 1500 written"),
        (["1,234.5", "2.5"], ["1,911"], ["0,5"], r"'1,911' is 1911 .*, but 1\.911 written"),
    ],
)
def test_numbers_written_otherwise_than_in_training_are_refused(training, new, beside, said):
    preparation = Preparation.fit({"a": training})
    with pytest.raises(TableError, match=f"^X: column 'a': {said}"):
        preparation.transform({"a": new, "b": beside})


FAR = "ignore:.*far beyond the numbers of training:UserWarning"


@pytest.mark.filterwarnings(FAR)
def test_numbers_that_may_be_written_otherwise_are_told():
    preparation = Preparation.fit({"a": GERMAN})
    with pytest.warns(UserWarning, match=r"'1.911' is 1911 .*; taken for 1911"):
        preparation.transform({"a": ["1.911", "7"]})
    for cells in (["1.911", "2,5"], ["1.911.000"], ["7"]):
        preparation.transform({"a": cells})


@pytest.mark.filterwarnings(FAR)
def test_numbers_without_the_unit_of_training():
    preparation = Preparation.fit({"a": [f"{i}%" for i in range(20)]})
    for cells in ([0.45, 0.5], ["0.45"]):
        with pytest.raises(TableError, match=r"column 'a': no cell has the unit %.*0\.45 is taken"):
            preparation.transform({"a": cells})
    for cells in ([45, 0.5], ["45"]):
        with pytest.warns(UserWarning, match="45 is taken for 45 %"):
            preparation.transform({"a": cells})
    with pytest.raises(TableError, match=r"row 0, column 'a': '0\.45'; expected percent"):
        preparation.transform({"a": ["0.45", "45%"]})
    preparation.transform({"a": ["45", "40%"]})
    # One beyond 1, or below 0, among many shares.
    for odd in (1.2, -0.1):
        with pytest.raises(TableError, match="expected percent, got numbers from 0 to 1"):
            preparation.transform({"a": [0.45] * 20 + [odd]})


def test_shares_beside_percent():
    """Which of them 0.45 is, nobody can say: left out, or taken for percent by order, said."""
    data = {"a": ["45%", "0.45", "20%", "30 %"] * 3, "b": list(range(12))}
    kind = infer_columns(as_table(data))[0]
    assert (kind.kind, "'0.45', which may be a share" in kind.why) == ("", True)
    kinds = infer_columns(as_table(data), given={"a": "number"})
    assert "'0.45' taken for 0.45 %" in kinds[0].said
    preparation = Preparation.fit(data, kinds)
    again = Preparation.from_json(preparation.to_json(), preparation.mean, preparation.scale)
    for one in (preparation, again):
        X = one.transform({"a": ["0.45", "45%"], "b": [1, 2]}) * one.scale + one.mean
        np.testing.assert_allclose(X[:, 0], [0.45, 45])
    data["a"] = ["45%", "12", "20%", "30 %"] * 3
    kind = infer_columns(as_table(data))[0]
    assert (kind.kind, "'12' taken for 12 %" in kind.said) == ("number", True)


def test_all_columns_that_cannot_be_read_are_listed():
    data = {"a": ["x", "y", "1"], "b": ["q", "r", "yes"], "c": [1.0, np.inf, 2.0], "d": [1, 2, 3]}
    with pytest.raises(TableError) as error:
        infer_columns(as_table(data), given={"a": "number", "b": "boolean"})
    lines = str(error.value).splitlines()
    assert lines[0] == "X: 3 kinds of problems"
    assert lines[1:] == [
        "  column 'a' is not a number", "    row 0: 'x'", "    row 1: 'y'",
        "  column 'b' is not a boolean", "    row 0: 'q'", "    row 1: 'r'",
        "  column 'c' has 1 infinite numbers", "    row 1: inf",
    ]  # fmt: skip
    data = {"a": [1e300, -1e300, 0.0], "b": [1e200, 0.0, 1.0]}
    with pytest.raises(TableError, match=r"(?s)row 0, column 'a'.*row 0, column 'b'"):
        Preparation.fit(data)


def test_dates_are_no_times_of_day():
    preparation = Preparation.fit({"t": ["05:30", "06:30", "07:45"]})
    with pytest.raises(TableError, match="'t': expected times of day, got dates like 2026-01-02"):
        preparation.transform({"t": [datetime(2026, 1, 2, 5, 30)]})


def test_numbers_whose_squares_are_0_are_refused_by_name():
    small = {"a": [1.0, 2.0, 4.0], "b": [1e-170, 2e-170, 4e-170]}
    with pytest.raises(
        TableError, match=r"column 'b': the squares .* too small to be standardized"
    ):
        Preparation.fit(small)
    with pytest.raises(TableError, match="column 2: the squares"):
        Preparation.fit(np.array([*small.values()]).T)
    with pytest.raises(TableError, match="too small to be standardized"):
        Preparation.fit({"b": small["b"]}, standardize="together")
    preparation = Preparation.fit({"b": [1e-155, 2e-155, 3e-155]})
    np.testing.assert_allclose(preparation.scale, [1e-155 * (2 / 3) ** 0.5], rtol=1e-9)
    same = Preparation.fit({"a": [1.0, 2.0, 4.0], "b": [1e-170] * 2 + [1e-170]})
    assert same.features == ("a",)


def test_numbers_far_beyond_those_of_training_are_taken_for_a_bound_and_told(tmp_path):
    """Five deviations from the mean, or as far as training's own went."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(10, 2, 1000), rng.normal(size=1000)
    b[7] = 80.0
    preparation = Preparation.fit({"a": a, "b": b})
    low, high = a.mean() - 5 * a.std(), a.mean() + 5 * a.std()
    new = {"a": [low - 1, low + 1, high + 1e6, 1e300], "b": [80.0, 81.0, b.mean() - 5 * b.std(), 0]}
    within = {"a": [low, low + 1, high, high], "b": [80.0, 80.0, b.mean() - 5 * b.std(), 0]}
    with pytest.warns(UserWarning, match="far beyond the numbers of training") as said:
        X = preparation.transform(new)
    assert [str(one.message) for one in said] == [
        f"X: column 'a': 3 of 4 far beyond the numbers of training ({low - 1:.6g}, "
        f"{high + 1e6:.6g}, 1e+300), taken for {low:.6g} or {high:.6g}",
        "X: column 'b': 1 of 4 far beyond the numbers of training (81), taken for "
        f"{b.mean() - 5 * b.std():.6g} or 80",
    ]
    np.testing.assert_array_equal(X, preparation.transform(within))
    scaled = (np.array([within["a"], within["b"]]).T - preparation.mean) / preparation.scale
    np.testing.assert_allclose(X, scaled, rtol=1e-14)
    np.testing.assert_array_equal(again(preparation).transform(new, notes=[]), X)
    (tmp_path / "t.csv").write_text("a,b\n9,1e9\n")
    notes = []
    preparation.transform(read_table(tmp_path / "t.csv"), notes=notes)
    assert notes[0].startswith("column 'b': 1 of 1 far beyond the numbers of training (1e+09)")
    with pytest.raises(ValueError, match="column 'a': inf"):
        preparation.transform({"a": [np.inf], "b": [1.0]})
    assert "v from " in Preparation.fit({"a": a}).columns[0].told([0], [1])
    # Of an array of numbers, as images are, they stay as they are.
    assert fitted(a[:, np.newaxis]).transform([[1e6]])[0, 0] > 1e5


def test_dates_far_beyond_those_of_training_count_as_a_bound_in_days_alone():
    days = np.datetime64("2020-01-01") + np.arange(300) * np.timedelta64(37, "h")
    preparation = Preparation.fit({"d": days})
    seconds = days.astype("datetime64[s]").astype(float)
    high = seconds.mean() + 5 * seconds.std()
    assert high > seconds.max()
    bound = np.datetime64(int(high), "s")
    said = rf"far beyond the dates of training \(9999-12-31T00:00:00\), taken for .* or {bound}"
    with pytest.warns(UserWarning, match=f"'d': 1 of 2 {said}"):
        X = preparation.transform({"d": ["9999-12-31", "2021-02-03"]})
    assert preparation.output_names[0] == "d days"
    assert X[0, 0] == pytest.approx((high / 86400 - preparation.mean[0]) / preparation.scale[0])
    # The last day of a year, and its day of the week, it still is.
    other = preparation.transform({"d": ["2021-12-31", "2021-02-03"]})
    np.testing.assert_allclose(X[0, 1:3], other[0, 1:3], atol=0.05)
    np.testing.assert_array_equal(X[1], other[1])
    np.testing.assert_array_equal(
        X, again(preparation).transform({"d": ["9999-12-31", "2021-02-03"]}, notes=[])
    )


def test_a_column_without_any_cell_warns():
    rows = 40
    data = {
        "size": np.arange(rows) + 0.5, "street": ["Elm", "Oak"] * 20, "flag": [True, False] * 20,
        "when": np.arange(rows).astype("M8[D]"),
    }  # fmt: skip
    preparation = Preparation.fit(data)
    new = {name: values[:3] for name, values in data.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preparation.transform(new)
        # One row may lack what it lacks, and so may some of several.
        preparation.transform(dict.fromkeys(data))
        preparation.transform({**new, "size": [1.0, None, None]})
    for name in data:
        for nothing in ([None] * 3, [np.nan] * 3, ["", "NA", None]):
            with pytest.warns(UserWarning, match=f"column '{name}': missing in all 3 rows"):
                preparation.transform({**new, name: nothing})
    notes = []
    preparation.transform({**new, "size": [None] * 3}, notes=notes)
    assert any("missing in all 3 rows" in note for note in notes)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({"data": object()}, "data"), ({"data": None}, "data"), ({"kinds": "text"}, "kinds"),
        ({"kinds": 3}, "kinds"), ({"kinds": [None]}, "kinds"), ({"rows": "text"}, "rows"),
        ({"rows": [0, 3]}, "rows"), ({"rows": [-1]}, "rows"), ({"rows": [0.5]}, "rows"),
        ({"rows": 1}, "rows"), ({"rows": []}, "rows"), ({"rows": [True, False]}, "rows"),
        ({"rows": [False] * 3}, "rows"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["columns", "array"])
def test_arguments_of_other_kinds_are_refused_by_name(form, words, name):
    data = {"a": [1.0, 2, 4], "b": [0.5, 1, 1]}
    if form == "array":
        data = np.stack([*data.values()], axis=1)
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        Preparation.fit(**{"data": data, **words})
    chosen = Preparation.fit(data, rows=[True, False, True])
    np.testing.assert_array_equal(chosen.mean, Preparation.fit(data, rows=[0, 2]).mean)


def test_kinds_of_a_wider_table_are_refused():
    wide = infer_columns({"a": [1.0, 2, 4], "b": [0.5, 1, 3]})
    with pytest.raises(ValueError, match=r"^kinds: expected columns of these data, which have 1"):
        Preparation.fit({"a": [1.0, 2, 4]}, wide)
