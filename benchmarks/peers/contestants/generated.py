"""Generated C: the file of `fcnn.convert.to_c`, compiled here, called by ctypes."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fcnn
from peers.workloads import Task, UnsupportedError

FLAGS = ["-O3", "-march=native", "-std=c99", "-shared", "-fPIC"]


class GeneratedC:
    name = "generated C"

    def __init__(self, threads: int) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise ImportError("there is no C compiler, cc")
        self.compiler = compiler
        said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
        self.version = said.stdout.partition("\n")[0]
        self.limited = f"generated C: {' '.join(FLAGS)}, one thread; called by ctypes"
        # Loaded libraries outlive their files.
        self.folder = tempfile.TemporaryDirectory()
        self.count = 0

    def trainer(self, task: Task, lr: float) -> Any:
        raise UnsupportedError("the generated file predicts")

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        if x.ndim != 1:
            raise UnsupportedError("the generated function predicts one row")
        self.count += 1
        source = Path(self.folder.name, f"n{self.count}.c")
        fcnn.convert.to_c(network, "net", source)
        library = source.with_suffix(".so")
        subprocess.run([self.compiler, *FLAGS, source, "-o", library, "-lm"], check=True)
        function = ctypes.CDLL(str(library)).net_predict
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p], None
        out = np.empty(network.sizes[-1], x.dtype)
        inputs, outputs = ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data)

        def call(x: np.ndarray = x) -> np.ndarray:  # which stays alive
            function(inputs, outputs)
            return out

        return call
