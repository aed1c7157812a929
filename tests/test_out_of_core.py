"""Data larger than memory: memory maps give the bits of arrays, and memory stays flat."""

import functools
import gc
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fcnn
from fcnn import _data, _memmap

ROWS = 230
ON_LINUX = sys.platform.startswith("linux")  # where rows are read from the file
on_linux = pytest.mark.skipif(not ON_LINUX, reason="Linux's /proc")


@pytest.fixture
def small_blocks(monkeypatch):
    """Make blocks of about 60 samples of 7 + 3 numbers, of which 13 are converted at a time."""
    monkeypatch.setattr(_data, "BLOCK_BYTES", 60 * 10 * 4)
    monkeypatch.setattr(_memmap, "_PART_BYTES", 13 * 7 * 4)


def samples(loss="cross_entropy", dtype="float32"):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 7)).astype(dtype)
    if loss == "cross_entropy":
        return X, rng.integers(3, size=ROWS)
    return X, rng.normal(size=(ROWS, 3)).astype(dtype)


def mapped(folder, name, array, mode="r"):
    """Return a memory map of an array, in a new file: another map may still read the old one."""
    path = folder / f"{name}{len(list(folder.iterdir()))}"
    array.tofile(path)
    return np.memmap(path, array.dtype, mode, shape=array.shape)


def network(loss="cross_entropy", dtype="float32"):
    return fcnn.Network((7, 9, 3), loss=loss, dtype=dtype, output_activation=None)


def bits(X, y, built_in="cross_entropy", dtype="float32", **options):
    net = network(built_in, dtype)
    size = {} if y is None else {"batch_size": 8}  # batches of an iterable have their own
    history = net.fit(X, y, **{"epochs": 3, **size, **options})
    curves = history.to_dict()
    curves.pop("seconds")
    return net.parameters.tobytes(), curves, repr(net.rng.bit_generator.state)


@pytest.fixture
def blocks(small_blocks, monkeypatch):
    """Keep for each block that is made what it is of, and whether it was read from a file."""
    made = []
    copy = _memmap.Rows.copy

    def counted(rows, index, out):
        made.append((rows.name, rows.file is not None))
        copy(rows, index, out)

    monkeypatch.setattr(_memmap.Rows, "copy", counted)
    return made


OPTIONS = {
    "plain": {},
    "in order": {"shuffle": False},
    "batches as large as blocks": {"batch_size": 60},
    "batches larger than blocks": {"batch_size": 100},
    "one batch": {"batch_size": None},
    "single samples": {"batch_size": 1},
    "weights": {"sample_weight": np.arange(ROWS) % 5},
    "momentum, schedule": {
        "optimizer": "momentum", "schedule": [fcnn.schedules.WarmUp(1.5), fcnn.schedules.Cosine()],
    },
    "dropout": {"dropout": (0.2, 0.4)},
    "all": {"l1": 1e-3, "l2": 1e-2, "clip_norm": 0.3, "n_threads": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_memory_map_has_the_bits_of_an_array(name, dtype, blocks, tmp_path):
    options = {**OPTIONS[name]}
    if options.pop("optimizer", None):
        options["optimizer"] = fcnn.SGD(0.1, momentum=0.9)
        twin = {**options, "optimizer": fcnn.SGD(0.1, momentum=0.9)}
    else:
        twin = options
    X, y = samples(dtype=dtype)
    X_map = mapped(tmp_path, "X", X)
    expected = bits(X, y, dtype=dtype, **twin)
    assert bool(blocks) == (name == "dropout")  # whose masks are drawn block by block
    blocks.clear()
    assert bits(X_map, y, dtype=dtype, **options) == expected
    # Blocks of 56, 60, 100 and 230 samples: whole batches.
    count = {"batches as large as blocks": 4, "batches larger than blocks": 3, "one batch": 1,
             "single samples": 4}  # fmt: skip
    if dtype == "float32":
        assert len(blocks) == 3 * count.get(name, 5)
    assert all(from_file for _, from_file in blocks) == ON_LINUX
    assert np.array_equal(X_map, X)


@pytest.mark.parametrize(
    "view",
    [
        lambda m: m[10:], lambda m: m[::2], lambda m: m[:, :], lambda m: m[::-1], np.asarray,
        lambda m: m[5:].view(np.ndarray),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shuffle", [True, False])
def test_views_of_memory_maps(view, shuffle, blocks, tmp_path):
    X, y = samples()
    X_view, y_view = view(mapped(tmp_path, "X", X)), view(y[:, None])[:, 0]
    expected = bits(np.array(X_view), y_view, shuffle=shuffle)
    assert bits(X_view, y_view, shuffle=shuffle) == expected
    assert len(blocks) > 3
    assert all(from_file for _, from_file in blocks) == ON_LINUX


@pytest.mark.parametrize("kind", ["uint8", "float64", "float32", ">f4", "float16", "int16", "bool"])
def test_other_numbers_are_converted_block_by_block(kind, blocks, tmp_path):
    X, y = samples()
    X = (40 * np.abs(X)).astype(kind)
    assert bits(mapped(tmp_path, "X", X), y) == bits(X.astype("float32"), y)
    assert len(blocks) == 15


def test_columns_of_a_wider_map(blocks, tmp_path):
    X, y = samples()
    wide = mapped(tmp_path, "X", np.hstack([X, X[:, :4]]))
    assert bits(wide[:, :7], y) == bits(X, y)
    assert len(blocks) == 15
    every_second = mapped(tmp_path, "X", np.repeat(X, 2, axis=1))[:, ::2]
    assert bits(every_second, y) == bits(X, y)  # which are copied from the map itself
    assert not blocks[-1][1]


@pytest.mark.parametrize("X_is_mapped", [True, False])
def test_targets_may_be_mapped(X_is_mapped, blocks, tmp_path):
    X, y = samples("squared_error")
    expected = bits(X, y, "squared_error", dropout=0.2)
    blocks.clear()
    X_given = mapped(tmp_path, "X", X) if X_is_mapped else X
    y_map = mapped(tmp_path, "y", y.astype(np.float64))
    assert bits(X_given, y_map, "squared_error", dropout=0.2) == expected
    assert set(blocks) == {("X", X_is_mapped and ON_LINUX), ("y", ON_LINUX)}
    labels = mapped(tmp_path, "labels", samples()[1])
    assert bits(X_given, labels) == bits(X, samples()[1])


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_validation_may_be_mapped(loss, blocks, tmp_path):
    X, y = samples(loss)
    weight = np.linspace(0, 1, ROWS)
    X_map = mapped(tmp_path, "X", X)
    expected = bits(X, y, loss, validation=(X, y, weight))
    blocks.clear()
    assert bits(X, y, loss, validation=(X_map, y, weight)) == expected
    assert {name for name, _ in blocks} == {"validation X"}
    net = network(loss)
    net.parameters = np.frombuffer(expected[0], np.float32)
    scores = net.evaluate(X, y, weight)
    assert expected[1]["validation_loss"][-1] == pytest.approx(scores["loss"], rel=1e-6)
    assert expected[1]["validation_score"][-1] == list(scores.values())[1]


def test_a_loss_of_ones_own_on_a_map(blocks, tmp_path):
    def loss(a, y, weight=None):
        difference = a - y
        return 0.5 * float((difference**2).sum()) / len(a), difference / len(a)

    X, y = samples("squared_error")
    options = {"loss": loss, "validation": (X, y)}
    expected = bits(X, y, "squared_error", **options)
    X_map = mapped(tmp_path, "X", X)
    y_map = mapped(tmp_path, "y", y)
    options = {"loss": loss, "validation": (X_map, y_map)}
    assert bits(X_map, y_map, "squared_error", **options) == expected


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2, 2: 0.5}])
@pytest.mark.parametrize("rows", [False, True])
def test_class_weights_on_a_map(class_weight, rows, blocks, tmp_path):
    X, y = samples()
    weight = np.linspace(0.1, 1, ROWS)
    if rows:
        y = np.eye(3, dtype=np.float32)[y]
    options = {"class_weight": class_weight, "sample_weight": weight}
    expected = bits(X, y, **options)
    assert bits(mapped(tmp_path, "X", X), mapped(tmp_path, "y", y), **options) == expected


def test_resumed_from_a_map(blocks, tmp_path):
    X, y = samples()
    X_map = mapped(tmp_path, "X", X)
    path = tmp_path / "checkpoint"
    expected = bits(X, y, dropout=0.3)
    bits(X_map, y, dropout=0.3, epochs=1, callbacks=[fcnn.ModelCheckpoint(path)])
    assert bits(X_map, y, dropout=0.3, resume=path) == expected


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_what_was_written_to_a_map_is_read(mode, blocks, tmp_path):
    X, y = samples()
    X_map = mapped(tmp_path, "X", np.zeros_like(X), "r" if mode == "r" else mode)
    if mode == "r":
        X.tofile(X_map.filename)
    else:
        X_map[:] = X  # with "c" in memory alone
    assert bits(X_map, y) == bits(X, y)
    assert {from_file for _, from_file in blocks} == {mode != "c" and ON_LINUX}
    assert np.array_equal(X_map, X)


def test_a_file_that_is_gone_or_another_is_not_read(blocks, tmp_path):
    X, y = samples()
    expected = bits(X, y)
    for change in (lambda *_: None, os.replace, os.symlink, os.rename):
        X_map = mapped(tmp_path, "X", X)
        if os.name != "nt":  # which keeps files that are open
            os.unlink(X_map.filename)
            (X + 1).tofile(tmp_path / "other")
            # Linux calls the file that is gone by the last of these names.
            name = f"{X_map.filename} (deleted)" if change is os.rename else X_map.filename
            change(tmp_path / "other", name)
        blocks.clear()
        assert bits(X_map, y) == expected
        assert not any(from_file for _, from_file in blocks) or os.name == "nt"


@on_linux
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_file_that_became_shorter_is_an_error(shuffle, small_blocks, tmp_path):
    X, y = samples()
    X_map = mapped(tmp_path, "X", X)
    os.truncate(X_map.filename, X.nbytes // 2 + 5)
    with pytest.raises(OSError, match=r"^X: the file of the memory map is shorter than the map"):
        network().fit(X_map, y, shuffle=shuffle)


@on_linux
def test_odd_names_and_places_in_the_file(blocks, tmp_path):
    X, y = samples()
    expected = bits(X, y)
    path = tmp_path / "two words, (deleted), é"
    path.write_bytes(b"x" * 5000 + X.tobytes())
    X_map = np.memmap(path, np.float32, "r", 5000, X.shape)
    np.save(tmp_path / "X.npy", X)
    for given in (X_map, np.load(tmp_path / "X.npy", mmap_mode="r")):
        blocks.clear()
        assert bits(given, y) == expected
        assert all(from_file for _, from_file in blocks)


@on_linux
@pytest.mark.parametrize("slow", [True, False])
def test_rows_on_a_slow_disk_are_announced(slow, blocks, tmp_path, monkeypatch):
    X, y = samples()
    expected = bits(X, y, batch_size=100)
    announced = []
    advise = os.posix_fadvise

    def advised(file, place, size, advice):
        announced.append(place // size)
        advise(file, place, size, advice)

    monkeypatch.setattr(os, "posix_fadvise", advised)
    monkeypatch.setattr(_memmap, "_TIMED_ROWS", 30)
    monkeypatch.setattr(_memmap, "_SLOW_ROW", 0 if slow else 1e9)
    assert bits(mapped(tmp_path, "X", X), y, batch_size=100) == expected
    if slow:  # all but the first 30 of each epoch, which are what is timed
        assert len(announced) == 3 * 200
        assert {len(set(announced[i : i + 200])) for i in (0, 200, 400)} == {200}
    else:
        assert announced == []


@pytest.mark.slow
@on_linux
def test_files_are_closed_again(small_blocks, tmp_path):
    X, y = samples()
    good, bad = mapped(tmp_path, "X", X), mapped(tmp_path, "X", X * np.nan)
    before = len(os.listdir("/proc/self/fd"))
    network().fit(good, y, epochs=3, validation=(good, y))
    with pytest.raises(ValueError, match="finite"):
        network().fit(bad, y)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_small_map_is_an_array(tmp_path):
    X, y = samples()
    assert bits(mapped(tmp_path, "X", X), y) == bits(X, y)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["X", "y"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_what_is_not_finite_is_found_where_it_is(value, name, shuffle, blocks, tmp_path):
    arrays = dict(zip("Xy", samples("squared_error"), strict=True))
    right = {key: v.copy() for key, v in arrays.items()}
    arrays[name][171, 2] = value
    maps = [mapped(tmp_path, key, v) for key, v in arrays.items()]
    expected = rf"^{name}: expected finite numbers, got {value} at \[171, 2\]"
    with pytest.raises(ValueError, match=expected):
        network("squared_error").fit(*maps, shuffle=shuffle)
    with pytest.raises(ValueError, match=f"^validation {name}: .* at .171, 2.$"):
        network("squared_error").fit(**right, epochs=1, shuffle=shuffle, validation=tuple(maps))


def test_refused_maps(blocks, tmp_path):
    X, y = samples()
    net = network()
    before = net.parameters.tobytes()
    columns = mapped(tmp_path, "X", np.asfortranarray(X).T).T
    text = np.full((ROWS, 7), "a")
    for bad, targets, words in [
        (columns, y, r"X: expected a memory map with its samples one after the other"),
        (mapped(tmp_path, "a", X)[:, :6], y, r"X: expected shape \(samples, 7\), got \(230, 6\)"),
        (mapped(tmp_path, "b", X), y[:200], r"y: expected shape \(230,\) .*got \(200,\)"),
        (mapped(tmp_path, "c", X), mapped(tmp_path, "y", np.eye(4)[y]), "y: expected shape"),
        (mapped(tmp_path, "c", X), mapped(tmp_path, "y", np.eye(3)[y])[1:], "y: expected 230 rows"),
        (mapped(tmp_path, "d", text), y, "X: expected real numbers, got dtype <U1"),
        (mapped(tmp_path, "e", X * (1 + 0j)), y, "X: expected real numbers, got dtype complex64"),
        (mapped(tmp_path, "e", X.astype(float) * 1e300), y, "X: holds numbers too large for flo"),
        (mapped(tmp_path, "e", X.ravel()), y, r"X: expected shape \(samples, 7\)"),
    ]:
        with pytest.raises((ValueError, TypeError), match=f"^{words}"):
            net.fit(bad, targets)
    assert net.parameters.tobytes() == before


# --- Peak memory ----------------------------------------------------------------------------------

SCRIPT = """
import json, sys
import numpy as np
import fcnn

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024

X = np.memmap(sys.argv[1], np.float32, "r", shape=(16_000, 4000))
y = np.zeros(len(X), np.int64)
net = fcnn.Network((4000, 2))
net.fit(X[:1000], y[:1000], epochs=1)
before = peak()
net.fit(X, y, epochs=1, batch_size=500, validation=(X, y), n_threads=1)
print(json.dumps([before, peak()]))
"""


@pytest.mark.slow(reason="a process that trains from a large file")
@on_linux
def test_memory_stays_flat(tmp_path):
    path = tmp_path / "X"
    with open(path, "wb") as file:
        file.truncate(16_000 * 4000 * 4)  # 256 MB of zeros that take no place on the disk
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after - before < 150


# --- Batches --------------------------------------------------------------------------------------


def batches(X, y, size=8, weight=None):
    columns = (X, y) if weight is None else (X, y, weight)
    return [tuple(c[i : i + size] for c in columns) for i in range(0, len(X), size)]


class Stream:
    """Begins anew each time; has no length."""

    def __init__(self, parts):
        self.parts = parts

    def __iter__(self):
        return iter(self.parts)


@pytest.mark.parametrize(
    "source",
    [
        list, tuple, Stream, lambda parts: lambda: iter(parts), lambda parts: lambda: parts,
        lambda parts: [list(part) for part in parts],
        lambda parts: [(X.astype(float).tolist(), *rest) for X, *rest in parts],
    ],
    ids=["list", "tuple", "iterable", "function", "function of a list", "lists", "lists of lists"],
)  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_have_the_bits_of_an_array(source, weighted):
    X, y = samples()
    weight = np.linspace(0.1, 2, ROWS).astype(np.float32) if weighted else None
    options = {"optimizer": fcnn.Adam(), "l2": 0.01, "validation": (X, y)}
    twin = {**options, "optimizer": fcnn.Adam()}
    expected = bits(X, y, shuffle=False, sample_weight=weight, **twin)
    assert bits(source(batches(X, y, 8, weight)), None, **options) == expected


def test_a_generator_function_draws_its_own_batches():
    X, y = samples()
    passes = []

    def generate():
        passes.append(0)
        rng = np.random.default_rng(len(passes))
        for _ in range(5):
            rows = rng.integers(ROWS, size=11)
            yield X[rows], y[rows]
            passes[-1] += 1

    net = network()
    optimizer = fcnn.Adam()
    history = net.fit(generate, epochs=4, optimizer=optimizer)
    assert passes == [5] * 4
    assert optimizer.steps == 20
    assert len(history.loss) == 4


def test_one_pass_over_an_iterator():
    X, y = samples()
    expected = bits(X, y, shuffle=False, epochs=1)
    assert bits(iter(batches(X, y)), None, epochs=1) == expected
    assert bits((batch for batch in batches(X, y)), None, epochs=1) == expected


def test_class_weights_of_batches():
    X, y = samples()
    weights = np.array([2, 1, 0.5])
    expected = bits(X, y, shuffle=False, sample_weight=weights[y])
    assert bits(batches(X, y), None, class_weight={0: 2, 2: 0.5}) == expected
    sample_weight = np.linspace(0.5, 1, ROWS)
    expected = bits(X, y, shuffle=False, sample_weight=weights[y] * sample_weight)
    parts = batches(X, y, 8, sample_weight)
    assert bits(parts, None, class_weight={0: 2, 2: 0.5})[0] == expected[0]


class Sequence:
    """Batches by their numbers alone, as some libraries' data sets have them."""

    def __init__(self, all_):
        self.all = all_

    def __len__(self):
        return len(self.all)

    def __getitem__(self, i):
        return self.all[i]


def test_batches_by_their_numbers():
    X, y = samples()
    assert bits(Sequence(batches(X, y, 8)), None)[0] == bits(batches(X, y, 8), None)[0]


@pytest.mark.parametrize(
    ("make", "options", "error", "words"),
    [
        (iter, {}, ValueError, "X: an iterator ends after one pass, epochs=3 need as many"),
        (lambda _: 5, {}, TypeError, r"X: without y, expected an iterable of batches .*got int"),
        (lambda _: np.zeros((4, 7)), {}, TypeError, "y: expected targets, got None; without y"),
        (lambda _: [], {}, ValueError, "X: expected an iterable of batches, got one without any"),
        (lambda _: [5], {}, TypeError, r"X: expected batches \(X, y\) or .*got int as batch 1"),
        (lambda all: [all[0][:1]], {}, TypeError, r"X: .* got tuple of 1 as batch 1"),
        (lambda all: [(*all[0], 1, 2)], {}, TypeError, r"X: .* got tuple of 4 as batch 1"),
        (lambda all: [all[0][0]], {}, TypeError, r"X: .* got ndarray as batch 1"),
        (lambda _: lambda: 5, {}, TypeError, "X: expected a function that returns an iterator, "),
        (lambda all: [(all[0][0][:, 1:], all[0][1])], {}, ValueError, "X of batch 1: expected"),
        (lambda all: [(all[0][0][0], 1)], {}, ValueError, r"X of batch 1: .* got \(7,\)"),
        (lambda all: [(all[0][0], all[0][1][1:])], {}, ValueError, "y of batch 1: expected shape"),
        (lambda all: [(*all[0], [1, 2])], {}, ValueError, "sample_weight of batch 1: expected"),
        (list, {"sample_weight": [1]}, ValueError, "sample_weight: expected None with batches"),
        (list, {"class_weight": "balanced"}, ValueError, 'class_weight: "balanced" needs all'),
        (list, {"batch_size": 8}, ValueError, 'batch_size: expected "auto" or None with batches'),
    ],
)  # fmt: skip
def test_refused_batches(make, options, error, words):
    X, y = samples()
    net, optimizer = network(), fcnn.Adam()
    before = net.parameters.tobytes()
    with pytest.raises(error, match=f"^{words}"):
        net.fit(make(batches(X, y)), epochs=3, optimizer=optimizer, **options)
    assert net.parameters.tobytes() == before
    assert optimizer.steps == 0


def test_a_bad_batch_later_on_is_named():
    X, y = samples()
    parts = batches(X, y)
    parts[2][0][3, 1] = np.nan
    net, optimizer = network(), fcnn.Adam()
    with pytest.raises(
        ValueError, match=r"^X of batch 3: expected finite numbers, got nan at \[3,"
    ):
        net.fit(parts, optimizer=optimizer)
    assert optimizer.steps == 2
    spent = iter(batches(*samples()))
    with pytest.raises(ValueError, match="must begin anew in the next"):
        network().fit(lambda: spent, epochs=2)


def test_divergence_names_the_step_of_the_epoch(small_blocks, tmp_path):
    X, y = samples("squared_error")
    y[120:] = 3e38
    fit = functools.partial(network("squared_error").fit, epochs=1, batch_size=10, shuffle=False)
    with pytest.raises(fcnn.DivergenceError, match="step 1;") as caught:
        fit(mapped(tmp_path, "X", X), y)
    assert "counted after the first 12 steps of the epoch" in caught.value.__notes__
