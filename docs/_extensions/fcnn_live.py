"""What the page "Draw a digit" needs: recorded answers, and a network as WebAssembly."""

import base64
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

import fcnn

ROOT = Path(__file__).resolve().parent.parent.parent
log = logging.getLogger(__name__)

PROGRAM = """
#include "digits.c"
static float x[DIGITS_INPUTS], a[DIGITS_OUTPUTS];
__attribute__((export_name("inputs"))) float *inputs(void) { return x; }
__attribute__((export_name("predict"))) float *predict(void) { digits_predict(x, a); return a; }
"""


def compiled(net: fcnn.Network) -> str | None:
    """Return a network as WebAssembly in base64, or None where there is no compiler for it."""
    if importlib.util.find_spec("ziglang") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        fcnn.convert.to_c(net, "digits", Path(folder, "digits.c"))
        Path(folder, "live.c").write_text(PROGRAM)
        command = [
            sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-mexec-model=reactor",
            "-O3", "-s", "live.c", "-o", "live.wasm",
        ]  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=900)
        return base64.b64encode(Path(folder, "live.wasm").read_bytes()).decode()


def data() -> dict[str, object]:
    """Return the network's answers and traces for some images, and its code."""
    X, y = fcnn.datasets.load_digits()
    net = fcnn.Network((64, 32, 10), rng=0)
    net.fit(X / 16, y, epochs=40, dropout=[0.1, 0.1])
    rows = np.arange(0, 1000, 50)
    samples = []
    for i in rows.tolist():
        trace = net.trace(X[i] / 16, y[i])
        samples.append({
            "x": X[i].tolist(), "y": int(y[i]), "a": trace.a[2][0].tolist(),
            "delta": trace.delta[2][0].tolist(),
        })  # fmt: skip
    return {"samples": samples, "wasm": compiled(net)}


def write(app: Sphinx, config: Config) -> None:
    """Write it as a script: a page that is opened as a file may not fetch."""
    folder = ROOT / "build" / "site-static"
    folder.mkdir(parents=True, exist_ok=True)
    found = data()
    if found["wasm"] is None:
        log.info("no compiler for WebAssembly (pip install ziglang): recorded answers alone")
    Path(folder, "live-data.js").write_text(f"window.fcnnLive = {json.dumps(found)};\n", "utf-8")


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("config-inited", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
