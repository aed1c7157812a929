"""Columns of categories: indicators and numbers, of known, rare, unseen and missing ones."""

import json

import numpy as np
import pytest

from fcnn.tables import Preparation
from fcnn.tables.categories import CategoryColumn, OrdinalColumn
from fcnn.tables.columns import IgnoredColumn, NumberColumn

CELLS = ["red", "blue", "pink", None, "gray"]


def from_file(preparation):
    described = json.loads(json.dumps(preparation.to_json()))
    return Preparation.from_json(described, preparation.mean, preparation.scale)


def encoded(column, cells=CELLS, notes=None):
    width = len(column.outputs)
    preparation = Preparation([column], np.zeros(width), np.ones(width))
    # What a file holds is the same.
    again = from_file(preparation)
    assert again.columns == preparation.columns
    return again.transform({"c": cells}, notes=notes).tolist()


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ({}, [[0, 1], [1, 0], [0, 0], [0, 0], [0, 0]]),
        ({"other": True}, [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]),
        ({"missing": True}, [[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]),
        ({"other": True, "rare": ("pink",), "unseen": "none"},
         [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]),
        ({"fill": "blue"}, [[0, 1], [1, 0], [0, 0], [1, 0], [0, 0]]),
        ({"fill": "pink", "rare": ("pink",), "other": True, "unseen": "none"},
         [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]),
        # Filled with what was never seen.
        ({"fill": "nothing", "other": True}, [[0, 1, 0], [1, 0, 0], *[[0, 0, 1]] * 3]),
    ],
)  # fmt: skip
def test_indicators(fields, rows):
    assert encoded(CategoryColumn("c", ("blue", "red"), **fields), notes=[]) == rows


def test_numbers():
    column = OrdinalColumn("c", ("blue", "red", "gray"), (0, 1, 1), -1, 7.5)
    notes = []
    assert encoded(column, notes=notes) == [[1], [0], [-1], [7.5], [1]]
    assert notes == ["column 'c': 1 of 5 (20.0%) with 'pink', not seen in training"]
    filled = OrdinalColumn("c", ("blue", "red", "gray"), (0, 1, 1), -1, 7.5, "red")
    assert encoded(filled, notes=notes)[3] == [1]
    assert notes[-1] == "column 'c': 1 missing, filled with 'red'"


@pytest.mark.parametrize("kind", [CategoryColumn, OrdinalColumn])
def test_what_is_refused_is_listed_by_cell(kind):
    fields = {"unseen": "refuse"} if kind is CategoryColumn else {"values": (0, 1)}
    column = kind("c", ("blue", "red"), **fields)
    assert encoded(column, ["red"])
    with pytest.raises(ValueError, match="3 problems") as caught:
        encoded(column)
    assert "row 2, column 'c': 'pink'; expected one of blue, red" in str(caught.value)
    assert "row 3, column 'c': an empty cell; expected one of blue, red" in str(caught.value)
    with pytest.raises(ValueError, match="expected texts like 'blue', got numbers like 3"):
        encoded(column, [3, 4])


COLORS = {"c": ["red", "blue"] * 30 + ["rare"]}


def test_unseen_categories_are_told():
    preparation = Preparation.fit(COLORS)
    with pytest.warns(UserWarning, match=r"X: column 'c': 1 of 3 \(33.3%\) with 'tan', not seen"):
        X = preparation.transform({"c": ["red", "tan", "rare"]})
    assert X.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 1]]
    notes = []
    preparation.transform({"c": ["red", "tan"]}, notes=notes)
    assert notes == ["column 'c': 1 of 2 (50.0%) with 'tan', not seen in training"]


def test_a_category_that_differs_in_case_alone_is_told_from_which():
    preparation = Preparation.fit({"c": ["Red", "Blue"] * 9})
    said = r"'red', not seen in training \('red' differs only in case from 'Red'\)"
    with pytest.warns(UserWarning, match=said):
        preparation.transform({"c": ["Blue", "Green", "red"]})


@pytest.mark.filterwarnings("ignore:.*not seen in training:UserWarning")
def test_a_column_without_any_category_in_training_is_no_reason_to_refuse_rows():
    data = {"c": [None] * 9 + ["a"], "n": [*range(10)]}
    preparation = Preparation.fit(data, rows=np.arange(9))
    assert preparation.columns[0].categories == ()
    X = preparation.transform({"c": ["a", "b"], "n": [1, 1]})
    np.testing.assert_array_equal(X[0], X[1])


def test_the_warning_points_at_the_call():
    with pytest.warns(UserWarning, match="'tan'") as caught:
        Preparation.fit(COLORS).transform({"c": ["red", "tan"]})
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["RED", "BLUE"], "'RED', 'BLUE' \\('RED' differs only in case from 'red'\\); expected"),
        (["tan", None, "gold"], "'tan', 'gold'; expected some of blue, red, rare"),
    ],
)
def test_a_column_without_one_known_category_is_refused(cells, said):
    with pytest.raises(ValueError, match=f"column 'c': has none of the categories.*, but {said}"):
        Preparation.fit(COLORS).transform({"c": cells})


def test_texts_of_the_same_number_are_the_same_category():
    column = CategoryColumn("c", ("01", "1", "2.0"))
    assert encoded(column, ["2", "2.00", "02", "1"]) == [[0, 0, 1]] * 3 + [[0, 1, 0]]
    # Which of the two is it?
    assert encoded(column, ["1.0", "2"], []) == [[0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [([True], "booleans"), ([True, False], "booleans"),
     (np.array(["2026-01-01"], "datetime64[s]"), "dates")],
)  # fmt: skip
def test_booleans_and_dates_are_no_categories_of_numbers(cells, kind):
    with pytest.raises(ValueError, match=f"column 'c': expected texts like '1', got {kind} like"):
        encoded(CategoryColumn("c", ("1", "2")), cells)
    assert encoded(CategoryColumn("c", ("False", "True")), [True]) == [[0, 1]]


def test_a_column_that_is_ignored_keeps_the_positions_of_the_others():
    columns = [NumberColumn(""), IgnoredColumn(""), NumberColumn("")]
    preparation = Preparation(columns, [0, 1], [1, 2], is_named=False)
    again = from_file(preparation)
    assert again.transform([[5.0, 6.0, 7.0]]).tolist() == [[5, 3]]
    assert again.transform(np.array([[5.0, np.nan, 7.0]])).tolist() == [[5, 3]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "ordinal", "categories": ["a", "b"], "values": [1]},
        {"kind": "ordinal", "categories": ["a"], "values": ["1"]},
        {"kind": "ordinal", "categories": ["a"], "values": [1], "unseen": "none"},
        {"kind": "ordinal", "categories": ["a", "a"], "values": [1, 2]},
        {"kind": "ordinal", "categories": ["a"], "values": [1], "fill": 1},
        {"kind": "category", "categories": ["a"], "unseen": "ignore"},
        {"kind": "category", "categories": ["a"], "rare": ["a"]},
        {"kind": "category", "categories": ["a"], "rare": [1]},
        {"kind": "category", "categories": ["a"], "fill": 0},
    ],
)
def test_columns_of_a_file_that_are_refused(wrong):
    described = {"named": True, "left_out": [], "columns": [{"name": "c", **wrong}]}
    with pytest.raises(ValueError, match="expected"):
        Preparation.from_json(described, np.zeros(1), np.ones(1))


def test_missing_cells_are_noted_where_training_had_none():
    notes = []
    data = {"k": ["u", "v"] * 2, "x": [1.0, 2, 3, 4]}
    preparation = Preparation.fit(data)
    preparation.transform({"k": ["u", "", None, "zz"], "x": [1, 2, 3, 4]}, notes=notes)
    assert "column 'k': 2 missing, as none was in training" in notes
    # Training that had some has an indicator for them.
    notes.clear()
    preparation = Preparation.fit({**data, "k": ["u", "v", "u", None]})
    preparation.transform({"k": ["u", None], "x": [1, 2]}, notes=notes)
    assert notes == []
