"""What is written of a Model answers as it does, on raw tables; what cannot be is refused."""

import numpy as np
import pytest
import tabular

import fcnn
from fcnn import convert
from fcnn.tables import Preparation, Target
from fcnn.tables.categories import CategoryColumn
from fcnn.tables.columns import DateColumn, Encoder, NumberColumn

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
    X = np.random.default_rng(0).normal(3, 4, size=(60, 3 + ignored))
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


def unknown(model):
    """Put a column of a kind that no converter knows into a model."""

    class Wobble(Encoder):
        kind = "wobble"
        outputs = ("w",)

    columns = list(model.preparation.columns)
    columns[-1] = Wobble("size")
    model.preparation.columns = tuple(columns)
    return model


def test_a_column_of_a_new_kind_is_refused_by_name(onnx):
    model = unknown(tabular.model("lenient", "texts"))
    with pytest.raises(ValueError, match=r"^column 'size': columns of kind wobble cannot be"):
        convert.to_onnx(model)
