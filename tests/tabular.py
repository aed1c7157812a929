"""Models of tables with every kind of column, for tests of what is written of them."""

import datetime

import numpy as np

import fcnn
from fcnn.tables import Preparation, Target, as_table, infer_columns
from fcnn.tables.categories import CategoryColumn, OrdinalColumn
from fcnn.tables.columns import DateColumn, IgnoredColumn, NumberColumn

BEGIN = datetime.datetime(1966, 3, 1)


def table(rows=400, seed=0, new=False):
    """Return columns of every kind; `new` ones have categories that the others have not."""
    rng = np.random.default_rng(seed)

    def some(values, share=0.1):
        """Return values, some of them missing."""
        return [None if rng.random() < share else value for value in values]

    colors = rng.choice(["red", "blue", "light green", 'a "quoted" \\ \u00e9'], rows).tolist()
    sizes = rng.choice(["s", "m", "xl"], rows).tolist()
    if new:
        colors[::7] = ["octarine"] * len(colors[::7])
        sizes[::5] = ["xs"] * len(sizes[::5])
    else:
        colors[:2] = ["seen once", "once, too"]
    ages = [int(age) for age in rng.integers(18, 90, rows)]
    days = rng.integers(0, 20_000, rows)
    return {
        "price": (1.7e9 + 67 * rng.normal(size=rows)).tolist(),
        "color": some(colors),
        "age": some(ages),
        "when": some([BEGIN + datetime.timedelta(days=int(d), seconds=int(d) * 7) for d in days]),
        "member": some((rng.random(rows) < 0.4).tolist()),
        "rooms": rng.integers(1, 6, rows).tolist(),
        "size": sizes,
    }


def raw(data):
    """Return a table as the numbers and texts that are given to what was written of a model."""
    return {name: _cells(name, cells) for name, cells in data.items()}


def _cells(name, cells):
    if name in ("color", "size"):
        return np.array(["" if cell is None else cell for cell in cells], object)
    if name == "when":
        cells = [c and (c - datetime.datetime(1970, 1, 1)).total_seconds() for c in cells]
    return np.array([np.nan if cell is None else float(cell) for cell in cells])


def every_kind():
    """Return the preparation of a table, and what scikit-learn's transformers would add to it."""
    data = as_table(table())
    given = dict.fromkeys(("color", "size"), "category") | dict.fromkeys(("rooms", "age"), "number")
    made = Preparation.fit(data, infer_columns(data, given=given))
    kinds = [column.kind for column in made.columns]
    assert kinds == ["number", "category", "number", "date", "boolean", "number", "category"]
    assert any(getattr(column, "flag", False) for column in made.columns)
    assert [made.columns[1].other, made.columns[1].missing] == [True, True]
    assert isinstance(made.columns[3], DateColumn)
    assert len(made.columns[3].parts) == 4
    return made


def strict():
    """Return a preparation that fills nothing in, and refuses unseen categories."""
    columns = [
        NumberColumn("price"),
        CategoryColumn("color", ("red", "blue"), rare=("light green",), unseen="refuse"),
        NumberColumn("age", 30.5, flag=True),
        OrdinalColumn("size", ("s", "m", "xl"), (0, 1, 1.5), None, 7),
    ]
    return Preparation(columns, [1.7e9, 0, 0.5, 30, 0.5, 1], [67, 1, 0.25, 10, 1, 2])


def lenient():
    """Return one that scikit-learn's transformers make: fills and numbers of categories."""
    columns = [
        CategoryColumn("color", ("red", "blue"), other=True, rare=("light green",), unseen="none",
                       fill="blue"),
        OrdinalColumn("size", ("s", "m", "xl"), (0, 1.37, 1), -1, None, "m"),
    ]  # fmt: skip
    return Preparation(columns, np.zeros(4), [1, 1, 1, 0.3])


def by_position(ignored=True):
    columns = [
        NumberColumn(""), NumberColumn("", 2.0, flag=True, low=0.0, high=4.0),
        NumberColumn("", low=-1.0, high=5.0), NumberColumn("", low=2.0, high=9.0),
    ]  # fmt: skip
    mean, scale = [5, 2, 0, -3, 1], [2, 1, 1, 0.1, 3]
    if ignored:
        columns.insert(1, IgnoredColumn(""))
    return Preparation(columns, mean, scale, is_named=False)


PREPARATIONS = {"every kind": every_kind, "strict": strict, "lenient": lenient}
TARGETS = {
    "texts": lambda: Target(["y"], ["no", "yes, of course", "\u00e9"]),
    "integers": lambda: Target(["y"], [-1, 3, 40]),
    "floats": lambda: Target(["y"], [0.5, 1, 2]),
    "two, by one output": lambda: Target(["y"], ["no", "yes"]),
    "booleans": lambda: Target(["y"], [False, True]),
    "number": lambda: Target(["y"], (), [1.7e9], [67.0]),
    "numbers": lambda: Target(["y", "z"], (), [1.7e9, 0.0], [67.0, 2.0]),
    "as they are": lambda: Target(),
}
ONE_OUTPUT = ("two, by one output", "booleans", "number")


def model(preparation, target, dtype="float32", seed=0, loss=None, hidden="relu"):
    """Return a model of random weights, each row of which decides for itself."""
    made, answers = PREPARATIONS.get(preparation, by_position)(), TARGETS[target]()
    if loss is None:
        loss = "squared_error"
        if answers.is_classes:
            loss = "binary_cross_entropy" if target in ONE_OUTPUT else "cross_entropy"
    n_out = 1 if target in ONE_OUTPUT else len(answers.classes) or 2
    network = fcnn.Network((made.width, 16, n_out), hidden, loss=loss, dtype=dtype, rng=seed)
    rng = np.random.default_rng(seed)
    for b in network.biases:
        b[...] = rng.normal(size=b.shape)
    return fcnn.Model(network, made, answers)


def answered(model, data):
    """Return label and probabilities, or numbers, of rows one by one: NaN where one is refused."""
    rows = len(next(iter(data.values())))
    answers, numbers = [], []
    for i in range(rows):
        row = {name: [cells[i]] for name, cells in data.items()}
        try:
            answers.append(model.predict(row)[0])
            numbers.append(model.outputs(row)[0] if not model.classes else None)
            if model.classes:
                numbers[-1] = model.predict_proba(row)[0]
        except ValueError:
            answers.append(None)
            numbers.append(None)
    return answers, numbers
