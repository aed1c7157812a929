from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from typing_extensions import disjoint_base

from fcnn._validation import StepOptions
from fcnn.names import Name
from fcnn.optimizers import Optimizer

ISA: str
ACTIVATIONS: tuple[str, ...]
OUTPUT_ONLY: tuple[str, ...]
ACTIVATION_CONSTANTS: dict[str, tuple[str, float]]
OUTPUT_ACTIVATIONS: dict[str, tuple[str, ...]]
TARGETS: dict[str, str]
LOSS_LEVELS: dict[str, tuple[float, ...]]
RULES: tuple[str, ...]
ELEMENTARY: list[str]

def split_activation(name: str) -> tuple[str, float | None]: ...
def split_loss(loss: str) -> tuple[str, tuple[float, ...]]: ...
def outputs_per_target(loss: str) -> int: ...
def output_activations(loss: str) -> tuple[str, ...]: ...
def all_finite(array: NDArray[Any]) -> bool: ...
def chosen_threads(
    network: Network,
    rows: int,
    batch_size: int,
    backward: bool = True,
    in_panels: bool = False,
) -> int: ...
def add_normal_equations(
    network: Network,
    X: NDArray[Any],
    dC_da: NDArray[Any],
    residual: NDArray[Any],
    sums: NDArray[np.float64],
    n_threads: int | None = None,
) -> None: ...
def gradient_given(
    network: Network, X: NDArray[Any], dC_da: NDArray[Any], n_threads: int | None = None
) -> NDArray[Any]: ...
def factor_block(factor: NDArray[np.float64], begin: int, end: int) -> bool: ...
def solve_factored(factor: NDArray[np.float64], vector: NDArray[np.float64]) -> None: ...
def make_step(
    network: Network, parameters: NDArray[Any], optimizer: object, state: dict[str, Any]
) -> None: ...
def all_indices(array: NDArray[Any], end: int) -> bool: ...
def c_api(load: Callable[[Any], Network]) -> object: ...
def elementary(name: str, array: NDArray[Any]) -> NDArray[Any]: ...
def force_tiny(force: int) -> None: ...
def count_ways(counted: bool) -> dict[str, int]: ...
def shuffled(generator: np.random.Generator, n: int) -> NDArray[np.int64]: ...
def force_lists(force: int) -> None: ...
def force_together(force: int) -> None: ...
def train_many(
    trainings: list[tuple[Any, ...]], epochs: int, n_threads: int | None
) -> list[tuple[int, Exception | None]]: ...
def force_direction(force: int) -> None: ...
def micro_tile_shape() -> tuple[int, int, int]: ...
def multiply_adds(count: int, dtype: DTypeLike) -> int: ...
def team_placement(size: int, between: Callable[[], object]) -> list[tuple[int, set[int]]]: ...
def exchange_vector(network: Network, in_panels: bool) -> NDArray[Any]: ...
def exchange_steps(
    network: Network,
    X: Any,
    y: NDArray[Any] | None,
    optimizer: Optimizer,
    own: object,
    vectors: Sequence[NDArray[Any]],
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    weights: NDArray[np.float64],
    costs: NDArray[np.float64],
    penalties: NDArray[np.float64],
    *,
    order: NDArray[np.int64] | None = None,
    sample_weight: NDArray[Any] | None = None,
    n_threads: int | None = None,
    options: StepOptions | None = None,
    lr_curve: NDArray[Any] | None = None,
    seed: int = 0,
    first_step: int = 0,
    buckets: NDArray[np.int64],
    in_panels: bool,
) -> tuple[int, bool]: ...
def weights_bytes(network: Network, optimizer: Optimizer) -> int: ...
def meet_shared(
    counters: NDArray[np.int64], rank: int, meeting: int, look: Callable[[], object]
) -> None: ...
def sum_shared(
    own: NDArray[Any],
    addresses: NDArray[np.int64],
    counters: NDArray[np.int64],
    rank: int,
    first: int,
    end: int,
    meetings: int,
    look: Callable[[], object],
) -> None: ...
def zeros_with_slack(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]: ...

@disjoint_base
class Network:
    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def activations(self) -> tuple[Name, ...]: ...
    @property
    def loss(self) -> Name: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def parameters(self) -> NDArray[Any]: ...
    @property
    def address(self) -> int: ...
    def __init__(
        self,
        sizes: Sequence[int],
        activations: Sequence[str],
        loss: str,
        dtype: DTypeLike,
    ) -> None: ...
    def __call__(
        self, X: ArrayLike, out: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> NDArray[Any]: ...
    def predict(
        self, X: ArrayLike, out: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> NDArray[Any]: ...
    def _loss_and_outputs(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None = None,
        n_threads: int | None = None,
    ) -> tuple[float, NDArray[Any]]: ...
    def gradients(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None = None,
        n_threads: int | None = None,
    ) -> tuple[float, NDArray[Any]]: ...
    def _backpropagate(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None = None,
        *,
        summed: bool = False,
    ) -> tuple[list[Any], list[Any], list[Any], float, NDArray[Any]]: ...
    def _outputs(
        self,
        X: NDArray[Any],
        n_threads: int | None = None,
        dropout: Sequence[float] | None = None,
        seed: int = 0,
    ) -> NDArray[Any]: ...
    def train_step(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        optimizer: Optimizer,
        sample_weight: NDArray[Any] | None = None,
        n_threads: int | None = None,
        options: StepOptions | None = None,
        *,
        batch_losses: NDArray[Any] | None = None,
        seed: int = 0,
    ) -> float: ...
    def _train_epoch(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        optimizer: Optimizer,
        batch_size: int,
        order: NDArray[Any] | None = None,
        sample_weight: NDArray[Any] | None = None,
        n_threads: int | None = None,
        options: StepOptions | None = None,
        *,
        lr_curve: NDArray[Any] | None = None,
        batch_losses: NDArray[Any] | None = None,
        totals: NDArray[Any] | None = None,
        seed: int = 0,
    ) -> float: ...
    def free_workspace(self) -> None: ...
    def _read_layers(self, numbers: NDArray[Any]) -> None: ...

def are_samples(network: CheckedNetwork, X: object, y: object, sample_weight: object) -> bool: ...
def given_gradient(
    network: Network,
    X: Any,
    delta: NDArray[Any],
    n_threads: int | None = None,
    gradient: NDArray[Any] | None = None,
) -> NDArray[Any]: ...
def refuse_while_asked(network: Network) -> None: ...
def own_step(
    network: Network,
    X: Any,
    y: Any,
    sample_weight: Any,
    loss: Callable[..., tuple[float, ArrayLike]],
    of_z: bool,
    optimizer: Optimizer | None = None,
    n_threads: int | None = None,
    options: StepOptions | None = None,
    gradient: NDArray[Any] | None = None,
    seed: int = 0,
) -> tuple[float, Any]: ...
def step_gradient(
    network: Network,
    X: Any,
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
    n_threads: int | None = None,
    options: StepOptions | None = None,
    *,
    seed: int = 0,
    gradient: NDArray[Any] | None = None,
    summed: bool = False,
) -> tuple[float, NDArray[Any]]: ...
def add_jacobian_gradient(
    network: Network,
    X: NDArray[Any],
    targets: NDArray[Any],
    weight: float,
    sample_weight: NDArray[Any] | None,
    n_threads: int | None,
    gradient: NDArray[Any],
) -> float: ...
def penalty_of(network: Network, options: StepOptions) -> float: ...
def update(
    network: CheckedNetwork,
    optimizer: Optimizer,
    gradient: NDArray[Any],
    options: StepOptions | None = None,
) -> None: ...

class CheckedNetwork(Network):
    @property
    def num_targets(self) -> int: ...
    @overload
    def gradients(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        n_threads: int | None = None,
        *,
        loss: None = None,
        of: Literal["a"] = "a",
        delta: None = None,
        out: NDArray[Any] | None = None,
        jacobian_targets: ArrayLike | None = None,
        jacobian_weight: float | None = None,
    ) -> tuple[float, NDArray[Any]]: ...
    @overload
    def gradients(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: Any = None,
        n_threads: int | None = None,
        *,
        loss: Callable[..., tuple[float, ArrayLike]],
        of: Literal["a", "z"] = "a",
        delta: None = None,
        out: NDArray[Any] | None = None,
        jacobian_targets: ArrayLike | None = None,
        jacobian_weight: float | None = None,
    ) -> tuple[float, NDArray[Any]]: ...
    @overload
    def gradients(
        self,
        X: ArrayLike,
        y: None = None,
        sample_weight: None = None,
        n_threads: int | None = None,
        *,
        loss: None = None,
        of: Literal["a"] = "a",
        delta: ArrayLike,
        out: NDArray[Any] | None = None,
        jacobian_targets: None = None,
        jacobian_weight: None = None,
    ) -> tuple[None, NDArray[Any]]: ...
    def evaluate(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> dict[str, float]: ...
    def train_step(  # type: ignore[override] # that of Network takes other options, unchecked
        self,
        X: ArrayLike,
        y: Any,
        optimizer: Optimizer,
        sample_weight: Any = None,
        n_threads: int | None = None,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        dropout: float | Sequence[float] = 0.0,
        label_smoothing: float = 0.0,
        loss: Callable[..., tuple[float, ArrayLike]] | None = None,
        of: Literal["a", "z"] = "a",
        trainable: Mapping[Any, float] | None = None,
        jacobian_targets: ArrayLike | None = None,
        jacobian_weight: float | None = None,
    ) -> float: ...

class DifferentiatedNetwork(CheckedNetwork):
    def jacobian(
        self, X: ArrayLike, out: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> NDArray[Any]: ...
    def vjp(
        self,
        X: ArrayLike,
        v: ArrayLike,
        out: tuple[NDArray[Any] | None, NDArray[Any] | None] | None = None,
        n_threads: int | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...
    def jvp(
        self,
        X: ArrayLike,
        u: ArrayLike,
        out: tuple[NDArray[Any] | None, NDArray[Any] | None] | None = None,
        n_threads: int | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...
    def hvp(
        self,
        X: ArrayLike,
        v: ArrayLike,
        u: ArrayLike,
        out: NDArray[Any] | None = None,
        n_threads: int | None = None,
    ) -> NDArray[Any]: ...
    def hessian(
        self,
        X: ArrayLike,
        output: int | None = None,
        out: NDArray[Any] | None = None,
        n_threads: int | None = None,
    ) -> NDArray[Any]: ...
