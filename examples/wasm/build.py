"""A network in the browser: trained, written as C, compiled for WebAssembly, put into one page.

    python examples/wasm/build.py [digits.html]

Needs clang and wasm-ld (Debian: clang, lld). The page needs no server: open the file.
"""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import fcnn

HERE = Path(__file__).parent
FLAGS = [
    "--target=wasm32", "-O3", "-msimd128", "-mbulk-memory", "-ffreestanding", "-nostdlib",
    "-Wl,--no-entry", "-Wl,--export=digits_predict", "-Wl,--export=row", "-Wl,--export=outputs",
]  # fmt: skip
# Where the page writes a row and reads the outputs.
MEMORY = """
static float x[DIGITS_INPUTS], a[DIGITS_OUTPUTS];
float *row(void);
float *row(void) { return x; }
float *outputs(void);
float *outputs(void) { return a; }
"""


def trained():
    """Return a network that reads digits of 8 x 8 pixels, and some of them."""
    X, y = fcnn.datasets.load_digits()
    net = fcnn.Network((64, 64, 10), loss="cross_entropy", rng=0)
    net.fit(X, y, epochs=30, batch_size=32, optimizer=fcnn.Adam(), rng=0, progress=False)
    return net, X[:20]


def build(path, clang="clang"):
    """Write the page; return the network and the recorded rows."""
    net, rows = trained()
    with tempfile.TemporaryDirectory() as name:
        source, program = Path(name, "digits.c"), Path(name, "digits.wasm")
        source.write_text(fcnn.convert.to_c(net, "digits") + MEMORY)
        subprocess.run([clang, *FLAGS, source, "-o", program], check=True)
        text = base64.b64encode(program.read_bytes()).decode()
    page = (HERE / "page.html").read_text("utf-8").replace("@PROGRAM", text)
    Path(path).write_text(page.replace("@RECORDED", json.dumps(rows.tolist())), "utf-8")
    return net, rows


if __name__ == "__main__":
    if shutil.which("clang") is None:
        sys.exit("needs clang")
    target = sys.argv[1] if len(sys.argv) > 1 else "digits.html"
    build(target)
    print(target)
