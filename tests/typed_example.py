"""What a type checker knows of fcnn: a program, and calls that it has to refuse.

`mypy --strict` reads this file in test_typing.py. An `ignore` that nothing needs is an error there:
each stands for a mistake that must be seen.
"""

from typing import TYPE_CHECKING, Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn.callbacks import EarlyStopping
from fcnn.names import Activation, Loss, Name
from fcnn.schedules import Cosine, Schedule, WarmUp
from fcnn.training import History, Progress


class Halving(Schedule):
    """A schedule of one's own."""

    def factors(self, times: NDArray[np.float64], epochs: int) -> NDArray[np.float64]:
        return 0.5 ** np.floor(times)


def stop_when_good(progress: Progress) -> bool:
    return progress.history.loss[-1] < 0.01


def squared(a: NDArray[Any], y: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    return float(((a - y) ** 2).mean()), 2 * (a - y) / a.size


def program(file: str) -> None:
    net = fcnn.Network((4, 8, 8, 3), ["tanh", "relu"], dtype=np.float64, rng=0)
    assert_type(net.sizes, tuple[int, ...])
    assert_type(net.activations, tuple[Name, ...])
    assert_type(net.dtype, np.dtype[Any])
    assert_type(net.num_parameters, int)
    X, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    out = np.empty((30, 3))

    assert_type(net.predict(X), NDArray[Any])
    assert_type(net.predict([0.0, 1.0, 2.0, 3.0]), NDArray[Any])
    assert_type(net.predict(X, out=out, n_threads=1), NDArray[Any])
    assert_type(net(X), NDArray[Any])
    loss, gradient = net.gradients(X, y, sample_weight=np.ones(30))
    assert_type(loss, float)
    assert_type(gradient, NDArray[Any])
    assert_type(net.train_step(X, y, fcnn.SGD(lr=0.1, momentum=0.9, nesterov=True)), float)
    assert_type(net.evaluate(X, y), dict[str, float])
    assert_type(net.trace(X, y).loss, float)
    assert_type(net.check_gradients(X, y).passed, bool)
    assert_type(net.jacobian(X), NDArray[Any])
    assert_type(net.jacobian(X[0], out=np.empty((3, 4)), n_threads=1), NDArray[Any])
    a, _ = net.vjp(X, np.ones((30, 3)))
    net.vjp(X, a, out=(a, None))
    assert_type(net.jvp(X, np.ones((30, 4))), tuple[NDArray[Any], NDArray[Any]])
    assert_type(net.hvp(X, a, X), NDArray[Any])
    assert_type(net.hessian(X, output=2), NDArray[Any])
    J = net.jacobian(X)
    loss, _ = net.gradients(X, y, jacobian_targets=J, jacobian_weight=0.1)
    assert_type(loss, float)
    net.train_step(X, y, fcnn.Adam(), jacobian_targets=J.tolist(), jacobian_weight=1)
    net.fit(X, y, epochs=1, jacobian_targets=J, jacobian_weight=0.1)

    history = net.fit(
        X, y, epochs=2, batch_size=None, optimizer=fcnn.AdamW(lr=0.01), validation=(X, y),
        schedule=[WarmUp(1), Cosine(), Halving(), lambda t: 1 / (1 + t)], dropout=[0.0, 0.1, 0.1],
        callbacks=[EarlyStopping(patience=3), fcnn.ModelCheckpoint(file), stop_when_good],
        class_weight={0: 2.0}, rng=np.random.default_rng(1),
    )  # fmt: skip
    assert_type(history, History)
    assert_type(history.validation_loss, list[float])
    fcnn.Network((4, 3), loss="squared_error").fit([(X, out)], epochs=1, loss=squared)
    net.fit(X, y, epochs=1, trainable={1: False, (2, "b"): 0.1})
    net.train_step(X, y, fcnn.SGD(lr=0.1), trainable={1: False})

    assert_type(net.weights, list[NDArray[Any]])
    net.weights[0][:] = 0
    net.weights = [W * 2 for W in net.weights]
    net.biases = [[0.0] * len(b) for b in net.biases]
    net.parameters -= 0.1 * gradient
    net.features, net.classes = np.array(["a", "b", "c", "d"]), np.unique(y)
    assert_type(net.features, list[str] | None)
    assert_type(net.parameters, NDArray[Any])

    *hidden, output = net.activations
    same = fcnn.Network(net.sizes, hidden, output, net.loss)
    activation: Activation = "gelu"
    loss_of_cubes: Loss = "huber"
    fcnn.Network((4, 8, 3), activation, loss=loss_of_cubes, init="he_normal")
    fcnn.Network((4, 8, 3), Name("leaky_relu(0.2)"), loss=Name("quantile(0.1, 0.5, 0.9)"))
    same.fit(X, y, epochs=1, optimizer="adamw", class_weight="balanced")

    net.save(file)
    assert_type(fcnn.load(file), fcnn.Network | fcnn.Model | fcnn.Ensemble)
    assert_type(net.copy(), fcnn.Network)
    assert_type(fcnn.convert.to_c(net, "model"), str)
    assert_type(fcnn.get_include(), str)
    fcnn.set_num_threads(None)
    assert_type(fcnn.get_num_threads(), int)


if TYPE_CHECKING:
    net = fcnn.Network((4, 3))
    X, y = np.zeros((2, 4)), np.zeros(2, int)
    fcnn.Network(4, 3)  # type: ignore[arg-type]
    fcnn.Network((4, 3), activation=0)  # type: ignore[arg-type]
    fcnn.Network((4, 8, 3), activation="rellu")  # type: ignore[arg-type]
    fcnn.Network((4, 8, 8, 3), activation=["relu", "tahn"])  # type: ignore[list-item]
    fcnn.Network((4, 8, 3), activation="softmax")  # type: ignore[arg-type]
    fcnn.Network((4, 8, 3), output_activation="sofmax")  # type: ignore[arg-type]
    fcnn.Network((4, 8, 3), loss="crossentropy")  # type: ignore[arg-type]
    fcnn.Network((4, 8, 3), init="he")  # type: ignore[arg-type]
    net.fit(X, y, optimizer="sgd")  # type: ignore[arg-type]
    net.fit(X, y, class_weight="balance")  # type: ignore[arg-type]
    fcnn.convert.from_onnx("net.onnx", loss="mse")  # type: ignore[arg-type]
    fcnn.Network((4, 3), solver="adam")  # type: ignore[call-arg]
    net.predict(X, out=[0.0, 0.0, 0.0])  # type: ignore[arg-type]
    net.predict(X, n_threads="2")  # type: ignore[arg-type]
    net.gradients(X)  # type: ignore[call-overload]
    net.train_step(X, y, "sgd")  # type: ignore[arg-type]
    net.train_step(X, y, fcnn.SGD)  # type: ignore[arg-type]
    net.fit(X, y, 10)  # type: ignore[call-arg]
    net.fit(X, y, epochs=1.5)  # type: ignore[arg-type]
    net.fit(X, y, schedule="cosine")  # type: ignore[arg-type]
    net.fit(X, y, callbacks=[print, 3])  # type: ignore[list-item]
    net.fit(X, y, optimiser=fcnn.Adam())  # type: ignore[call-arg]
    net.sizes = (4, 3)  # type: ignore[misc]
    net.weights = 0  # type: ignore[assignment]
    net.lr = 0.1  # type: ignore[attr-defined]
    net.features = 3  # type: ignore[assignment]
    fcnn.Adam().learning_rate = 0.1  # type: ignore[attr-defined]
    fcnn.LBFGS().learning_rate = 0.1  # type: ignore[attr-defined]
    EarlyStopping().patients = 3  # type: ignore[attr-defined]
    Cosine().end = 3  # type: ignore[attr-defined]
    fcnn.SGD(learning_rate=0.1)  # type: ignore[call-arg]
    fcnn.Adam(betas=0.9)  # type: ignore[arg-type]
    fcnn.load(3)  # type: ignore[arg-type]
    fcnn.nonsense()  # type: ignore[attr-defined]
    Cosine("long")  # type: ignore[arg-type]
    EarlyStopping(patience=None)  # type: ignore[arg-type]
    net.predict(X).no_method()  # type: ignore[attr-defined]
