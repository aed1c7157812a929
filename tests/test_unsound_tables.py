"""Tables that nobody would write: each is read or refused, at a bounded cost.

tests/soak/fuzz.py damages small ones; here are those whose size is what is wrong.
"""

import os
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest

from fcnn import datasets
from fcnn.tables import TableError, read_table
from fcnn.tables.categories import Codes
from fcnn.tables.columns import Report
from fcnn.tables.numbers import UNITS, NumberRule
from fcnn.tables.table import Column, Table


def seconds_of(call):
    begin = time.process_time()
    call()
    return time.process_time() - begin


@pytest.mark.parametrize("blanks", ["$1{}x", "$ {}x", "1{}$ 2", "- {}$", "$1{}$ x"])
def test_a_number_that_is_far_from_its_unit_takes_no_long_time(blanks):
    """Of a cell that is no number a pattern must not try each way to share out its blanks."""
    cell = blanks.format(" " * 100_000)
    assert seconds_of(lambda: np.isnan(NumberRule(unit="$").numbers([cell])).all()) < 1


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("text", ["{}5", "5{}", "{} 5", "5 {}", "-{}5", "{}-5", "5\t{}"])
def test_units_stand_where_they_did(unit, text):
    (value,) = NumberRule(unit=unit).numbers([text.format(unit)])
    assert value == (-5 if "-" in text else 5)


@pytest.mark.parametrize("text", ["$", "$ $5", "5 $ $", "-$-5", "5 x", "x 5", ""])
def test_units_stand_nowhere_else(text):
    (value,) = NumberRule(unit="$").numbers([text])
    assert np.isnan(value)


def bomb(head, megabytes=40):
    """Return what are a thousand times as many bytes unpacked."""
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = bytes(1 << 20) if head[:1] == b"\0" else b"1\n" * (1 << 19)
    parts = [packed.compress(head), *(packed.compress(piece) for _ in range(megabytes))]
    return b"".join([*parts, packed.flush()])


@pytest.mark.thread_unsafe(reason="what is allocated is counted for the whole process")
@pytest.mark.parametrize("read", [read_table, datasets.load_idx], ids=["table", "IDX"])
def test_a_packed_file_that_swells_is_refused_in_time(tmp_path, read):
    head = b"a\n" if read is read_table else struct.pack(">BBBBI", 0, 0, 8, 1, 40 << 20)
    path = tmp_path / "a.gz"
    path.write_bytes(bomb(head))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a\.gz: .* unpacked.* unpack it first"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_a_packed_file_of_one_cell_over_and_over_is_read(tmp_path):
    (tmp_path / "a.gz").write_bytes(bomb(b"a\n", 3))
    assert read_table(tmp_path / "a.gz").rows == 3 << 19


def test_categories_that_are_numbers_are_found_in_linear_time():
    """ "07" is the category "7" of training, unless "7.0" is one, too."""
    texts = [*map(str, range(40_000)), "7.0"]
    codes = Codes.of(texts, range(len(texts)), -1.0, -1.0, None)
    column = Column("a", np.array(["07", "08", *texts], dtype=object))
    report = Report(Table([column], "t"))
    begin = time.process_time()
    found = codes.look_up(column, "a", report)
    assert time.process_time() - begin < 2
    assert found.tolist() == [-1, 8, *range(len(texts))]


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such devices")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_devices_are_no_files(device):
    """The first has no end, and would take all memory."""
    with pytest.raises(TableError, match="is a device, expected a file"):
        read_table(device)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
def test_a_pipe_is_read_to_its_end():
    """As those of a shell's <(...)."""
    reading, writing = os.pipe()
    os.write(writing, b"a,b\n1,2\n3,4\n")
    os.close(writing)
    try:
        assert read_table(f"/dev/fd/{reading}").rows == 2
    finally:
        os.close(reading)
