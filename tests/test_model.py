"""Model: raw data in, answers in the user's terms out, the same from its file."""

import copy
import pickle
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import fcnn
from fcnn.tables import Preparation, Target, as_table, infer_columns, read_table, read_target

CASES = Path(__file__).parent / "tables" / "cases"
BEFORE = Path(__file__).parent / "files_before"


def flowers(rows=300, seed=0):
    """Return a table whose class is decided by numbers of different scales and by a color."""
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=rows)
    X = rng.normal(size=(rows, 2)) * 0.4
    X[np.arange(rows), label % 2] += 2
    color = np.where(label == 2, "blue", rng.choice(["red", "green"], rows))
    names = np.array(["long, thin", "round", "small"])[label]
    return {"a": X[:, 0] * 1000 + 5000, "b": X[:, 1] / 1000, "color": color, "kind": names}


def houses(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    size, rooms = rng.uniform(40, 160, rows), rng.integers(1, 7, rows)
    return {"size": size, "rooms": rooms, "price": 1.7e9 + 20 * size + 500 * rooms}


def trained(data, targets, dtype="float32", loss=None, n_out=None, **options):
    table = as_table(data)
    found = read_target(table, targets)
    preparation = Preparation.fit(table, infer_columns(table, targets))
    target = found.target if found.target.is_classes else found.target.scaled(found.y)
    n_out = n_out or (len(target.classes) or len(targets))
    loss = loss or ("cross_entropy" if target.is_classes else "squared_error")
    network = fcnn.Network((preparation.width, 16, n_out), loss=loss, dtype=dtype, **options)
    model = fcnn.Model(network, preparation, target)
    network.fit(model.prepare(table), model.scaled(found.y), epochs=60, batch_size=16,
                optimizer=fcnn.Adam(lr=0.01))  # fmt: skip
    return model


@pytest.fixture(scope="module")
def classifier():
    return trained(flowers(), ["kind"])


@pytest.fixture(scope="module")
def regressor():
    return trained(houses(), ["price"])


def from_file(model, folder):
    model.save(folder / "m.safetensors")
    return fcnn.load(folder / "m.safetensors")


WAYS = {
    "file": from_file,
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
}


# --- Answers -------------------------------------------------------------------------------------


def test_classes_by_name(classifier):
    new = flowers(200, seed=1)
    answers = classifier.predict(new)
    assert set(answers) <= {"long, thin", "round", "small"}
    assert np.mean(answers == new["kind"]) > 0.95
    assert classifier.classes == ("long, thin", "round", "small")
    assert classifier.features == ("a", "b", "color")
    assert classifier.targets == ("kind",)
    # By hand, from the parts.
    blue, green, red = ((new["color"] == c).astype(float) for c in ("blue", "green", "red"))
    old = flowers()
    X = np.stack([(new[k] - old[k].mean()) / old[k].std() for k in "ab"] + [blue, green, red], 1)
    outputs = classifier.network.predict(X)
    np.testing.assert_array_equal(answers, np.array(classifier.classes)[outputs.argmax(axis=1)])
    np.testing.assert_array_equal(classifier.predict_proba(new), outputs)
    np.testing.assert_array_equal(classifier.outputs(new), outputs)
    of_the_true = outputs[new["kind"][:, np.newaxis] == np.array(classifier.classes)]
    scores = classifier.evaluate(new)
    assert scores["accuracy"] == np.mean(answers == new["kind"])
    # float32 probabilities near 1 have a coarse logarithm.
    assert scores["loss"] == pytest.approx(-np.log(of_the_true).mean(), abs=1e-6)


def test_numbers_in_their_own_units(regressor):
    """About 1.7e9 +- 1000: float32 numbers there are 128 apart."""
    new = houses(200, seed=1)
    answers = regressor.predict(new)
    assert answers.dtype == np.float64
    assert answers.shape == (200,)
    error = answers - new["price"]
    r2 = 1 - np.mean(error**2) / np.var(new["price"])
    assert r2 > 0.99
    scores = regressor.evaluate(new)
    assert scores.pop("baseline")["rmse"] == pytest.approx(new["price"].std())
    assert scores == {
        "r2": pytest.approx(r2, rel=1e-12), "rmse": pytest.approx(np.sqrt(np.mean(error**2))),
        "mae": pytest.approx(np.mean(np.abs(error))), "warnings": [],
    }  # fmt: skip
    inputs = {key: new[key] for key in ("rooms", "size")}
    assert regressor.evaluate(inputs, new["price"])["r2"] == pytest.approx(r2, rel=1e-12)
    with pytest.raises(ValueError, match="no column 'price'"):
        regressor.evaluate(inputs)
    with pytest.raises(ValueError, match="expected 200 values"):
        regressor.evaluate(new, [1.0])


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_model_comes_back(way, classifier, regressor, tmp_path):
    for model, data in ((classifier, flowers(50, 1)), (regressor, houses(50, 1))):
        other = way(model, tmp_path)
        assert isinstance(other, fcnn.Model)
        np.testing.assert_array_equal(other.predict(data), model.predict(data))
        assert other.evaluate(data) == model.evaluate(data)
        assert (repr(other), other.summary()) == (repr(model), model.summary())
        assert other.preparation.to_json() == model.preparation.to_json()
        assert other.target.to_json() == model.target.to_json()


def test_every_form_of_a_dataframe(classifier, tmp_path):
    pd = pytest.importorskip("pandas")
    data = flowers(40, 1)
    expected = classifier.predict(data)
    frame = pd.DataFrame(data)
    permuted = frame.assign(extra="x")[["extra", "color", "kind", "b", "a"]]
    frame.to_csv(tmp_path / "t.csv", index=False)
    for form in (
        permuted, read_table(tmp_path / "t.csv"), frame.to_dict("records"),
        frame[["a", "b", "color"]].to_numpy(),
    ):  # fmt: skip
        np.testing.assert_array_equal(classifier.predict(form), expected)
    with pytest.raises(ValueError, match="lacks the column 'color'"):
        classifier.predict(frame[["a", "b", "kind"]])


def test_one_row_of_a_dataframe_has_one_answer(classifier, regressor):
    pd = pytest.importorskip("pandas")
    data = flowers(5, 1)
    row = {key: values[2] for key, values in data.items()}
    answer = classifier.predict(row)
    assert answer == classifier.predict(data)[2]
    assert classifier.predict(pd.DataFrame(data).iloc[2]) == answer
    assert classifier.predict([row["a"], row["b"], row["color"]]) == answer
    np.testing.assert_array_equal(classifier.predict_proba(row), classifier.predict_proba(data)[2])
    assert regressor.predict([100.0, 3]) == regressor.predict([[100.0, 3]])[0]


def test_what_is_refused(classifier, regressor):
    for model, X, said in (
        (regressor, np.zeros((150, 1)), r"expected shape \(samples, 2\)"),
        (regressor, np.zeros((5, 3)), "size, rooms"),
        (regressor, np.ma.masked_less([[1.0, 2.0]], 2), "masked"),
        (regressor, np.zeros((3, 2), complex), "complex"),
        (regressor, np.zeros((3, 2), "datetime64[s]"), "dates"),
        (regressor, {"size": ["big"], "rooms": [3]}, "'big'; expected a number"),
        (classifier, {"a": [1.0], "b": [2.0], "color": [3]}, "expected texts like 'blue'"),
        (classifier, np.zeros((4, 3)), "expected texts like 'blue', got numbers"),
    ):
        with pytest.raises((TypeError, ValueError), match=said):
            model.predict(X)
    with pytest.raises(ValueError, match="numbers, not classes"):
        regressor.predict_proba(houses(3))
    with pytest.raises(ValueError, match="'square'; expected one of the classes"):
        classifier.evaluate(flowers(2), ["square", "round"])


def test_binary_classes_with_one_output():
    data = {"a": np.linspace(-1, 1, 100), "y": [False] * 50 + [True] * 50}
    model = trained(data, ["y"], loss="binary_cross_entropy", n_out=1)
    assert model.predict({"a": [-0.9, 0.9]}).tolist() == [False, True]
    probabilities = model.predict_proba({"a": [-0.9, 0.9]})
    assert probabilities.shape == (2, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert probabilities[0, 0] > 0.5 < probabilities[1, 1]
    assert model.evaluate(data)["accuracy"] > 0.95


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error"])
def test_classes_with_losses_for_numbers(loss):
    model = trained(flowers(), ["kind"], loss=loss)
    assert model.evaluate(flowers(100, 1))["accuracy"] > 0.9
    with pytest.raises(ValueError, match=r"no probabilities; model\.outputs"):
        model.predict_proba(flowers(3))


def test_several_targets(tmp_path):
    data = {**houses(), "tax": houses()["rooms"] / 1e6}
    model = from_file(trained(data, ["tax", "price"]), tmp_path)
    answers = model.predict(data)
    assert answers.shape == (300, 2)
    scores = model.evaluate(data)
    for k, name in enumerate(("tax", "price")):
        error = answers[:, k] - data[name]
        assert 1 - np.mean(error**2) / np.var(data[name]) > 0.98
        assert scores["rmse"][k] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert scores["r2"] > 0.98
    one = model.predict({"size": 100.0, "rooms": 3})
    np.testing.assert_array_equal(one, model.predict({"size": [100.0], "rooms": [3]})[0])


def test_integer_classes_compare_with_the_data():
    X, y = fcnn.datasets.load_digits()
    table = as_table(X)
    found = read_target(as_table(y[:, None], "y"), [], are_labels=True)
    preparation = Preparation.fit(table, infer_columns(table), standardize="together")
    network = fcnn.Network((64, 32, 10))
    model = fcnn.Model(network, preparation, found.target)
    network.fit(model.prepare(X), found.y, epochs=30)
    assert model.classes == tuple(range(10))
    assert np.mean(model.predict(X) == y) > 0.95
    assert model.evaluate(X, y)["accuracy"] == np.mean(model.predict(X) == y)
    assert model.predict(X[0]) == y[0]
    assert model.features == ()


def test_the_parts_must_fit():
    preparation = Preparation.fit({"a": [1.0, 2.0]})
    for network, target, said in (
        (fcnn.Network((2, 3)), Target((), "abc"), "expected 2 numbers, the inputs"),
        (fcnn.Network((1, 3)), Target((), "ab"), "2 classes for 3 outputs"),
        (fcnn.Network((1, 1), loss="squared_error"), Target(("y", "z")), "2 numbers for 1 targets"),
        ("net", Target(), "network: expected a Network"),
        (fcnn.Network((1, 2)), None, "target: expected a Target"),
    ):
        with pytest.raises((TypeError, ValueError), match=said):
            fcnn.Model(network, preparation, target)


def test_parts_that_are_assigned_must_fit(classifier, regressor):
    one = copy.copy(classifier)
    before = dict(vars(one))
    for name, value, error, said in (
        ("network", fcnn.Network((one.preparation.width + 1, 3)), ValueError, "^preparation: "),
        ("network", fcnn.Network((one.preparation.width, 9)), ValueError, "^target: "),
        ("network", None, TypeError, "^network: expected a Network, got NoneType"),
        ("preparation", [], TypeError, "^preparation: expected a Preparation, got list"),
        ("target", regressor.target, ValueError, "^target: "),
        ("training", "today", TypeError, "^training: expected a TrainingRecord, got str"),
        ("treshold", 0.5, AttributeError, "^Model has no attribute 'treshold' to set; expected "),
    ):
        with pytest.raises(error, match=said):
            setattr(one, name, value)
    assert vars(one) == before
    sizes = (one.preparation.width, 8, one.network.sizes[-1])
    one.network = fcnn.Network(sizes, loss=one.network.loss, rng=5)
    one.training = None

    class Own(fcnn.Model):
        pass

    own = Own(one.network, one.preparation, one.target)
    own.treshold = 0.5  # one of its own
    with pytest.raises(TypeError, match=r"^target: "):
        own.target = None

    class Early(fcnn.Model):
        def __init__(self, network, preparation, target):
            self.network = network  # before the others
            super().__init__(network, preparation, target)

    assert Early(own.network, own.preparation, own.target).network is own.network


# --- Around it -----------------------------------------------------------------------------------


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_it_says_what_it_is(classifier):
    assert repr(classifier) == (
        "Model(kind: 3 classes (long, thin, round, small) from a, b, color; 5-16-3, float32, "
        "loss cross_entropy)"
    )
    summary = classifier.summary()
    assert "color   category  1 or 0 for each of blue, green, red" in summary
    assert "total" in summary
    parser = Cells()
    parser.feed(classifier._repr_html_())
    assert not parser.open
    assert {"a", "b", "color", "category"} <= {*parser.texts}


def test_names_are_escaped_in_html():
    model = trained({"<script>": [1.0, 2.0, 3.0], "y": [1.5, 2.5, 4.0]}, ["y"])
    assert "<script>" not in model._repr_html_()
    assert "&lt;script&gt;" in model._repr_html_()


def test_left_out_columns_are_told():
    table = read_table(CASES / "const.csv")
    preparation = Preparation.fit(table, infer_columns(table, ["y"]))
    model = fcnn.Model(fcnn.Network((1, 2)), preparation, Target(["y"], ["hi", "lo"]))
    assert ("k", "left out", "constant, '7' everywhere") in model.rows()


@pytest.mark.slow
def test_numpy_is_enough(classifier, tmp_path):
    """A model predicts where none of the libraries of data frames is installed."""
    classifier.save(tmp_path / "m")
    code = (
        "import sys\n"
        "for name in ('polars', 'pandas', 'pyarrow', 'sklearn', 'matplotlib', 'tqdm'):\n"
        "    sys.modules[name] = None\n"
        "import fcnn\n"
        f"model = fcnn.load({str(tmp_path / 'm')!r})\n"
        "print(model.predict({'a': [5000.0], 'b': [0.002], 'color': ['red']}))\n"
        "print(model.predict([[5000.0, 0.002, 'red']]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "['round']\n" * 2, done.stderr


# --- Files of before -----------------------------------------------------------------------------


def test_a_classifier_of_before_is_a_model():
    """Its probabilities as the release that wrote it gave them."""
    model = fcnn.load(BEFORE / "flowers.safetensors")
    X = np.array([[10.0, 3000.0, 5.0], [13, 0, 5], [10, 0, 5.003]])
    expected = [
        [0.12154116481542587, 0.712559163570404, 0.16589967906475067],
        [0.3820285499095917, 0.41447263956069946, 0.20349885523319244],
        [0.01684361882507801, 0.07327903062105179, 0.909877359867096],
    ]
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-6)
    assert model.predict(X).tolist() == ["round", "round", "small"]
    assert model.features == ("a", "b", "c")
    assert model.targets == ("species",)
    permuted = {"c": X[:, 2], "z": [0] * 3, "a": X[:, 0], "b": X[:, 1]}
    np.testing.assert_array_equal(model.predict_proba(permuted), model.predict_proba(X))
    with pytest.raises(ValueError, match="'b': an empty cell; expected a value"):
        model.predict({"a": [1.0], "b": [None], "c": [2.0]})


def test_a_regressor_of_before_is_a_model(tmp_path):
    model = fcnn.load(BEFORE / "houses.safetensors")
    expected = [float.fromhex("0x1.16e9560000000p+17"), float.fromhex("0x1.0e6dda0000000p+17")]
    X = np.array([[100.0, 3.0], [50.0, 1.0]])
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6)
    again = from_file(model, tmp_path)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_c_takes_the_network_of_a_model(classifier, tmp_path):
    from fcnn.files import load_network

    classifier.save(tmp_path / "m")
    assert isinstance(load_network(str(tmp_path / "m")), fcnn.Network)


def test_targets_are_taken_by_their_names(classifier):
    pd = pytest.importorskip("pandas")
    data = flowers()
    frame = pd.DataFrame(data)
    right = classifier.evaluate(data)
    kinds = frame[["kind"]]
    for y in (kinds, kinds.to_records(index=False), kinds.to_dict("records"), kinds.to_dict("list"),
              frame["kind"], frame["kind"].to_numpy()[:, np.newaxis],
              pd.DataFrame(kinds.to_numpy())):  # fmt: skip
        assert classifier.evaluate(data, y) == right
    other = frame[["kind"]].rename(columns={"kind": "sort"})
    for y in (other, other.to_records(index=False), other.to_dict("records"), frame[["a"]]):
        with pytest.raises(ValueError, match=r"y: lacks the target 'kind'; it has (sort|a)$"):
            classifier.evaluate(data, y)


def test_several_targets_are_not_taken_by_position():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(houses())
    frame["rent"] = frame["size"] * 3.5
    model = trained(frame, ["price", "rent"])
    right = model.evaluate(frame)
    assert model.evaluate(frame, frame[["rent", "price"]]) == right
    with pytest.raises(ValueError, match="y: lacks the target 'price'; it has rent, cost"):
        model.evaluate(frame, frame[["rent", "price"]].rename(columns={"price": "cost"}))


def test_targets_in_another_order_than_the_data_are_refused(regressor):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(houses())
    right = regressor.evaluate(frame)
    shuffled = frame["price"].sample(frac=1, random_state=1)
    for y in (shuffled, shuffled.to_frame()):
        with pytest.raises(ValueError, match=r"^y: expected the rows of data .* in data, .* in y"):
            regressor.evaluate(frame, y)
    assert regressor.evaluate(frame, shuffled.loc[frame.index]) == right
    again = frame.loc[shuffled.index]
    assert regressor.evaluate(again, shuffled)["r2"] == pytest.approx(right["r2"])
    assert regressor.evaluate(frame, frame["price"].set_axis(range(900, 1200))) == right


def test_unseen_categories_are_warned_of(classifier):
    data = {"a": [5000.0, 5001.0], "b": [0.0, 0.001], "color": ["red", "tan"]}
    for of in (classifier.predict, classifier.predict_proba, classifier.outputs):
        with pytest.warns(UserWarning, match=r"'color': 1 of 2 \(50.0%\) with 'tan'") as caught:
            of(data)
        assert [one.filename for one in caught] == [__file__]
    with pytest.raises(ValueError, match="'RED' differs only in case from 'red'"):
        classifier.predict({**data, "color": ["RED", "BLUE"]})


def test_outputs_that_are_none_of_the_network_are_refused_by_name():
    data = {"a": [1.0, 2, 4, 8], "y": [0.5, 1, 2, 4]}
    preparation = fcnn.tables.Preparation.fit({"a": data["a"]})
    net = fcnn.Network((1, 3, 1), loss="squared_error", rng=1)
    model = fcnn.Model(net, preparation, fcnn.tables.Target(["y"]))
    right = model.outputs(data)
    assert model.decode(right.tolist()).tolist() == model.decode(right).tolist()
    for wrong in (None, right[:, 0], right.T, 3, "text", {1, 2}, np.ones((4, 2))):
        for call in (
            model.decode, model.central, lambda outputs: model.scores(outputs, data["y"]),
        ):  # fmt: skip
            with pytest.raises((TypeError, ValueError), match=r"^outputs: expected"):
                call(wrong)
    with pytest.raises(ValueError, match=r"^outputs: only those of the loss gaussian_nll"):
        model.deviations(right)
    with pytest.raises(ValueError, match=r"^outputs: expected shape \(4, 1\)"):
        model.scores(right[:3], data["y"])
    with pytest.raises(TypeError, match=r"^notes: expected a list"):
        model.prepare(data, notes=-3)
    with pytest.raises((TypeError, ValueError), match=r"^table: "):
        model.target_values(None)
