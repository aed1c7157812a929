"""show_config: its mode."""

import pytest

import fcnn


@pytest.mark.parametrize("mode", ["json", None, 1])
def test_show_config_refuses(mode):
    with pytest.raises(ValueError, match=r"^mode: expected 'stdout' or 'dicts', got "):
        fcnn.show_config(mode)
