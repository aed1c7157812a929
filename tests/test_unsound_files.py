"""Every unsound file is refused, by its name, and costs no more than a sound one.

The forgeries start from files as fcnn wrote them before it had a checksum, and as other programs
may write them: with one, it alone would refuse them all (test_container.py).
"""

import copy
import json
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

import fcnn
from fcnn.tables import Preparation, Target


def refuse(folder, content):
    """Check that a file is refused with a ValueError that names it; return the message."""
    path = folder / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.safetensors: ") as caught:
        fcnn.load(path)
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def parts(content):
    """Return header and data of a safetensors file."""
    (n,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + n]), content[8 + n :]


def safetensors_bytes(header, data):
    """Return a safetensors file; the header may be any bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def with_preprocessing(content, n_in, features, target, classes):
    """Return a network's file as the command line wrote it before there were models."""
    header, _ = parts(content)
    description = json.loads(header["__metadata__"]["fcnn"])
    description["preprocessing"] = {"features": features, "target": target, "classes": classes}
    tensors = safetensors.numpy.load(content)
    tensors["mean"], tensors["scale"] = np.zeros(n_in), np.ones(n_in)
    return safetensors.numpy.save(tensors, {"fcnn": json.dumps({**description, "format": 1})})


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Header and data of a sound file with preprocessing."""
    path = tmp_path_factory.mktemp("sound") / "m"
    fcnn.Network((4, 5, 3), "tanh", rng=1).save(path)
    content = with_preprocessing(path.read_bytes(), 4, list("abcd"), "t", list("xyz"))
    header, data = parts(content)
    assert safetensors_bytes(header, data)  # what the tests below change
    return header, data


def described(sound, **changes):
    """Return the file with other entries in its architecture; ... removes one."""
    header, data = copy.deepcopy(sound)
    description = json.loads(header["__metadata__"]["fcnn"])
    for key, value in changes.items():
        description[key] = value
        if value is ...:
            del description[key]
    header["__metadata__"]["fcnn"] = json.dumps(description)
    return safetensors_bytes(header, data)


def test_the_forgeries_start_from_a_sound_file(sound, tmp_path):
    (tmp_path / "m").write_bytes(described(sound))
    assert fcnn.load(tmp_path / "m").network.sizes == (4, 5, 3)


@pytest.mark.slow(reason="thousands of files")
def test_every_truncation_is_refused(sound, tmp_path):
    content = safetensors_bytes(*sound)
    for length in range(len(content)):
        refuse(tmp_path, content[:length])


def test_more_than_the_file_is_refused(sound, tmp_path):
    refuse(tmp_path, safetensors_bytes(*sound) + b"\0")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0", b"\0" * 8, b"\0" * 1000, b"\xff" * 8, b"\xff" * 1000, b"{}", b"PK\x03\x04" * 99,
        b'{"format": 1, "sizes": [4, 3]}', b"\x93NUMPY\x01\x00" + b" " * 200,
        pickle.dumps({"a": 1}), b"ein Text, kein Modell\n" * 9,
        struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 4) + b"null", struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2**63 - 1) + b"{}", struct.pack("<Q", 100_000_001) + b"{}",
        struct.pack("<Q", 3) + b"\xff\xfe{",
    ],
    ids=lambda c: repr(c[:12]),
)  # fmt: skip
def test_foreign_files_are_refused(content, tmp_path):
    refuse(tmp_path, content)


@pytest.mark.slow
def test_random_bytes_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(100):
        refuse(tmp_path, rng.bytes(int(rng.integers(1, 2000))))


def test_foreign_safetensors_are_refused(tmp_path):
    tensors = {"weight": np.ones((2, 3), np.float32)}
    for metadata in (None, {}, {"format": "pt"}, {"fcnn_": "{}"}):
        message = refuse(tmp_path, safetensors.numpy.save(tensors, metadata))
        assert "not one of fcnn's" in message


DEEP = 100_000


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "null", "[]", "5", '"x"', "{}", "true", "NaN", "[" * DEEP, '{"a":' * DEEP,
     "9" * 5000, '{"format": ' + "9" * 5000 + "}", '{"format": 1e999}', "\0", "{'format': 1}"],
    ids=lambda t: repr(t[:14]),
)  # fmt: skip
def test_an_architecture_that_is_not_one_is_refused(text, sound, tmp_path):
    header, data = copy.deepcopy(sound)
    header["__metadata__"]["fcnn"] = text
    refuse(tmp_path, safetensors_bytes(header, data))


ANYTHING = [
    ..., True, -1, 0, 2.5, float("inf"), float("nan"), 10**30, "x", "", [], {}, [[]], ["relu"],
    [0], [None], [float("inf"), 5, 3], [4, 5, float("nan")], [4, 5], [4, 5, 3, 1], [4, 6, 3],
    [3, 5, 4], [-4, -5, 3], [4, 5, "x"], {"a": 1}, "f4,,", "float16", "[(", "object",
    ["softmax", "softmax"], ["tanh", "exp"], ["tanh", "tanh", "softmax"], ["tanh", 3], [10**9] * 3,
    [10**30] * 3, [2**32, 2**32, 2**32], [4, 0, 3],
]  # fmt: skip


KEYS = ["format", "sizes", "activations", "loss", "dtype", "preprocessing"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(key, value, id=f"{key}-{str(value)[:24]}")
        for key in KEYS
        for value in ANYTHING
        if not (key == "format" and value is True)  # which is 1
    ],
)
def test_forged_entries_are_refused(key, value, sound, tmp_path):
    refuse(tmp_path, described(sound, **{key: value}))


@pytest.mark.parametrize("key", ["sizes", "activations", "loss", "dtype", "format"])
def test_null_entries_are_refused(key, sound, tmp_path):
    refuse(tmp_path, described(sound, **{key: None}))


@pytest.mark.parametrize("version", [4, 99, "2", True, 1.0])
def test_a_newer_format_is_named(version, sound, tmp_path):
    message = refuse(tmp_path, described(sound, format=version))
    assert repr(version) in message
    assert "newer" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "hinge"}, ["loss", "'hinge'", "cross_entropy"]),
        ({"activations": ["swish", "softmax"]}, ["swish", "relu"]),
        ({"activations": ["tanh", "sigmoid"]}, ["sigmoid", "cross_entropy", "softmax"]),
        ({"dtype": "float16"}, ["dtype", "float16"]),
        ({"dtype": "float64"}, ["W1", "float64", "float32"]),
        ({"sizes": [4, 6, 3]}, ["W1", "(6, 4)", "(5, 4)"]),
    ],
    ids=str,
)
def test_the_refusal_says_what_is_wrong(changes, words, sound, tmp_path):
    message = refuse(tmp_path, described(sound, **changes))
    assert [w for w in words if w not in message] == []


@pytest.mark.parametrize(
    "preprocessing",
    [{}, {"features": 5, "target": "t", "classes": []}, {"features": []}, [], "yes", 1, True,
     {"features": ["a", "b", "c", "d"], "target": "t", "classes": None}],
    ids=str,
)  # fmt: skip
def test_forged_preprocessing_is_refused(preprocessing, sound, tmp_path):
    refuse(tmp_path, described(sound, preprocessing=preprocessing))


def test_preprocessing_without_its_tensors_is_refused(tmp_path):
    fcnn.Network((4, 5, 3)).save(tmp_path / "plain")
    header, data = parts((tmp_path / "plain").read_bytes())
    description = json.loads(header["__metadata__"]["fcnn"])
    description["preprocessing"] = {"features": [], "target": "", "classes": []}
    description["format"] = 1
    header["__metadata__"] = {"fcnn": json.dumps(description)}
    assert "mean" in refuse(tmp_path, safetensors_bytes(header, data))


# --- Models ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound_model(tmp_path_factory):
    """Header and data of a sound file of a model of numbers."""
    path = tmp_path_factory.mktemp("sound") / "m"
    data = {"a": [1.0, 2.0, None, 4.0], "c": ["x", "y", "x", "y"]}
    target = Target(["t", "u"]).scaled(np.array([[1.0, 5.0], [2.0, 7.0]]))
    network = fcnn.Network((3, 2), loss="squared_error")
    fcnn.Model(network, Preparation.fit(data), target).save(path)
    header, numbers = parts(path.read_bytes())
    description = json.loads(header["__metadata__"]["fcnn"])
    header["__metadata__"] = {"fcnn": json.dumps({**description, "format": 2})}
    return header, numbers


def test_a_model_is_of_a_format_of_its_own(sound_model, tmp_path):
    """So that an fcnn without models refuses it rather than takes the network for all of it."""
    description = json.loads(sound_model[0]["__metadata__"]["fcnn"])
    assert description["format"] == 2
    refuse(tmp_path, described(sound_model, format=1))
    refuse(tmp_path, described(sound_model, model=...))
    (tmp_path / "m").write_bytes(described(sound_model))
    assert fcnn.load(tmp_path / "m").targets == ("t", "u")


@pytest.mark.parametrize("value", ANYTHING)
@pytest.mark.parametrize("key", ["columns", "named", "left_out", "target"])
def test_forged_models_are_refused(key, value, sound_model, tmp_path):
    if (key, value) in [("named", True), ("left_out", [])]:
        return  # as it is
    model = json.loads(sound_model[0]["__metadata__"]["fcnn"])["model"]
    model[key] = value
    if value is ...:
        del model[key]
    refuse(tmp_path, described(sound_model, model=model))


@pytest.mark.parametrize("value", ANYTHING)
@pytest.mark.parametrize("key", ["names", "classes", "rules", "scaled"])
def test_forged_targets_are_refused(key, value, sound_model, tmp_path):
    if (key, value) in [("scaled", True), ("names", []), ("classes", []), ("rules", [])]:
        return  # sound
    if key == "names" and value == ["softmax", "softmax"]:
        value = ["softmax", 3]
    if key == "names" and isinstance(value, list) and {*map(type, value)} == {str}:
        value = [*value, "one", "more"]
    model = json.loads(sound_model[0]["__metadata__"]["fcnn"])["model"]
    model["target"][key] = value
    if value is ...:
        del model["target"][key]
    refuse(tmp_path, described(sound_model, model=model))


def rebuilt(sound, tensors):
    """Return the file with other tensors."""
    metadata = sound[0]["__metadata__"]
    return safetensors.numpy.save(tensors, metadata)


@pytest.fixture
def tensors(sound):
    return safetensors.numpy.load(safetensors_bytes(*sound))


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2", "mean", "scale"])
def test_missing_renamed_and_reshaped_tensors_are_refused(name, sound, tensors, tmp_path):
    rest = {k: v for k, v in tensors.items() if k != name}
    tensor = tensors[name]
    for other in (
        rest,
        {**rest, name.upper() + "_": tensor},
        {**rest, name: tensor[..., None]},
        {**rest, name: tensor[:0]},
        {**rest, name: tensor.ravel()[:-1].copy()},
        {**rest, name: np.array(1, np.float32)},
        {**tensors, "W3": tensor},
        *([{**rest, name: tensor.T.copy()}] if tensor.ndim == 2 else []),
    ):
        added = "W3" if "W3" in other else name
        assert f"tensor {added}: expected" in refuse(tmp_path, rebuilt(sound, other))


@pytest.mark.parametrize("dtype", ["float16", "int8", "int32", "int64", "uint8", "bool", "other"])
@pytest.mark.parametrize("name", ["W1", "b2", "mean"])
def test_tensors_of_the_wrong_dtype_are_refused(name, dtype, sound, tensors, tmp_path):
    if dtype == "other":
        dtype = "float32" if tensors[name].dtype == np.float64 else "float64"
    message = refuse(tmp_path, rebuilt(sound, {**tensors, name: tensors[name].astype(dtype)}))
    assert name in message


@pytest.mark.parametrize(
    ("code", "size"),
    [("BF16", 2), ("F16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1), ("F8_E8M0", 1), ("C64", 8), ("F4", 1),
     ("U64", 8), ("I4", 1), ("f32", 4), ("XX", 4), (None, 4), (5, 4)],
)  # fmt: skip
def test_tensors_of_types_that_numpy_lacks_are_refused(code, size, sound, tmp_path):
    header, end = {"__metadata__": sound[0]["__metadata__"]}, 0
    for name, entry in sound[0].items():
        if name != "__metadata__":
            begin, end = end, end + size * int(np.prod(entry["shape"]))
            header[name] = {"dtype": code, "shape": entry["shape"], "data_offsets": [begin, end]}
    refuse(tmp_path, safetensors_bytes(header, bytes(end)))


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [
        ([2**32, 2**32], [0, 80]), ([2**62, 4], [0, 80]), ([5, 4], [0, 2**63]), ([5, 4], [80, 0]),
        ([5, 4], [-80, 0]), ([5, 4], [0, 79]), ([-5, -4], [0, 80]), ([5.0, 4], [0, 80]),
        ([], [0, 80]), (None, [0, 80]), ([5, 4], None), ([0, 2**60], [0, 0]),
    ],
    ids=str,
)  # fmt: skip
def test_forged_headers_are_refused(shape, offsets, sound, tmp_path):
    header, data = copy.deepcopy(sound)
    name = next(k for k, v in header.items() if k != "__metadata__" and v["shape"] == [5, 4])
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    refuse(tmp_path, safetensors_bytes(header, data))


@pytest.mark.parametrize(
    "metadata", [None, [], 5, {"fcnn": 5}, {"fcnn": None}, {"fcnn": {}}], ids=str
)
def test_forged_metadata_is_refused(metadata, sound, tmp_path):
    header, data = copy.deepcopy(sound)
    header["__metadata__"] = metadata
    refuse(tmp_path, safetensors_bytes(header, data))


@pytest.mark.parametrize(
    "sizes", [[10**9] * 3, [10**5, 10**5, 10**5], [4, 10**9, 3], [2**31, 2**31, 2**31]], ids=str
)
@pytest.mark.thread_unsafe(reason="what is allocated is counted for the whole process")
def test_announced_sizes_allocate_nothing(sizes, sound, tmp_path):
    content = described(sound, sizes=sizes)
    refuse(tmp_path, content)
    tracemalloc.start()
    try:
        refuse(tmp_path, content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.slow(reason="thousands of files")
def test_single_flipped_bytes_are_refused_or_harmless(sound, tmp_path):
    # Never another exception: in the header most flips are refused; one in a name may be harmless.
    content = bytearray(safetensors_bytes(*sound))
    (n,) = struct.unpack("<Q", content[:8])
    rng = np.random.default_rng(1)
    path = tmp_path / "m"
    refused = 0
    for _ in range(600):
        at, value = int(rng.integers(0, 8 + n)), int(rng.integers(0, 256))
        kept, content[at] = content[at], value
        path.write_bytes(content)
        content[at] = kept
        try:
            loaded = fcnn.load(path)
        except ValueError as error:
            assert str(error).startswith(str(path))  # noqa: PT017
            refused += 1
        else:
            assert getattr(loaded, "network", loaded).sizes == (4, 5, 3)
    assert refused > 400


@pytest.mark.skipif(os.name != "posix", reason="a POSIX device")
def test_a_device_is_no_model():
    with pytest.raises(ValueError, match=r"^/dev/null: expected a regular file, got a device"):
        fcnn.load("/dev/null")


@pytest.mark.parametrize("content", [b"a,b,y\n1.5,2,3\n", b'{"fcnn": 1}  ', b"PK\x03\x04abcdef"])
def test_a_text_or_another_kind_of_file_is_said_to_be_one(content, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    for source, name in ((path, str(path)), (content, f"{len(content)} bytes")):
        with pytest.raises(ValueError) as raised:  # noqa: PT011 (the whole message)
            fcnn.load(source)
        assert str(raised.value) == (
            f"{name}: not a model file, or a truncated one (it begins with {content[:8]!r}, as "
            "texts and other kinds of files do)"
        )
