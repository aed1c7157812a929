"""Tables drawn at random, given in every way and written in every way, have the same answers."""

import csv
import ctypes
import datetime
import json
import shutil
import warnings
from collections import namedtuple

import numpy as np
import pytest
from generated_c import compiled, pointer

import fcnn
from fcnn import convert
from fcnn.tables import Preparation, Target, as_table, infer_columns, read_table
from fcnn.tables.columns import BooleanColumn, NumberColumn

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{said}:UserWarning")
    for said in ("not seen in training", "far beyond the (numbers|dates) of training")
]

WORDS = ["red", "None", "NA", "\u00e9 \u00fc", "\u65e5\u672c", "a,b", 'q"x', "x;y", "0", "01",
         "1.0", "true", " pad ", "UPPER", "upper", "-", "?", "3.50", "1e3"]  # fmt: skip
NAMES = ["age", "Gr\u00f6\u00dfe", "a b", "x1", "label", "prediction", "weird,name", 'q"uote',
         "class", "None", "0", "a.b", "fcnn.x", "t"]  # fmt: skip
KINDS = ("float", "int", "large", "bool", "words", "rare", "codes", "day", "second", "constant")
TARGETS = (
    (["no", "yes", "\u00fc"], 3, "cross_entropy"), ([3, -1, 70], 3, "cross_entropy"),
    ([0.5, 1.0, 2.0], 3, "cross_entropy"), ([False, True], 1, "binary_cross_entropy"),
    (["00", "0"], 2, "cross_entropy"), (["a", "b", "c"], 3, "squared_error"),
    ((), 1, "squared_error"), ((), 2, "squared_error"),
)  # fmt: skip
FEW = [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 150))]


def cells_of(rng, kind, rows):
    """Return cells of a kind; in some columns some are missing."""
    begin = datetime.datetime(1950, 1, 1)
    if kind == "float":
        cells = (10.0 ** rng.integers(-8, 9) * rng.normal(size=rows)).tolist()
    elif kind in ("int", "large"):
        cells = [int(v) + 2**54 * (kind == "large") for v in rng.integers(-5, 2000, rows)]
    elif kind == "bool":
        cells = (rng.random(rows) < 0.4).tolist()
    elif kind in ("words", "codes"):
        few = rng.choice(WORDS, rng.integers(2, 8), replace=False)
        cells = rng.choice(few if kind == "words" else ["007", "010", "12"], rows).tolist()
    elif kind == "rare":
        cells = [f"w{int(v)}" for v in rng.zipf(1.7, rows)]
    elif kind == "day":
        cells = [begin + datetime.timedelta(days=int(v)) for v in rng.integers(0, 40_000, rows)]
    elif kind == "second":
        cells = [begin + datetime.timedelta(seconds=int(v)) for v in rng.integers(0, 2e9, rows)]
    else:
        cells = [3.5] * rows
    share = rng.choice([0, 0, 0.1, 0.4])
    return [None if rng.random() < share else cell for cell in cells]


def drawn(seed, rows=60):
    """Return a model of random weights and new rows for it, some of whose categories are unseen."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 8)
    names = rng.choice(NAMES, count, replace=False).tolist()
    kinds = ["int", *rng.choice(KINDS, count - 1).tolist()]
    data = {
        name: cells_of(rng, kind, rows) for name, kind in zip(names, kinds, strict=True)
    }  # fmt: skip
    table = as_table(data)
    preparation = Preparation.fit(table, infer_columns(table))
    classes, n_out, loss = TARGETS[rng.integers(len(TARGETS))]
    numbers = () if classes else ([1.7e9, 5e12][:n_out], [67.0, 1e9][:n_out])
    target = Target(["y", "z"][: 1 if classes else n_out], classes, *numbers)
    hidden = rng.choice(["relu", "tanh", "sigmoid", "silu"])
    network = fcnn.Network(
        (preparation.width, 7, n_out), str(hidden), loss=loss,
        dtype=str(rng.choice(["float32", "float64"])), rng=seed,
    )  # fmt: skip
    new = {name: [cells[i] for i in rng.permutation(rows)[:20]] for name, cells in data.items()}
    for column in preparation.columns:
        if column.kind == "category":
            new[column.name][3] = "unseen"
    return fcnn.Model(network, preparation, target), new


def written(cell):
    if cell is None:
        return ""
    return cell.isoformat(sep=" ") if isinstance(cell, datetime.datetime) else str(cell)


def to_csv(data, path, separator):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(data)
        writer.writerows([map(written, row) for row in zip(*data.values(), strict=True)])
    return read_table(path)


def to_json_lines(data, path):
    with open(path, "w", encoding="utf-8") as file:
        for row in zip(*data.values(), strict=True):
            cells = [written(c) if isinstance(c, datetime.datetime) else c for c in row]
            file.write(json.dumps(dict(zip(data, cells, strict=True))) + "\n")
    return read_table(path)


def in_tokyo(data):
    """Return the same moments with a zone."""
    zone = datetime.timezone(datetime.timedelta(hours=9))
    return {
        name: [
            c.replace(tzinfo=datetime.UTC).astimezone(zone) if isinstance(c, datetime.datetime)
            else c for c in cells
        ] for name, cells in data.items()
    }  # fmt: skip


def structured(data):
    rows = np.empty(len(next(iter(data.values()))), [(name, object) for name in data])
    for name, cells in data.items():
        rows[name] = cells
    return rows


def ways_in(data, folder):
    """Yield a name and the rows in another form, their columns in another order and among more."""
    mixed = {**dict(reversed(data.items())), "more": list(range(20))}
    rows = [*zip(*mixed.values(), strict=True)]
    yield "dict", mixed
    yield "with a zone", in_tokyo(mixed)
    yield "dicts", [dict(zip(mixed, row, strict=True)) for row in rows]
    yield "structured", structured(mixed)
    yield "records", list(structured(mixed))
    yield "positions", [list(row) for row in zip(*data.values(), strict=True)]
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(mixed)
    yield "pandas", frame
    yield "pandas' own types", frame.convert_dtypes()
    yield "objects", pd.DataFrame(mixed, dtype=object)
    yield "rows of pandas", [row for _, row in pd.DataFrame(mixed, dtype=object).iterrows()]
    pl = pytest.importorskip("polars")
    yield "polars", pl.DataFrame(mixed, strict=False)
    yield "CSV", to_csv(mixed, folder / "a.csv", ",")
    yield "semicolons", to_csv(mixed, folder / "b.csv", ";")
    yield "JSON lines", to_json_lines(mixed, folder / "a.jsonl")
    pl.DataFrame(mixed, strict=False).write_parquet(folder / "a.parquet")
    yield "Parquet", read_table(folder / "a.parquet")
    pa = pytest.importorskip("pyarrow")
    yield "pyarrow", pa.table(mixed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", FEW)
def test_ways_in(seed, tmp_path):
    model, new = drawn(seed)
    used = {name: new[name] for name in model.features}
    wanted = model.outputs(used)
    for name, data in ways_in(used, tmp_path):
        np.testing.assert_allclose(
            model.outputs(data), wanted, rtol=1e-5, atol=1e-6, err_msg=f"{name}, seed {seed}"
        )


# --- Ways out ------------------------------------------------------------------------------------


def answers_of(model, data):
    """Return answer and numbers of each row by itself, None where it is refused."""
    found = []
    for row in zip(*data.values(), strict=True):
        one = {name: [cell] for name, cell in zip(data, row, strict=True)}
        try:
            answer, outputs = model.predict(one)[0], model.outputs(one)[0]
        except ValueError:
            found.append((None, None))
            continue
        if not model.classes:
            outputs = np.atleast_1d(answer)
        elif outputs.size == 1:
            outputs = np.array([1 - outputs[0], outputs[0]])
        found.append((answer, outputs))
    return found


def raw(column, cells):
    """Return cells as what was written of a model takes them."""
    if column.kind == "category":
        return np.array(["" if cell is None else str(cell).strip() for cell in cells], object)
    begin = datetime.datetime(1970, 1, 1)
    numbers = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        if cell is not None and cell not in ("?", "NA"):  # texts that mark a missing number
            is_date = column.kind == "date"
            numbers[i] = (cell - begin).total_seconds() if is_date else float(cell)
    return numbers


def spoiled(model, data):
    """Return rows some of which are refused: infinite numbers, and booleans that are none."""
    for column in model.preparation.columns:
        if column.kind == "number":
            data[column.name][5] = np.inf
            data[column.name][8], data[column.name][9] = 1e19, -1e19  # far beyond
        elif column.kind == "date":
            for row, year in ((8, 9999), (9, 3)):
                data[column.name][row] = datetime.datetime(year, 11, 5, 13)
        elif column.kind == "boolean":
            data[column.name][6], data[column.name][7] = 2, 0.5
    return {name: data[name] for name in model.features}


def assert_same(model, got, found, where):
    unit = 1.0 if model.target.scale is None else model.target.scale + 1e-6 * model.target.mean
    tolerance = 3e-5 if model.network.dtype == np.float32 else 1e-9
    for row, (numbers, (_, wanted)) in enumerate(zip(got, found, strict=True)):
        if wanted is None:
            assert np.isnan(numbers).all(), f"{where}, row {row}: {numbers}"
        else:
            assert (np.abs(numbers - wanted) <= tolerance * unit).all(), f"{where}, row {row}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", FEW)
def test_ways_out(seed, tmp_path):
    model, new = drawn(seed)
    new = spoiled(model, new)
    columns = model.preparation.columns
    found = answers_of(model, new)
    assert {answer is None for answer, _ in found} == {False, True}
    model.save(tmp_path / "model")
    again = answers_of(fcnn.load(tmp_path / "model"), new)
    for (answer, numbers), (other, others) in zip(found, again, strict=True):
        assert answer is other is None or np.all(answer == other)
        np.testing.assert_array_equal(numbers, others)
    cells = [raw(column, new[column.name]) for column in columns]
    assert_same(model, in_c(model, cells, tmp_path), found, f"C, seed {seed}")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    session = runtime.InferenceSession(
        convert.to_onnx(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    given = [cell.reshape(-1, 1) for cell in cells]
    outputs = session.run(None, dict(zip(model.features, given, strict=True)))
    assert_same(model, outputs[-1], found, f"ONNX, seed {seed}")
    torch = pytest.importorskip("torch")
    if all(column.kind in ("number", "boolean") for column in columns):
        with torch.no_grad():
            got = convert.to_torch(model)(torch.from_numpy(np.stack(cells, axis=1))).numpy()
        assert_same(model, got, found, f"PyTorch, seed {seed}")


def in_c(model, cells, folder):
    """Return the numbers that the file of C answers, compiled without a warning."""
    compiler = shutil.which("gcc") or pytest.skip("no gcc")
    library = compiled(compiler, folder, convert.to_c(model, "m"))
    if any(column.kind == "category" for column in model.preparation.columns):
        library.m_code.restype = ctypes.c_double
    rows = np.stack([
        cell.astype(float) if cell.dtype.kind == "f"
        else [library.m_code(j, text.encode()) for text in cell] for j, cell in enumerate(cells)
    ], axis=1)  # fmt: skip
    n_out = model.network.sizes[-1]
    answers = np.full((len(rows), max(n_out, len(model.classes))), 7.0)
    for row, answer in zip(np.ascontiguousarray(rows), answers, strict=True):
        library.m_predict(pointer(row), pointer(answer))
    return answers


# --- What was found so ---------------------------------------------------------------------------


def every_kind():
    data = {
        "a": [1.0, None, 3.0, 4.0] * 9, "ok": [True, None, False, True] * 9,
        "c": ["red", "blue", None, "red"] * 9,
        "day": [datetime.datetime(2020, 1, 1 + k % 28) if k % 5 else None for k in range(36)],
    }  # fmt: skip
    preparation = Preparation.fit(data)
    return data, preparation


@pytest.mark.parametrize(
    "nothing", [[None], [np.nan], [""], np.array([np.nan]), np.array(["NaT"], "datetime64[s]")]
)
def test_a_row_that_lacks_a_cell_is_filled_alone_as_among_others(nothing):
    data, preparation = every_kind()
    for name in data:
        row = {**{key: cells[3:4] for key, cells in data.items()}, name: [None]}
        among = {key: [*cells, *row[key]] for key, cells in data.items()}
        wanted = preparation.transform(among)[-1]
        np.testing.assert_array_equal(preparation.transform({**row, name: nothing})[0], wanted)


def test_rows_with_names_are_read_by_name():
    preparation = Preparation([NumberColumn("a"), NumberColumn("b")], [0, 0], [1, 1])
    Row = namedtuple("Row", "b more a")
    records = np.array([(2, 0, 1), (4, 0, 3)], [("b", int), ("more", int), ("a", float)])
    for rows in ([Row(2, 0, 1), Row(4, 0, 3)], list(records), records, Row([2, 4], [0, 0], [1, 3])):
        assert preparation.transform(rows).tolist() == [[1, 2], [3, 4]]
    assert preparation.transform(Row(2, 0, 1)).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="for each row the names b, more, a; row 1"):
        preparation.transform([Row(2, 0, 1), (4, 0, 3)])


def test_columns_by_position_that_changed_places_are_refused():
    pd = pytest.importorskip("pandas")
    preparation = Preparation([NumberColumn("")] * 3, np.zeros(3), np.ones(3), is_named=False)
    frame = pd.DataFrame(np.arange(6.0).reshape(2, 3))
    assert preparation.transform(frame).tolist() == frame.to_numpy().tolist()
    with pytest.raises(ValueError, match="expected the columns in their order, got 2, 0, 1"):
        preparation.transform(frame[[2, 0, 1]])


def test_a_matrix_of_numpy_is_an_array():
    preparation = Preparation([NumberColumn("a", 1.0, flag=True)] * 1, [0, 0], [1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix([[2.0], [np.nan]])
    assert preparation.transform(matrix).tolist() == [[2, 0], [1, 1]]


def test_dates_of_numpy_in_lists():
    _, preparation = every_kind()
    row = {"a": [1], "ok": [True], "c": ["red"], "day": [datetime.datetime(2020, 1, 9)]}
    same = {**row, "day": [np.datetime64("2020-01-09")]}
    np.testing.assert_array_equal(preparation.transform(same), preparation.transform(row))


@pytest.mark.slow
@pytest.mark.parametrize("boolean", [2.0, 0.5, -1.0, np.inf])
@pytest.mark.parametrize("flag", [False, True])
def test_what_is_no_boolean_is_answered_nowhere(boolean, flag, tmp_path):
    columns = [NumberColumn("a", 1.0), BooleanColumn("b", 1.0, flag), BooleanColumn("c", 0.0)]
    width = 3 + flag
    network = fcnn.Network((width, 4, 2), rng=0)
    model = fcnn.Model(network, Preparation(columns, np.zeros(width), np.ones(width)),
                       Target((), ["x", "y"]))  # fmt: skip
    data = {"a": [3.0, 3.0, 2.0], "b": [boolean, 1.0, None], "c": [0.0, boolean, 1.0]}
    found = answers_of(model, data)
    assert [answer is None for answer, _ in found] == [True, True, False]
    cells = [raw(column, data[column.name]) for column in columns]
    assert_same(model, in_c(model, cells, tmp_path), found, "C")
    torch = pytest.importorskip("torch")
    got = convert.to_torch(model)(torch.from_numpy(np.stack(cells, axis=1))).detach().numpy()
    assert_same(model, got, found, "PyTorch")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    session = runtime.InferenceSession(convert.to_onnx(model).SerializeToString())
    given = {name: cell.reshape(-1, 1) for name, cell in zip("abc", cells, strict=True)}
    assert_same(model, session.run(None, given)[1], found, "ONNX")


def test_parts_of_a_model_that_could_not_be_loaded_again_are_not_made():
    with pytest.raises(ValueError, match=r"^columns: expected different names, got a, a"):
        Preparation([NumberColumn("a"), NumberColumn("a")], [0, 0], [1, 1])
    for mean, scale in (([np.nan], [1]), ([0], [0]), ([0], [-1]), ([0], [np.inf])):
        with pytest.raises(ValueError, match="finite means and positive scales of the inputs"):
            Preparation([NumberColumn("a")], mean, scale)
        with pytest.raises(ValueError, match="finite means and positive scales of numbers"):
            Target(["y"], (), mean, scale)
    with pytest.raises(ValueError, match="a mean and a scale of numbers, or neither"):
        Target(["y"], (), [1.0])
    with pytest.raises(ValueError, match="names: expected different ones, got y, y"):
        Target(["y", "y"])
    with pytest.raises(TypeError, match="names: expected a sequence of names, got 'yy'"):
        Target("yy")
    with pytest.raises(ValueError, match="classes: expected different ones"):
        Target((), [True, 1])


def test_what_c_and_onnx_cannot_hold_is_refused():
    numbers = Preparation([NumberColumn("a")], [0], [1])
    model = fcnn.Model(fcnn.Network((1, 2)), numbers, Target((), ["a", "a\0b"]))
    with pytest.raises(ValueError, match=r"text 'a\\x00b': holds a NUL"):
        convert.to_c(model, "m")
    pytest.importorskip("onnx")
    model = fcnn.Model(fcnn.Network((1, 2)), numbers, Target((), [10**25, 7]))
    assert model.predict([[1.0]]).tolist() in ([7], [10**25])
    with pytest.raises(ValueError, match="target: has classes that are integers beyond int64"):
        convert.to_onnx(model)
    columns = [NumberColumn(""), NumberColumn("x1")]
    named = Preparation(columns, [0, 0], [1, 1])
    model = fcnn.Model(fcnn.Network((2, 2)), named, Target((), ["a", "b"]))
    assert [one.name for one in convert.to_onnx(model).graph.input] == ["x1_", "x1"]


def test_numbers_of_float32_are_compared_as_such():
    sklearn = pytest.importorskip("sklearn.preprocessing")
    neural = pytest.importorskip("sklearn.neural_network")
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(0)
    X = rng.choice([0.1, 0.2, 0.7], (90, 1)).astype(np.float32)
    last = neural.MLPClassifier((4,), max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(sklearn.OneHotEncoder(), last).fit(X, X[:, 0] > 0.15)
    model = convert.from_sklearn(pipeline)
    np.testing.assert_allclose(model.predict_proba(X), pipeline.predict_proba(X), atol=1e-6)
    as_double = X.astype(np.float64)
    np.testing.assert_allclose(model.predict_proba(as_double), pipeline.predict_proba(X), atol=1e-6)
