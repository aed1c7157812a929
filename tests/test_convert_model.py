"""What is written of a Model answers as it does, on raw tables; what cannot be is refused."""

import ctypes

import numpy as np
import pytest
import tabular
from generated_c import compiled, pointer

import fcnn
from fcnn import convert
from fcnn.tables import Preparation, Target
from fcnn.tables.categories import CategoryColumn, OrdinalColumn
from fcnn.tables.columns import BooleanColumn, DateColumn, Encoder, NumberColumn

# The tables of these tests have such cells on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:X. column .*(not seen in training|no known|far beyond):UserWarning"
)

TOLERANCE = {"float32": 2e-6, "float64": 1e-11}


@pytest.fixture(scope="module")
def onnx():
    return pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def runtime():
    return pytest.importorskip("onnxruntime")


def run(runtime, proto, feeds):
    """Return the outputs by their names."""
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    wanted = [one.name for one in session.get_inputs()]
    given = {name: feeds[name].reshape(len(feeds[name]), -1) for name in wanted}
    outputs = session.run(None, given)
    return dict(zip([one.name for one in session.get_outputs()], outputs, strict=True))


def assert_close(got, wanted, dtype, unit=1.0):
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE[dtype] * unit)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("target", tabular.TARGETS)
@pytest.mark.parametrize("preparation", ["every kind", "lenient"])
def test_onnx_answers_as_the_model(onnx, runtime, preparation, target, dtype):
    model = tabular.model(preparation, target, dtype)
    data = tabular.table(300, seed=1, new=True)
    proto = convert.to_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    assert [one.name for one in proto.graph.input] == list(model.features)
    outputs = run(runtime, proto, tabular.raw(data))
    wanted = model.predict(data)
    if not model.classes:
        assert list(outputs) == ["prediction"]
        got = outputs["prediction"]
        assert got.dtype == np.float64
        unit = 1 if model.target.scale is None else model.target.scale
        error = np.abs(got - wanted.reshape(got.shape)) / unit
        assert error.max() < 10 * TOLERANCE[dtype] + 4e-16 * np.abs(got / unit).max()
        return
    assert list(outputs) == ["label", "probabilities"]
    probabilities = model.predict_proba(data)
    assert outputs["probabilities"].dtype == dtype
    assert_close(outputs["probabilities"], probabilities, dtype)
    assert len({*wanted.tolist()}) >= 2
    sure = np.ptp(np.sort(probabilities, axis=1)[:, -2:], axis=1) > 1e-5
    assert sure.mean() > 0.9
    assert outputs["label"][sure].tolist() == wanted[sure].tolist()
    if wanted.dtype.kind in "bi":
        assert outputs["label"].dtype == wanted.dtype


@pytest.mark.slow
@pytest.mark.parametrize("target", ["texts", "integers", "floats", "booleans", "number"])
def test_onnx_answers_no_row_that_the_model_refuses(onnx, runtime, target):
    model = tabular.model("strict", target)
    data = tabular.table(200, seed=1, new=True)
    for row, odd in ((3, None), (4, np.inf), (5, 1e80)):
        data["price"][row] = odd
    answers, numbers = tabular.answered(model, data)
    refused = np.array([answer is None for answer in answers])
    assert refused[3:6].all()
    assert 20 < refused.sum() < 150
    outputs = run(runtime, convert.to_onnx(model), tabular.raw(data))
    got = outputs.get("probabilities", outputs.get("prediction"))
    np.testing.assert_array_equal(np.isnan(got), np.broadcast_to(refused[:, None], got.shape))
    if model.classes:
        assert_close(got[~refused], np.array([n for n in numbers if n is not None]), "float32")
        none = {"texts": "", "integers": -2, "floats": np.nan, "booleans": False}[target]
        np.testing.assert_array_equal(outputs["label"][refused], [none] * refused.sum())


@pytest.mark.parametrize("ignored", [True, False])
def test_onnx_takes_numbers_without_names_as_one_matrix(onnx, runtime, ignored, monkeypatch):
    monkeypatch.setitem(tabular.PREPARATIONS, "x", lambda: tabular.by_position(ignored))
    model = tabular.model("x", "texts")
    X = np.random.default_rng(0).normal(3, 4, size=(60, 4 + ignored))
    X[::5, 1 + ignored] = np.nan
    X[::7, 1] = np.nan
    proto = convert.to_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    outputs = run(runtime, proto, {"x": X})
    assert_close(outputs["probabilities"], model.predict_proba(X), "float32")


def test_onnx_of_columns_with_the_names_of_outputs(onnx, runtime, tmp_path):
    """And with the beginning of the names inside, no name at all, and texts without a name."""
    columns = [NumberColumn(name) for name in ("label", "fcnn.x", "probabilities", "x")]
    columns += [CategoryColumn("", ("a", "b")), DateColumn("W1", 0.0)]
    preparation = Preparation(columns, np.zeros(7), np.ones(7))
    model = fcnn.Model(fcnn.Network((7, 4, 2), rng=1), preparation, Target((), ["u", "v"]))
    path = tmp_path / "model.onnx"
    proto = convert.to_onnx(model, path)
    assert path.read_bytes() == proto.SerializeToString()
    names = ["label", "fcnn.x", "probabilities", "x", "x5", "W1"]
    assert [one.name for one in proto.graph.input] == names
    rng = np.random.default_rng(0)
    data = {name: rng.normal(size=9) for name in model.features}
    data[""] = np.array(["a", "b", ""] * 3, object)
    feeds = {**data, "x5": data[""]}
    data["W1"] = (data["W1"] * 1e6).astype("datetime64[s]")
    feeds["W1"] = data["W1"].astype(float)
    outputs = run(runtime, proto, feeds)
    assert list(outputs) == ["label_", "probabilities_"]
    assert_close(outputs["probabilities_"], model.predict_proba(data), "float32")
    assert outputs["label_"].tolist() == model.predict(data).tolist()


@pytest.mark.parametrize("opset", [13, 21, None])
def test_onnx_of_other_versions(onnx, runtime, opset):
    model = tabular.model("every kind", "number", hidden="gelu")
    opset = opset or onnx.defs.onnx_opset_version()
    proto = convert.to_onnx(model, opset=opset)
    onnx.checker.check_model(proto, full_check=True)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", opset), ("ai.onnx.ml", 2)]
    data = tabular.table(50, seed=2)
    if opset <= 24:  # of what is newer the runtime makes a warning, or an error
        prediction = run(runtime, proto, tabular.raw(data))["prediction"][:, 0]
        np.testing.assert_allclose(prediction, model.predict(data), rtol=0, atol=1e-3)


def test_onnx_of_outputs_that_are_no_probabilities(onnx, runtime):
    model = tabular.model("lenient", "texts", loss="squared_error")
    data = tabular.table(50, seed=2)
    outputs = run(runtime, convert.to_onnx(model), tabular.raw(data))
    assert list(outputs) == ["label", "outputs"]
    assert_close(outputs["outputs"], model.outputs(data), "float32")
    assert outputs["label"].tolist() == model.predict(data).tolist()


def test_inputs_of_onnx_are_described(onnx):
    proto = convert.to_onnx(tabular.model("strict", "texts"))
    told = {one.name: one.doc_string for one in proto.graph.input}
    assert told["age"] == "A number; NaN is a missing one, counted as 30.5."
    assert told["price"] == "A number; NaN is a missing one."
    assert '"red", "blue", "light green"' in told["color"]
    assert [one.doc_string for one in proto.graph.output] == [
        "The class.", "Of the classes in this order: no, yes, of course, \u00e9."
    ]  # fmt: skip


def test_what_onnx_says_of_a_model_is_read_as_no_network(onnx):
    for name in tabular.PREPARATIONS:
        with pytest.raises(ValueError, match="model: expected one input, got"):
            convert.from_onnx(convert.to_onnx(tabular.model(name, "number")))
    with pytest.raises(ValueError, match=r"node 'fcnn\.\S+ \(\w+\): "):
        convert.from_onnx(convert.to_onnx(tabular.model("by position", "number")))


# --- C -------------------------------------------------------------------------------------------


def from_c(library, model, data, n_answers):
    """Return what the compiled function returns and writes for each row of raw columns."""
    library.m_code.restype = ctypes.c_double
    columns = []
    for j, name in enumerate(model.features):
        cells = tabular.raw(data)[name]
        if cells.dtype == object:
            cells = [library.m_code(j, cell.encode()) for cell in cells]
        columns.append(cells)
    rows = np.ascontiguousarray(np.stack(columns, axis=1), np.float64)
    return called(library, rows, n_answers)


def called(library, rows, n_answers):
    numbers = np.full((len(rows), n_answers), 7.0)
    returned = []
    for row, number in zip(rows, numbers, strict=True):
        given, written = pointer(row), pointer(number)
        returned.append(library.m_predict(given, written))
        if hasattr(library, "m_classes"):  # then what is written may be left out
            assert returned[-1] == library.m_predict(given, None)
    return np.array(returned), numbers


def classes_of(library, n):
    return [text.decode() for text in (ctypes.c_char_p * n).in_dll(library, "m_classes")]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("target", tabular.TARGETS)
@pytest.mark.parametrize("preparation", ["every kind", "lenient"])
def test_c_answers_as_the_model(compiler, preparation, target, dtype, tmp_path):
    model = tabular.model(preparation, target, dtype)
    data = tabular.table(200, seed=1, new=True)
    text = convert.to_c(model, "m")
    assert text.isascii()
    library = compiled(compiler, tmp_path, text)
    wanted = model.predict(data)
    if not model.classes:
        returned, got = from_c(library, model, data, model.network.sizes[-1])
        assert not returned.any()
        unit = 1 if model.target.scale is None else model.target.scale
        error = np.abs(got - wanted.reshape(got.shape)) / unit
        assert error.max() < 10 * TOLERANCE[dtype] + 4e-16 * np.abs(got / unit).max()
        return
    probabilities = model.predict_proba(data)
    returned, got = from_c(library, model, data, probabilities.shape[1])
    assert_close(got, probabilities.astype(np.float64), dtype)
    texts = classes_of(library, len(model.classes))
    assert texts == list(model.target.class_texts)
    sure = np.ptp(np.sort(probabilities, axis=1)[:, -2:], axis=1) > 1e-5
    assert [model.classes[k] for k in returned[sure]] == wanted[sure].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["texts", "booleans", "numbers"])
def test_c_answers_no_row_that_the_model_refuses(compiler, target, tmp_path):
    model = tabular.model("strict", target)
    data = tabular.table(200, seed=1, new=True)
    for row, odd in ((3, None), (4, np.inf), (5, 1e80)):
        data["price"][row] = odd
    answers, numbers = tabular.answered(model, data)
    refused = np.array([answer is None for answer in answers])
    assert 20 < refused.sum() < 150
    n_answers = len(model.classes) or 2
    library = compiled(compiler, tmp_path, convert.to_c(model, "m"))
    returned, got = from_c(library, model, data, n_answers)
    np.testing.assert_array_equal(returned == -1, refused)
    np.testing.assert_array_equal(np.isnan(got), np.repeat(refused[:, None], n_answers, 1))
    if model.classes:
        known = np.array([n for n in numbers if n is not None], np.float64)
        assert_close(got[~refused], known, "float32")


@pytest.mark.slow
def test_codes_of_c(compiler, tmp_path):
    """The place of the text in the file; NAN for a missing one; -1 for others, and elsewhere."""
    model = tabular.model("every kind", "texts")
    library = compiled(compiler, tmp_path, convert.to_c(model, "m"))
    library.m_code.restype = ctypes.c_double
    texts = model.preparation.columns[1].categories
    assert texts == ('a "quoted" \\ \u00e9', "blue", "light green", "red")
    assert [library.m_code(1, text.encode()) for text in texts] == [0, 1, 2, 3]
    assert library.m_code(1, b"Blue") == library.m_code(0, b"blue") == library.m_code(7, b"") == -1
    assert np.isnan([library.m_code(1, b""), library.m_code(6, b"NA")]).all()
    # What is no code is an unseen category.
    rows = np.zeros((4, 7))
    rows[:, 0] = 1.7e9
    rows[:, 1] = [-1, 4, 0.5, np.inf]
    labels, got = called(library, rows, 3)
    assert (labels == labels[0]).all()
    assert (got == got[0]).all()
    rows[:, 1] = [0, 1, 2, 3]
    assert len(np.unique(called(library, rows, 3)[1], axis=0)) == 4


@pytest.mark.slow
def test_c_of_columns_without_names(compiler, tmp_path):
    model = tabular.model("by position", "texts")
    X = np.random.default_rng(0).normal(3, 4, size=(60, 5))
    X[::5, 2] = np.nan
    X[::7, 1] = np.nan
    library = compiled(compiler, tmp_path, convert.to_c(model, "m"))
    labels, got = called(library, X, 3)
    assert_close(got, model.predict_proba(X).astype(np.float64), "float32")
    assert [model.classes[k] for k in labels] == model.predict(X).tolist()


@pytest.mark.slow
def test_c_of_outputs_that_are_no_probabilities(compiler, tmp_path):
    for target in ("texts", "booleans"):
        model = tabular.model("lenient", target, loss="squared_error")
        data = tabular.table(50, seed=2)
        (tmp_path / target).mkdir()
        library = compiled(compiler, tmp_path / target, convert.to_c(model, "m"))
        labels, got = from_c(library, model, data, model.network.sizes[-1])
        assert_close(got, model.outputs(data).astype(np.float64), "float32")
        assert [model.classes[k] for k in labels] == model.predict(data).tolist()


@pytest.mark.slow
def test_names_in_c_end_no_comment_and_are_not_taken_for_words_of_the_template(compiler, tmp_path):
    texts = ("*/ NAME_W1", "??/", "/*", "REAL", "MACRO_X", "expF(", "%s\\\n", "\u20ac")
    columns = [
        CategoryColumn("*/ int NAME_x;", texts), NumberColumn("REAL /* \\"), NumberColumn("\u00e4"),
    ]  # fmt: skip
    preparation = Preparation(columns, np.zeros(10), np.ones(10))
    target = Target(["NAME_y */"], ["*/ REAL", "NAME_predict"])
    model = fcnn.Model(fcnn.Network((10, 4, 2), rng=1), preparation, target)
    path = tmp_path / "written.c"
    text = convert.to_c(model, "m", path)
    assert path.read_text() == text
    library = compiled(compiler, tmp_path, text)
    library.m_code.restype = ctypes.c_double
    assert [library.m_code(0, text.encode()) for text in texts] == list(range(8))
    assert classes_of(library, 2) == list(model.classes)
    rows = np.array([[k, 0.5, -1] for k in range(8)], np.float64)
    data = {columns[0].name: list(texts), columns[1].name: rows[:, 1], "\u00e4": rows[:, 2]}
    _, got = called(library, rows, 2)
    assert_close(got, model.predict_proba(data).astype(np.float64), "float32")


def test_sizes_are_macros_and_columns_are_told():
    text = convert.to_c(tabular.model("strict", "texts"), "m")
    for line in ("#define M_COLUMNS 4\n", "#define M_ANSWERS 3\n", "#define M_CLASSES 3\n"):
        assert line in text
    head = text.partition("*/")[0]
    assert 'row[0] "price": a number\n' in head
    assert 'row[1] "color": a category: m_code(1, its text), the place in m_texts1\n' in head
    assert 'row[2] "age": a number; missing: 30.5\n' in head
    text = convert.to_c(tabular.model("strict", "numbers"), "m")
    assert "CLASSES" not in text
    assert 'answers[1] "z"' in text


# --- PyTorch -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def numbers_and_booleans():
    columns = [
        NumberColumn("price"), BooleanColumn("member", 1.0, flag=True),
        NumberColumn("age", 30.5, flag=True), NumberColumn("rooms"),
    ]  # fmt: skip
    return Preparation(columns, [1.7e9, 0, 0, 40, 0.5, 3], [67, 1, 1, 15, 1, 2])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("target", tabular.TARGETS)
def test_torch_answers_as_the_model(torch, target, dtype, monkeypatch, tmp_path):
    monkeypatch.setitem(tabular.PREPARATIONS, "numbers", numbers_and_booleans)
    model = tabular.model("numbers", target, dtype)
    data = tabular.table(200, seed=1)
    x = np.stack([tabular.raw(data)[name] for name in model.features], axis=1)
    assert np.isnan(x[:, 1:3]).any(axis=0).all()
    module = convert.to_torch(model)
    torch.save(module, tmp_path / "module.pt")
    for made in (module, torch.load(tmp_path / "module.pt", weights_only=False)):
        assert made.classes == model.classes
        with torch.no_grad():
            got = made(torch.from_numpy(x)).numpy()
        if model.classes:
            assert_close(got, model.predict_proba(data), dtype)
            continue
        assert got.dtype == np.float64
        unit = 1 if model.target.scale is None else model.target.scale
        error = np.abs(got - model.predict(data).reshape(got.shape)) / unit
        assert error.max() < 10 * TOLERANCE[dtype] + 4e-16 * np.abs(got / unit).max()
    odd = x[:3].copy()
    odd[0, 0], odd[1, 3], odd[2, 2] = np.nan, np.inf, 1e200
    assert torch.isnan(module(torch.from_numpy(odd))[: 2 + (dtype == "float32")]).all()
    assert torch.isnan(module[0](torch.from_numpy(odd)))[:2].sum(dim=1).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"x: expected shape \(s, 4\), got \(3, 2\)"):
        module(torch.from_numpy(odd[:, :2]))


def test_torch_takes_columns_without_names(torch):
    model = tabular.model("by position", "texts")
    X = np.random.default_rng(0).normal(3, 4, size=(60, 5))
    X[::5, 2] = np.nan
    X[::7, 1] = np.nan
    got = convert.to_torch(model)(torch.from_numpy(X)).detach().numpy()
    assert_close(got, model.predict_proba(X), "float32")
    X[0, 4], X[1, 4] = np.inf, -np.inf  # not far beyond, but refused
    got = convert.to_torch(model)(torch.from_numpy(X[:3])).detach().numpy()
    assert np.isnan(got).all(axis=1).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("column", "kind"),
    [(DateColumn("when"), "date"), (CategoryColumn("when", ("a",)), "category"),
     (OrdinalColumn("when", ("a",), (0,)), "ordinal")],
)  # fmt: skip
def test_torch_refuses_columns_that_are_no_numbers_by_name(torch, column, kind):
    preparation = Preparation([NumberColumn("a"), column], np.zeros(2), np.ones(2))
    model = fcnn.Model(fcnn.Network((2, 2)), preparation, Target((), ["a", "b"]))
    with pytest.raises(
        ValueError, match=f"^column 'when': to_torch takes .* this is {kind}; to_onnx and"
    ):
        convert.to_torch(model)


# --- What is refused -----------------------------------------------------------------------------


def unknown(model):
    """Put a column of a kind that no converter knows into a model."""

    class Wobble(Encoder):
        kind = "wobble"
        outputs = ("w",)
        is_quantity = encode = told = None

    columns = list(model.preparation.columns)
    columns[-1] = Wobble("size")
    model.preparation.columns = tuple(columns)
    return model


def test_a_column_of_a_new_kind_is_refused_by_name(onnx):
    model = unknown(tabular.model("lenient", "texts"))
    with pytest.raises(ValueError, match=r"^column 'size': columns of kind wobble cannot be"):
        convert.to_onnx(model)
    with pytest.raises(ValueError, match=r"^column 'size': columns of kind wobble cannot be"):
        convert.to_c(model, "m")


def test_a_column_without_categories_is_refused_by_name():
    model = fcnn.Model(
        fcnn.Network((1, 2)), Preparation([CategoryColumn("c", other=True)], [0], [1]),
        Target((), ["a", "b"]),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"^column 'c': has no categories"):
        convert.to_c(model, "m")


@pytest.mark.parametrize("where", ["name", "category", "target", "class"])
def test_lone_surrogates_are_refused_by_name(onnx, where):
    texts = {
        key: key + "\udc80" * (key == where) for key in ("name", "category", "target", "class")
    }
    column = CategoryColumn(texts["name"], ("a", texts["category"]))
    model = fcnn.Model(
        fcnn.Network((2, 2), loss="cross_entropy"), Preparation([column], [0, 0], [1, 1]),
        Target([texts["target"]], ["a", texts["class"]]),
    )  # fmt: skip
    for write in (convert.to_onnx, lambda model: convert.to_c(model, "m")):
        with pytest.raises(ValueError, match=rf"^text '{where}\\udc80': holds a lone surrogate"):
            write(model)


def test_texts_of_numbers_are_compared_exactly(onnx, runtime):
    """As docs/convert.md says."""
    column = CategoryColumn("c", ("1", "2"), other=True)
    net = fcnn.Network((3, 2), loss="cross_entropy", rng=0)
    model = fcnn.Model(net, Preparation([column], [0] * 3, [1] * 3), Target((), ["a", "b"]))
    found = run(runtime, convert.to_onnx(model), {"c": np.array(["1", "1.0", "x"], object)})
    same = model.predict_proba({"c": ["1", "1.0", "x"]})
    np.testing.assert_allclose(same[0], same[1])
    np.testing.assert_allclose(found["probabilities"][[0, 2]], same[[0, 2]], rtol=1e-5)
    np.testing.assert_allclose(found["probabilities"][1], same[2], rtol=1e-5)


def test_scikit_learn_takes_no_model():
    with pytest.raises(TypeError, match=r"net: expected a fcnn.Network, got a Model"):
        convert.to_sklearn(tabular.model("lenient", "texts"))
