"""Tables that nobody would write: each is read or refused, at a bounded cost.

tests/soak/fuzz.py damages small ones; here are those whose size is what is wrong.
"""

import os
import time

import numpy as np
import pytest

from fcnn.tables import TableError, read_table
from fcnn.tables.numbers import UNITS, NumberRule


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
