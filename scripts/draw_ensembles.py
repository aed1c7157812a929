#!/usr/bin/env python3
"""Draws docs/ensembles.png, and prints the numbers of docs/ensembles.md.

    python scripts/draw_ensembles.py [--splits 5] [--output docs/ensembles.png]

One network beside ensembles of up to eight, on digits and on the diabetes data of scikit-learn,
each over several splits into a half to train on and a half to test on.
"""

import argparse

import numpy as np

import fcnn

MOST = 8


def digits(split):
    """Return samples, targets and a function that makes a network of a number."""
    X, y = fcnn.datasets.load_digits()
    return X / 16, y, lambda i: fcnn.Network((64, 64, 10), rng=1000 * split + i)


def diabetes(split):
    """Return samples, targets and a function that makes a network of a number."""
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    X, y = X / X.std(axis=0), (y - y.mean()) / y.std()
    return (
        X,
        y[:, np.newaxis],
        lambda i: fcnn.Network((10, 32, 2), "tanh", loss="gaussian_nll", rng=1000 * split + i),
    )


SETS = {
    "digits": (digits, {"epochs": 30, "optimizers": fcnn.Adam(0.003)}),
    "diabetes": (diabetes, {"epochs": 60, "optimizers": fcnn.AdamW(0.005, weight_decay=0.1)}),
}


def results(make, options, splits):
    """Return loss and score, shape (splits, MOST + 1, 2): of one alone, then of 1, 2, ..., MOST."""
    found = np.empty((splits, MOST + 1, 2))
    for split in range(splits):
        X, y, network_of = make(split)
        order = np.random.default_rng(split).permutation(len(X))
        train, test = order[: len(X) // 2], order[len(X) // 2 :]
        networks = [network_of(i) for i in range(MOST)]
        fcnn.fit_many(networks, X[train], y[train], rngs=split, **options)
        # One network is the mean of what each of the eight comes to.
        single = [tuple(network.evaluate(X[test], y[test]).values()) for network in networks]
        found[split, 0] = np.mean(single, axis=0)
        for m in range(1, MOST + 1):
            ensemble = fcnn.Ensemble(networks[:m])
            found[split, m] = tuple(ensemble.evaluate(X[test], y[test]).values())
    return found


def wave(rng, n):
    """Return samples of a noisy sine, none of them in the middle."""
    x = np.concatenate([rng.uniform(-3, -1.4, n // 2), rng.uniform(1.4, 3, n // 2)])
    return x[:, np.newaxis], (np.sin(2 * x) + 0.15 * rng.normal(size=n))[:, np.newaxis]


def draw(found, path):
    """Draw the losses of ensembles, and the answers of one on a sine."""
    from matplotlib.figure import Figure

    blue, orange, gray = "#1f5fa8", "#c8641a", "#777777"
    figure = Figure(figsize=(11, 3.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=[1, 1, 1.35])
    counts = np.arange(1, MOST + 1)
    names = {"digits": "log loss", "diabetes": "negative log likelihood"}
    for panel, (name, values) in zip(panels, found.items(), strict=False):
        mean = values.mean(axis=0)[:, 0]
        panel.axhline(mean[0], color=gray, linestyle="--", linewidth=1)
        panel.annotate("one network, on average", (MOST, mean[0]), (0, -4), ha="right", va="top",
                       textcoords="offset points", color=gray, fontsize=8)  # fmt: skip
        panel.plot(counts, mean[1:], "o-", color=blue, markersize=4)
        panel.set_title(f"{name}: {names[name]}", fontsize=9)
        panel.set_xlabel("networks in the ensemble", fontsize=9)
        panel.set_xticks(counts)
    rng = np.random.default_rng(1)
    x, y = wave(rng, 160)
    networks = [
        fcnn.Network((1, 64, 64, 1), "relu", loss="squared_error", rng=i) for i in range(MOST)
    ]
    fcnn.fit_many(networks, x, y, epochs=300, optimizers=fcnn.Adam(0.01), rngs=0)
    ensemble = fcnn.Ensemble(networks)
    grid = np.linspace(-4.2, 4.2, 300)[:, np.newaxis]
    middle, spread = ensemble.predict(grid)[:, 0], ensemble.std(grid)[:, 0]
    panel = panels[2]
    panel.fill_between(grid[:, 0], middle - 2 * spread, middle + 2 * spread, color=blue, alpha=0.2,
                       linewidth=0, label="mean and 2 standard deviations")  # fmt: skip
    for i, answers in enumerate(ensemble.outputs(grid)):
        label = "each of eight networks" if i == 0 else None
        panel.plot(grid[:, 0], answers[:, 0], color=orange, linewidth=0.6, alpha=0.7, label=label)
    panel.plot(grid[:, 0], middle, color=blue, linewidth=1.8)
    panel.plot(x[:, 0], y[:, 0], ".", color="black", markersize=2.5, label="samples")
    panel.set_ylim(-3.2, 3.2)
    panel.set_title("eight networks differ where there are no samples", fontsize=9)
    panel.legend(fontsize=7, loc="upper center", frameon=False)
    for panel in panels:
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main():
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--output", default="docs/ensembles.png")
    options = parser.parse_args()
    found = {}
    for name, (make, of_fit) in SETS.items():
        values = found[name] = results(make, of_fit, options.splits)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        for m, label in ((0, "one network"), (MOST, f"{MOST} networks")):
            print(f"{name:9} {label:11} loss {mean[m, 0]:.4f} +- {spread[m, 0]:.4f}  "
                  f"score {mean[m, 1]:.4f} +- {spread[m, 1]:.4f}")  # fmt: skip
        better = (values[:, MOST, 0] < values[:, 0, 0]).all()
        print(f"{name:9} the ensemble's loss is lower in every split: {better}")
    draw(found, options.output)


if __name__ == "__main__":
    main()
