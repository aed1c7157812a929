"""Damaged files for every reader: each is read, or refused as documented, at a bounded cost.

Of a sound file some bytes are changed, cut out, doubled, moved, or numbers in it made extreme; of
fcnn's own files half of them get a new checksum, without which the checksum alone would refuse all.
"""

import gzip
import io
import json
import struct
import tempfile
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np

import fcnn
from fcnn import convert, datasets
from fcnn.tables import TableError, infer_columns, read_table

from . import kills

MOST_SECONDS = 10
# Beside the file's own size; three times that is what an unpacked copy and an array take.
MOST_BYTES = 16_000_000
NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]
TEXTS = [b"0", b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b"99999999999999999999", b'"', b"\\",
         b"\x00", b"\xff", b",", b"\n", b"\r", b"true"]  # fmt: skip


# --- Sound files ---------------------------------------------------------------------------------


def idx_bytes():
    images = np.arange(2 * 3 * 4, dtype=np.uint8)
    return struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + images.tobytes()


def npz_bytes(save):
    file = io.BytesIO()
    save(file, X=np.arange(12.0).reshape(4, 3), y=np.arange(4))
    return file.getvalue()


CSV = 'a,b,c,d\n1.5,x,2020-01-01,true\n2,y,2021-02-03,false\n,x,,true\n1e3,"a,b",2022-03-04,\n'
JSON = b'{"a": 1.5, "b": "x"}\n{"a": null, "b": "y"}\n{"a": 2, "b": "x"}\n'


def parquet_bytes():
    import polars

    file = io.BytesIO()
    polars.DataFrame({"a": [1.5, None, 2.0], "b": ["x", "y", "x"]}).write_parquet(file)
    return file.getvalue()


def onnx_bytes():
    net = fcnn.Network((3, 4, 2), rng=1)
    return convert.to_onnx(net).SerializeToString()


def written(save):
    def content():
        with tempfile.TemporaryDirectory() as name:
            save(Path(name) / "m", 1)
            return (Path(name) / "m").read_bytes()

    return content


def with_checksum(content):
    """Return one of our files with the checksum that fits it, where it has a place for one."""
    begin = content.find(b'"crc32:')
    if begin < 0 or len(content) < begin + 15:
        return content
    begin += 7
    (n,) = struct.unpack("<Q", content[:8])
    blank = content[:begin] + b"00000000" + content[begin + 8 :]
    checksum = zlib.crc32(blank[: 8 + n], zlib.crc32(blank[8 + n :]))
    return content[:begin] + b"%08x" % checksum + content[begin + 8 :]


# --- Readers -------------------------------------------------------------------------------------


def read_model(path):
    fcnn.load(path)


def read_table_of(path):
    infer_columns(read_table(path))


READERS = {
    "network": (written(kills.save_network), read_model, with_checksum),
    "model": (written(kills.save_model), read_model, with_checksum),
    "checkpoint": (written(kills.save_checkpoint), kills.read_checkpoint, with_checksum),
    "IDX": (idx_bytes, datasets.load_idx, None),
    "IDX, packed": (lambda: gzip.compress(idx_bytes()), datasets.load_idx, None),
    "npz": (lambda: npz_bytes(np.savez), datasets.load_npz, None),
    "npz, packed": (lambda: npz_bytes(np.savez_compressed), datasets.load_npz, None),
    "CSV": (CSV.encode, read_table_of, None),
    "CSV, packed": (lambda: gzip.compress(CSV.encode()), read_table_of, None),
    "JSON lines": (lambda: JSON, read_table_of, None),
    "Parquet": (parquet_bytes, read_table_of, None),
    "ONNX": (onnx_bytes, convert.from_onnx, None),
}
REFUSALS = (ValueError, TableError)


# --- Damage --------------------------------------------------------------------------------------


def damaged(content, rng):
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at, size = int(rng.integers(len(content) + 1)), len(content)
        how = rng.integers(9)
        if how == 0 and size:
            content[at % size] ^= 1 << int(rng.integers(8))
        elif how == 1 and size:
            content[at % size] = int(rng.integers(256))
        elif how == 2:
            del content[at:]
        elif how == 3:
            del content[at : at + int(rng.integers(1, 9))]
        elif how == 4:
            content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif how == 5:
            length = int(rng.integers(1, 33))
            content[at:at] = content[at : at + length]
        elif how == 6:
            number = NUMBERS[rng.integers(len(NUMBERS))]
            form = ["<Q", ">Q", "<I", ">I", "<H"][rng.integers(5)]
            width = struct.calcsize(form)
            content[at : at + width] = struct.pack(form, number % 256**width)
        elif how == 7:
            content[at : at + int(rng.integers(3))] = TEXTS[rng.integers(len(TEXTS))]
        elif size:
            other = int(rng.integers(size))
            length = int(rng.integers(1, 17))
            content[at : at + length] = content[other : other + length]
    return bytes(content)


def another_header(content, rng):
    """Return one of our files with an entry of its JSON exchanged for a value of any type."""
    (n,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + n])
    described = rng.random() < 0.6
    root = json.loads(header["__metadata__"]["fcnn"]) if described else header
    place, key = root, None
    while isinstance(place, (dict, list)) and place and (key is None or rng.random() < 0.7):
        parent = place
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = keys[int(rng.integers(len(keys)))]
        place = parent[key]
    values = [None, True, -1, 0, 1, 2**70, 1.5, -1e308, "", "x" * 50, [], {}, [[]], [1], {"a": 1},
              float("nan"), "\ud800", "relu", "F32", 3]  # fmt: skip
    parent[key] = values[int(rng.integers(len(values)))]
    if described:
        header["__metadata__"]["fcnn"] = json.dumps(root)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + n :]


def run(size, seed):
    warnings.simplefilter("ignore")  # of parameters that are not finite
    sound = {name: make() for name, (make, *_) in READERS.items()}
    counts = {name: [0, 0] for name in READERS}
    most_bytes, most_seconds = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged"
        for name, (_, read, _) in READERS.items():  # what is imported and cached counts for nobody
            path.write_bytes(sound[name])
            read(path)
        tracemalloc.start(1)
        for i in range(size):
            rng = np.random.default_rng([seed, i])
            name = list(READERS)[i % len(READERS)]
            _, read, mended = READERS[name]
            content = sound[name]
            if mended is not None and rng.random() < 0.4:
                content = another_header(content, rng)
            else:
                content = damaged(content, rng)
            if mended is not None and rng.random() < 0.7 and len(content) >= 8:
                content = mended(content)
            path.write_bytes(content)
            tracemalloc.reset_peak()
            before, begin = tracemalloc.get_traced_memory()[0], time.monotonic()
            said = "read"
            try:
                read(path)
                counts[name][0] += 1
            except REFUSALS as error:
                counts[name][1] += 1
                said = str(error)
            except BaseException:
                kept = Path(tempfile.gettempdir()) / f"fcnn-fuzz-{seed}-{i}"
                kept.write_bytes(content)
                print(f"{name}, file {i}: {kept}", flush=True)
                raise
            assert 0 < len(said) < 5000, f"{name} {i}: a message of {len(said)} letters"
            peak = tracemalloc.get_traced_memory()[1] - before - 3 * len(content)
            most_bytes = max(most_bytes, peak)
            most_seconds = max(most_seconds, time.monotonic() - begin)
            assert peak < MOST_BYTES, f"{name} {i}: {peak} bytes"
            assert most_seconds < MOST_SECONDS, f"{name} {i}: {most_seconds} s"
    refused = sum(n for _, n in counts.values())
    return (f"{size} damaged files for {len(READERS)} readers: {refused} refused as documented, "
            f"{size - refused} read; at most {max(most_bytes, 0) / 1e6:.1f} MB and "
            f"{most_seconds:.2f} s for one")  # fmt: skip
