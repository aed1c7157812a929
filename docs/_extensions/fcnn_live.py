"""What the pages "Replay a pass" and "Draw a digit" need: recorded answers, and WebAssembly."""

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
from fcnn.learn._requests import answer
from fcnn.learn._widget import modules

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


# The network that is replayed, as the page of `fcnn learn` asks for it.
RECORDED = {
    "sizes": [2, 3, 2], "activation": "sigmoid", "output": "sigmoid", "loss": "squared_error",
    "dtype": "float64", "seed": 1,
}  # fmt: skip
REPLAY = """
const { net, answers } = recorded;
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
async function ask(name, request) {
  const found = answers[[name, request.l, request.k, request.j].join(" ").trim()];
  const is = { ...net, ...answers.trace };
  const asked = ["sizes", "activation", "loss", "output", "dtype", "W", "b", "x", "y"];
  if (!found || !asked.every((one) => !(one in request) || same(request[one], is[one]))) {
    throw new Error("This page has one recorded pass; fcnn learn computes all others.");
  }
  return structuredClone(found);
}
shown(document.getElementById("fcnn-replay"), ask, { view: "full", only: net });
"""


def replay() -> str:
    """Return the script that replays a recorded pass in the page of `fcnn learn`."""
    answers = {"options": answer("options", {}), "trace": answer("trace", RECORDED)}
    for l, n in enumerate(RECORDED["sizes"]):
        for k in range(n):
            places = [{"l": l, "k": k}]
            if l:
                places += [{"l": l, "k": k, "j": j} for j in range(RECORDED["sizes"][l - 1])]
            for at in places:
                key = " ".join(map(str, ["explain", *at.values()]))
                answers[key] = answer("explain", {**RECORDED, **at, "digits": 4})
    recorded = json.dumps({"net": RECORDED, "answers": answers})
    return f"(() => {{\n{modules()}\nconst recorded = {recorded};\n{REPLAY}}})();\n"


def write(app: Sphinx, config: Config) -> None:
    """Write them as scripts: a page that is opened as a file may not fetch."""
    folder = ROOT / "build" / "site-static"
    folder.mkdir(parents=True, exist_ok=True)
    Path(folder, "replay.js").write_text(replay(), "utf-8")
    found = data()
    if found["wasm"] is None:
        log.info("no compiler for WebAssembly (pip install ziglang): recorded answers alone")
    Path(folder, "live-data.js").write_text(f"window.fcnnLive = {json.dumps(found)};\n", "utf-8")


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("config-inited", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
