"""Every reader against files written here byte by byte, and every refusal against its message."""

import gzip
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from fcnn import datasets


def idx_bytes(code, shape, data):
    """Return an IDX file: magic number, big-endian dimensions, data."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + data


def write(path, content):
    """Write bytes or text as they are and return the path."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(error, function, *arguments):
    """Return the message with which a call is refused."""
    with pytest.raises(error) as caught:
        function(*arguments)
    assert type(caught.value) is error
    return str(caught.value)


# --- Digits ---------------------------------------------------------------------------------------


def test_digits_facts():
    X, y = datasets.load_digits()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), np.float32, (1797,), np.int64)
    assert (X.min(), X.max()) == (0, 16)
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert X[0, :8].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert y[:10].tolist() == list(range(10))


def test_digits_are_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    X, y = datasets.load_digits()
    np.testing.assert_array_equal(X, theirs.data)
    np.testing.assert_array_equal(y, theirs.target)


def test_digits_are_fresh_arrays():
    datasets.load_digits()[0][:] = -1
    X, y = datasets.load_digits()
    assert X.min() == 0
    assert X.flags.writeable
    assert y.flags.writeable
    assert X.flags.c_contiguous


# --- IDX ------------------------------------------------------------------------------------------

ELEMENTS = [
    (0x08, "uint8", "B", [0, 1, 127, 128, 254, 255]),
    (0x09, "int8", "b", [0, 1, -1, 127, -128, 5]),
    (0x0B, "int16", "h", [0, 1, -2, 258, 32767, -32768]),
    (0x0C, "int32", "i", [0, 1, -2, 66051, 2**31 - 1, -(2**31)]),
    (0x0D, "float32", "f", [0.0, 1.5, -2.25, 1e30, 2.0**-140, 3.0]),
    (0x0E, "float64", "d", [0.0, 0.1, -2.25, 1e300, 5e-324, 3.0]),
]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("code", "dtype", "letter", "values"), ELEMENTS, ids=lambda v: str(v)[:7])
def test_idx_element_types(tmp_path, code, dtype, letter, values, packed):
    content = idx_bytes(code, (2, 3), struct.pack(f">6{letter}", *values))
    # The misleading names show that the content decides.
    path = write(tmp_path / ("a.bin" if packed else "a.gz"), content)
    if packed:
        write(path, gzip.compress(content))
    array = datasets.load_idx(path)
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    assert array.flags.writeable
    expected = np.array([values[:3], values[3:]], dtype=dtype)
    np.testing.assert_array_equal(array, expected)
    array[:] = 1


@pytest.mark.parametrize("shape", [(4,), (1, 1, 1, 4), (2, 2), (0,), (0, 28, 28)])
def test_idx_shapes(tmp_path, shape):
    path = write(tmp_path / "a", idx_bytes(0x08, shape, bytes(range(np.prod(shape)))))
    array = datasets.load_idx(str(path))
    assert array.shape == shape
    assert array.ravel().tolist() == list(range(np.prod(shape)))


@pytest.mark.slow
def test_idx_larger_than_one_piece(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (2500, 30, 30), dtype=np.uint8)
    content = idx_bytes(0x08, values.shape, values.tobytes())
    for packed in (content, gzip.compress(content, 1)):
        np.testing.assert_array_equal(datasets.load_idx(write(tmp_path / "a", packed)), values)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (
            idx_bytes(0x08, (60000, 28, 28), bytes(1234)),
            ["announces 60000 x 28 x 28 values of type uint8", "47040000 bytes", "holds 1234"],
        ),
        (idx_bytes(0x0B, (3,), bytes(5)), ["3 values of type int16", "6 bytes", "holds 5"]),
        (idx_bytes(0x08, (3,), bytes(4)), ["3 values", "3 bytes", "holds more"]),
        (idx_bytes(0x08, (0,), bytes(1)), ["0 bytes", "holds more"]),
        (idx_bytes(0x08, (3, 3), b"")[:9], ["2 dimensions, 8 bytes", "ends after 5"]),
        (b"", ["not an IDX file", "starts with []"]),
        (b"\0\0\x08", ["not an IDX file", "[00 00 08]"]),
        (b"\0\0\x08\0", ["not an IDX file", "[00 00 08 00]", "number of dimensions"]),
        (idx_bytes(0x0A, (1,), bytes(4)), ["not an IDX file", "[00 00 0a 01]", "08, 09, 0b"]),
        (b"\x89PNG\r\n", ["not an IDX file", "[89 50 4e 47]", "two zero bytes"]),
        (idx_bytes(0x08, (1,) * 100, bytes(1)), ["shape (1, 1", "NumPy cannot hold"]),
        (idx_bytes(0x08, (0, *(2**32 - 1,) * 3), b""), ["4294967295", "NumPy cannot hold"]),
    ],
)
def test_idx_refuses_content(tmp_path, content, parts, pack):
    path = write(tmp_path / "a.idx", pack(content))
    message = refusal(ValueError, datasets.load_idx, path)
    for part in [str(path), *parts]:
        assert part in message


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.thread_unsafe(reason="what is allocated is counted for the whole process")
def test_idx_absurd_size_is_not_allocated(tmp_path, pack):
    path = write(tmp_path / "a", pack(idx_bytes(0x0E, (2**32 - 1,) * 3, bytes(16))))
    tracemalloc.start()
    message = refusal(ValueError, datasets.load_idx, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "holds 16" in message
    assert str(8 * (2**32 - 1) ** 3) in message
    assert peak < 8 << 20


def damaged_gzips():
    """Return one gzip file per kind of damage."""
    packed = gzip.compress(idx_bytes(0x08, (5000,), np.random.default_rng(0).bytes(5000)))
    wrong_sum = bytearray(packed)
    wrong_sum[-6] ^= 1
    wrong_block = bytearray(packed)
    wrong_block[10] = 0xFF
    return {
        "cut in the data": packed[:2000],
        "cut in the header": packed[:5],
        "cut in the checksum": packed[:-3],
        "wrong checksum": bytes(wrong_sum),
        "wrong block": bytes(wrong_block),
        "wrong method": b"\x1f\x8b\x07" + packed[3:],
        "foreign end": packed + b"junk",
    }


@pytest.mark.parametrize("damage", damaged_gzips())
def test_idx_refuses_damaged_gzip(tmp_path, damage):
    path = write(tmp_path / "a.gz", damaged_gzips()[damage])
    message = refusal(ValueError, datasets.load_idx, path)
    assert str(path) in message
    assert "intact gzip file" in message


# --- Any reader of one file -----------------------------------------------------------------------


@pytest.mark.parametrize("reader", [datasets.load_idx, datasets.load_npz])
def test_file_must_exist(tmp_path, reader):
    message = refusal(FileNotFoundError, reader, tmp_path / "none.dat")
    assert str(tmp_path / "none.dat") in message
    assert "no file" in message
    message = refusal(FileNotFoundError, reader, tmp_path)
    assert str(tmp_path) in message
    assert "directory, expected a file" in message


@pytest.mark.parametrize(
    "reader",
    [datasets.load_idx, datasets.load_npz, datasets.load_idx_folder],
)
def test_path_must_be_a_path(reader):
    message = refusal(TypeError, reader, 3)
    assert "path: got int, expected a str or os.PathLike" in message


# --- Folder of IDX files --------------------------------------------------------------------------

TRAIN_IMAGES = np.arange(3 * 2 * 4, dtype=np.uint8).reshape(3, 2, 4)
TEST_IMAGES = 100 + TRAIN_IMAGES[:2]
TRAIN_LABELS, TEST_LABELS = [7, 255, 0], [3, 1]
STANDARD = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def write_folder(folder, names):
    """Write the four small files under the given names, packed where the name ends in .gz."""
    contents = [
        idx_bytes(0x08, TRAIN_IMAGES.shape, TRAIN_IMAGES.tobytes()),
        idx_bytes(0x08, (3,), bytes(TRAIN_LABELS)),
        idx_bytes(0x08, TEST_IMAGES.shape, TEST_IMAGES.tobytes()),
        idx_bytes(0x08, (2,), bytes(TEST_LABELS)),
    ]
    for name, content in zip(names, contents, strict=False):
        write(folder / name, gzip.compress(content) if name.endswith(".gz") else content)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        STANDARD,
        [name + ".gz" for name in STANDARD],
        [name.replace("-idx", ".idx") for name in STANDARD],
        [name.replace("t10k", "test") for name in STANDARD],
        [
            f"emnist-digits-{part}-{content}-ubyte.gz"
            for part in ("train", "test")
            for content in ("images-idx3", "labels-idx1")
        ],
    ],
    ids=["plain", "gzip", "dot", "test", "emnist"],
)
def test_folder(tmp_path, names):
    write_folder(tmp_path, names)
    write(tmp_path / "README.txt", "not an IDX file")
    X_train, y_train, X_test, y_test = datasets.load_idx_folder(tmp_path)
    np.testing.assert_array_equal(X_train, TRAIN_IMAGES.reshape(3, 8))
    np.testing.assert_array_equal(X_test, TEST_IMAGES.reshape(2, 8))
    assert X_train.dtype == X_test.dtype == np.uint8
    assert (y_train.tolist(), y_test.tolist()) == (TRAIN_LABELS, TEST_LABELS)
    assert y_train.dtype == y_test.dtype == np.int64


def test_folder_without_test_files(tmp_path):
    write_folder(tmp_path, STANDARD[:2])
    X_train, y_train, X_test, y_test = datasets.load_idx_folder(str(tmp_path))
    assert (X_train.shape, y_train.shape, X_test, y_test) == ((3, 8), (3,), None, None)


def test_folder_reads_the_unpacked_file_beside_its_gz(tmp_path):
    write_folder(tmp_path, STANDARD)
    for name in STANDARD:
        write(tmp_path / f"{name}.gz", b"not read")
    assert datasets.load_idx_folder(tmp_path)[1].tolist() == TRAIN_LABELS


def test_folder_skips_folders_with_the_name_of_a_file(tmp_path):
    (tmp_path / STANDARD[0]).mkdir()
    write_folder(tmp_path, [name.replace("-idx", ".idx") for name in STANDARD])
    assert datasets.load_idx_folder(tmp_path)[1].tolist() == TRAIN_LABELS


def test_folder_without_images_in_the_files(tmp_path):
    write(tmp_path / STANDARD[0], idx_bytes(0x08, (0, 28, 28), b""))
    write(tmp_path / STANDARD[1], idx_bytes(0x08, (0,), b""))
    assert datasets.load_idx_folder(tmp_path)[0].shape == (0, 784)


def test_folder_must_exist(tmp_path):
    file = write(tmp_path / "file", b"")
    for path in (file, tmp_path / "none"):
        message = refusal(FileNotFoundError, datasets.load_idx_folder, path)
        assert str(path) in message
        assert "expected a folder" in message


@pytest.mark.parametrize("missing", range(4))
def test_folder_lacks_a_file(tmp_path, missing):
    write_folder(tmp_path, STANDARD)
    (tmp_path / STANDARD[missing]).unlink()
    message = refusal(FileNotFoundError, datasets.load_idx_folder, tmp_path)
    assert f"{tmp_path} lacks {STANDARD[missing]} (looked for with and without .gz)" in message
    found = message.split("found: ")[1].split(", ")
    assert sorted(found) == sorted(set(STANDARD) - {STANDARD[missing]})


def test_folder_is_empty(tmp_path):
    message = refusal(FileNotFoundError, datasets.load_idx_folder, tmp_path)
    assert f"{tmp_path} lacks {STANDARD[0]} and {STANDARD[1]}" in message
    assert "found: none" in message


@pytest.mark.parametrize("second", ["train-images.idx3-ubyte", "kmnist-train-images-idx3-ubyte.gz"])
def test_folder_with_two_candidates(tmp_path, second):
    write_folder(tmp_path, STANDARD)
    write_folder(tmp_path, [second])
    message = refusal(ValueError, datasets.load_idx_folder, tmp_path)
    for part in (str(tmp_path), "both", STANDARD[0], second, "one file with the train images"):
        assert part in message


def test_folder_with_two_data_sets(tmp_path):
    names = ["kmnist-" + STANDARD[0], "emnist-" + STANDARD[1]]
    write_folder(tmp_path, names)
    message = refusal(ValueError, datasets.load_idx_folder, tmp_path)
    for part in (str(tmp_path), *names, "different data sets"):
        assert part in message


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        (STANDARD[1], idx_bytes(0x08, (2,), bytes(2)), [STANDARD[0], "(3, 2, 4)", "(2,)"]),
        (STANDARD[3], idx_bytes(0x08, (9,), bytes(9)), [STANDARD[2], "(2, 2, 4)", "(9,)"]),
        (STANDARD[0], idx_bytes(0x08, (3,), bytes(3)), ["uint8", "(3,)", "two dimensions"]),
        (STANDARD[1], idx_bytes(0x08, (3, 1), bytes(3)), ["(3, 1)", "one dimension"]),
        (STANDARD[1], idx_bytes(0x0D, (3,), bytes(12)), ["float32", "integer labels"]),
        (STANDARD[2], idx_bytes(0x08, (2, 3, 3), bytes(18)), [STANDARD[0], "8 values", "9"]),
        (STANDARD[2], b"GIF89a", ["not an IDX file"]),
    ],
)
def test_folder_refuses_content(tmp_path, name, content, parts):
    write_folder(tmp_path, STANDARD)
    write(tmp_path / name, content)
    message = refusal(ValueError, datasets.load_idx_folder, tmp_path)
    for part in (str(tmp_path), name, *parts):
        assert part in message


# --- NumPy archives -------------------------------------------------------------------------------

X4, Y4 = np.arange(24.0).reshape(4, 2, 3), np.array([1, 0, 2, 1])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("x", "y", "x_test", "y_test"),
    [
        ("X", "y", None, None),
        ("x", "Y", "x_test", "y_test"),
        ("x_train", "y_train", None, None),
        ("X_train", "y_train", "X_test", "y_test"),
    ],
)
def test_npz(tmp_path, save, x, y, x_test, y_test):
    arrays = {x: X4, y: Y4, "other": np.zeros(9)}
    if x_test:
        arrays |= {x_test: X4[:1], y_test: Y4[:1]}
    save(tmp_path / "a.npz", **arrays)
    X_train, y_train, X_test, y_test = datasets.load_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(X_train, X4.reshape(4, 6))
    np.testing.assert_array_equal(y_train, Y4)
    assert (X_train.dtype, y_train.dtype) == (X4.dtype, Y4.dtype)
    if x_test:
        assert (X_test.tolist(), y_test.tolist()) == ([[0, 1, 2, 3, 4, 5]], [1])
    else:
        assert X_test is None
        assert y_test is None


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"images": X4, "labels": Y4}, ["['images', 'labels']", "X and y"]),
        ({}, ["[]", "X and y"]),
        ({"X": X4, "X_test": X4}, ["['X', 'X_test']"]),
        ({"y_train": Y4}, ["['y_train']"]),
        ({"X": X4, "x": X4, "y": Y4}, ["['X', 'x', 'y']"]),
        ({"X": X4, "y": Y4, "x_train": X4, "y_train": Y4}, ["'x_train', 'y_train'"]),
        ({"X": X4, "y": Y4, "X_test": X4}, ["['X', 'y', 'X_test']", "both X_test and y_test"]),
        ({"X": X4, "y": Y4[:3]}, ["X has shape (4, 2, 3)", "y has shape (3,)"]),
        ({"X": X4, "y": np.array(1)}, ["y has shape ()"]),
        ({"X": Y4, "y": Y4}, ["X holds int64", "(4,)", "two dimensions"]),
        ({"X": X4.astype(str), "y": Y4}, ["X holds <U", "real numbers"]),
        ({"X": X4 * 1j, "y": Y4}, ["X holds complex128", "real numbers"]),
        (
            {"X": X4, "y": Y4, "X_test": X4[:, :1], "y_test": Y4},
            ["X has 6 values", "X_test has 3"],
        ),
        ({"X": X4, "y": Y4.astype(object)}, ["intact .npz archive", "Object arrays"]),
    ],
)
def test_npz_refuses(tmp_path, arrays, parts):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    message = refusal(ValueError, datasets.load_npz, path)
    for part in [str(path), *parts]:
        assert part in message


def damaged_archives(folder):
    """Return one file per kind of damage."""
    path = folder / "intact.npz"
    np.savez(path, X=X4, y=Y4)
    np.save(folder / "single.npy", X4)
    content = path.read_bytes()
    data, directory = content.index(X4.tobytes()), content.index(b"PK\x01\x02")
    with zipfile.ZipFile(path) as archive:
        member = archive.read("X.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", member[:-8])
        archive.writestr("y.npy", member)

    def changed(at, byte):
        return content[:at] + bytes([byte]) + content[at + 1 :]

    return {
        "empty": b"",
        "text": b"X,y\n1,2\n",
        "single array": (folder / "single.npy").read_bytes(),
        "cut": content[:-30],
        "wrong checksum": changed(data + 8, 1),
        "unknown compression": changed(directory + 10, 77),
        "encrypted": changed(directory + 8, 1),
        "cut member": path.read_bytes(),
    }


@pytest.mark.parametrize(
    "damage",
    [
        "empty",
        "text",
        "single array",
        "cut",
        "wrong checksum",
        "unknown compression",
        "encrypted",
        "cut member",
    ],
)
def test_npz_refuses_foreign_and_damaged_files(tmp_path, damage):
    path = write(tmp_path / "a.npz", damaged_archives(tmp_path)[damage])
    message = refusal(ValueError, datasets.load_npz, path)
    assert str(path) in message
    assert re.search("not an .npz archive|intact .npz archive", message)


def test_npz_refuses_a_member_that_is_no_array(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", b"abc")
        archive.writestr("y.npy", b"abc")
    message = refusal(ValueError, datasets.load_npz, path)
    assert str(path) in message
    assert "X holds" in message


NPY_DAMAGE = {
    "an open bracket": (b"(4, 6)", b"(4, 6["),  # tokenize.TokenError of NumPy's reader
    "a quote": (b"'shape'", b"'shape"),
    "another version": (b"NUMPY\x01", b"NUMPY\x03"),
    "more than there is": (b"(4, 6), }     ", b"(4, 60000000),"),
    "more than there can be": (b"(4, 6), }               ", b"(4, 60000000000000), }  "),
    "an unknown type": (b"'<f8'", b"'<q9'"),
    "below 0": (b"(4, 6)", b"(-4,6)"),
}


@pytest.mark.parametrize("damage", NPY_DAMAGE)
def test_npz_refuses_members_whose_archive_is_sound(tmp_path, damage):
    """The archive's checksums fit. Nothing is allocated that the member has no numbers for."""
    np.savez(tmp_path / "a.npz", X=X4.reshape(4, 6).astype(float), y=Y4)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    old, new = NPY_DAMAGE[damage]
    assert old in members["X.npy"]
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", members["X.npy"].replace(old, new, 1))
        archive.writestr("y.npy", members["y.npy"])
    tracemalloc.start()
    message = refusal(ValueError, datasets.load_npz, tmp_path / "a.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "intact .npz archive" in message
    assert peak < 2_000_000


def test_npz_with_inputs_alone(tmp_path):
    np.savez(tmp_path / "a.npz", X=X4, other=Y4)
    X, *rest = datasets.load_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(X, X4.reshape(4, 6))
    assert rest == [None, None, None]


# --- Two classes on a plane -----------------------------------------------------------------------

TOYS = {
    "xor": datasets.make_xor, "circles": datasets.make_circles, "moons": datasets.make_moons,
    "spirals": datasets.make_spirals,
}  # fmt: skip


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("samples", [1, 2, 7, 200])
def test_toys_have_both_classes_alike(name, samples):
    X, y = TOYS[name](samples)
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((samples, 2), np.float64, (samples,), np.int64)
    assert abs((y == 0).sum() - (y == 1).sum()) <= 1
    assert np.isfinite(X).all()
    again, _ = TOYS[name](samples, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(again, X)
    if samples > 7:
        assert (TOYS[name](samples, rng=1)[0] != X).any()
        assert 20 < np.abs(np.diff(y)).sum() < 180  # mixed, for batches


def test_toys_without_noise_are_what_they_are_called():
    X, y = datasets.make_xor(100, 0)
    assert {(*x, k) for x, k in zip(X.tolist(), y.tolist(), strict=True)} == {
        (0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)
    }  # fmt: skip
    X, y = datasets.make_circles(100, 0, factor=0.3)
    np.testing.assert_allclose(np.hypot(*X.T), np.where(y == 1, 0.3, 1))
    X, y = datasets.make_spirals(101, 0, turns=2)
    radius, turn = np.hypot(*X.T), np.arctan2(X[:, 1], X[:, 0]) / (2 * np.pi)
    expected = 2 * (radius - 0.08) / 0.92 + y / 2
    np.testing.assert_allclose((turn - expected + 0.5) % 1, 0.5, atol=1e-9)
    assert (radius.min(), radius.max()) == pytest.approx((0.08, 1))
    noisy, _ = datasets.make_xor(4000, 0.2)
    assert (noisy - datasets.make_xor(4000, 0)[0]).std() == pytest.approx(0.2, rel=0.05)


def test_moons_and_circles_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets")

    def sorted_rows(X, y):
        return np.array(sorted(map(tuple, np.column_stack([np.round(X, 9) + 0.0, y]))))

    for samples in (10, 11):
        np.testing.assert_allclose(
            sorted_rows(*datasets.make_moons(samples, 0)),
            sorted_rows(*sklearn.make_moons((samples - samples // 2, samples // 2))),
            atol=1e-8,
        )
        np.testing.assert_allclose(
            sorted_rows(*datasets.make_circles(samples, 0, 0.8)),
            sorted_rows(*sklearn.make_circles((samples - samples // 2, samples // 2))),
            atol=1e-8,
        )


@pytest.mark.parametrize("name", TOYS)
def test_refused_toys(name):
    make = TOYS[name]
    assert refusal(ValueError, make, 0) == "samples: expected at least 1, got 0"
    assert "samples: expected an integer" in refusal(TypeError, make, 2.5)
    assert "noise: expected a finite number at least 0" in refusal(ValueError, make, 10, -1)
    assert "rng" in refusal(TypeError, lambda: make(10, rng="x"))


def test_refused_factors_and_turns():
    assert "factor: " in refusal(ValueError, lambda: datasets.make_circles(factor=1))
    assert "turns: " in refusal(ValueError, lambda: datasets.make_spirals(turns=0))
