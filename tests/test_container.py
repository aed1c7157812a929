"""The container of files: damage is refused, and neither memory nor folders pay for it."""

import contextlib
import errno
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fcnn
from fcnn import _format
from fcnn._format import container, replacing
from fcnn.tables import Preparation, Target

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX files")


def small_model(path):
    data = {"a": [1.0, 2.0, None, 4.0], "c": ["x", "y", "x", "y"]}
    target = Target(["t"]).scaled(np.array([[1.0], [2.0]]))
    net = fcnn.Network((3, 1), loss="squared_error", rng=1)
    fcnn.Model(net, Preparation.fit(data), target).save(path)


def small_network(path):
    fcnn.Network((2, 3, 2), rng=1).save(path)


def small_checkpoint(path):
    net = fcnn.Network((2, 1), loss="squared_error", rng=2)
    callbacks = [fcnn.ModelCheckpoint(path)]
    net.fit(np.eye(2), [1.0, 2.0], epochs=2, optimizer="adam", callbacks=callbacks)


def resume(path):
    net = fcnn.Network((2, 1), loss="squared_error", rng=2)
    net.fit(np.eye(2), [1.0, 2.0], epochs=2, optimizer="adam", resume=path,
            callbacks=[fcnn.ModelCheckpoint(os.devnull)])  # fmt: skip


def load_checkpoint(path):
    _format.load_checkpoint(fcnn.Network((2, 1), loss="squared_error"), path)


KINDS = {
    "network": (small_network, fcnn.load),
    "model": (small_model, fcnn.load),
    "checkpoint": (small_checkpoint, load_checkpoint),
}
kinds = pytest.mark.parametrize("kind", KINDS)


# --- Damage ---------------------------------------------------------------------------------------


def assert_damage_is_refused(kind, tmp_path, places):
    make, read = KINDS[kind]
    make(tmp_path / "m")
    read(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    path = tmp_path / "damaged"
    for bit in places(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged: "):
            read(path)
        assert bytes(damaged) != content


@kinds
def test_a_flipped_bit_is_refused(kind, tmp_path):
    assert_damage_is_refused(kind, tmp_path, lambda bits: range(0, bits, 127))


@pytest.mark.slow
@kinds
def test_every_flipped_bit_is_refused(kind, tmp_path):
    assert_damage_is_refused(kind, tmp_path, range)


@kinds
def test_a_truncated_file_is_refused(kind, tmp_path):
    make, read = KINDS[kind]
    make(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    for length in [*range(0, len(content), 11), *range(len(content) - 9, len(content))]:
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(ValueError, match="cut: "):
            read(tmp_path / "cut")


def with_checksum(content):
    """Return a file's content with the checksum that belongs to it."""
    begin = 8 + len(container._BEFORE_DIGITS)
    zeroed = content[:begin] + b"0" * 8 + content[begin + 8 :]
    end = 8 + struct.unpack("<Q", content[:8])[0]
    checksum = zlib.crc32(zeroed[:end], zlib.crc32(zeroed[end:]))
    return content[:begin] + b"%08x" % checksum + content[begin + 8 :]


@pytest.mark.parametrize("make", [small_network, small_model])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_header_in_our_words_is_not_taken_apart(make, dtype, tmp_path, monkeypatch):
    """Nor is one in other words taken for ours: all are right but by their checksums."""
    make(tmp_path / "m")
    model = fcnn.load(tmp_path / "m")
    if dtype == "float64":
        net = model.network if make is small_model else model
        twin = fcnn.Network(net.sizes, loss=net.loss, dtype=dtype)
        twin.parameters = net.parameters
        if make is small_model:
            twin = fcnn.Model(twin, model.preparation, model.target)
        twin.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    assert with_checksum(content) == content
    called = []
    taken_apart = container._entries
    monkeypatch.setattr(container, "_entries", lambda *a: called.append(1) or taken_apart(*a))
    fcnn.load(content)
    assert not called

    def refused(words, before, after, behind=b""):
        assert content.count(before) >= 1
        forged = content.replace(before, after, 1) + behind
        shorter = len(before) - len(after)
        length = struct.pack("<Q", struct.unpack("<Q", content[:8])[0] - shorter)
        with pytest.raises(ValueError, match=words):
            fcnn.load(with_checksum(length + forged[8:]))

    refused(r"its tensors take \d+ bytes, the file has", b"W1", b"W1", b"\0" * 8)
    refused("tensor b1: expected float.*, found none", b'"b1"', b'"b7"')
    refused("a name stands twice", b'"b1"', b'"W1"')
    refused("a name stands twice", b',"W1":', b',"__metadata__":{},"W1":')
    refused("begins at|does not take", b'"data_offsets":[0,', b'"data_offsets":[4,')
    refused("expected shape and two", b'"data_offsets":[0,', b'"data_offsets":[0.0,')
    refused("dtype that this fcnn does not read", b'"dtype":"F', b'"dtype":"G')
    refused("Extra data|delimiter", b"]}}", b"]}}}")
    # The same in other words is read as well.
    forged = content.replace(b'"W1":', b'"\\u00571":', 1)
    length = struct.pack("<Q", struct.unpack("<Q", content[:8])[0] + 5)
    same = fcnn.load(with_checksum(length + forged[8:]))
    assert called
    X = np.ones((1, 3 if make is small_model else 2))
    one, other = (m.network if make is small_model else m for m in (same, fcnn.load(content)))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5, 2), (17, 33, 16, 9), (70, 129, 31)], ids=str)
def test_a_network_in_our_words_is_read_at_once(sizes, dtype, tmp_path, monkeypatch):
    """The same numbers as one by one; from where they are not aligned they come one by one."""
    net = fcnn.Network(sizes, loss="squared_error", dtype=dtype)
    net.parameters = np.random.default_rng(0).normal(size=net.num_parameters)
    net.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    one_by_one = []
    whole = container.Container._read_whole
    monkeypatch.setattr(
        container.Container, "_read_whole", lambda *a: one_by_one.append(1) or whole(*a)
    )
    for given in (tmp_path / "m", content, memoryview(b"?" + content)[1:]):
        loaded = fcnn.load(given)
        np.testing.assert_array_equal(loaded.parameters, net.parameters, strict=True)
    assert len(one_by_one) == 1


@kinds
def test_the_package_of_the_format_reads_it(kind, tmp_path):
    make, _ = KINDS[kind]
    make(tmp_path / "m")
    with safetensors.safe_open(tmp_path / "m", "np") as file:
        assert json.loads(file.metadata()["fcnn"])["format"] == 3
        assert file.metadata()["checksum"].startswith("crc32:")
    net = fcnn.load(tmp_path / "m")
    tensors = safetensors.numpy.load_file(tmp_path / "m")
    np.testing.assert_array_equal(tensors["W1"], getattr(net, "network", net).weights[0])


def test_what_another_program_changed_is_refused(tmp_path):
    """It keeps the texts, the checksum of the old numbers among them."""
    small_network(tmp_path / "m")
    with safetensors.safe_open(tmp_path / "m", "np") as file:
        metadata = file.metadata()
    tensors = safetensors.numpy.load_file(tmp_path / "m")
    tensors["b1"] += 1
    safetensors.numpy.save_file(tensors, tmp_path / "changed", metadata)
    with pytest.raises(ValueError, match=r"changed: .*checksum"):
        fcnn.load(tmp_path / "changed")


def test_files_without_a_checksum(tmp_path):
    small_network(tmp_path / "m")
    with safetensors.safe_open(tmp_path / "m", "np") as file:
        description = json.loads(file.metadata()["fcnn"])
    tensors = safetensors.numpy.load_file(tmp_path / "m")
    for version in (1, 3):
        text = json.dumps({**description, "format": version})
        safetensors.numpy.save_file(tensors, tmp_path / f"{version}", {"fcnn": text})
    assert fcnn.load(tmp_path / "1").sizes == (2, 3, 2)
    with pytest.raises(ValueError, match=r"1: .* no checksum, and verified=True"):
        fcnn.load(tmp_path / "1", verified=True)
    with pytest.raises(ValueError, match=r"3: .*its checksum is missing"):
        fcnn.load(tmp_path / "3")
    assert fcnn.load(tmp_path / "m", verified=True).sizes == (2, 3, 2)


def with_header(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


NUMBERS = b'"W1":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (with_header(b"{" + NUMBERS + b"," + NUMBERS + b"}", bytes(4)), "stands twice"),
        (with_header(b'{"__metadata__":{"a":"1","a":"2"}}'), "stands twice"),
        (with_header(b'{"\xff":1}'), "utf-8"),
        (with_header(b"[" * 100_000), "recursion|Expecting"),
        (with_header(b'{"__metadata__":{"fcnn":"' + b"[" * 99_999 + b'"}}'), "recursion|Expecting"),
        (with_header(b'{"__metadata__":{"fcnn":7}}'), "texts"),
        (struct.pack("<Q", 1 << 21) + bytes(1 << 21), "at most 524288"),
        (struct.pack("<Q", 1 << 63) + bytes(100), "its header would take"),
    ],
    ids=["tensor twice", "text twice", "not UTF-8", "deep", "deep text", "number", "long", "huge"],
)  # fmt: skip
def test_headers_that_are_none(content, words, tmp_path):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ValueError, match=f"m: .*({words})"):
        fcnn.load(tmp_path / "m")


@pytest.mark.slow
def test_a_hostile_file_costs_little(tmp_path):
    """15 MB of metadata once took 1.4 GB and 223 s."""
    header = {"__metadata__": {"fcnn": "[" + "[]," * 10_000_000 + "1]"}}
    long = with_header(json.dumps(header).encode())
    header["__metadata__"]["fcnn"] = "[" + "[]," * 174_000 + "1]"
    full = with_header(json.dumps(header).encode())
    messages = []
    for content in (long, full):
        (tmp_path / "m").write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="m: ") as caught:
                fcnn.load(tmp_path / "m")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < len(content) + (16 << 20)
        messages.append(str(caught.value))
    assert max(map(len, messages)) < 1000


def test_messages_are_bounded(tmp_path):
    small_network(tmp_path / "m")
    with safetensors.safe_open(tmp_path / "m", "np") as file:
        description = json.loads(file.metadata()["fcnn"])
    tensors = safetensors.numpy.load_file(tmp_path / "m")
    for key, value in (("loss", "x" * 100_000), ("sizes", [3] * 20_000), ("format", "9" * 5000)):
        text = json.dumps({"format": 1, **description, key: value})
        safetensors.numpy.save_file(tensors, tmp_path / "m", {"fcnn": text})
        with pytest.raises(ValueError, match="m: ") as caught:
            fcnn.load(tmp_path / "m")
        assert len(str(caught.value)) < 1000


def test_parameters_that_are_not_finite_are_told(tmp_path):
    net = fcnn.Network((2, 2))
    net.parameters[:2] = np.nan, -np.inf
    net.save(tmp_path / "m")
    with pytest.warns(RuntimeWarning, match="m: 2 of its 6 parameters are NaN or infinite"):
        assert np.isnan(fcnn.load(tmp_path / "m").parameters[0])


@pytest.mark.parametrize("state", [-1, 1 << 200, 1.5, "1", None])
def test_generators_that_are_none(state, tmp_path):
    small_checkpoint(tmp_path / "m")
    with safetensors.safe_open(tmp_path / "m", "np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del metadata["checksum"]
    metadata["fcnn"] = json.dumps({**json.loads(metadata["fcnn"]), "format": 1})
    training = json.loads(metadata["fcnn_training"])
    training["generator"]["state"]["state"] = state
    metadata["fcnn_training"] = json.dumps(training)
    safetensors.numpy.save_file(tensors, tmp_path / "m", metadata)
    with pytest.raises(ValueError, match="m is not a sound checkpoint"):
        resume(tmp_path / "m")


# --- Long texts -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_very_wide_table(tmp_path):
    """Whose columns would not fit into a header."""
    names = [f"the column of a table that is number {i:06d}" for i in range(30_000)]
    preparation = Preparation.of_numbers(np.zeros(30_000), np.ones(30_000), names)
    net = fcnn.Network((30_000, 1), loss="squared_error")
    fcnn.Model(net, preparation, Target(["y"])).save(tmp_path / "m")
    assert int.from_bytes((tmp_path / "m").read_bytes()[:8], "little") < 4096
    assert fcnn.load(tmp_path / "m").features == tuple(names)
    content = bytearray((tmp_path / "m").read_bytes())
    content[content.index(b"number 012345") + 9] ^= 1
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ValueError, match=r"m: .*checksum"):
        fcnn.load(tmp_path / "m")


# --- Memory, time and signals ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.thread_unsafe(reason="what is allocated is counted for the whole process")
@pytest.mark.parametrize("sizes", [(1000, 2000, 10), (3, 2_000_000), (2_000_000, 1)], ids=str)
def test_memory(sizes, tmp_path):
    net = fcnn.Network(sizes, loss="squared_error", init="zeros")
    net.save(tmp_path / "m")
    fcnn.load(tmp_path / "m")
    size = os.path.getsize(tmp_path / "m")
    for call, most in ((lambda: net.save(tmp_path / "m"), 3 << 20),
                       (lambda: fcnn.load(tmp_path / "m"), size + (4 << 20))):  # fmt: skip
        tracemalloc.start()
        try:
            call()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < most


@pytest.mark.parametrize("order", ["rows", "columns"])
def test_pieces_follow_each_other(order):
    rng = np.random.default_rng(1)
    for shape in [(), (0,), (5,), (0, 3), (700_000,), (3, 500_000), (500_000, 3), (2, 3, 200_000)]:
        array = rng.random(shape)
        array = array.T.copy().T if order == "columns" else array
        parts = list(container.pieces(array))
        assert all(part.nbytes <= 1 << 20 for part in parts)
        assert b"".join(part.tobytes() for part in parts) == array.tobytes()


@posix
@pytest.mark.parametrize("kind", ["pipe", "zeros", "socket"])
def test_what_is_no_regular_file(kind, tmp_path):
    path = tmp_path / "m"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    else:
        import socket

        with socket.socket(socket.AF_UNIX) as at:
            try:
                at.bind(str(path))
            except OSError:
                pytest.skip("the path is too long for a socket")
    with pytest.raises((ValueError, OSError), match="m"):
        fcnn.load(path)


@posix
def test_truncated_while_it_is_read(tmp_path):
    """A file that was mapped into memory ended the process with SIGBUS."""
    fcnn.Network((2000, 1000), init="zeros").save(tmp_path / "m")
    size = os.path.getsize(tmp_path / "m")
    with container.opened(tmp_path / "m") as file:
        os.truncate(tmp_path / "m", size // 2)
        with pytest.raises(ValueError, match="truncated"):
            file.read({})


# --- Folders --------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_permissions_are_kept(mode, tmp_path):
    net = fcnn.Network((3, 2))
    net.save(tmp_path / "m")
    (tmp_path / "m").chmod(mode)
    net.save(tmp_path / "m")
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == mode


@posix
def test_the_folder_is_synced(tmp_path, monkeypatch):
    synced, before = [], os.fsync

    def fsync(descriptor):
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        before(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    small_network(tmp_path / "m")
    assert synced == [False, True]


@posix
def test_a_large_file_reaches_the_disk_in_pieces(tmp_path, monkeypatch):
    """Each of which takes as long as Ctrl-C waits."""
    places, sync = [0], os.fsync

    def synced(descriptor):
        places.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    array = np.zeros((40 << 20) // 8)
    container.write(tmp_path / "m", {"x": array}, {})
    sizes = [size for size in places if size == 0 or size > 1 << 20]  # and the folder's
    assert sizes[-1] > array.nbytes
    assert max(np.diff(sizes)) < 20 << 20


@posix
@pytest.mark.parametrize("is_there", [False, True])
def test_whether_a_file_can_be_written_is_tried_and_leaves_nothing(tmp_path, monkeypatch, is_there):
    path = tmp_path / "m"
    if is_there:
        path.write_bytes(b"old")
    replacing.refuse_unwritable(path)
    replacing.refuse_unwritable(path, in_place=True)
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"old"] * is_there

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)  # what a file beside it is opened by
    with pytest.raises(OSError, match=r"^path: \S+m cannot be written: No space left on device$"):
        replacing.refuse_unwritable(path)
    if is_there:
        replacing.refuse_unwritable(path, in_place=True)


KILLED = """
import os, sys
import fcnn
from fcnn._format import container
def stop(*_): os.kill(os.getpid(), 9)
setattr(os, sys.argv[2], stop)
fcnn.Network((3, 2)).save(sys.argv[1])
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("function", ["fsync", "replace", "fstat"])
def test_what_a_killed_process_left_is_removed(function, tmp_path):
    small_network(tmp_path / "m")
    old = (tmp_path / "m").read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "m", function], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2
    assert (tmp_path / "m").read_bytes() == old
    small_network(tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == ["m", "other"]


@posix
def test_a_file_that_is_being_written_is_left_alone(tmp_path):
    with replacing.replaced(tmp_path / "m") as file:
        file.write(b"half")
        small_network(tmp_path / "other")
        file.write(b" and half")
    assert (tmp_path / "m").read_bytes() == b"half and half"
    assert sorted(os.listdir(tmp_path)) == ["m", "other"]


@pytest.mark.slow
def test_writers_at_the_same_time(tmp_path):
    """Whoever is last wins; no reader sees a mixture, and nothing is left behind."""
    nets = [fcnn.Network((30, 40, i + 2), rng=i) for i in range(4)]
    nets[0].save(tmp_path / "m")
    until, failed = time.monotonic() + 0.5, []

    def write(net):
        with contextlib.suppress(StopIteration):
            while time.monotonic() < until:
                net.save(tmp_path / "m")

    def read():
        while time.monotonic() < until:
            try:
                net = fcnn.load(tmp_path / "m")
                np.testing.assert_array_equal(net.parameters, nets[net.sizes[-1] - 2].parameters)
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=write, args=[net]) for net in nets]
    threads += [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert os.listdir(tmp_path) == ["m"]


# --- What is written can be read -----------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 300_000), (200, 300)], ids=str)
def test_what_changes_while_it_is_saved(size, tmp_path, monkeypatch):
    """Numbers that a training changes between their count and their way to the file."""
    net = fcnn.Network(size, loss="squared_error", rng=1)
    count = container.zlib.crc32

    class Meddling:
        @staticmethod
        def crc32(content, value=0):
            result = count(content, value)
            net.parameters[...] += 1
            return result

    monkeypatch.setattr(container, "zlib", Meddling)
    net.save(tmp_path / "net")
    monkeypatch.undo()
    fcnn.load(tmp_path / "net")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("features", ["a", "b"], "features: expected 3 names, found 2"),
        ("features", [1, 2, 3], "expected features as a list of str"),
        ("classes", ["x"], "classes: names 1 for 2 outputs"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_they_are_saved(name, given, words, tmp_path):
    """Which a list may have become since it was set."""
    net = fcnn.Network((3, 2), rng=1)
    net.save(tmp_path / "net")
    setattr(net, name, list("abc")[: 3 if name == "features" else 2])
    getattr(net, name)[:] = given
    with pytest.raises(ValueError, match=words):
        net.save(tmp_path / "net")
    assert getattr(fcnn.load(tmp_path / "net"), name) is None


@pytest.mark.parametrize(
    ("target", "record", "words"),
    [
        (["t"], {"command": None}, "command, data and date"),
        (["t"], {"parts": {"training": 1.5}}, "numbers of rows"),
        ([3], {}, "names of targets as a list of str"),
    ],
)
def test_models_that_could_not_be_read_are_refused_before_they_are_saved(
    target, record, words, tmp_path
):
    net = fcnn.Network((1, 1), loss="squared_error", rng=1)
    preparation = Preparation.fit({"a": [1.0, 2.0]})
    record = fcnn.history.TrainingRecord(**record)
    model = fcnn.Model(net, preparation, Target(target), record)
    with pytest.raises(ValueError, match=words):
        model.save(tmp_path / "model")
    assert os.listdir(tmp_path) == []


class WithState:
    """A callback with a state of its own."""

    def __init__(self, state):
        self.state = state

    def __call__(self, progress):
        pass

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def checkpoint_with(state, path, resume=None):
    net = fcnn.Network((2, 1), loss="squared_error", rng=2)
    callback = WithState(state)
    net.fit(np.eye(2), [1.0, 2.0], epochs=2, callbacks=[callback, fcnn.ModelCheckpoint(path)],
            resume=resume)  # fmt: skip
    return callback.state


LONG = [np.longdouble(1), np.ones(3, np.longdouble)] if np.longdouble(1).itemsize > 8 else []


@pytest.mark.parametrize(
    "value",
    [
        {"tensor": 5}, {"tensor": "training.4"}, {"list": "W1"}, np.ones(2, complex),
        np.array(["a"]), *LONG,
    ],
    ids=repr,
)  # fmt: skip
def test_states_that_no_checkpoint_holds_are_refused_by_name(value, tmp_path):
    with pytest.raises(TypeError, match=r"the state\['callbacks'\]\[0\]\['state'\]\['mine'\]: "):
        checkpoint_with({"mine": value}, tmp_path / "checkpoint")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_long_lists_of_a_state(tmp_path):
    """Those of numbers are tensors; what would be too long as text is refused."""
    rng = np.random.default_rng(1)
    state = {
        "curve": [*rng.normal(size=200_000).tolist(), float("nan"), -0.0],
        "mixed": [1, *[0.5] * 2000],
        "short": [0.5, float("inf")],
    }
    path = tmp_path / "checkpoint"
    checkpoint_with(state, path)
    assert path.stat().st_size < 8 * 200_000 + 50_000
    assert repr(checkpoint_with({}, path, resume=path)) == repr(state)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"fcnn_training takes 17\d* bytes, at most 16777216"):
        checkpoint_with({"text": "x" * 17_000_000}, path)
    assert path.read_bytes() == before
