"""Pictures: what is drawn, read back from matplotlib's own objects, and what is refused."""

import struct
import sys

import pytest

from fcnn.training import History

pytest.importorskip("matplotlib")
from fcnn import plot


def history(epochs=12, validation=True, score_name="accuracy"):
    """Return curves that fall by a factor of 2 an epoch, the validation's rising at the end."""
    loss = [2.0**-e for e in range(epochs)]
    if not validation:
        return History(loss)
    held_out = [2 * value for value in loss]
    held_out[-1] = 5.0
    return History(loss, held_out, [1 - value / 2 for value in loss], score_name)


def curve(panel, label):
    """Return x and y of the line with a label."""
    (line,) = [line for line in panel.get_lines() if line.get_label() == label]
    return list(line.get_xdata()), list(line.get_ydata())


def test_curves_and_labels():
    h = history()
    figure = plot.plot_history(h, title="digits", loss_label="cross entropy")
    losses, scores = figure.axes
    epochs = list(range(1, 13))
    assert curve(losses, "training") == (epochs, h.loss)
    assert curve(losses, "validation") == (epochs, h.validation_loss)
    assert curve(scores, "validation") == (epochs, h.validation_score)
    assert curve(losses, "lowest, epoch 11") == ([11], [h.validation_loss[10]])
    assert losses.get_ylabel() == "cross entropy"
    assert scores.get_ylabel() == "validation accuracy"
    assert losses.get_xlabel() == scores.get_xlabel() == "epoch"
    assert figure.get_suptitle() == "digits"


def test_without_validation_there_is_one_panel():
    figure = plot.plot_history(history(validation=False))
    assert len(figure.axes) == 1
    assert len(figure.axes[0].get_lines()) == 1


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
    figure = plot.plot_history(history(epochs=1))
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


def test_infinite_and_missing_losses_leave_the_others():
    h = History([1.0, float("inf"), 0.5], [float("nan"), 2.0, 3.0], [0.1, 0.2, 0.3], "accuracy")
    losses = plot.plot_history(h).axes[0]
    assert curve(losses, "lowest, epoch 2") == ([2], [2.0])


def test_files(tmp_path):
    path = tmp_path / "curves.png"
    plot.plot_history(history(), path)
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, _ = struct.unpack(">II", content[16:24])
    assert width == 1200
    plot.plot_history(history(), tmp_path / "curves.SVG")
    assert b"<svg" in (tmp_path / "curves.SVG").read_bytes()


def test_no_window_and_no_pyplot():
    before = "matplotlib.pyplot" in sys.modules
    plot.plot_history(history())
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="history: expected at least one epoch"):
        plot.plot_history(History())
    with pytest.raises(ValueError, match=r"'x\.foo' has the ending 'foo'; expected .*png"):
        plot.plot_history(history(), "x.foo")
    with pytest.raises(ValueError, match="'curves' has no ending; expected"):
        plot.check_ending("curves")
    with pytest.raises(FileNotFoundError):
        plot.plot_history(history(), tmp_path / "none" / "x.png")
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install fcnn\[cli\]"):
        plot.plot_history(history())
