"""A file of C for WebAssembly: it compiles, and the example's page predicts in a browser."""

import html
import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import Chromium
from generated_c import WARNINGS, find, numbered_network, run, worst_error

from fcnn import convert

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "wasm" / "build.py"


@pytest.fixture
def clang():
    if (found := find("clang")) is None:
        pytest.skip("no clang on this machine")
    return found


@pytest.mark.slow
def test_every_option_compiles_for_wasm32(clang, tmp_path):
    """Without a library: what needs one, training's math.h and the self-test's stdio.h, is off."""
    rng = np.random.default_rng(0)
    for number, dtype in enumerate(["float32", "float64"]):
        net = numbered_network(rng, dtype, 7 + number)
        for weights in ("text", "extern"):
            text = convert.to_c(net, "net", weights=weights, derivatives=True)
            (tmp_path / "net.c").write_text(text)
            for flags in (["-O3", "-msimd128"], ["-Os"]):
                words = ["--target=wasm32", "-ffreestanding", *WARNINGS, *flags, "-c", "net.c"]
                run([clang, *words], tmp_path)
            assert (tmp_path / "net.o").read_bytes()[:4] == b"\0asm"


@pytest.mark.slow
def test_the_page_predicts_in_a_browser(clang, tmp_path):
    browser = Chromium.path()
    if browser is None or shutil.which("wasm-ld") is None:
        pytest.skip("no Chromium or no wasm-ld on this machine")
    spec = importlib.util.spec_from_file_location("build", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net, rows = module.build(tmp_path / "digits.html", clang)
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/home",
        "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "digits.html").as_uri(),
    ]  # fmt: skip
    page = run(command, tmp_path)
    found = re.search(r'data-answers="([^"]*)"', page)
    assert found, page[-500:]
    answers = json.loads(html.unescape(found[1]))
    assert np.shape(answers) == (20, 10)
    assert worst_error(answers, net.predict(rows)) <= 1e-6
