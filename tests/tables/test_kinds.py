"""Kinds of columns, and the rules by which their texts are numbers and dates."""

import sqlite3
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from fcnn.tables import (
    Preparation,
    TableError,
    as_table,
    infer_columns,
    numbers,
    read_table,
    read_target,
)  # fmt: skip
from fcnn.tables.dates import find_dates, read_dates, take_apart, useful_parts
from fcnn.tables.numbers import PLAIN, NumberRule, read_numbers

CASES = Path(__file__).parent / "cases"


def kinds(data, **options):
    return {kind.name: kind for kind in infer_columns(as_table(data), **options)}


def kind_of(values, **options):
    filler = list(np.arange(len(values)) * 1.5)
    return kinds({"c": values, "filler": filler}, **options)["c"]


# --- Numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "values", "rule"),
    [
        (["1", "-2.5", "1e3", "+4", ".5", "6."], [1, -2.5, 1000, 4, 0.5, 6], PLAIN),
        (["2,5", "-0,25", "1234,5"], [2.5, -0.25, 1234.5], NumberRule(",")),
        (["1.234,5", "2,5", "1.000.000"], [1234.5, 2.5, 1e6], NumberRule(",", ".")),
        (["1,234.5", "1,000,000", "3"], [1234.5, 1e6, 3], NumberRule(".", ",")),
        (["1 234,5", "2\u00a0000 000"], [1234.5, 2e6], NumberRule(",", " ")),
        (["1'234.5", "7"], [1234.5, 7], NumberRule(".", "'")),
        (["$1,200.00", "$-400.00", "-$5.00"], [1200, -400, -5], NumberRule(".", ",", "$")),
        (["45%", "-0.4 %", "100%"], [45, -0.4, 100], NumberRule(".", "", "%")),
        (["1,5 €", "€ 2.000,25"], [1.5, 2000.25], NumberRule(",", ".", "€")),
    ],
)
def test_one_rule_fits_all(texts, values, rule):
    read = read_numbers(texts)
    assert (read.rule, read.share, read.doubt) == (rule, 1.0, "")
    np.testing.assert_array_equal(read.values, values)
    assert NumberRule.from_json(rule.to_json()) == rule


@pytest.mark.parametrize(
    "text",
    ["l2.5", "1.2.3", "1_000", "nan", "inf", "1e999", "0x10", "--1", "1-", "$", "", "1,23,4", "e5"],
)
def test_what_is_no_number(text):
    assert read_numbers([text]).share == 0


def test_thousands_or_decimal_comma():
    """All cells could be either: what separates them decides, and it is said."""
    texts = ["81,000", "61,400"]
    read = read_numbers(texts)
    assert (read.values.tolist(), read.doubt) == ([81000, 61400], "'81,000' is read as 81000")
    read = read_numbers(texts, ",")
    assert (read.values.tolist(), read.doubt) == ([81, 61.4], "'81,000' is read as 81")
    # Dots, too, where the rest of the table has decimal commas.
    assert read_numbers(["1.234", "2.000"], ",").values.tolist() == [1234, 2000]
    assert read_numbers(["1.234", "2.000"]).values.tolist() == [1.234, 2.0]
    # One cell that can be only one of them decides for all.
    assert read_numbers(["81,000", "7,5"]).values.tolist() == [81, 7.5]
    assert read_numbers(["81,000", "1,000,000"], ",").values.tolist() == [81000, 1e6]


def test_a_column_with_decimal_commas_speaks_for_the_others(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n1,250\t2,5\n3,000\t3,25\n2,125\t1,5\n")
    found = {kind.name: kind for kind in infer_columns(read_table(path))}
    assert found["a"].rule == NumberRule(",")
    assert "'1,250' is read as 1.25" in found["a"].said


# --- Dates ---------------------------------------------------------------------------------------


def seconds(year, month, day, *clock, zone=0):
    moment = datetime(year, month, day, *clock, tzinfo=timezone(timedelta(hours=zone)))
    return moment.timestamp()


@pytest.mark.parametrize(
    ("texts", "form", "values"),
    [
        (["2026-01-31", "1969-12-31"], "ymd", [seconds(2026, 1, 31), -86400]),
        (["2026-02-01T12:30:15", "2024-02-29 00:00"], "ymd",
         [seconds(2026, 2, 1, 12, 30, 15), seconds(2024, 2, 29)]),
        (["2026-02-01T12:30:15.25Z", "2026-02-01T12:30:15+02:00"], "ymd",
         [seconds(2026, 2, 1, 12, 30, 15) + 0.25, seconds(2026, 2, 1, 12, 30, 15, zone=2)]),
        (["31.1.2026", "01.02.2026"], "dmy", [seconds(2026, 1, 31), seconds(2026, 2, 1)]),
        (["31/01/2026", "01/02/2026"], "dmy", [seconds(2026, 1, 31), seconds(2026, 2, 1)]),
        (["1/31/2026", "2/1/2026 1:05 PM"], "mdy",
         [seconds(2026, 1, 31), seconds(2026, 2, 1, 13, 5)]),
        (["05-Mar-2020", "7 April 2021"], "d name y", [seconds(2020, 3, 5), seconds(2021, 4, 7)]),
        (["Mar 5, 2020", "April 7 2021"], "name d y", [seconds(2020, 3, 5), seconds(2021, 4, 7)]),
        (["2020-03", "2021-12"], "ym", [seconds(2020, 3, 1), seconds(2021, 12, 1)]),
        (["12:30", "1:05:30"], "time", [45000, 3930]),
        (["12:30 am", "12:05 pm"], "time", [1800, 43500]),
    ],
)  # fmt: skip
def test_forms_of_dates(texts, form, values):
    found = find_dates(texts)
    assert (found.form, found.is_ambiguous) == (form, False)
    np.testing.assert_array_equal(found.seconds, values)


def test_days_that_do_not_exist_are_no_dates():
    for text in ("2025-02-29", "2026-13-01", "2026-04-31", "2026-01-00", "2026-01-01 24:00"):
        assert find_dates([text]).form == ""
    assert find_dates(["31/01/2026", "01/31/2026"]).form == ""


def test_day_and_month_that_could_change_places():
    assert find_dates(["01/02/2026", "03/04/2026"]).is_ambiguous
    assert not find_dates(["01/01/2026", "02/02/2026"]).is_ambiguous
    kind = kind_of(["01/02/2026", "03/04/2026"])
    assert (kind.kind, "date:dmy" in kind.why) == ("", True)
    assert kind_of(["01/02/2026", "03/04/2026"], given={"c": "date:mdy"}).form == "mdy"


@pytest.mark.slow
def test_many_dates_at_once():
    rng = np.random.default_rng(0)
    seconds = rng.integers(-(10**9), 4 * 10**9, 120)
    moments = [datetime(1970, 1, 1) + timedelta(seconds=int(s)) for s in seconds]
    zones = [(1, ""), (0, "Z"), (0, " UTC"), (3600, "+01"), (-19800, "-05:30"), (20700, "+0545")]

    def clock(t, k):
        return f"{t.hour}:{t:%M:%S}.{k:03}{zones[k % 6][1]}"

    ways = {
        "ymd": lambda t, k: f"{t:%Y-%m-%d}T{clock(t, k)}",
        "dmy": lambda t, k: f"{t.day}.{t.month}.{t.year} {clock(t, k)}",
        "mdy": lambda t, k: f"{t:%m/%d/%Y}, {clock(t, k)}",
        "d name y": lambda t, k: f"{t:%d-%b-%Y} {clock(t, k)}",
        "name d y": lambda t, k: f"{t:%B} {t.day}, {t.year} {clock(t, k)}",
        "time": lambda t, k: f"{t:%I:%M:%S %p}",
    }
    offsets = np.array([zones[k % 6][0] * (k % 6 > 0) for k in range(120)])
    for form, written in ways.items():
        texts = [written(t, k) for k, t in enumerate(moments)]
        expected = seconds - offsets + np.arange(120) / 1000
        if form == "time":
            expected = seconds % 86400
        odd = rng.choice(120, 12, replace=False)
        for k in odd:
            cut = int(rng.integers(len(texts[k])))
            texts[k] = texts[k][:cut] + "x" + texts[k][cut:]
        read = read_dates(texts, form)
        assert np.isnan(read[odd]).all() or form in ("d name y", "name d y")
        kept = np.setdiff1d(np.arange(120), odd)
        np.testing.assert_allclose(read[kept], expected[kept], rtol=0, atol=1e-6)
        one_by_one = [read_dates([text], form)[0] for text in texts]
        np.testing.assert_array_equal(read, one_by_one)


def test_dates_have_digits_of_ascii_as_numbers_do():
    assert find_dates(["\u0662\u0660\u0662\u0660-01-02"]).form == ""


def test_rows_taken_keep_what_was_made_of_texts():
    texts = ["b", "NA", "a", "b", "c", "", "a"]
    for rows in ([0, 1, 2, 3, 4, 5, 6], [4, 2, 2, 6, 1], [], [5]):
        table = as_table({"c": texts, "n": list(map(str, range(7)))})
        column = table["c"]
        fresh = as_table({"c": [texts[row] for row in rows]})["c"] if rows else None
        column.factorize()
        taken = column.take(np.array(rows, int)).take(slice(None))
        codes, distinct = taken.factorize()
        assert [distinct[code] for code in codes] == [texts[row] for row in rows]
        if fresh is not None:
            assert (codes.tolist(), distinct) == (fresh.factorize()[0].tolist(),
                                                  fresh.factorize()[1])  # fmt: skip
        comma = NumberRule(",")
        np.testing.assert_array_equal(table["n"].numbers(comma), np.arange(7))
        np.testing.assert_array_equal(table["n"].take(np.array(rows, int)).numbers(comma), rows)


def test_parts_of_dates():
    days = read_dates([f"2025-{m:02}-{d:02}" for m in range(1, 13) for d in (1, 11)], "ymd")
    assert useful_parts(days, "ymd") == ("days", "year", "week")
    numbers = take_apart(np.array([seconds(1970, 1, 1), seconds(1970, 1, 8)]), ["days", "week"])
    np.testing.assert_allclose(numbers, [[0, 0, 1], [7, 0, 1]], atol=1e-12)
    six = take_apart(np.array([6 * 3600.0]), ["day"])
    np.testing.assert_allclose(six, [[1, 0]], atol=1e-12)
    assert useful_parts(np.array([0.0, 3600.0]), "time") == ("days", "day")


# --- Kinds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2.5, None] * 4, "number"),
        (["1", "2", "NA", "3"] * 3, "number"),
        (["1", "2", "?", "3"] * 3, "number"),
        ([True, False] * 4, "boolean"),
        ([True, False, None] * 4, "boolean"),
        (["yes", "no", "yes", ""] * 3, "boolean"),
        (["TRUE", "FALSE"] * 4, "boolean"),
        (["red", "blue"] * 4, "category"),
        (["red", "red", ""] * 4, "category"),
        (["00501", "10001"] * 4, "category"),
        (["2026-01-01", "2026-01-02"] * 4, "date"),
        ([datetime(2026, 1, 1), datetime(2026, 1, 2)] * 4, "date"),
        ([f"id {i}" for i in range(30)], ""),
        ([7] * 8, ""),
        (["x"] * 8, ""),
        ([None] * 8, ""),
        (["", "NA"] * 4, ""),
        ([f"word {i % 25}" for i in range(30)], ""),
        (["l2.5"] + ["1", "2", "3"] * 10, "number"),
        (["low", "high"] + ["1", "2", "3"] * 10, "category"),
    ],
)
def test_kinds(values, kind):
    assert kind_of(values).kind == kind


def test_columns_that_count_the_rows():
    frame = {"Unnamed: 0": range(1, 9), "id": ["0", "1", "2", "3", "4", "5", "6", "7"],
             "time": range(1, 9)}  # fmt: skip
    found = kinds(frame)
    assert [found[name].kind for name in frame] == ["", "", "number"]
    assert found["id"].why == "counts the rows, an index"
    assert kinds(frame, given={"id": "number"})["id"].kind == "number"
    assert kinds({"id": [3, 1, 2, 7], "b": [1, 2, 3, 5]})["id"].kind == "number"


def test_stray_texts_among_numbers_are_said():
    kind = kind_of(["l2.5"] + ["1", "2", "3"] * 10)
    assert kind.stray == ("l2.5",)
    assert "'l2.5' taken as missing" in kind.said
    assert "1 missing" in kind.said


def test_ignored_and_given():
    frame = {"a": [1, 2, 3, 1], "b": ["x", "y", "x", "y"], "Unnamed: 2": [5, 6, 5, 1]}
    found = kinds(frame, given={"a": "category"}, ignored=["Unnamed: 2"])
    assert [found[name].kind for name in frame] == ["category", "category", ""]
    for options, said in (
        ({"ignored": ["c"]}, "ignored: got 'c'"),
        ({"given": {"c": "number"}}, "given: got 'c'"),
        ({"given": {"a": "text"}}, "given: expected 'a' to be number, boolean, category, date"),
        ({"given": {"b": "number"}}, "'b' is not a number"),
        ({"given": {"b": "boolean"}}, "row 0: 'x'"),
        ({"given": {"b": "date"}}, "row 1: 'y'"),
        ({"given": {"a": "date"}}, "'a' is not a date"),
        ({"targets": ["a"], "ignored": ["b", "Unnamed: 2"]}, "no column is left"),
    ):
        with pytest.raises(TableError, match=said):
            kinds(frame, **options)


def test_columns_by_position_are_all_kept():
    found = infer_columns(as_table(np.zeros((5, 3))))
    assert [kind.kind for kind in found] == ["number"] * 3
    with pytest.raises(TableError, match="column 2: constant"):
        infer_columns(as_table([["a", 1], ["b", 1], ["a", 1], ["b", 1]]))


def test_the_cases_say_what_they_are():
    found = {k.name: k for k in infer_columns(read_table(CASES / "const.csv"), ["y"])}
    assert found["k"].why == "constant, '7' everywhere"
    found = {k.name: k for k in infer_columns(read_table(CASES / "trail.csv"), ["y"])}
    assert found["Unnamed: 3"].why == "all cells are empty"
    found = {k.name: k for k in infer_columns(read_table(CASES / "date.csv"), ["y"])}
    assert (found["when"].kind, found["when"].said) == ("date", "2026-01-01 to 2026-01-28")
    found = {k.name: k for k in infer_columns(read_table(CASES / "bool.csv"), ["y"])}
    assert found["flag"].kind == "boolean"


def test_named_tuples_and_rows_of_a_database_go_by_name():
    One, Other = namedtuple("One", "a b"), namedtuple("Other", "b a")
    rows = [One(1, "x"), Other("y", 2)]
    table = as_table(rows)
    assert {name: table[name].values.tolist() for name in table.names} == {
        "a": [1, 2], "b": ["x", "y"],
    }  # fmt: skip
    assert as_table(One(1, "x")).names == ["a", "b"]
    assert as_table(One(1, "x")).is_single
    with pytest.raises(ValueError, match="row 1 is"):
        as_table([One(1, "x"), (2, "y")])
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    found = database.execute("select 1 as a, 'x' as b union select 2, 'y'").fetchall()
    assert as_table(found)["b"].values.tolist() == ["x", "y"]


def test_rows_of_itertuples_go_by_name():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    rows = list(frame.itertuples(index=False))
    assert as_table(rows)["b"].values.tolist() == ["x", "y"]
    assert as_table(rows[1])["a"].values.tolist() == [2.0]
    assert as_table(rows[1]).is_single
    assert as_table(list(frame.itertuples())).names == ["Index", "a", "b"]
    assert as_table(list(frame.itertuples(name=None, index=False))).is_named is False
    assert as_table([row for _, row in frame.iterrows()]).names == ["a", "b"]
    assert as_table(next(frame.iterrows())[1]).is_single


def test_a_class_that_inherits_from_a_frame_is_one():
    pd = pytest.importorskip("pandas")

    class Frame(pd.DataFrame):
        pass

    class Row(pd.Series):
        pass

    assert as_table(Frame({"b": [1, 2], "a": ["x", "y"]})).names == ["b", "a"]
    assert as_table([Row({"b": 1, "a": "x"})]).names == ["b", "a"]
    assert as_table({"b": Row([1, 2])})["b"].values.tolist() == [1, 2]
    pl = pytest.importorskip("polars")
    plan = type("Plan", (pl.LazyFrame,), {})
    with pytest.raises(TypeError, match=r"got a Plan; \.collect\(\) makes one"):
        as_table(plan({"a": [1]}))


CODES = [3, 1, 2, 1, 3, 2, 2, 1, 3, 1]
DECLARED = {
    "pandas": lambda pd, codes: pd.Categorical(codes),
    "polars": lambda pl, codes: pl.Series(list(map(str, codes)), dtype=pl.Enum(["1", "2", "3"])),
    "pyarrow": lambda pa, codes: pa.array(codes).dictionary_encode(),
}


@pytest.mark.parametrize("library", DECLARED)
def test_a_type_of_categories_counts_though_they_are_numbers(library):
    module = pytest.importorskip(library)
    column = DECLARED[library](module, CODES)
    table = as_table({"c": column, "plain": CODES, "x": np.arange(10) * 1.5, "y": range(10)})
    found = {kind.name: kind.kind for kind in infer_columns(table, ["y"])}
    assert found == {"c": "category", "plain": "number", "x": "number"}
    assert kinds(table, targets=["y"], given={"c": "number"})["c"].kind == "number"
    preparation = Preparation.fit(table, infer_columns(table, ["y"]))
    ones = [[code == value for value in (1, 2, 3)] for code in CODES]
    names = preparation.output_names
    for data in (table, {**{name: table[name].values for name in ("plain", "x")}, "c": CODES}):
        prepared = preparation.transform(data)
        place = [names.index(f"c={value}") for value in (1, 2, 3)]
        np.testing.assert_array_equal(prepared[:, place], ones)
    for name, classes in (("c", (1, 2, 3)), ("plain", ())):
        assert tuple(int(value) for value in read_target(table, [name]).target.classes) == classes
        assert read_target(table.take([0, 1, 2]), [name], "regression").target.classes == ()
    assert read_target(table, ["c"]).y.tolist() == [code - 1 for code in CODES]
    assert read_target(table, ["c"]).reason == "its column is one of categories"
    assert not table["plain"].is_declared
    assert table["c"].take([1]).is_declared
    same = as_table({"c": DECLARED[library](module, [1, 1]), "i": [1, 2.5]})
    assert kinds(same)["c"].why == "constant, '1' everywhere"


def test_rows_whose_names_are_those_of_attributes():
    pd = pytest.importorskip("pandas")
    names = ["type", "dtype", *"abcdefgh"]
    frame = pd.DataFrame({"c": pd.Categorical(CODES), "x": [pd.NA, *range(9)]}, index=names)
    assert {name: kind.kind for name, kind in kinds(frame).items()} == {
        "c": "category", "x": "number",
    }  # fmt: skip


DECLARED_CLASSES = {
    "mostly numbers": ["1"] * 20 + ["2"] * 19 + ["3+"],
    "percent": ["45%", "0.45"] * 4,
    "dates": ["2024-01-01", "2024-02-01"] * 4,
    "wide": [2**62 + 1, 2**62 + 2] * 4,
}


@pytest.mark.parametrize("what", DECLARED_CLASSES)
def test_a_target_of_categories_is_taken_for_nothing_else(what):
    pd = pytest.importorskip("pandas")
    values = DECLARED_CLASSES[what]
    read = read_target({"y": pd.Categorical(values)}, ["y"])
    classes = sorted({*values})
    assert list(map(str, read.target.classes)) == list(map(str, classes))
    assert read.y.tolist() == [classes.index(value) for value in values]


@pytest.mark.parametrize("kind", [int, str])
def test_too_many_categories_are_no_classes(kind):
    pd = pytest.importorskip("pandas")
    table = {"y": pd.Categorical([kind(i % 101) for i in range(202)])}
    with pytest.raises(TableError, match="101 distinct values; is it the right column"):
        read_target(table, ["y"])
    assert len(read_target(table, ["y"], "classification").target.classes) == 101


@pytest.mark.filterwarnings("ignore:Series.values returning")  # which pandas is about to change
def test_a_dict_of_arrays_of_pandas_is_the_frame():
    pd = pytest.importorskip("pandas")
    n = 10
    frame = pd.DataFrame({
        "category": pd.Categorical(["a", "b"] * 5), "plain": np.arange(n),
        "texts": [f"t{i}" for i in range(n)], "string": pd.array([*"abcdefghi", None], "string"),
        "nullable": pd.array([1, None] * 5, "Int64"),
        "truth": pd.array([True, None] * 5, "boolean"),
        "float": pd.array([0.5, None] * 5, "Float32"), "sparse": pd.arrays.SparseArray([0, 1] * 5),
        "day": pd.date_range("2020", periods=n),
        "aware": pd.date_range("2020", periods=n, tz="Asia/Tokyo"),
    })  # fmt: skip
    expected = as_table(frame)
    for how in ("values", "array", "index"):
        if how == "index":
            given = {name: pd.Index(frame[name]) for name in frame if name != "sparse"}
        else:
            given = {name: getattr(frame[name], how) for name in frame}
        found = as_table(given)
        for name in given:
            np.testing.assert_array_equal(found[name].texts(), expected[name].texts())
            assert found[name].kind == expected[name].kind
    with pytest.raises(TypeError, match="column 'a': expected a column, got a DataFrame"):
        as_table({"a": frame[["plain"]]})
    # What NumPy or nobody can read as cells is refused, not taken for something else.
    for odd in (pd.period_range("2020", periods=n, freq="D"), pd.interval_range(0, n)):
        with pytest.raises(
            TypeError, match="column 'a': expected numbers, texts, booleans or dates"
        ):
            as_table({"a": odd})


@pytest.mark.parametrize("module", ["polars", "pyarrow"])
def test_what_is_no_column_is_refused_by_name(module):
    library = pytest.importorskip(module)
    if module == "polars":
        odd, name = library.DataFrame({"a": [1]}), "DataFrame"
    else:
        odd, name = library.table({"a": [1]}), "Table"
    with pytest.raises(TypeError, match=f"column 'b': expected a column, got a {name}"):
        as_table({"b": odd})


def test_dates_are_said_alike_wherever_they_come_from():
    days = np.arange("2020-01-01", "2020-01-31", dtype="M8[D]")
    said = {"D": "2020-01-01 to 2020-01-30", "h": "2020-01-01T00:00:00 to 2020-01-30T01:00:00"}
    for unit, text in said.items():
        when = days.astype("M8[us]")
        when[-1] += np.timedelta64(1, "h") if unit == "h" else np.timedelta64(0, "h")
        (kind,) = infer_columns(as_table({"when": when}))
        assert (kind.kind, kind.said) == ("date", text)
    when[0] += np.timedelta64(1, "ms")
    (kind,) = infer_columns(as_table({"when": when}))
    assert kind.said == "2020-01-01T00:00:00.001000 to 2020-01-30T01:00:00.000000"
    kinds = infer_columns(as_table({"when": days[[0, 0]], "k": [1, 2]}))
    assert kinds[0].why == "constant, '2020-01-01' everywhere"
    when[5] = "NaT"
    assert as_table({"when": days}).columns[0].written()[1] == "2020-01-02"
    assert as_table({"when": when}).columns[0].written()[5] == ""


def test_the_target_again_is_no_feature():
    y = np.arange(30.0) ** 2
    changed = np.where(np.arange(30) < 5, 0, y)
    frame = {"y": y, "y.1": y, "y_1": y, "y_duplicated_0": changed, "y.2": y[::-1], "y2": y}
    found = kinds(frame, targets=["y"])
    for name in ("y.1", "y_1", "y_duplicated_0"):
        assert found[name].why == "is the target 'y' again; it is taken where it is given a kind"
    assert [found[name].kind for name in ("y.2", "y2")] == ["number", "number"]
    assert kinds(frame, targets=["y"], given={"y.1": "number"})["y.1"].kind == "number"


def test_rules_read_alone_what_they_read_among_others():
    """At once or one by one, by every rule."""
    texts = ["1,5", "1.5", "1.234,5", "1,234.5", "1 234", "7", "-2e3", ",5", "5,", "", "x", "1'234",
             "1\u00a0234,5", "$5", "5 ", "1,5\n", "1\n5"]  # fmt: skip
    rng = np.random.default_rng(0)
    for marks in numbers._MARKS:
        for unit in ("", "$"):
            rule = numbers.NumberRule(*marks, unit)
            alone = {text: rule.numbers([text])[0] for text in texts}
            assert not all(map(np.isnan, alone.values()))
            for _ in range(20):
                some = rng.choice(texts, rng.integers(1, 6)).tolist()
                np.testing.assert_array_equal(rule.numbers(some), [alone[text] for text in some])
                pattern = numbers._pattern(rule)
                np.testing.assert_array_equal(
                    rule.numbers(some), [rule._number(pattern, text) for text in some]
                )


def test_any_table_like_and_one_name_will_do():
    data = {"abc": [1.5, 2, 3.25], "a": [1.0, 5, 2], "y": [0.5, 1, 2]}
    for table in (data, as_table(data)):
        # "a" is in "abc" as text, and is no target then.
        assert [kind.name for kind in infer_columns(table, "abc")] == ["a", "y"]
        assert [kind.name for kind in infer_columns(table, ["y"], ignored="a") if kind.kind] == [
            "abc"
        ]
    assert len(infer_columns(np.ones((3, 2)))) == 2


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ({"table": None}, "table"), ({"table": object()}, "table"), ({"table": "text"}, "table"),
        ({"targets": np.nan}, "targets"), ({"targets": [1]}, "targets"),
        ({"targets": None}, "targets"), ({"ignored": 3}, "ignored"), ({"given": ["a"]}, "given"),
        ({"given": "a"}, "given"),
    ],
)  # fmt: skip
def test_arguments_of_other_kinds_are_refused_by_name(words, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        infer_columns(**{"table": {"a": [1.0, 2, 4]}, **words})
