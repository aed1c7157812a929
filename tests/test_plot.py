"""Pictures: what is drawn, read back from matplotlib's own objects, and what is refused."""

import inspect
import itertools
import pickle
import re
import struct
import sys

import numpy as np
import pytest

import fcnn
from fcnn.history import History

pytest.importorskip("matplotlib")
import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from fcnn import _validation, plot
from fcnn._dispatch import core
from fcnn.plot._figure import figures, short


def history(epochs=12, validation=True, score_name="accuracy"):
    """Return curves that fall by a factor of 2 an epoch, the validation's rising at the end."""
    loss = [2.0**-e for e in range(epochs)]
    if not validation:
        return History(loss)
    held_out = [2 * value for value in loss]
    held_out[-1] = 5.0
    return History(loss, held_out, [1 - value / 2 for value in loss], score_name)


def with_rates(h, rates):
    h.learning_rate = list(rates)
    return h


def axes(count=1):
    """Return a figure of the user's own and its axes."""
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(np.ravel(figure.subplots(1, count)))


def curve(panel, label):
    """Return x and y of the line with a label."""
    (line,) = [line for line in panel.get_lines() if line.get_label() == label]
    return list(line.get_xdata()), list(line.get_ydata())


def texts(panel):
    return [text.get_text() for text in panel.texts]


# --- History --------------------------------------------------------------------------------------


def test_curves_and_labels():
    h = history()
    figure = plot.plot_history(h, title="digits", loss_label="cross entropy")
    losses, scores = figure.axes
    epochs = list(range(1, 13))
    assert curve(losses, "training") == (epochs, h.loss)
    assert curve(losses, "validation") == (epochs, h.validation_loss)
    assert curve(scores, "validation") == (epochs, h.validation_score)
    assert losses.get_ylabel() == "cross entropy"
    assert scores.get_ylabel() == "validation accuracy"
    assert losses.get_xlabel() == scores.get_xlabel() == "epoch"
    assert figure.get_suptitle() == "digits"


def test_best_epoch():
    h = history()
    losses, scores = plot.plot_history(h).axes
    assert curve(losses, "lowest: 0.001953, epoch 11") == ([11], [h.validation_loss[10]])
    assert curve(scores, "0.9995, epoch 11") == ([11], [h.validation_score[10]])
    for panel in (losses, scores):
        assert [11, 11] in [list(line.get_xdata()) for line in panel.get_lines()]
    # Without validation losses, the highest score.
    h = History([1.0, 0.5, 0.2], [], [0.3, 0.8, 0.7], "accuracy")
    scores = plot.plot_history(h).axes[1]
    assert curve(scores, "0.8, epoch 2") == ([2], [0.8])


def test_without_validation_there_is_one_panel():
    figure = plot.plot_history(history(validation=False))
    assert len(figure.axes) == 1
    assert len(figure.axes[0].get_lines()) == 1


@pytest.mark.slow(reason="draws a picture")
def test_learning_rate_that_varied():
    rates = [0.1 * 0.1 ** (e // 4) for e in range(12)]
    h = with_rates(history(), rates)
    figure = plot.plot_history(h)
    losses, _, lr = figure.axes
    assert curve(lr, "learning rate") == (list(range(1, 13)), rates)
    assert "steps-mid" in {line.get_drawstyle() for line in lr.get_lines()}
    assert lr.get_ylabel() == "learning rate"
    assert lr.get_yscale() == "log"
    assert lr.get_xlabel() == "epoch"
    figure.canvas.draw()
    assert losses.bbox.y0 > lr.bbox.y1
    assert losses.bbox.x0 == pytest.approx(lr.bbox.x0)


def test_learning_rate_that_ends_near_zero_has_a_linear_scale():
    h = with_rates(history(validation=False), np.linspace(0.1, 1e-8, 12))
    assert plot.plot_history(h).axes[1].get_yscale() == "linear"


def test_constant_learning_rate_is_not_drawn():
    assert len(plot.plot_history(with_rates(history(), [0.1] * 12)).axes) == 2


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([1.0, 0.05], "log"),
        ([1.0, 0.2], "linear"),
        ([1.0, 0.0], "linear"),
        ([1.0, -0.01], "linear"),
        ([float("inf"), float("nan")], "linear"),
    ],
)
def test_scale_of_the_loss(losses, scale):
    assert plot.plot_history(History(losses)).axes[0].get_yscale() == scale


def test_one_epoch_can_be_seen():
    figure = plot.plot_history(history(epochs=1, validation=False))
    losses = figure.axes[0]
    assert {line.get_marker() for line in losses.get_lines()} == {"o"}
    low, high = losses.get_xlim()
    assert low < 1 < high
    figure.canvas.draw()
    shown = [tick for tick in losses.get_xticks() if low <= tick <= high]
    assert shown == [1]


def test_a_poor_first_r2_does_not_flatten_the_rest():
    h = History([1.0] * 3, [1.0] * 3, [-200.0, 0.5, 0.9], "r2")
    scores = plot.plot_history(h).axes[1]
    assert scores.get_ylim()[0] == -1
    assert scores.get_ylim()[1] > 0.9
    assert scores.get_ylabel() == "validation R²"
    # All of it poor: then all of it is shown.
    h = History([1.0] * 2, [1.0] * 2, [-200.0, -50.0], "r2")
    assert plot.plot_history(h).axes[1].get_ylim()[0] < -200


@pytest.mark.slow(reason="draws pictures")
def test_infinite_and_missing_losses_leave_the_others():
    h = History([1.0, float("inf"), 0.5], [float("nan"), 2.0, 3.0], [0.1, 0.2, 0.3], "accuracy")
    figure = plot.plot_history(h)
    assert curve(figure.axes[0], "lowest: 2, epoch 2") == ([2], [2.0])
    figure.canvas.draw()
    nan = float("nan")
    figure = plot.plot_history(History([nan] * 3, [nan] * 3, [nan] * 3, "r2"))
    figure.canvas.draw()


def test_history_on_given_axes():
    h = with_rates(history(), np.geomspace(0.1, 0.01, 12))
    figure, (one, two, three) = axes(3)
    assert plot.plot_history(h, ax=one, title="mine") is one
    assert curve(one, "training")[1] == h.loss
    assert one.get_title() == "mine"
    assert not two.lines
    plot.plot_history(h, ax=np.array([one, two, three]))
    assert curve(two, "validation")[1] == h.validation_score
    assert curve(three, "learning rate")[1] == h.learning_rate
    assert len(figure.axes) == 3


# --- Confusion matrix -----------------------------------------------------------------------------

Y = [0, 0, 0, 0, 1, 1, 2, 2]
PREDICTED = [0, 0, 0, 1, 1, 1, 0, 2]
SHARES = [[0.75, 0.25, 0], [0, 1, 0], [0.5, 0, 0.5]]


def drawn_shares(figure):
    (image,) = figure.axes[0].images
    return image.get_array().filled(np.nan)


def cells(panel):
    """Return the text at each (row, column)."""
    return {(t.get_position()[1], t.get_position()[0]): t.get_text() for t in panel.texts}


@pytest.mark.slow
def test_cells_of_the_matrix():
    figure = plot.plot_confusion_matrix(PREDICTED, Y, ["cat", "dog", "$5 & $6"], title="pets")
    panel = figure.axes[0]
    np.testing.assert_allclose(drawn_shares(figure), SHARES)
    assert cells(panel) == {
        (0, 0): "3\n75%", (0, 1): "1\n25%", (0, 2): "0",
        (1, 0): "0", (1, 1): "2\n100%", (1, 2): "0",
        (2, 0): "1\n50%", (2, 1): "0", (2, 2): "1\n50%",
    }  # fmt: skip
    names = ["cat", "dog", "$5 & $6"]
    assert [t.get_text() for t in panel.get_yticklabels()] == names
    assert [t.get_text() for t in panel.get_xticklabels()] == names
    assert panel.get_ylabel() == "true class"
    assert panel.get_xlabel() == "predicted class"
    assert panel.get_title() == "accuracy 75%: 6 of 8"
    assert figure.get_suptitle() == "pets"
    low, high = panel.get_ylim()
    assert low > high  # the first row is on top
    figure.canvas.draw()  # the dollars are no formula


@pytest.mark.slow
def test_forms_of_labels():
    rows = np.full((8, 3), 0.2)
    rows[range(8), PREDICTED] = 0.6
    names = np.array(["c", "a", "b"])
    forms = [
        (Y, rows, None),
        (np.eye(3)[Y], PREDICTED, None),
        (np.eye(3, dtype=int)[Y], rows.astype(np.float32), ["x", "y", "z"]),
        (np.array(Y, float), np.array(PREDICTED, np.uint8), None),
        (names[Y], PREDICTED, names),
        (names[Y].tolist(), names[PREDICTED].astype(object), names),
        (names[Y], rows, names),
    ]
    for y, predictions, class_names in forms:
        figure = plot.plot_confusion_matrix(predictions, y, class_names)
        np.testing.assert_allclose(drawn_shares(figure), SHARES)


def test_probabilities_of_one_output():
    figure = plot.plot_confusion_matrix([[0.2], [0.6], [0.5], [0.9]], [0, 0, 1, 1])
    np.testing.assert_allclose(drawn_shares(figure), [[0.5, 0.5], [0.5, 0.5]])


@pytest.mark.slow(reason="draws pictures")
def test_labels_that_occur():
    figure = plot.plot_confusion_matrix([1990, 7, 7], [1990, -3, 7])
    panel = figure.axes[0]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["-3", "7", "1990"]
    np.testing.assert_allclose(drawn_shares(figure), [[0, 1, 0], [0, 1, 0], [0, 0, 1]])
    figure = plot.plot_confusion_matrix(["b", "b"], ["b", "a"])
    np.testing.assert_allclose(drawn_shares(figure), [[0, 1], [0, 1]])


def test_a_class_without_samples():
    figure = plot.plot_confusion_matrix([0, 1], [0, 2], ["a", "b", "c"])
    np.testing.assert_equal(drawn_shares(figure), [[1, 0, 0], [np.nan] * 3, [0, 1, 0]])
    assert cells(figure.axes[0])[1, 1] == "0"


@pytest.mark.slow(reason="700 texts")
def test_many_classes():
    rng = np.random.default_rng(0)
    y = rng.integers(26, size=5000)
    predicted = np.where(rng.random(5000) < 0.8, y, rng.integers(26, size=5000))
    figure = plot.plot_confusion_matrix(
        predicted, y, [f"class number {k} of 26" for k in range(26)]
    )
    counts = np.zeros((26, 26), int)
    np.add.at(counts, (y, predicted), 1)
    shown = cells(figure.axes[0])
    assert shown == {(i, j): f"{n}" for (i, j), n in np.ndenumerate(counts) if n}
    np.testing.assert_allclose(drawn_shares(figure), counts / counts.sum(axis=1, keepdims=True))
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert len(labels) == 26
    assert max(map(len, labels)) <= 20
    figure.canvas.draw()
    widths = [t.get_window_extent().width for t in figure.axes[0].texts]
    assert max(widths) < figure.axes[0].bbox.width / 26
    assert figure.get_size_inches()[0] <= 8


def test_not_quite_all_is_not_all():
    y = np.zeros(5000, int)
    predicted = y.copy()
    predicted[0] = 1
    figure = plot.plot_confusion_matrix(predicted, y)
    assert cells(figure.axes[0])[0, 0] == "4,999\n> 99.9%"
    assert cells(figure.axes[0])[0, 1] == "1\n< 0.1%"
    assert "> 99.9%" in figure.axes[0].get_title()


def test_matrix_on_given_axes():
    _, (one, two) = axes(2)
    assert plot.plot_confusion_matrix(PREDICTED, Y, ax=two, title="mine") is two
    assert not one.images
    assert len(two.images) == 1
    assert two.get_title() == "mine\naccuracy 75%: 6 of 8"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], []), ValueError, "y: expected at least one sample"),
        (([0, 1], [0]), ValueError, "predictions: expected one for each of the 2 samples"),
        (([0.5, 1], [0, 1]), ValueError, "y: expected labels.*fractions"),
        (([1e300, 1], [0, 1]), ValueError, "y: expected labels"),
        (([0, 1], [0.2, 0.7]), ValueError, r"predictions: .*predictions\[:, None\]"),
        (([0, 1], [[1.2], [0.7]]), ValueError, "predictions: .* from 0 to 1.*got 1.2"),
        (([[0.5], [1]], [0, 1]), ValueError, "y: expected 0 or 1"),
        (([[0.5, 0.5]], [0]), ValueError, r"y: expected labels or one-hot rows, got \[0.5 0.5\]"),
        (([[1, 1, 0]], [0]), ValueError, "y: expected labels or one-hot rows"),
        (([0, 1], [[0.2, np.nan], [1, 0]]), ValueError, "predictions: expected finite"),
        (([0, 3], [[0.2, 0.8], [1, 0]]), ValueError, "y: expected labels from 0 to 1, got 3"),
        (([0, -1], [0, 1], ["a", "b"]), ValueError, "y: expected labels from 0 to 1, got -1"),
        (([0], [[0.2, 0.8]], ["a"]), ValueError, "predictions: expected a column for each"),
        (([[1, 0, 0]], [[0.2, 0.8]]), ValueError, "predictions: expected as many columns as y"),
        ((["a"], [0]), TypeError, "class_names: needed where y alone holds names"),
        ((["a"], [[0.2, 0.8]]), TypeError, "class_names: needed where y holds names"),
        ((["a"], ["c"], ["a", "b"]), ValueError, "predictions: 'c' is not among the class names"),
        (([0], [0], "ab"), TypeError, "class_names: expected a sequence"),
        (([0], [0], []), ValueError, "class_names: .* got none"),
        (([0], [0], ["a", "a"]), ValueError, "class_names: .* got 'a' twice"),
        (([0, 1j], [0, 1]), TypeError, "y: expected real numbers"),
        ((np.ma.array([0, 1], mask=[0, 1]), [0, 1]), ValueError, "y: .* without masked entries"),
        (([0, 1], np.ma.array(["0", "1"], mask=[1, 0])), ValueError, "predictions: .* masked"),
        ((np.zeros((2, 2, 2)), [0, 1]), ValueError, "y: expected shape"),
        ((np.arange(201), np.arange(201)), ValueError, "y: expected at most 200 classes, got 201"),
    ],
)  # fmt: skip
def test_refused_confusion(arguments, error, message):
    y, predictions, *rest = arguments
    with pytest.raises(error, match=message):
        plot.plot_confusion_matrix(predictions, y, *rest)


# --- First-layer weights --------------------------------------------------------------------------


@pytest.mark.slow
def test_weights_are_drawn_row_by_row():
    net = fcnn.Network((6, 3, 2), rng=1)
    figure = plot.plot_weights(net, (2, 3), title="first layer")
    panel = figure.axes[0]
    assert len(panel.images) == 3
    limit = np.abs(net.weights[0]).max()
    for k, image in enumerate(panel.images):
        np.testing.assert_allclose(image.get_array(), net.weights[0][k].reshape(2, 3))
        assert image.get_clim() == pytest.approx((-limit, limit))
        assert image.get_gid() == f"node {k}"
        _, _, bottom, top = image.get_extent()
        assert top < bottom  # y grows downwards, and so do the rows of an image
    low, high = panel.get_ylim()
    assert low > high
    assert figure.get_suptitle() == "first layer"
    assert panel.get_title() == "weights[0][k], 3 nodes,\n2 x 3 inputs each"
    figure.canvas.draw()


def test_sign_has_a_colour():
    net = fcnn.Network((4, 1, 1), loss="squared_error")
    net.weights[0] = [[1.0, -1.0, 0.0, 0.5]]
    (image,) = plot.plot_weights(net).axes[0].images
    red, blue, white, _ = image.to_rgba(image.get_array()).reshape(4, 4)[:, :3]
    assert red[0] > 2 * red[2]
    assert blue[2] > 2 * blue[0]
    assert min(white) > 0.9


def test_images_do_not_overlap():
    panel = plot.plot_weights(fcnn.Network((12, 23, 1), loss="squared_error"), (3, 4)).axes[0]
    places = {tuple(image.get_extent()) for image in panel.images}
    assert len(places) == 23
    for a in places:
        for b in places - {a}:
            assert a[1] <= b[0] or b[1] <= a[0] or a[2] <= b[3] or b[2] <= a[3]
    assert panel.get_yticklabels()[0].get_text() == "k = 0 to 6"


@pytest.mark.slow
def test_large_layers_are_shortened_and_say_so():
    net = fcnn.Network((784, 128, 10))
    panel = plot.plot_weights(net).axes[0]
    assert len(panel.images) == 40
    assert panel.get_title() == "weights[0][k], 40 of 128 nodes,\n28 x 28 inputs each"
    assert len(plot.plot_weights(net, max_nodes=7).axes[0].images) == 7


@pytest.mark.slow(reason="draws pictures")
def test_outliers_and_odd_weights():
    net = fcnn.Network((100, 40, 1), loss="squared_error", dtype="float64")
    net.weights[0][0, 0] = 1e6
    figure = plot.plot_weights(net)
    high = figure.axes[0].images[0].get_clim()[1]
    assert high < 10
    assert high == pytest.approx(np.percentile(np.abs(net.weights[0]), 99.5), rel=0.05)
    net = fcnn.Network((4, 2, 1), loss="squared_error")
    for value in (0.0, np.nan, np.inf):
        net.weights[0][:] = value
        figure = plot.plot_weights(net)
        assert figure.axes[0].images[0].get_clim() == (-1, 1)
        figure.canvas.draw()


def test_weights_on_given_axes():
    _, (one, two) = axes(2)
    assert plot.plot_weights(fcnn.Network((9, 4, 2)), ax=one) is one
    assert len(one.images) == 4
    assert not two.images


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((6, 2), None), ValueError, "image_shape: needed.* 6 inputs are no square"),
        (((6, 2), (2, 2)), ValueError, "image_shape: 2 x 2 is 4, but the network has 6"),
        (((6, 2), 6), TypeError, r"image_shape: expected \(height, width\), got 6"),
        (((6, 2), (1, 2, 3)), ValueError, "image_shape: expected"),
        (((6, 2), (2.0, 3)), TypeError, r"image_shape\[0\]: expected an integer"),
        (((6, 2), (-2, -3)), ValueError, r"image_shape\[0\]: expected at least 1"),
    ],
)
def test_refused_image_shape(arguments, error, message):
    sizes, shape = arguments
    with pytest.raises(error, match=message):
        plot.plot_weights(fcnn.Network(sizes), shape)


def test_refused_weights():
    with pytest.raises(TypeError, match=r"network: expected a fcnn\.Network, got ndarray"):
        plot.plot_weights(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="max_nodes: expected at least 1"):
        plot.plot_weights(fcnn.Network((4, 2)), max_nodes=0)


# --- Network --------------------------------------------------------------------------------------


def by_gid(panel, gid):
    (found,) = [c for c in panel.collections if c.get_gid() == gid]
    return found


def edge_values(panel, l):
    """Return the drawn value of each edge by ((x, y) of its begin, (x, y) of its end)."""
    edges = by_gid(panel, f"edges {l}")
    ends = [tuple(map(tuple, segment)) for segment in edges.get_segments()]
    return dict(zip(ends, edges.get_array(), strict=True)), edges


def small():
    net = fcnn.Network((2, 3, 1), activation="tanh", loss="squared_error", dtype="float64", rng=3)
    net.biases[0] = [0.5, -0.25, 0.0]
    return net, [0.5, -1.0], [2.0]


def test_nodes_have_a_and_delta():
    net, x, y = small()
    trace = net.trace(x, y)
    forward, backward, _ = plot.plot_network(net, x, y).axes
    for l, n in enumerate(net.sizes):
        nodes = by_gid(forward, f"nodes {l}")
        a = trace.a[l][0]
        assert len(nodes.get_offsets()) == n
        np.testing.assert_allclose(nodes.get_array(), a / np.abs(a).max())
        assert set(nodes.get_offsets()[:, 0]) == {l}
        assert (np.diff(nodes.get_offsets()[:, 1]) == -1).all()  # the first on top
    for l in (0, 1, 2):
        delta = trace.delta[l][0]
        drawn = by_gid(backward, f"nodes {l}").get_array()
        np.testing.assert_allclose(drawn, delta / np.abs(delta).max())


def test_edges_have_weights_and_gradients():
    net, x, y = small()
    trace = net.trace(x, y)
    figure = plot.plot_network(net, x, y)
    for panel, values in zip(figure.axes, ([None, *net.weights], trace.dW), strict=False):
        for l in (1, 2):
            drawn, edges = edge_values(panel, l)
            W = values[l]
            n_out, n_in = W.shape
            assert len(drawn) == W.size
            largest = np.abs(W).max()
            for k in range(n_out):
                for j in range(n_in):
                    ends = (l - 1, (n_in - 1) / 2 - j), (l, (n_out - 1) / 2 - k)
                    assert drawn[ends] == pytest.approx(W[k, j] / largest)
            widths = edges.get_linewidths()
            assert list(widths) == sorted(widths)  # the strong ones on top
            assert edges.get_zorder() < by_gid(panel, f"nodes {l}").get_zorder()
            assert widths[-1] == pytest.approx(2.5)


def test_colours_tell_the_sign():
    net, x, y = small()
    forward, backward, _ = plot.plot_network(net, x, y).axes
    checked = set()
    for panel in (forward, backward):
        for collection in panel.collections:
            if collection.get_array() is None:
                continue
            for value, color in zip(
                collection.get_array(), collection.to_rgba(collection.get_array()), strict=True
            ):
                if abs(value) > 0.2:
                    assert (color[0] > color[2]) == (value > 0)
                    checked.add(value > 0)
    assert checked == {True, False}


def test_numbers_of_a_small_network():
    net, x, y = small()
    trace = net.trace(x, y)
    forward, backward, _ = plot.plot_network(net, x, y).axes

    shown = texts(forward)
    for l in (1, 2):
        for z, a, b in zip(trace.z[l][0], trace.a[l][0], net.biases[l - 1], strict=True):
            assert figures(a) in shown
            lines = [line for text in shown for line in re.split("\n|  ", text)]
            assert {f"z {figures(z)}", f"b {figures(b)}"} <= set(lines)
    assert {figures(v, 3) for v in net.weights[0].ravel()} <= set(shown)
    assert "y 2" in shown
    for value in trace.delta[1][0]:
        assert figures(value) in texts(backward)
    for value in trace.dW[1].ravel():
        assert figures(value, 3) in texts(backward)
    labels = [label.get_text() for label in forward.get_xticklabels()]
    assert labels[0] == "input\n2 nodes\n|a| 1"
    assert labels[1].startswith("tanh\n3 nodes\n|a| ")
    assert "|W| " in labels[1]
    assert forward.get_title().startswith("forward \N{RIGHTWARDS ARROW} nodes a, edges W; loss ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (-0.0, "0"), (1, "1"), (-3.2689, "-3.27"), (0.5, "0.50"), (0.012, "0.01"),
        (-0.0067845, "-7e-3"), (4.4e-5, "4e-5"), (123.4, "123"), (999.9, "1000"), (9999, "9999"),
        (123456, "1e5"), (float("inf"), "inf"), (float("-inf"), "-inf"), (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_short_numbers(value, text):
    assert short(value) == text.replace("-", "\N{MINUS SIGN}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (-0.0354141, "-0.03541"), (1 / 3, "0.3333"), (12345.6, "1.235e4"),
        (-4.4e-7, "-4.4e-7"), (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_numbers_to_follow_by_hand(value, text):
    assert figures(value) == text.replace("-", "\N{MINUS SIGN}")


def heads(panel):
    """Return where the arrows begin and end."""
    found = [text for text in panel.texts if text.get_gid() == "head"]
    return sorted((*text.xyann, *text.xy) for text in found)


def test_arrows_go_forward_and_back():
    net, x, y = small()
    forward, backward, _ = plot.plot_network(net, x, y).axes
    assert len(heads(forward)) == len(heads(backward)) == 9
    assert all(begin < end for begin, _, end, _ in heads(forward))
    assert all(begin > end for begin, _, end, _ in heads(backward))
    assert {(round(end), y_end) for _, _, end, y_end in heads(forward)} == {
        (1, 1), (1, 0), (1, -1), (2, 0)
    }  # fmt: skip
    wide = fcnn.Network((10, 10, 10))
    assert not heads(plot.plot_network(wide, np.ones(10), 1).axes[0])


@pytest.mark.slow(reason="draws pictures")
def test_again_on_the_same_axes():
    net, x, y = small()
    for draw in (
        lambda ax: plot.plot_network(net, x, y, ax=ax),
        lambda ax: plot.plot_weights(fcnn.Network((9, 4, 2)), ax=ax),
        lambda ax: plot.plot_confusion_matrix(PREDICTED, Y, ax=ax),
        lambda ax: plot.plot_importance(["a", "b"], [0.1, 0.4], ax=ax),
        lambda ax: plot.plot_boundary(fcnn.Network((2, 2)), [[0, 0], [1, 1]], [0, 1], ax=ax),
        lambda ax: plot.plot_descent(
            fcnn.Network((2, 2)), [[0, 0], [1, 1]], [0, 1], steps=2, resolution=4, ax=ax
        ),
    ):
        figure, (one,) = axes()
        draw(one)
        counts = len(figure.axes), len(one.get_children())
        figure.canvas.draw()
        place = one.get_position().bounds
        for _ in range(2):
            assert draw(one) is one
        figure.canvas.draw()
        assert (len(figure.axes), len(one.get_children())) == counts
        assert one.get_position().bounds == pytest.approx(place, abs=1e-3)


def test_large_layers_show_the_most_active_nodes():
    net = fcnn.Network((784, 128, 10))
    x = np.zeros(784)
    active = np.arange(3, 784, 37)
    x[active] = np.linspace(0.1, 1, len(active))
    trace = net.trace(x, 4)
    forward, backward, _ = plot.plot_network(net, x, 4).axes
    largest = [np.sort(np.argsort(-np.abs(a[0]))[:10]) for a in trace.a]
    for l in range(3):
        drawn = by_gid(forward, f"nodes {l}").get_array()
        a = trace.a[l][0, largest[l]]
        np.testing.assert_allclose(drawn, a / np.abs(a).max(), rtol=1e-6)
    for l in (1, 2):
        assert len(edge_values(forward, l)[0]) == 100
        dW = trace.dW[l][np.ix_(largest[l], largest[l - 1])]
        values = sorted(edge_values(backward, l)[0].values())
        np.testing.assert_allclose(values, sorted((dW / np.abs(dW).max()).ravel()), atol=1e-6)
    shown = texts(forward)
    assert [text for text in shown if text.isdigit()][:10] == [str(k) for k in largest[0]]
    assert shown.count("\N{VERTICAL ELLIPSIS}") == 2
    labels = [label.get_text().splitlines()[1] for label in forward.get_xticklabels()]
    assert labels == ["10 of 784", "10 of 128", "10 nodes"]
    outputs = [text for text in shown if ": " in text]
    assert len(outputs) == 10
    assert [text.endswith(", y 1") for text in outputs] == [k == 4 for k in range(10)]


@pytest.mark.slow(reason="draws pictures")
@pytest.mark.parametrize("loss", _validation.OUTPUT_ACTIVATIONS)
def test_zero_targets(loss):
    each = core.outputs_per_target(loss)
    net = fcnn.Network((2, 3, 3 * each), loss=loss)
    shown = texts(plot.plot_network(net, [1, 2], [[0, 1, 0]]).axes[0])
    zeros = 0 if loss == "cross_entropy" else 2 * each
    assert sum(text.endswith("y 0") for text in shown) == zeros
    assert sum(text.endswith("y 1") for text in shown) == each


@pytest.mark.slow
def test_names_of_outputs():
    net = fcnn.Network((4, 12, 3))
    figure = plot.plot_network(net, [1, 2, 3, 4], 1, class_names=["$a", "$b", "x" * 30])
    shown = texts(figure.axes[0])
    assert [text.partition(":")[0] for text in shown if ":" in text] == [
        "$a", "$b", "x" * 13 + "\N{HORIZONTAL ELLIPSIS}"
    ]  # fmt: skip
    figure.canvas.draw()


@pytest.mark.slow(reason="large drawings")
@pytest.mark.parametrize("sizes", [(1, 1), (2, 2, 1), (8,) * 7, (30, 20, 3), (3, 1, 40)])
def test_networks_of_any_shape(sizes):
    net = fcnn.Network(sizes, loss="squared_error")
    figure = plot.plot_network(net, np.linspace(-1, 1, sizes[0]), np.zeros(sizes[-1]), max_nodes=8)
    forward, backward, _ = figure.axes
    figure.canvas.draw()
    assert figure.get_size_inches()[0] <= 8
    for l, n in enumerate(sizes):
        assert len(by_gid(forward, f"nodes {l}").get_offsets()) == min(n, 8)
    # Nothing is cut off, and no node touches another of its layer.
    for panel in (forward, backward):
        outside = panel.get_window_extent()
        for text in panel.texts:
            box = text.get_window_extent()
            assert box.x0 > outside.x0 - 5
            assert box.x1 < outside.x1 + 5
    size = by_gid(forward, "nodes 0").get_sizes()[0] ** 0.5 * figure.dpi / 72
    pitch = forward.transData.transform([(0, 0), (0, 1)])[:, 1]
    assert size < pitch[1] - pitch[0]


@pytest.mark.slow(reason="draws pictures")
@pytest.mark.parametrize("sizes", [(2, 2, 1), (3, 3), (3, 3, 3)])
def test_numbers_of_edges_do_not_hide_each_other(sizes):
    net = fcnn.Network(sizes, loss="squared_error", rng=2)
    figure = plot.plot_network(net, np.linspace(-1, 1, sizes[0]), np.ones(sizes[-1]))
    figure.canvas.draw()
    for panel in figure.axes[:2]:
        boxes = [t.get_window_extent() for t in panel.texts if t.get_zorder() == 1.5]
        assert len(boxes) == sum(a * b for a, b in itertools.pairwise(sizes))
        for a, b in itertools.combinations(boxes, 2):
            width = min(a.x1, b.x1) - max(a.x0, b.x0)
            height = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert width < 0 or height < 2


@pytest.mark.slow
def test_network_with_zeros_and_what_is_not_finite():
    net = fcnn.Network((2, 2, 2), init="zeros", loss="squared_error")
    figure = plot.plot_network(net, [0, 0], [0, 0])
    figure.canvas.draw()
    assert (by_gid(figure.axes[0], "nodes 1").get_array() == 0).all()
    figure = plot.plot_network(net, [np.nan, 1], [0, 0])
    figure.canvas.draw()
    nodes = by_gid(figure.axes[0], "nodes 0")
    assert nodes.get_facecolors()[0][:3] == pytest.approx(to_rgb("0.8"))


def test_network_on_given_axes():
    net, x, y = small()
    _, (one, two) = axes(2)
    assert plot.plot_network(net, [x], [y], ax=one, title="mine") is one
    assert one.get_title().startswith("mine\nforward")
    assert by_gid(one, "nodes 2")
    assert not two.collections
    _, panels = axes(2)
    assert plot.plot_network(net, x, y, ax=panels) is panels
    assert by_gid(panels[1], "nodes 2")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([[1, 2], [3, 4]], [0, 1]), {}, ValueError, "X: expected one sample, got 2"),
        (([1, 2, 3], 0), {}, ValueError, "X: expected shape"),
        (([1, 2], 7), {}, ValueError, "y: class labels must be from 0 to 2"),
        (([1, 2], 0), {"max_nodes": 0}, ValueError, "max_nodes: expected at least 1"),
        (([1, 2], 0), {"max_nodes": 101}, ValueError, "max_nodes: expected at most 100"),
        (([1, 2], 0), {"class_names": ["a"]}, ValueError, "class_names: .* each of the 3 outputs"),
        (([1, 2], 0), {"class_names": "abc"}, TypeError, "class_names: .* got 'abc'"),
        (([1, 2], 0), {"ax": 3}, TypeError, "ax: expected matplotlib axes, got 3"),
    ],
)
def test_refused_network(arguments, options, error, message):
    with pytest.raises(error, match=message):
        plot.plot_network(fcnn.Network((2, 4, 3)), *arguments, **options)


def test_refused_kind_of_network():
    with pytest.raises(TypeError, match=r"network: expected a fcnn\.Network, got NoneType"):
        plot.plot_network(None, [1], 0)


# --- Predictions and importance -------------------------------------------------------------------


@pytest.mark.slow
def test_predictions_are_points_around_a_line():
    y, predicted = np.array([3.0, 1.0, 2.0]), np.array([2.5, 1.5, 2.0])
    figure = plot.plot_predictions(predicted, y, name="price")
    (panel,) = figure.axes
    line, points = panel.get_lines()
    assert sorted(zip(*points.get_data(), strict=True)) == [(1, 1.5), (2, 2), (3, 2.5)]
    np.testing.assert_array_equal(*line.get_data())
    assert panel.get_xlim() == panel.get_ylim() == (0.92, 3.08)
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("true price", "predicted price")
    many = np.arange(5000.0)[::-1]
    (panel,) = plot.plot_predictions(many + 1, many, max_points=100).axes
    x, _ = panel.get_lines()[1].get_data()
    assert (len(x), x.min(), x.max()) == (100, 0, 4999)
    assert panel.get_title() == "100 of 5,000 samples"
    plot.plot_predictions([5, 5], [5, 5]).canvas.draw()  # no span


def test_importance_has_the_most_important_first():
    names = ["a $x$", "a long name of a column that ends with 1", "c"]
    figure = plot.plot_importance(names, [-0.1, 0.5, 0.2], [0, 0.05, 0.1], label="loss")
    (panel,) = figure.axes
    figure.canvas.draw()
    assert [bar.get_width() for bar in panel.patches] == [0.5, 0.2, -0.1]
    shown = [label.get_text() for label in panel.get_yticklabels()]
    assert shown == ["a long name of a c\u2026ds with 1", "c", "a $x$"]
    assert panel.get_ylim()[0] > panel.get_ylim()[1]  # the first on top
    (panel,) = plot.plot_importance([str(j) for j in range(50)], np.arange(50), most=4).axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["49", "48", "47", "46"]
    assert panel.get_title() == "the first 4 of 50 columns"


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plot.plot_predictions([1], [1, 2]), ValueError, "one for each of the 2 samples"),
        (lambda: plot.plot_predictions([1], [[1]]), ValueError, r"y: expected shape .* \(1, 1\)"),
        (lambda: plot.plot_predictions([np.nan], [1]), ValueError, "predictions: .*nan"),
        (lambda: plot.plot_predictions([1], ["a"]), TypeError, "y: "),
        (lambda: plot.plot_importance(["a"], [1, 2]), ValueError, "importance: .* 1 names"),
        (lambda: plot.plot_importance(["a"], [1], [1, 2]), ValueError, "deviation: "),
        (
            lambda: plot.plot_importance(["a"], [1], [-1]),
            ValueError,
            "deviation: .* at least 0, got",
        ),
        (lambda: plot.plot_importance([], []), ValueError, "importance: "),
    ],
)
def test_refused_predictions_and_importance(draw, error, message):
    with pytest.raises(error, match=message):
        draw()


def test_bands():
    x, y = np.array([3.0, 1.0, 2.0]), np.array([0.5, 2.5, 1.5])
    quantiles = np.array([[1, 2, 3, 4, 5], [0, 0, 1, 1, 1], [2, 3, 3, 4, 4]])
    figure = plot.plot_bands(x, quantiles, y, levels=[0.05, 0.25, 0.5, 0.75, 0.95], name="price")
    (panel,) = figure.axes
    points, middle = panel.get_lines()
    assert sorted(zip(*points.get_data(), strict=True)) == [(1, 2.5), (2, 1.5), (3, 0.5)]
    assert [*zip(*middle.get_data(), strict=True)] == [(1, 1), (2, 3), (3, 3)]
    for band, low, high in zip(panel.collections, ([0, 2, 1], [0, 3, 2]), ([1, 4, 5], [1, 4, 4]),
                               strict=True):  # fmt: skip
        corners = {tuple(point) for point in band.get_paths()[0].vertices}
        assert corners == {*zip((1, 2, 3), low, strict=True), *zip((1, 2, 3), high, strict=True)}
    shown = [text.get_text() for text in panel.get_legend().get_texts()]
    assert shown == ["5 % to 95 %", "25 % to 75 %", "50 %"]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("x", "price")
    (panel,) = plot.plot_bands(x, quantiles[:, :2]).axes  # without a middle, targets, legend
    assert (len(panel.collections), len(panel.get_lines()), panel.get_legend()) == (1, 0, None)
    many = np.arange(5000.0)
    both = np.column_stack([many, many + 1])
    (panel,) = plot.plot_bands(many, both, many, max_points=100).axes
    assert len(panel.get_lines()[0].get_xdata()) == 100


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[1]], [[1, 2]]), {}, r"x: expected shape \(samples,\)"),
        (([1, 2], [[1, 2]]), {}, "quantiles: expected two or more for each of the 2"),
        (([1], [[1]]), {}, "quantiles: expected two or more"),
        (([1, 2], [[1, 2], [2, 1]]), {}, r"quantiles: expected ascending .* in row 1"),
        (([1], [[1, np.nan]]), {}, "quantiles: expected finite"),
        ((1, [[1, 2]]), {}, r"x: expected shape \(samples,\), got \(\)"),
        (([1], np.ma.array([[1, 2]], mask=[[0, 1]])), {}, "quantiles: .* without masked entries"),
        (([1], [[1, 2]], np.ma.array([1], mask=[1])), {}, "y: .* without masked entries"),
        (([1], [[1, 2]], [1, 2]), {}, r"y: expected shape \(1,\), got \(2,\)"),
        (([1], [[1, 2]]), {"levels": [0.5]}, "levels: expected 2"),
        (([1], [[1, 2]]), {"levels": [0.9, 0.1]}, "levels: expected 2 .* ascending"),
    ],
)
def test_refused_bands(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        plot.plot_bands(*arguments, **options)


# --- Boundaries, paths and films ------------------------------------------------------------------


def plane(panel):
    (image,) = [image for image in panel.images if image.get_gid() == "plane"]
    return image


def grid(image, n):
    """Return the points whose colours an image has, row by row."""
    left, right, bottom, top = image.get_extent()
    x, y = np.meshgrid(np.linspace(left, right, n), np.linspace(bottom, top, n))
    return np.column_stack([x.ravel(), y.ravel()])


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_boundary_of_classes(outputs):
    loss = "binary_cross_entropy" if outputs == 1 else "cross_entropy"
    net = fcnn.Network((2, 5, outputs), loss=loss, rng=3)
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = np.arange(40) % max(outputs, 2)
    names = list("abc"[: max(outputs, 2)])
    panel = plot.plot_boundary(net, X, y, resolution=30, class_names=names).axes[0]
    answers = net.predict(grid(plane(panel), 30))
    if outputs == 1:
        answers = np.hstack([1 - answers, answers])
    best = answers.argmax(axis=1)
    colors = np.asarray(plane(panel).get_array()).reshape(-1, 3)
    hues = [to_rgb(c) for c in ("#0072B2", "#D55E00", "#009E73")]
    sure = np.ptp(np.sort(answers, axis=1)[:, -2:], axis=1)
    for color, k, share in zip(colors, best, sure, strict=True):
        expected = 1 - (0.12 + 0.45 * share) * (1 - np.array(hues[k]))
        assert color == pytest.approx(expected, abs=1e-6)
    for k in range(max(outputs, 2)):
        np.testing.assert_allclose(by_gid(panel, f"class {k}").get_offsets(), X[y == k])
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert labels == names


def test_boundary_of_numbers_and_of_a_node():
    net = fcnn.Network((2, 4, 3, 1), activation="tanh", loss="squared_error", rng=3)
    X = np.random.default_rng(0).normal(size=(10, 2))
    panel, bar = plot.plot_boundary(net, X, X[:, 0] + 5, resolution=25).axes
    points = grid(plane(panel), 25)
    np.testing.assert_allclose(
        np.asarray(plane(panel).get_array()).ravel(), net.predict(points).ravel(), rtol=1e-5
    )
    assert bar.get_ylabel() == "a"
    # One scale for the plane and the samples, whichever of them is larger.
    (samples,) = panel.collections[-1:]
    assert samples.get_clim() == plane(panel).get_clim()
    assert samples.get_clim()[1] == pytest.approx(np.abs(X[:, 0] + 5).max())
    np.testing.assert_array_equal(samples.get_array(), X[:, 0] + 5)
    for l, k in ((1, 3), (2, 0), (3, 0)):
        panel = plot.plot_boundary(net, X, node=(l, k), resolution=25).axes[0]
        a = net.trace(points, np.zeros(len(points))).a[l][:, k]
        np.testing.assert_allclose(
            np.asarray(plane(panel).get_array()).ravel(), a, rtol=1e-5, atol=1e-6
        )
        assert panel.get_title() == f"node {k} of layer {l}, {net.activations[l - 1]}"


def test_boundary_of_what_is_no_class():
    """Numbers are no classes, whatever their count or activation; labels stay so beside a node."""
    X = np.random.default_rng(0).normal(size=(10, 2))
    for output, outputs, loss in (
        ("identity", 2, "squared_error"), ("softmax", 3, "squared_error"),
        ("sigmoid", 2, "binary_cross_entropy"), (None, 2, "gaussian_nll"), (None, 3, "quantile"),
    ):  # fmt: skip
        net = fcnn.Network((2, 4, outputs), "tanh", output, loss, rng=3)
        message = rf"network: its {outputs} outputs of {loss}.* are no classes; node=\(2, k\)"
        with pytest.raises(ValueError, match=message):
            plot.plot_boundary(net, X)
        targets = np.random.default_rng(1).random((10, net.num_targets))
        with pytest.raises(ValueError, match="y: numbers have no colour beside a node of layer 1"):
            plot.plot_boundary(net, X, targets, node=(1, 0))
        for k in range(outputs):
            panel = plot.plot_boundary(net, X, targets, node=(2, k), resolution=5).axes[0]
            (samples,) = panel.collections[-1:]
            np.testing.assert_array_equal(samples.get_array(), targets[:, k % net.num_targets])
    for output in ("sigmoid", "tanh"):
        net = fcnn.Network((2, 4, 1), "tanh", output, "squared_error", rng=3)
        panel, bar = plot.plot_boundary(net, X, np.arange(10) % 2, resolution=5).axes
        assert bar.get_ylabel() == "a"
        assert panel.get_legend() is None
        with pytest.raises(ValueError, match="class_names: squared_error has no classes"):
            plot.plot_boundary(net, X, class_names=["a", "b"])
    net = fcnn.Network((2, 4, 1), loss="binary_cross_entropy", rng=3)
    with pytest.raises(ValueError, match="y: expected the labels 0 and 1"):
        plot.plot_boundary(net, X, np.full(10, 0.3))
    net = fcnn.Network((2, 4, 3), rng=3)
    y = np.arange(10) % 3
    for given in (y, np.eye(3)[y]):
        panel = plot.plot_boundary(net, X, given, node=(1, 2), resolution=5).axes[0]
        for k in range(3):
            np.testing.assert_allclose(by_gid(panel, f"class {k}").get_offsets(), X[y == k])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (((3, 2), [[0, 0]]), {}, "network: expected 2 inputs"),
        (((2, 2), [[0, 0, 0]]), {}, "X: expected shape"),
        (((2, 2), [[0, np.nan]]), {}, "X: expected finite"),
        (((2, 2), [[0, 0]], [2]), {}, "y: class labels must be from 0 to 1"),
        (((2, 2), [[0, 0]], [1, 2]), {}, r"y: expected shape \(1,\) for labels"),
        (((2, 2), [[0, 0]]), {"node": 3}, r"node: expected \(l, k\)"),
        (((2, 2), [[0, 0]]), {"node": (1, 2)}, "node: expected a layer 1 to 1"),
        (((2, 2), [[0, 0]]), {"node": (0, 0)}, r"node\[0\]: expected at least 1"),
        (((2, 2), [[0, 0]]), {"resolution": 1001}, "resolution: expected at most 1000"),
        (((2, 2), [[0, 0]]), {"class_names": "ab"}, "class_names: expected a sequence of names"),
        (((2, 2), [[0, 0]]), {"class_names": 3}, "class_names: expected a sequence of names"),
        (((2, 2), [[0, 0]]), {"class_names": ["a"]}, "class_names: expected a name for each"),
    ],
)
def test_refused_boundaries(arguments, options, message):
    sizes, *data = arguments
    with pytest.raises((ValueError, TypeError), match=message):
        plot.plot_boundary(fcnn.Network(sizes), *data, **options)


def test_descent_is_that_of_the_optimizers():
    net = fcnn.Network((2, 3, 1), "tanh", loss="squared_error", dtype="float64", rng=1)
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.ones(20)
    before = net.parameters.copy()
    optimizers = {"plain": fcnn.SGD(0.3), "heavy": fcnn.SGD(0.2, momentum=0.9),
                  "adam": fcnn.Adam(0.1)}  # fmt: skip
    panel = plot.plot_descent(
        net, X, y, optimizers, parameters=(0, 11), steps=8, resolution=7, span=4
    ).axes[0]
    lines = {line.get_gid(): line.get_xydata() for line in panel.get_lines()}
    for name, rule in {"plain": fcnn.SGD(0.3), "heavy": fcnn.SGD(0.2, momentum=0.9),
                       "adam": fcnn.Adam(0.1)}.items():  # fmt: skip
        # The same by the reference's update of a network of two parameters.
        point = before[[0, 11]].copy()
        twin = fcnn.reference.Network.like(net)
        velocity, m, v = np.zeros(2), np.zeros(2), np.zeros(2)
        for t in range(8):
            np.testing.assert_allclose(lines[name][t], point, rtol=1e-9)
            twin.parameters[[0, 11]] = point
            g = twin.gradients(X, y)[1][[0, 11]]
            if name == "adam":
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                m_hat, v_hat = m / (1 - 0.9 ** (t + 1)), v / (1 - 0.999 ** (t + 1))
                point = point - 0.1 * m_hat / (np.sqrt(v_hat) + 1e-8)
            else:
                velocity = rule.momentum * velocity + g
                point = point - rule.lr * velocity
        assert len(lines[name]) == 9
    assert (net.parameters == before).all()
    assert [o.steps for o in optimizers.values()] == [0, 0, 0]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("$W^1_{0,0}$", "$W^2_{0,2}$")
    assert panel.get_xlim() == pytest.approx((before[0] - 2, before[0] + 2))


def test_the_surface_under_the_paths():
    from fcnn._descent import as_descent, parameter_name

    net = fcnn.Network((2, 3, 2), dtype="float64", rng=1)
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    found = as_descent(net, X, y, {"sgd": fcnn.SGD(1e6)}, (3, 16), 30, 5, 2.0)
    for i, second in enumerate(found.down):
        for j, first in enumerate(found.across):
            moved = net.copy()
            moved.parameters[[3, 16]] = first, second
            assert found.loss[i, j] == pytest.approx(moved.evaluate(X, y)["loss"])
    assert np.isfinite(found.paths["sgd"]).all()
    names = [parameter_name(net, i) for i in range(net.num_parameters)]
    assert names[:7] == ["W^1_0,0", "W^1_1,0", "W^1_2,0", "W^1_0,1", "W^1_1,1", "W^1_2,1", "b^1_0"]
    assert names[9:] == ["W^2_0,0", "W^2_1,0", "W^2_0,1", "W^2_1,1", "W^2_0,2", "W^2_1,2",
                         "b^2_0", "b^2_1"]  # fmt: skip


def test_a_path_that_diverges_says_so():
    net = fcnn.Network((1, 1), loss="squared_error", dtype="float64")
    panel = plot.plot_descent(
        net, [[3.0]], [1.0], {"wild": fcnn.SGD(1e200)}, steps=20, resolution=5
    ).axes[0]
    assert "wild: diverged" in [text.get_text() for text in panel.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizers": {}}, TypeError, "optimizers: expected a dict"),
        ({"optimizers": fcnn.SGD(0.1)}, TypeError, "optimizers: expected a dict"),
        ({"optimizers": {"a": fcnn.LBFGS()}}, TypeError, r"optimizers\['a'\]: expected one of st"),
        ({"optimizers": {str(i): fcnn.SGD(0.1) for i in range(7)}}, ValueError, "at most 6"),
        ({"parameters": (0, 0)}, ValueError, "parameters: expected two places from 0 to 5"),
        ({"parameters": (0, 6)}, ValueError, "parameters: expected two places from 0 to 5"),
        ({"parameters": 3}, ValueError, "parameters: expected two places"),
        ({"steps": 0}, ValueError, "steps: expected at least 1"),
        ({"resolution": 501}, ValueError, "resolution: expected at most"),
        ({"span": -1}, ValueError, "span: expected"),
    ],
)
def test_refused_descents(options, error, message):
    with pytest.raises(error, match=message):
        plot.plot_descent(fcnn.Network((2, 2)), [[0, 0]], [0], **options)


@pytest.mark.slow(reason="draws a film")
def test_film_of_a_trace(tmp_path):
    from PIL import Image

    net, x, y = small()
    trace = net.trace(x, y)
    film = plot.animate_trace(net, x, y, path=tmp_path / "trace.gif", seconds=0.5, title="small")
    with Image.open(tmp_path / "trace.gif") as image:
        # Input, two layers, loss, two deltas, gradients.
        assert (image.n_frames, image.info["duration"]) == (7, 500)
    (panel,) = film._fig.axes
    seen = []
    for i in range(7):
        film._func(i)
        title = panel.get_title()
        values = {
            l: by_gid(panel, f"nodes {l}").get_array()
            for l in range(3)
            if any(c.get_gid() == f"nodes {l}" for c in panel.collections)
        }
        source = trace.a if title.startswith(("forward", "the loss")) else trace.delta
        for l, drawn in values.items():
            np.testing.assert_allclose(drawn, source[l][0] / np.abs(source[l][0]).max())
        seen.append((title.partition(":")[0], sorted(values)))
    assert seen == [
        ("forward", [0]), ("forward", [0, 1]), ("forward", [0, 1, 2]),
        ("the loss, squared_error", [0, 1, 2]),
        ("backward", [2]), ("backward", [1, 2]), ("every weight", [1, 2]),
    ]  # fmt: skip
    assert {figures(v, 3) for v in trace.dW[1].ravel()} <= set(texts(panel))
    plot.animate_trace(net, x, y, path=tmp_path / "trace.html")
    page = (tmp_path / "trace.html").read_text()
    # Nothing from elsewhere, and no sign of a font that is not there.
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert 'class="fa' not in page
    assert page.count("data:image/png;base64") == 7
    assert "<script" in page


def test_refused_films(tmp_path):
    net, x, y = small()
    with pytest.raises(ValueError, match=r"path: 'a\.mp4' does not end in \.gif or \.html"):
        plot.animate_trace(net, x, y, path="a.mp4")
    with pytest.raises(ValueError, match="seconds: expected a finite number greater than 0"):
        plot.animate_trace(net, x, y, seconds=0)
    with pytest.raises(ValueError, match="X: expected one sample"):
        plot.animate_trace(net, [x, x], [y, y])


def test_the_true_values_stand_second_as_in_metrics():
    for function in (
        plot.plot_confusion_matrix, plot.plot_predictions, fcnn.metrics.accuracy, fcnn.metrics.r2,
        fcnn.metrics.confusion_matrix, fcnn.metrics.rmse, fcnn.metrics.roc_auc,
    ):  # fmt: skip
        assert list(inspect.signature(function).parameters)[1] == "y", function
    figure = plot.plot_confusion_matrix([0, 1, 1], [0, 0, 1])
    counts = fcnn.metrics.confusion_matrix([0, 1, 1], [0, 0, 1])
    np.testing.assert_allclose(drawn_shares(figure), counts / counts.sum(axis=1, keepdims=True))


# --- All of them ----------------------------------------------------------------------------------

PICTURES = {
    "history": lambda **options: plot.plot_history(history(), **options),
    "confusion_matrix": lambda **options: plot.plot_confusion_matrix(PREDICTED, Y, **options),
    "weights": lambda **options: plot.plot_weights(fcnn.Network((4, 3, 2)), **options),
    "network": lambda **options: plot.plot_network(
        fcnn.Network((2, 3, 2)), [1, 2], 0, **options
    ),
    "importance": lambda **options: plot.plot_importance(["a", "b"], [0.1, 0.4], **options),
    "predictions": lambda **options: plot.plot_predictions([1, 3, 3], [1, 2, 4], **options),
    "bands": lambda **options: plot.plot_bands([1, 2], [[1, 2, 3], [2, 2, 4]], **options),
    "boundary": lambda **options: plot.plot_boundary(
        fcnn.Network((2, 3, 2)), [[0, 0], [1, 1]], [0, 1], resolution=20, **options
    ),
    "descent": lambda **options: plot.plot_descent(
        fcnn.Network((2, 2)), [[0, 0], [1, 1]], [0, 1], steps=3, resolution=5, **options
    ),
}  # fmt: skip


def test_every_public_picture_is_in_these_tests():
    public = {name for name in vars(plot) if name.startswith("plot_")}
    assert public == {f"plot_{name}" for name in PICTURES}


@pytest.mark.parametrize("name", PICTURES)
def test_titles_that_are_no_texts_are_refused_before_anything_is_drawn(name):
    _, (panel,) = axes()
    for title in (None, 3, np.zeros(2), b"a"):
        with pytest.raises(TypeError, match=r"^title: expected a text, got"):
            PICTURES[name](title=title, ax=panel)
    assert not panel.lines
    assert not panel.patches
    assert not panel.images


def test_texts_and_paths_that_are_none_are_refused_by_name():
    for name, draw in {
        "name": lambda: plot.plot_predictions([1, 2], [1, 2], name=np.zeros(2)),
        "name ": lambda: plot.plot_bands([1, 2], [[1, 2], [2, 3]], name=2.0),
        "x_name": lambda: plot.plot_bands([1, 2], [[1, 2], [2, 3]], x_name=None),
        "label": lambda: plot.plot_importance(["a"], [1], label=3),
        "loss_label": lambda: plot.plot_history(history(), loss_label=3),
        "path": lambda: plot.plot_importance(["a"], [1], path=slice(None)),
        "path ": lambda: plot.plot_importance(["a"], [1], path=3),
        "path  ": lambda: plot.animate_trace(fcnn.Network((2, 2)), [0, 0], 0, path=3),
        "title": lambda: plot.animate_trace(fcnn.Network((2, 2)), [0, 0], 0, title=3),
    }.items():
        with pytest.raises(TypeError, match=f"^{name.strip()}: expected a "):
            draw()


def test_names_that_are_none_are_refused_by_name():
    for names in (3, "ab", None):
        with pytest.raises(TypeError, match=r"^names: expected a sequence of names"):
            plot.plot_importance(names, [0.1, 0.2])
    for values in ("ab", None, [1j, 2]):
        with pytest.raises((TypeError, ValueError), match=r"^importance: "):
            plot.plot_importance(["a", "b"], values)
    for names in (3, "ab"):
        with pytest.raises(TypeError, match=r"^class_names: expected a sequence of names"):
            plot.plot_confusion_matrix([0, 1], [0, 1], names)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_files(name, tmp_path):
    path = tmp_path / "picture.png"
    figure = PICTURES[name](path=path)
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, _ = struct.unpack(">II", content[16:24])
    assert 500 <= width <= 1200
    # What a notebook shows, also of a figure from another process.
    assert pickle.loads(pickle.dumps(figure))._repr_png_()[:8] == content[:8]


@pytest.mark.slow(reason="four files")
def test_the_ending_decides_the_format(tmp_path):
    plot.plot_history(history(), path=tmp_path / "curves.SVG")
    assert b"<svg" in (tmp_path / "curves.SVG").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_no_window_no_pyplot_and_no_settings(name):
    before = "matplotlib.pyplot" in sys.modules

    def settings():
        # The backend, once it is asked for, imports pyplot.
        return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}

    settings_before = settings()
    PICTURES[name]()
    PICTURES[name](ax=axes()[1][0])
    assert ("matplotlib.pyplot" in sys.modules) == before
    assert settings() == settings_before


@pytest.mark.parametrize("name", PICTURES)
def test_refusals(name, tmp_path, monkeypatch):
    draw = PICTURES[name]
    with pytest.raises(ValueError, match=r"'x\.foo' has the ending 'foo'; expected .*png"):
        draw(path="x.foo")
    figure, panels = axes(3)
    with pytest.raises(ValueError, match="path: goes with a figure of its own"):
        draw(path=tmp_path / "x.png", ax=panels[0])
    with pytest.raises(ValueError, match=r"ax: expected 1.*, got 3"):
        draw(ax=panels)
    with pytest.raises(ValueError, match=r"ax: expected 1.*, got 0"):
        draw(ax=[])
    for wrong in (3, "left", figure, [panels[0], None]):
        with pytest.raises(TypeError, match="ax: expected matplotlib axes, got"):
            draw(ax=wrong)
    assert not list(tmp_path.iterdir())
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install fcnn\[cli\]"):
        draw()


@pytest.mark.slow
def test_refused_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        plot.plot_history(history(), path=tmp_path / "none" / "x.png")


def test_refused_histories():
    with pytest.raises(ValueError, match="history: expected at least one epoch"):
        plot.plot_history(History())
    with pytest.raises(TypeError, match=r"history: expected what Network\.fit returns"):
        plot.plot_history([1.0, 0.5])
    with pytest.raises(ValueError, match="'curves' has no ending; expected"):
        plot.plot_history(history(), path="curves")
