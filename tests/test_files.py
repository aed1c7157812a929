"""Save, load, pickle and copy: exact, independent, atomic. Unsound files: test_unsound_files.py."""

import copy
import json
import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import fcnn


class Labelled(fcnn.Network):
    """A subclass with an attribute and a constructor of its own."""

    def __init__(self, label):
        super().__init__((4, 6, 3), "tanh", rng=7)
        self.label = label


ARCHITECTURES = [
    {"sizes": (4, 3)},
    {"sizes": (4, 7, 5, 3), "activation": ["gelu", "elu"]},
    {"sizes": (1, 1, 1), "activation": "sigmoid", "loss": "binary_cross_entropy"},
    {"sizes": (3, 17, 2), "activation": "silu", "output_activation": "softplus", "loss": "poisson"},
    {"sizes": (2, 33, 2), "activation": "leaky_relu", "output_activation": "exp", "loss": "huber"},
    {
        "sizes": (5, 2, 4), "activation": "softplus", "output_activation": "tanh",
        "loss": "absolute_error",
    },
]  # fmt: skip
architectures = pytest.mark.parametrize(
    "architecture", ARCHITECTURES, ids=lambda a: "-".join(map(str, a["sizes"]))
)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def trained(architecture, dtype):
    """Return a network whose every parameter, biases too, is some odd number."""
    net = fcnn.Network(**architecture, dtype=dtype, rng=3)
    net.parameters = np.random.default_rng(4).normal(size=net.num_parameters)
    net.parameters[:3] = [-0.0, np.finfo(dtype).tiny / 8, np.finfo(dtype).max]
    net.parameters[3:] /= 3
    net.parameters[:3] *= [1, 1, 1e-9]
    return net


def assert_same(net, other):
    """Two networks of the same architecture, parameters and predictions, bit for bit."""
    assert other is not net
    assert type(other) is type(net)
    for name in ("sizes", "activations", "loss", "dtype"):
        assert getattr(other, name) == getattr(net, name)
        assert type(getattr(other, name)) is type(getattr(net, name))
    assert other.parameters.tobytes() == net.parameters.tobytes()
    assert not np.shares_memory(other.parameters, net.parameters)
    X = np.random.default_rng(5).normal(size=(9, net.sizes[0])).astype(net.dtype)
    assert other.predict(X).tobytes() == net.predict(X).tobytes()
    assert repr(other) == repr(net)
    assert other.summary() == net.summary()


def file_round_trip(net, folder):
    """Return the network after save and load."""
    net.save(folder / "m.safetensors")
    return fcnn.load(folder / "m.safetensors")


WAYS = {
    "file": file_round_trip,
    "copy.copy": lambda net, _: copy.copy(net),
    "copy.deepcopy": lambda net, _: copy.deepcopy(net),
    "net.copy": lambda net, _: net.copy(),
    **{
        f"pickle {p}": lambda net, _, p=p: pickle.loads(pickle.dumps(net, protocol=p))
        for p in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
copies = pytest.mark.parametrize(
    "way", [w for n, w in WAYS.items() if n != "file"], ids=[n for n in WAYS if n != "file"]
)

# --- Round trips ----------------------------------------------------------------------------------


@ways
@dtypes
@architectures
def test_round_trip_is_exact(architecture, dtype, way, tmp_path):
    net = trained(architecture, dtype)
    assert_same(net, way(net, tmp_path))


@pytest.mark.filterwarnings("ignore:.*parameters are NaN or infinite")
@ways
def test_nan_and_infinite_parameters_survive(way, tmp_path):
    net = fcnn.Network((2, 2))
    net.parameters[:] = [np.nan, np.inf, -np.inf, -0.0, 1e-45, 1]
    assert way(net, tmp_path).parameters.tobytes() == net.parameters.tobytes()


@ways
def test_a_copy_is_independent(way, tmp_path):
    net = trained(ARCHITECTURES[1], "float64")
    net.parameters[2] = 0.5  # so that it can be trained
    before = net.parameters.tobytes()
    other = way(net, tmp_path)
    X, y = np.random.default_rng(0).normal(size=(8, 4)), np.arange(8) % 3
    rng = net.rng.bit_generator.state
    other.fit(X, y, epochs=2)
    other.parameters[:] = 0
    other.weights[0][:] = 1
    assert net.parameters.tobytes() == before
    assert net.rng.bit_generator.state == rng


@copies
def test_a_copy_trains_on_bit_for_bit(way, tmp_path):
    net = trained(ARCHITECTURES[1], "float32")
    net.parameters[2] = 0.5  # so that it can be trained
    X, y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 3
    net.fit(X, y, epochs=1)  # the generator of the shuffling is not where it began
    other = way(net, tmp_path)
    assert other.fit(X, y, epochs=2).loss == net.fit(X, y, epochs=2).loss
    assert other.parameters.tobytes() == net.parameters.tobytes()


@copies
def test_a_subclass_comes_back(way, tmp_path):
    net = Labelled(["a", {"b": 1}])
    net.extra = np.arange(3)
    other = way(net, tmp_path)
    assert_same(net, other)
    assert other.label == ["a", {"b": 1}]
    other.label[1]["b"] = 2
    other.extra[0] = 9
    assert net.label[1]["b"] == 1
    assert net.extra[0] == 0


@copies
def test_attributes_may_refer_back_to_the_network(way, tmp_path):
    net = Labelled("x")
    net.itself = [net]
    other = way(net, tmp_path)
    assert other.itself[0] is other


def test_deepcopy_keeps_what_is_shared():
    net = fcnn.Network((3, 2))
    first, second, generator = copy.deepcopy((net, net, net.rng))
    assert first is second
    assert first.rng is generator
    first, second, generator = pickle.loads(pickle.dumps((net, net, net.rng)))
    assert first is second
    assert first.rng is generator


def test_a_subclass_is_saved_as_a_network(tmp_path):
    net = Labelled("x")
    other = file_round_trip(net, tmp_path)
    assert type(other) is fcnn.Network
    assert other.parameters.tobytes() == net.parameters.tobytes()


def test_pickle_of_many_parameters_out_of_band():
    net = fcnn.Network((100, 50, 3))
    views = []
    stream = pickle.dumps(net, protocol=5, buffer_callback=views.append)
    buffers = [bytes(v.raw()) for v in views]
    kept = [bytes(bytearray(b)) for b in buffers]
    other = pickle.loads(stream, buffers=buffers)
    assert_same(net, other)
    other.train_step(np.ones((2, 100)), [0, 1], fcnn.SGD(0.1))
    assert buffers == kept


# --- The file -------------------------------------------------------------------------------------


@dtypes
def test_the_file_is_plain_safetensors(dtype, tmp_path):
    net = trained(ARCHITECTURES[1], dtype)
    net.save(tmp_path / "m")
    tensors = safetensors.numpy.load_file(tmp_path / "m")
    assert sorted(tensors) == ["W1", "W2", "W3", "b1", "b2", "b3"]
    for l in (1, 2, 3):
        W, b = tensors[f"W{l}"], tensors[f"b{l}"]
        assert W.shape == (net.sizes[l], net.sizes[l - 1])
        assert b.shape == (net.sizes[l],)
        assert W.dtype == b.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(W, net.weights[l - 1])
        np.testing.assert_array_equal(b, net.biases[l - 1])
    # By hand: the forward pass of z = a W^T + b.
    with safetensors.safe_open(tmp_path / "m", "np") as file:
        description = json.loads(file.metadata()["fcnn"])
    assert description["sizes"] == [4, 7, 5, 3]
    assert description["activations"] == ["gelu", "elu", "softmax"]


class PathLike:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, PathLike])
def test_paths_of_every_kind(kind, tmp_path):
    net = fcnn.Network((3, 2))
    path = kind(tmp_path / "ein Modell.δ")
    net.save(path)
    assert_same(net, fcnn.load(path))


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = fcnn.Network((3, 2))
    net.save("m")
    assert_same(net, fcnn.load("m"))
    assert os.listdir() == ["m"]


@pytest.mark.parametrize("wrong", [None, 3, 1.5, [], object()], ids=lambda v: type(v).__name__)
def test_what_is_no_path_is_a_type_error(wrong):
    with pytest.raises(TypeError):
        fcnn.load(wrong)
    with pytest.raises(TypeError):
        fcnn.Network((3, 2)).save(wrong)


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"x" * 10000)
    net = fcnn.Network((3, 2))
    net.save(path)
    assert_same(net, fcnn.load(path))
    assert os.listdir(tmp_path) == ["m"]


def test_loaded_files_may_be_replaced_and_removed(tmp_path):
    net = fcnn.Network((3, 2))
    other = file_round_trip(net, tmp_path)
    kept = other.parameters.copy()
    (tmp_path / "m.safetensors").write_bytes(b"")
    (tmp_path / "m.safetensors").unlink()
    np.testing.assert_array_equal(other.parameters, kept)
    assert other.parameters.flags.writeable


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.thread_unsafe(reason="the mask of permissions is the process's")
def test_the_file_has_ordinary_permissions(tmp_path):
    mask = os.umask(0o022)
    try:
        fcnn.Network((3, 2)).save(tmp_path / "m")
        assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o644
        assert os.umask(0o022) == 0o022  # as it was
    finally:
        os.umask(mask)


# --- Writing that fails ---------------------------------------------------------------------------


def failing(error):
    def fail(*_args, **_kwargs):
        raise error

    return fail


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()], ids=["OSError", "Ctrl-C"])
@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failing_write_leaves_the_old_file(function, error, tmp_path, monkeypatch):
    net = fcnn.Network((3, 2), rng=1)
    net.save(tmp_path / "m")
    old = (tmp_path / "m").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, function, failing(error))
        with pytest.raises(type(error)):
            fcnn.Network((3, 9, 2), rng=2).save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == old
    assert os.listdir(tmp_path) == ["m"]
    assert_same(net, fcnn.load(tmp_path / "m"))


@pytest.mark.thread_unsafe(reason="the limit is the process's")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    net, large = fcnn.Network((3, 2), rng=1), fcnn.Network((300, 300, 2))
    net.save(tmp_path / "m")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A write beyond it fails, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OSError, match="large"):
            large.save(tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["m"]
    assert_same(net, fcnn.load(tmp_path / "m"))


def test_save_into_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        fcnn.Network((3, 2)).save(tmp_path / "missing" / "m")
    assert os.listdir(tmp_path) == []


def test_save_onto_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        fcnn.Network((3, 2)).save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == []


def test_save_below_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        fcnn.Network((3, 2)).save(tmp_path / "file" / "m")


def test_save_into_a_read_only_folder(tmp_path):
    if getattr(os, "geteuid", lambda: 0)() == 0:
        pytest.skip("root, and Windows, may write to a read-only folder")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            fcnn.Network((3, 2)).save(tmp_path / "m")
        assert os.listdir(tmp_path) == []
    finally:
        tmp_path.chmod(0o700)


def test_save_under_the_longest_name(tmp_path):
    # The temporary file's name must not be longer than the file system allows.
    net = fcnn.Network((3, 2))
    name = "m" * 255
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("the file system has shorter names")
    net.save(tmp_path / name)
    assert_same(net, fcnn.load(tmp_path / name))


# --- Reading that fails ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["absent.safetensors", "no folder/m"])
def test_load_of_a_missing_file(name, tmp_path):
    path = tmp_path / name
    with pytest.raises(FileNotFoundError, match=path.name):
        fcnn.load(path)


def test_load_of_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        fcnn.load(tmp_path)


def test_load_of_an_unreadable_file(tmp_path):
    if getattr(os, "geteuid", lambda: 0)() == 0:
        pytest.skip("root, and Windows, may read every file")
    fcnn.Network((3, 2)).save(tmp_path / "m")
    (tmp_path / "m").chmod(0)
    with pytest.raises(PermissionError, match="m"):
        fcnn.load(tmp_path / "m")


# --- Of memory --------------------------------------------------------------------------------


@dtypes
@architectures
def test_bytes_are_a_file(tmp_path, architecture, dtype):
    net = trained(architecture, dtype)
    net.save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    odd = memoryview(b"x" + content)[1:]
    numbers = np.frombuffer(content, np.uint8)
    for given in (content, bytearray(content), memoryview(content), odd, numbers):
        assert_same(net, fcnn.load(given))
        assert_same(net, fcnn.load(given, verified=True))
    memory = bytearray(content)
    other = fcnn.load(memory)
    memory[:] = bytes(len(memory))
    assert_same(net, other)
    memory.clear()  # nobody holds it


def test_bytes_that_are_no_file_are_refused(tmp_path):
    net = fcnn.Network((4, 6, 3))
    net.save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    for length in range(0, len(content), 3):
        with pytest.raises(ValueError, match=f"^{length} bytes: not a"):
            fcnn.load(content[:length])
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        with pytest.raises(ValueError, match=f"^{len(content)} bytes: not a"):
            fcnn.load(damaged)
    net.parameters[3] = np.nan
    net.save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    with pytest.warns(RuntimeWarning, match=rf"^{len(content)} bytes: 1 of its"):
        fcnn.load(content)


@pytest.mark.parametrize("wrong", [3, None, [1, 2], object(), 1.5, memoryview(b"abcd")[::2]])
def test_what_is_neither_a_path_nor_bytes(wrong):
    with pytest.raises(TypeError, match=r"^path: expected a str, an os.PathLike or a file's bytes"):
        fcnn.load(wrong)
