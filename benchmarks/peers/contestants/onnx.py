"""ONNX Runtime: a session, for prediction alone."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import fcnn
from peers.workloads import Task, UnsupportedError


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, threads: int) -> None:
        self.runtime = importlib.import_module("onnxruntime")
        self.onnx = importlib.import_module("onnx")
        self.version = self.runtime.__version__
        self.options = self.runtime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.limited = f"ONNX Runtime: intra_op_num_threads={threads}, inter_op_num_threads=1"

    def trainer(self, task: Task, lr: float) -> Any:
        raise UnsupportedError("ONNX Runtime does not train")

    def _model(self, network: fcnn.Network) -> bytes:
        """Return the network as a graph: Gemm and Relu for each layer, Softmax at the end."""
        helper, from_array = self.onnx.helper, self.onnx.numpy_helper.from_array
        nodes, constants, a = [], [], "x"
        for l, (W, b) in enumerate(zip(network.weights, network.biases, strict=True), start=1):
            constants.append(from_array(np.ascontiguousarray(W.T), f"W{l}"))
            constants.append(from_array(b.copy(), f"b{l}"))
            nodes.append(helper.make_node("Gemm", [a, f"W{l}", f"b{l}"], [f"z{l}"]))
            sigma = "Softmax" if l == len(network.weights) else "Relu"
            nodes.append(helper.make_node(sigma, [f"z{l}"], [a := f"a{l}"]))
        dtype = helper.np_dtype_to_tensor_dtype(network.dtype)
        ends = [
            helper.make_tensor_value_info(name, dtype, ["samples", size])
            for name, size in (("x", network.sizes[0]), (a, network.sizes[-1]))
        ]
        graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        providers = ["CPUExecutionProvider"]
        session = self.runtime.InferenceSession(self._model(network), self.options, providers)
        inputs = {"x": np.atleast_2d(x)}
        return lambda: session.run(None, inputs)[0]
