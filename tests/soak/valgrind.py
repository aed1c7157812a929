"""A short run of every kind of call under valgrind: no access outside of memory, nothing undefined.

What valgrind says of the interpreter and of NumPy, of both of which it knows false alarms, is not
counted: a report counts where a frame of fcnn's core is in it.
"""

import os
import re
import shutil
import subprocess
import sys

from .common import ROOT, Lacking, goes_on

PROGRAM = """
import numpy as np, fcnn, scipy.sparse, sys
rng = np.random.default_rng(0)
for dtype in ("float32", "float64"):
    for sizes in ((4, 16, 3), (300, 40, 3), (20, 130, 30, 3)):
        net = fcnn.Network(sizes, "gelu", dtype=dtype, rng=0)
        for rows in (1, 2, 5, 17, 70):
            X = rng.normal(size=(rows, sizes[0])).astype(dtype)
            y = rng.integers(3, size=rows)
            net.predict(X); net.predict(X, n_threads=2); net.gradients(X, y); net.trace(X, y)
            net.predict(scipy.sparse.csr_array(X)); net.jacobian(X[:2])
            net.hvp(X[:2], np.ones((min(rows, 2), 3)), X[:2])
            for optimizer in (fcnn.SGD(0.01), fcnn.SGD(0.01, momentum=0.9), fcnn.Adam()):
                net.train_step(X, y, optimizer)
            net.fit(X, y, epochs=1, batch_size=4, n_threads=2, clip_norm=1, dropout=0.1)
print("done")
"""


def run(size, seed):
    if shutil.which("valgrind") is None:
        raise Lacking("needs valgrind (apt-get install valgrind)")
    goes_on(4 * 3600)
    done = subprocess.run(
        ["valgrind", "--error-limit=no", "--num-callers=20", sys.executable, "-c", PROGRAM],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONMALLOC": "malloc", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == "done", done.stdout + done.stderr[-4000:]
    blocks, block = [], []
    for line in done.stderr.splitlines():
        body = line.partition("== ")[2]
        if body.strip():
            block.append(body)
        else:
            blocks.append("\n".join(block))
            block = []
    # By the functions of Cython's and the modules' names; CPython has files called pycore_*.
    ours = [b for b in blocks if re.search(r"__pyx_|fcnn_\w+ \(|_core\w*\.abi3\.so", b)]
    assert not ours, f"{len(ours)} reports, of which the first is\n{ours[0]}"
    return "two dtypes, three networks, every kind of call: no report that has fcnn in it"
