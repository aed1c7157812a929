"""
Which columns matter
====================

`fcnn.plot.plot_importance` draws what `fcnn.report.permutation_importance` finds: how much worse a model
gets when the cells of a column change places.
"""

import numpy as np

import fcnn
from fcnn.tables import Preparation, as_table, infer_columns, read_target

rng = np.random.default_rng(0)
data = {
    "area": rng.uniform(40, 160, 600).round(1),
    "rooms": rng.integers(1, 6, 600),
    "garden": rng.choice(["yes", "no"], 600),
    "colour": rng.choice(["red", "blue", "green"], 600),
}
data["price"] = (
    1500 * data["area"] + 9000 * data["rooms"] + 15000 * (data["garden"] == "yes")
    + rng.normal(0, 8000, 600)
)  # fmt: skip
table = as_table(data)
kinds = infer_columns(table, targets=["price"])
preparation = Preparation.fit(table, kinds)
found = read_target(table, ["price"])
target = found.target.scaled(found.y)
net = fcnn.Network((preparation.width, 16, 1), loss="squared_error")
model = fcnn.Model(net, preparation, target)
net.fit(model.prepare(table), model.scaled(found.y), epochs=100)

importance = fcnn.report.permutation_importance(model, data)
figure = fcnn.plot.plot_importance(
    importance.names, importance.mean, importance.deviation, label="r2 lost"
)

# %%
# ``most`` shows the most important of many.

figure = fcnn.plot.plot_importance(importance.names, importance.mean, most=2)
