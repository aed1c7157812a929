"""Damaged files for every reader: each is read, or refused as documented, at a bounded cost.

Of a sound file some bytes are changed, cut out, doubled, moved, or numbers in it made extreme; of
fcnn's own files half of them get a new checksum, without which the checksum alone would refuse all.
Files are read in another process: one that ends it in fcnn is an error, one that ends it in another
library, of which nothing can be caught, is counted.
"""

import collections
import faulthandler
import gzip
import io
import json
import os
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

import fcnn
from fcnn import convert, datasets
from fcnn.tables import Preparation, TableError, infer_columns, read_table

from . import kills
from .common import ROOT, STUCK, goes_on

MOST_SECONDS = 10
# Beside the file's own size; three times that is what an unpacked copy and an array take.
MOST_BYTES = 16_000_000
MOST_RESIDENT = 300_000_000  # of the process, over all files: pools and caches grow to that
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


CSV = [
    'a,b,c,d\n1.5,x,2020-01-01,true\n2,y,2021-02-03,false\n,x,,true\n1e3,"a,b",2022-03-04,\n',
    "a;b;c\n1.234,5;12:30 pm;$ 5\n2,25;01:15 am;7 $\n-3;;$1\n",
    "sep=|\n# of a machine\na|a|\n1|07|x\n2|08|y\n3|09|x\n",
    "a\tb\r\n1 000\t5%\r\n2 500\t12.5 %\r\nNA\t-1%\r\n",
]
JSON = b'{"a": 1.5, "b": "x"}\n{"a": null, "b": "y"}\n{"a": 2, "b": "x"}\n'


XML = '<?xml version="1.0" encoding="UTF-8"?>'
OFFICE = "http://schemas.openxmlformats.org"
EXCEL = {
    "[Content_Types].xml": f"""{XML}<Types xmlns="{OFFICE}/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/></Types>""",
    "_rels/.rels": f"""{XML}<Relationships xmlns="{OFFICE}/package/2006/relationships">
<Relationship Id="r1" Type="{OFFICE}/officeDocument/2006/relationships/officeDocument"
Target="xl/workbook.xml"/></Relationships>""",
    "xl/workbook.xml": f"""{XML}<workbook xmlns="{OFFICE}/spreadsheetml/2006/main"
xmlns:r="{OFFICE}/officeDocument/2006/relationships">
<sheets><sheet name="one" sheetId="1" r:id="r1"/></sheets></workbook>""",
    "xl/_rels/workbook.xml.rels": f"""{XML}
<Relationships xmlns="{OFFICE}/package/2006/relationships"><Relationship Id="r1"
Type="{OFFICE}/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>
</Relationships>""",
    "xl/worksheets/sheet1.xml": f"""{XML}<worksheet xmlns="{OFFICE}/spreadsheetml/2006/main">
<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c><c r="B1" t="inlineStr"><is>
<t>b</t></is></c></row><row r="2"><c r="A2"><v>1.5</v></c><c r="B2" t="inlineStr"><is><t>x</t></is>
</c></row><row r="3"><c r="A3"><v>2</v></c><c r="B3" t="b"><v>1</v></c></row></sheetData>
</worksheet>""",
}


def excel_bytes():
    return zipped({name: text.encode() for name, text in EXCEL.items()})


def zipped(parts):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


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


def damaged_within(content, rng):
    """Damage a file in an archive, whose own checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = list(parts)[rng.integers(len(parts))]
    parts[name] = damaged(parts[name], rng)
    return zipped(parts)


def damaged_header(content, rng):
    """Damage one of our files, its header or any of its bytes; often with a checksum that fits."""
    content = another_header(content, rng) if rng.random() < 0.4 else damaged(content, rng)
    return with_checksum(content) if rng.random() < 0.7 and len(content) >= 8 else content


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


# --- Readers -------------------------------------------------------------------------------------


# What is read is used: a file that is taken, and then fails, is no better than one that fails.


def read_network(path):
    net = fcnn.load(path)
    net.predict(np.ones(net.sizes[0]))


def read_model(path):
    model = fcnn.load(path)
    if isinstance(model, fcnn.Model):
        model.predict({name: ["x" if name == "c" else "1", ""] for name in model.features})
        repr(model)


def read_checkpoint(path):
    net = fcnn.Network((2, 30, 1), loss="squared_error")
    net.fit(np.eye(2), [1.0, 2.0], epochs=2, optimizer="adam", resume=path)


def read_table_of(path):
    table = read_table(path)
    Preparation.fit(table, infer_columns(table)).transform(table, notes=[])


def read_onnx(path):
    net = convert.from_onnx(path)
    net.predict(np.ones(net.sizes[0]))


READERS = {
    "network": (written(kills.save_network), read_network, damaged_header),
    "model": (written(kills.save_model), read_model, damaged_header),
    "checkpoint": (written(kills.save_checkpoint), read_checkpoint, damaged_header),
    "IDX": (idx_bytes, datasets.load_idx, damaged),
    "IDX, packed": (lambda: gzip.compress(idx_bytes()), datasets.load_idx, damaged),
    "npz": (lambda: npz_bytes(np.savez), datasets.load_npz, damaged_within),
    "npz, packed": (lambda: npz_bytes(np.savez_compressed), datasets.load_npz, damaged),
    **{f"CSV {i}": (text.encode, read_table_of, damaged) for i, text in enumerate(CSV, 1)},
    "CSV, packed": (lambda: gzip.compress(CSV[0].encode()), read_table_of, damaged),
    "JSON lines": (lambda: JSON, read_table_of, damaged),
    "Parquet": (parquet_bytes, read_table_of, damaged),
    "Excel": (excel_bytes, read_table_of, damaged_within),
    "ONNX": (onnx_bytes, read_onnx, damaged),
}
# The last: weights of 1e38 are numbers, and no training goes on from them.
REFUSALS = (ValueError, TableError, fcnn.DivergenceError)
# Libraries that fcnn reads files by.
FOREIGN = ("polars", "fastexcel", "onnx", "google", "pyarrow")


def resident():
    """Return the most memory that the process has had, with that of readers in other languages."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Costs:
    """The most that a file has cost."""

    def __init__(self):
        self.bytes, self.seconds, self.before = 0, 0.0, resident()

    def measured(self, call, length):
        """Call it; refuse what is too much for a file of some length."""
        tracemalloc.reset_peak()
        before, begin = tracemalloc.get_traced_memory()[0], time.process_time()
        try:
            call()
        finally:  # also of what is refused
            peak = tracemalloc.get_traced_memory()[1] - before - 3 * length
            took, more = time.process_time() - begin, resident() - self.before
            self.bytes, self.seconds = max(self.bytes, peak), max(self.seconds, took)
            assert peak < MOST_BYTES, f"{peak} bytes"
            assert took < MOST_SECONDS, f"{took} s"
            assert more < MOST_RESIDENT, f"{more} bytes more of the process"


def sound_files(path):
    """Return a sound file for each reader, once read: what is imported and kept counts for none.

    Where a reader needs a package that is not here, it is left out, and that is said.
    """
    files, lacking = {}, {}
    for name, (make, read, _) in READERS.items():
        try:
            content = make()
            path.write_bytes(content)
            read(path)
        except ImportError as error:
            lacking[name] = str(error)
            continue
        files[name] = content
    return files, lacking


# --- A process that reads, and may die of it -----------------------------------------------------


def serve():
    """Read the files whose names come in, and answer how it went; for `Server`."""
    faulthandler.enable()
    warnings.simplefilter("ignore")  # of parameters that are not finite
    with tempfile.TemporaryDirectory() as folder:
        sound_files(Path(folder) / "sound")
    tracemalloc.start(1)
    costs = Costs()
    for i, line in enumerate(sys.stdin):
        if i % 256 == 0:
            goes_on(STUCK - 60)
        name, path = json.loads(line)
        _, read, _ = READERS[name]
        answer = {"taken": True}
        try:
            costs.measured(lambda read=read, path=path: read(Path(path)), os.stat(path).st_size)
        except REFUSALS as error:
            said = str(error)
            answer = {"taken": False}
            if not 0 < len(said) < 5000:
                answer["wrong"] = f"a message of {len(said)} letters"
        except BaseException:
            answer["wrong"] = traceback.format_exc()
        print(json.dumps({**answer, "bytes": costs.bytes, "seconds": costs.seconds}), flush=True)


class Server:
    """Reads files in another process, which is started anew where one of them ends it."""

    def __init__(self):
        self.start()

    def start(self):
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.fuzz"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
        )  # fmt: skip

    def read(self, name, path):
        """Return what is to be said of a file; "died" is the stack where the process ended."""
        print(json.dumps([name, str(path)]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read()
        self.close()
        self.start()
        return {"died": f"exit code {code}\n{said}"}

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def library_of(stack):
    """Return whose code a process ended in, by the innermost frame that faulthandler printed."""
    found = re.search(r'^  File "(.*?)"', stack, re.MULTILINE)
    libraries = [name for name in FOREIGN if found and f"/site-packages/{name}/" in found[1]]
    return libraries[0] if libraries else None


def run(size, seed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged"
        sound, lacking = sound_files(path)
        for name, why in lacking.items():
            print(f"left out: {name}, {why}", flush=True)
        names = list(sound)
        server = Server()
        try:
            return fuzz(names, sound, server, path, size, seed)
        finally:
            server.close()


def fuzz(names, sound, server, path, size, seed):
    taken = most_bytes = most_seconds = 0
    died = collections.Counter()
    for i in range(size):
        if i % 64 == 0:
            goes_on()
        rng = np.random.default_rng([seed, i])
        name = names[i % len(names)]
        _, _, damage = READERS[name]
        content = damage(sound[name], rng)
        path.write_bytes(content)
        answer = server.read(name, path)
        library = library_of(answer.get("died", ""))
        wrong = answer.get("wrong") or (not library and answer.get("died"))
        if wrong or (library and not died[library]):
            kept = Path(tempfile.gettempdir()) / f"fcnn-fuzz-{seed}-{i}"
            kept.write_bytes(content)
            print(f"{name}, file {i}, {library or 'fcnn'}: {kept}", flush=True)
        assert not wrong, wrong
        if library:
            died[library] += 1
            continue
        taken += answer["taken"]
        most_bytes = max(most_bytes, answer["bytes"])
        most_seconds = max(most_seconds, answer["seconds"])
    dead = sum(died.values())
    return (f"{size:,} damaged files for {len(names)} readers: {size - taken - dead:,} refused as "
            f"documented, {taken:,} read and used"
            + "".join(f", {n} ended the process in {of}" for of, n in died.items())
            + f"; at most {most_bytes / 1e6:.1f} MB and {most_seconds:.2f} s of the processor for "
            "one")  # fmt: skip


if __name__ == "__main__":
    serve()
