"""Pipelines of scikit-learn as models: the same answers on raw data, or refused by name."""

import warnings

import numpy as np
import pytest

import fcnn
from fcnn import convert

pytest.importorskip("sklearn")
pd = pytest.importorskip("pandas")

from sklearn.compose import (  # noqa: E402
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline  # noqa: E402
from sklearn.preprocessing import (  # noqa: E402
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

# The new data of these tests have such cells on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:X. column .*not seen in training:UserWarning")

NUMBERS, TEXTS = ["age", "price"], ["color", "size"]


def frame(rows=200, seed=0, missing=True, new=False):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({
        "price": 1e6 + 50 * rng.normal(size=rows),
        "color": rng.choice(["red", "blue", "teal"], rows),
        "unused": rng.normal(size=rows), "age": rng.integers(18, 90, rows).astype(float),
        "size": rng.choice(["s", "m", "l", "xl"], rows, p=[0.4, 0.4, 0.15, 0.05]),
        "rooms": rng.integers(1, 5, rows),
    }).astype({"color": object, "size": object})  # fmt: skip
    if missing:
        for name in ("age", "color", "size"):
            data.loc[rng.random(rows) < 0.15, name] = np.nan
    if new:
        data.loc[::9, "color"] = "octarine"
        data.loc[1::9, "size"] = "xs"
    return data


def labels(data, classes=("no", "perhaps", "yes")):
    """Return labels that depend on numbers and texts."""
    score = data["age"].fillna(40) / 20 + 2 * (data["color"] == "red") + (data["size"] == "m")
    return np.array(classes)[
        np.digitize(score, np.quantile(score, np.arange(1, len(classes)) / len(classes)))
    ]


def perceptron(kind=MLPClassifier, **options):
    return kind(
        hidden_layer_sizes=(12,), max_iter=60, random_state=0, learning_rate_init=0.01, **options
    )


def fitted(pipeline, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return pipeline.fit(X, y)


def one_hot(**options):
    return OneHotEncoder(**{"handle_unknown": "ignore", **options})


def fill_text(**options):
    return SimpleImputer(**{"strategy": "most_frequent", **options})


def by_kind(numbers, texts, **options):
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("texts", texts, TEXTS)], **options)


def scaled_median(**options):
    return make_pipeline(SimpleImputer(strategy="median", **options), StandardScaler())


BEFORE = {
    "one-hot": lambda: by_kind(scaled_median(), one_hot()),
    "flags": lambda: by_kind(scaled_median(add_indicator=True), one_hot()),
    "flags that are not scaled": lambda: by_kind(
        make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)), one_hot()
    ),
    "min-max, filled after": lambda: by_kind(
        make_pipeline(MinMaxScaler((-1, 3)), SimpleImputer(strategy="constant", fill_value=0.25)),
        make_pipeline(fill_text(), one_hot()),
    ),
    "a text for missing ones": lambda: by_kind(
        scaled_median(), make_pipeline(fill_text(strategy="constant", fill_value="none"), one_hot())
    ),
    "dropped": lambda: by_kind(scaled_median(), make_pipeline(fill_text(), one_hot(drop="first"))),
    "infrequent": lambda: by_kind(
        scaled_median(),
        make_pipeline(fill_text(), one_hot(min_frequency=30, handle_unknown="infrequent_if_exist")),
    ),
    "infrequent, unknown ignored": lambda: by_kind(
        scaled_median(), make_pipeline(fill_text(), one_hot(max_categories=3))
    ),
    "numbers for texts": lambda: by_kind(
        scaled_median(),
        make_pipeline(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1,
                           encoded_missing_value=-2),
            StandardScaler(),
        ),
    ),
    "numbers for texts, filled after": lambda: by_kind(
        scaled_median(),
        make_pipeline(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
            MinMaxScaler(), SimpleImputer(),
        ),
    ),
    "numbers for texts, filled before": lambda: by_kind(
        scaled_median(),
        make_pipeline(
            fill_text(), OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=9)
        ),
    ),
    "the rest as it is": lambda: by_kind(
        scaled_median(), make_pipeline(fill_text(), one_hot()), remainder=StandardScaler()
    ),
    "numbers as categories": lambda: make_column_transformer(
        (scaled_median(), NUMBERS), (one_hot(), ["rooms", "color"]),
        (StandardScaler(with_mean=False), ["unused"]),
    ),
    "one after another": lambda: make_pipeline(
        make_column_transformer(
            (SimpleImputer(), make_column_selector(dtype_include=float)), (one_hot(), TEXTS),
            remainder="passthrough", verbose_feature_names_out=False,
        ),
        ColumnTransformer([("first", MinMaxScaler(), slice(0, 3))], remainder="passthrough"),
        "passthrough", StandardScaler(with_std=False), StandardScaler(),
    ),
}  # fmt: skip


# Of unknown categories that are zeros like the one dropped.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning")
@pytest.mark.parametrize("name", BEFORE)
def test_a_pipeline_becomes_a_model_that_predicts_the_same(name, tmp_path):
    data = frame()
    pipeline = fitted(make_pipeline(BEFORE[name](), perceptron()), data, labels(data))
    model = convert.from_sklearn(pipeline)
    assert isinstance(model, fcnn.Model)
    new = frame(150, seed=1, new=True)
    wanted, answers = pipeline.predict_proba(new), pipeline.predict(new)
    assert model.classes == ("no", "perhaps", "yes")
    assert len({*answers}) == 3
    mixed = new[[*reversed(new.columns)]].assign(more=1)
    model.save(tmp_path / "model.safetensors")
    for made in (model, fcnn.load(tmp_path / "model.safetensors")):
        np.testing.assert_allclose(made.predict_proba(mixed), wanted, rtol=0, atol=1e-9)
        assert made.predict(mixed).tolist() == answers.tolist()
    absent = {name for name, _ in model.preparation.left_out}
    assert {*model.features} | absent == {*data.columns}


@pytest.mark.slow
def test_classes_in_their_own_type():
    data = frame()
    for classes in ((0, 1, 5), (False, True), ("no", "yes")):
        y = labels(data, classes)
        pipeline = fitted(make_pipeline(BEFORE["one-hot"](), perceptron()), data, y)
        model = convert.from_sklearn(pipeline)
        assert model.classes == classes
        assert model.predict(data).dtype == pipeline.predict(data).dtype
        assert (model.predict(data) == pipeline.predict(data)).all()
        np.testing.assert_allclose(
            model.predict_proba(data), pipeline.predict_proba(data), rtol=0, atol=1e-9
        )


@pytest.mark.slow
@pytest.mark.parametrize("where", ["around", "inside", "alone", "unscaled", "none", "two targets"])
def test_numbers_in_their_own_units(where):
    data = frame()
    y = 1.7e9 + 1000 * (data["age"].fillna(40) + 20 * (data["color"] == "red")).to_numpy()
    if where == "two targets":
        y = np.stack([y, -3 * y + data["price"]], axis=1)
    new = frame(100, seed=1, new=True)
    before, last = BEFORE["flags"](), perceptron(MLPRegressor)
    if where == "alone":
        before, data, new = None, data[["unused", "rooms"]], new[["unused", "rooms"]]
        pipeline = TransformedTargetRegressor(last, transformer=StandardScaler())
    elif where in ("around", "two targets"):
        pipeline = TransformedTargetRegressor(
            make_pipeline(before, last), transformer=StandardScaler()
        )
    elif where == "inside":
        inner = TransformedTargetRegressor(last, transformer=StandardScaler(with_std=True))
        pipeline = make_pipeline(before, inner)
    else:
        y = y / 1e9
        inner = last if where == "none" else TransformedTargetRegressor(last)
        pipeline = make_pipeline(before, inner)
    fitted(pipeline, data, y)
    model = convert.from_sklearn(pipeline)
    wanted = pipeline.predict(new)
    got = model.predict(new)
    assert got.shape == wanted.shape
    error = np.abs(got - wanted) / np.std(y, axis=0)
    assert error.max() < 1e-9
    assert model.evaluate(new, wanted)["r2"] == pytest.approx(1)


@pytest.mark.slow
def test_arrays_without_names():
    rng = np.random.default_rng(0)
    X = rng.normal(5, 3, size=(200, 4))
    X[:, 2] = rng.integers(0, 3, 200)
    X[rng.random(200) < 0.2, 1] = np.nan
    y = (np.nan_to_num(X[:, 1]) + X[:, 2] > 4).astype(int)
    before = ColumnTransformer(
        [("b", make_pipeline(StandardScaler(), SimpleImputer()), [3, 1]), ("a", one_hot(), [2])]
    )
    pipeline = fitted(make_pipeline(before, perceptron()), X, y)
    model = convert.from_sklearn(pipeline)
    assert model.features == ()
    np.testing.assert_allclose(model.predict_proba(X), pipeline.predict_proba(X), rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="the model has 4 columns"):
        model.predict(X[:, 1:])
    pipeline = fitted(make_pipeline(MinMaxScaler(), perceptron()), X[:, [0, 3]], y)
    model = convert.from_sklearn(pipeline, dtype="float32")
    assert model.network.dtype == np.float32
    wanted = pipeline.predict_proba(X[:, [0, 3]])
    np.testing.assert_allclose(model.predict_proba(X[:, [0, 3]]), wanted, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["passthrough", None])
def test_a_first_step_that_does_nothing(first):
    data = frame(missing=False)[NUMBERS]
    y = data["age"].to_numpy() / 50
    inner = Pipeline([("a", first), ("b", StandardScaler())])
    for steps in ([("a", first), ("b", StandardScaler())], [("a", first), ("b", inner)]):
        pipeline = Pipeline([*steps, ("net", perceptron(MLPRegressor))])
        for estimator in (pipeline, TransformedTargetRegressor(pipeline)):
            model = convert.from_sklearn(fitted(estimator, data, y))
            assert model.features == tuple(NUMBERS)
            mixed = data[NUMBERS[::-1]]
            np.testing.assert_allclose(
                model.predict(mixed), estimator.predict(data), rtol=0, atol=1e-9
            )


@pytest.mark.slow
def test_what_the_pipeline_refuses_the_model_refuses():
    data = frame(missing=False)
    before = by_kind(StandardScaler(), OneHotEncoder())
    pipeline = fitted(make_pipeline(before, perceptron()), data, labels(data))
    model = convert.from_sklearn(pipeline)
    np.testing.assert_allclose(
        model.predict_proba(data), pipeline.predict_proba(data), rtol=0, atol=1e-9
    )
    for column, cell, message in (
        ("color", "octarine", "'octarine'; expected one of blue, red, teal"),
        ("color", None, "an empty cell; expected one of"),
        ("age", np.nan, "expected a value: the model fills none in"),
    ):
        odd = data.copy()
        odd.loc[3, column] = cell
        with pytest.raises(ValueError, match=r"NaN|unknown categories"):
            pipeline.predict(odd)
        with pytest.raises(ValueError, match=f"row 3, column '{column}': .*{message}"):
            model.predict(odd)


@pytest.mark.slow
def test_a_column_that_was_empty_in_training_is_left_out():
    data = frame().assign(empty=np.nan)
    before = make_column_transformer((scaled_median(), ["age", "empty", "price"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pipeline = make_pipeline(before, perceptron()).fit(data, labels(data))
        wanted = pipeline.predict_proba(data)
    model = convert.from_sklearn(pipeline)
    assert model.features == ("price", "age")
    np.testing.assert_allclose(model.predict_proba(data), wanted, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_a_model_of_a_pipeline_is_written_to_c_and_onnx():
    data = frame()
    pipeline = fitted(
        make_pipeline(BEFORE["numbers for texts"](), perceptron()), data, labels(data)
    )
    model = convert.from_sklearn(pipeline)
    assert "m_code" in convert.to_c(model, "m")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    proto = convert.to_onnx(model)
    new = frame(100, seed=1, new=True)
    feeds = {name: new[[name]].to_numpy(float) for name in NUMBERS}
    feeds |= {name: new[[name]].fillna("").to_numpy(object) for name in TEXTS}
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    label, probabilities = session.run(None, feeds)
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(new), rtol=0, atol=1e-9)
    assert label.tolist() == pipeline.predict(new).tolist()


# --- What is refused -----------------------------------------------------------------------------


def refused(*steps, data=None, y=None):
    data = frame(missing=False)[[*NUMBERS, "rooms"]] if data is None else data
    y = labels(frame(missing=False)) if y is None else y
    names = [f"s{i}" for i in range(len(steps))]
    return fitted(Pipeline([*zip(names, steps, strict=True), ("net", perceptron())]), data, y)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([RobustScaler()], r"^step 's0' \(RobustScaler\): not one of the transformers"),
        ([StandardScaler(), PolynomialFeatures()], r"^step 's1' \(PolynomialFeatures\): not one"),
        ([FunctionTransformer(np.log1p)], r"^step 's0' \(FunctionTransformer\): not one"),
        ([FeatureUnion([("a", StandardScaler())])], r"^step 's0' \(FeatureUnion\): not one"),
        ([MinMaxScaler(clip=True)], r"^step 's0' \(MinMaxScaler\): clip=True"),
        ([SimpleImputer(missing_values=3)], r"^step 's0' \(SimpleImputer\): missing_values=3"),
        ([make_column_transformer((KBinsDiscretizer(2), ["age"]))],
         r"^step 's0', 'kbinsdiscretizer' \(KBinsDiscretizer\): not one of"),
        ([make_column_transformer((make_pipeline(StandardScaler(), RobustScaler()), ["age"]))],
         r"^step 's0', 'pipeline', step 'robustscaler' \(RobustScaler\): not one of"),
        ([ColumnTransformer([("a", StandardScaler(), ["age"])], transformer_weights={"a": 2})],
         r"^step 's0' \(ColumnTransformer\): transformer_weights"),
        ([make_column_transformer((StandardScaler(), ["age"]), ("passthrough", ["age"]))],
         r"column 'age' is read by several transformers"),
        ([make_column_transformer((StandardScaler(), ["rooms"]), (one_hot(), ["rooms"]))],
         r"column 'rooms' is read by several transformers"),
        ([StandardScaler(), one_hot()], r"^step 's1' \(OneHotEncoder\): expected columns as they"),
        ([OrdinalEncoder(max_categories=2)], r"^step 's0' \(OrdinalEncoder\): min_frequency"),
        ([one_hot(drop="first", max_categories=2)], r"^step 's0' \(OneHotEncoder\): drop with"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_steps_without_a_counterpart_are_named(steps, message):
    pipeline = refused(*steps)
    with pytest.raises(ValueError, match=message):
        convert.from_sklearn(pipeline)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [OneHotEncoder, OrdinalEncoder])
def test_none_is_not_the_category_of_an_empty_text(encoder):
    options = {"handle_unknown": "ignore"} if encoder is OneHotEncoder else {
        "handle_unknown": "use_encoded_value", "unknown_value": -1}  # fmt: skip
    data = pd.DataFrame({"c": ["", "a", "b", "a"] * 10, "d": ["x", "y", "y", "x"] * 10})
    pipeline = fitted(make_pipeline(encoder(**options), perceptron()), data, [0, 1, 1, 0] * 10)
    model = convert.from_sklearn(pipeline)
    new = pd.DataFrame({"c": ["", "a", None, "zz", None], "d": ["x", "y", "x", "x", None]})
    for rows in (new, new[2:3], new[:1]):
        expected = pipeline.predict_proba(rows)
        np.testing.assert_allclose(model.predict_proba(rows), expected, atol=1e-6)
    first, third = pipeline.predict_proba(new)[[0, 2], 0]
    assert abs(first - third) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("fill", [np.inf, -np.inf])
def test_an_infinite_fill_is_refused(fill):
    data = pd.DataFrame({"n": [1.0, 4.0, 2.0, 3.0] * 10})
    before = SimpleImputer(strategy="constant", fill_value=fill)
    with pytest.raises(ValueError, match=rf"\(SimpleImputer\): fills column 1 with {fill}"):
        convert.from_sklearn(refused(before, data=data, y=[0, 1] * 20))


def test_missing_cells_among_the_infrequent_categories_are_refused():
    data = frame()
    before = make_column_transformer((one_hot(max_categories=2), ["color"]))
    pipeline = fitted(make_pipeline(before, perceptron()), data, labels(data))
    with pytest.raises(ValueError, match=r"\(OneHotEncoder\): an infrequent category is that of"):
        convert.from_sklearn(pipeline)


class Scaler(StandardScaler):
    """A subclass may compute something else."""


@pytest.mark.slow
def test_other_estimators_and_targets_are_refused():
    data = frame(missing=False)[NUMBERS]
    y = labels(frame(missing=False))
    with pytest.raises(ValueError, match=r"^step 's0' \(Scaler\): not one of the transformers"):
        convert.from_sklearn(refused(Scaler(), data=data, y=y))
    with pytest.raises(TypeError, match=r"^step 'logisticregression': expected an MLPClassifier"):
        convert.from_sklearn(make_pipeline(StandardScaler(), LogisticRegression()).fit(data, y))
    with pytest.raises(ValueError, match="estimator: this Pipeline has not been fitted"):
        convert.from_sklearn(make_pipeline(StandardScaler(), perceptron()))
    many = np.stack([y == "yes", y == "no"], axis=1).astype(int)
    with pytest.raises(ValueError, match=r"\(MLPClassifier\): predicts several labels for each"):
        convert.from_sklearn(refused(StandardScaler(), data=data, y=many))
    numbers = data["age"].to_numpy()
    for options in ({"func": np.log, "inverse_func": np.exp}, {"transformer": RobustScaler()}):
        pipeline = TransformedTargetRegressor(perceptron(MLPRegressor), **options)
        kind = "FunctionTransformer" if "func" in options else "RobustScaler"
        with pytest.raises(ValueError, match=rf"^estimator \({kind}\): expected targets that"):
            convert.from_sklearn(fitted(pipeline, data, numbers))
