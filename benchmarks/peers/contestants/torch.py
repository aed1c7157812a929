"""PyTorch, eager: modules, autograd and an optimizer, and slices of tensors as batches."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import fcnn
from peers.workloads import Task, flat


class Torch:
    name = "PyTorch"

    def __init__(self, threads: int) -> None:
        self.torch = importlib.import_module("torch")
        self.version = self.torch.__version__
        self.torch.set_num_threads(threads)
        self.torch.set_num_interop_threads(1)
        self.limited = f"PyTorch: torch.set_num_threads({threads}), OMP_WAIT_POLICY=passive"

    def layers(self, network: fcnn.Network) -> list[Any]:
        """Return the modules of a network, without the output's activation."""
        nn, tensor = self.torch.nn, self.torch.tensor
        modules: list[Any] = []
        for W, b in zip(network.weights, network.biases, strict=True):
            linear = nn.Linear(W.shape[1], W.shape[0])
            linear.weight = nn.Parameter(tensor(np.ascontiguousarray(W)))
            linear.bias = nn.Parameter(tensor(b))
            modules += [linear, nn.Tanh() if network.activations[0] == "tanh" else nn.ReLU()]
        return modules[:-1]

    def trainer(self, task: Task, lr: float) -> Any:
        return TorchTrainer(self, task, lr)

    def stepper(self, task: Task, lr: float) -> Any:
        return TorchStepper(self, task, lr)

    def predictor(self, network: fcnn.Network, x: np.ndarray) -> Callable[[], Any]:
        torch = self.torch
        model = torch.nn.Sequential(*self.layers(network), torch.nn.Softmax(dim=-1))
        inputs = torch.from_numpy(x)

        def predict() -> Any:
            with torch.no_grad():
                return model(inputs)

        return predict


class TorchTrainer:
    def __init__(self, peer: Torch, task: Task, lr: float) -> None:
        self.torch, self.workload = peer.torch, task.workload
        self.X, self.y = peer.torch.from_numpy(task.X), peer.torch.from_numpy(task.y)
        self.model = peer.torch.nn.Sequential(*peer.layers(task.network))
        optim = peer.torch.optim
        rule = optim.SGD if task.workload.optimizer == "sgd" else optim.Adam
        self.optimizer = rule(self.model.parameters(), lr=lr)

    def step(self, x: Any, y: Any) -> Any:
        functional = self.torch.nn.functional
        self.optimizer.zero_grad(set_to_none=True)
        outputs = self.model(x)
        if self.workload.loss == "cross_entropy":
            loss = functional.cross_entropy(outputs, y)
        else:
            loss = functional.mse_loss(outputs, y, reduction="sum") / (2 * len(y))
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self) -> float:
        total = self.torch.zeros((), dtype=self.X.dtype)
        batch = self.workload.batch
        for i in range(0, len(self.X), batch):
            total += self.step(self.X[i : i + batch], self.y[i : i + batch])
        return total.item() / self.workload.steps

    def parameters(self) -> np.ndarray:
        values = [p.detach().numpy() for p in self.model.parameters()]
        return flat(values[::2], values[1::2])


class TorchStepper(TorchTrainer):
    """An epoch over batches that were cut beforehand."""

    def __init__(self, peer: Torch, task: Task, lr: float) -> None:
        super().__init__(peer, task, lr)
        batch = task.workload.batch
        self.batches = list(zip(self.X.split(batch), self.y.split(batch), strict=True))

    def epoch(self) -> float:
        total = 0.0
        for x, y in self.batches:
            total += self.step(x, y).item()  # as train_step returns a number
        return total / len(self.batches)
