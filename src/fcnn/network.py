"""Network: checks arguments, allocates once, calls the core."""

# Annotations stay text, or help() shows ArrayLike as the union of all its types.
from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import fcnn
from fcnn import _sobolev
from fcnn import _validation as check
from fcnn._architecture import as_architecture
from fcnn._conversion import ConvertingNetwork
from fcnn._dispatch import core
from fcnn._own_loss import as_own_loss
from fcnn._sparse import SparseRows
from fcnn._views import Views, layer_views, write_sample_gradients
from fcnn.initializers import INITIALIZERS, initial_weights
from fcnn.optimizers import Optimizer
from fcnn.trace import Trace, rows_and_shares

# Imported where they are used, for a quick start: dataclasses take milliseconds to make. `fcnn` is
# for annotations alone: one that is evaluated finds them as its attributes.
if TYPE_CHECKING:
    import fcnn._data
    import fcnn.gradient_check
    import fcnn.history
    import fcnn.names
    import fcnn.parallel
    import fcnn.schedules
    import fcnn.training

__all__ = ["Network"]


def __dir__() -> list[str]:
    return __all__


Array = NDArray[Any]


class Network(ConvertingNetwork):
    """A fully connected neural network.

    z^l = W^l a^(l-1) + b^l and a^l = sigma(z^l) for layers l = 1..L, a^0 the input.

    Parameters
    ----------
    sizes : sequence of int
        n_0, ..., n_L: features, nodes of each hidden layer, outputs. At least two.
    activation : str or sequence of str, default "relu"
        sigma of the hidden layers, one name for all or one for each: identity, sigmoid, tanh, relu,
        leaky_relu, elu, gelu, silu, softplus. PyTorch's definitions and constants; another slope
        than 0.01 and another alpha than 1 stand behind the name: leaky_relu(0.2), elu(0.5). Both
        are numbers from 0 to 1e30.
    output_activation : str, optional
        sigma of the output layer: those, softmax, exp or ascending. None: the loss's natural one.
    loss : str, default "cross_entropy"
        Summed over outputs, averaged over samples. In parentheses the natural output activation,
        then the others that are valid.

        - cross_entropy: -sum_k y_k log a_k (softmax). Targets are labels 0..n_L-1 or one-hot rows.
        - binary_cross_entropy: -y log a - (1 - y) log(1 - a) (sigmoid). Targets from 0 to 1.
        - squared_error: (a - y)^2 / 2 (identity; all)
        - absolute_error: |a - y| (identity; all)
        - huber: (a - y)^2 / 2 up to an error of 1, |a - y| - 1/2 beyond (identity; all)
        - poisson: a - y log a (exp; softplus). Targets of at least 0.
        - gaussian_nll: (s + (a - y)^2 e^-s) / 2, two outputs for each target: n_L/2 means a, then
          n_L/2 logarithms s of variances (identity).
        - quantile: q (y - a) if a < y, (1 - q) (a - y) otherwise, summed over levels q behind the
          name, quantile(0.05, 0.5, 0.95) by default: all outputs of the first level, then of the
          second, ... (ascending: never below the one before; of one level identity).
    dtype : str or numpy.dtype, default "float32"
        float32 or float64: parameters, arithmetic and outputs.
    init : str, default "auto"
        Initial weights: he_normal, he_uniform, glorot_normal, glorot_uniform, lecun_normal,
        lecun_uniform or zeros; "auto" picks by activation. See `fcnn.initializers`.
    rng : int, numpy.random.Generator or None, default 0
        Seed or generator of the initial weights, and later of `fit`'s shuffling.

    Attributes
    ----------
    sizes : tuple of int
    activations : tuple of str
        One name for each layer 1..L, with a number where it is not the default.
    loss : str
    address : int
        Where the functions of `fcnn.c_functions` find the network.
    num_targets : int
        Columns of y: n_L, or a part of it with the losses gaussian_nll and quantile.
    dtype : numpy.dtype
    rng : numpy.random.Generator
    features : list of str or None
        Names of the inputs: of a data frame the columns must be these, in this order. And
    classes : list or None
        the classes in the order of the outputs, one or two of a single output; nothing is computed
        with them. None unless set, as the estimators of `fcnn.sklearn` do. Files keep both.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described.

    Examples
    --------
    >>> import fcnn
    >>> net = fcnn.Network((2, 3, 1), loss="squared_error", rng=0)
    >>> net.predict([0.5, -1.0]).shape
    (1,)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: fcnn.names.Activation | Sequence[fcnn.names.Activation] = "relu",
        output_activation: fcnn.names.OutputActivation | None = None,
        loss: fcnn.names.Loss = "cross_entropy",
        dtype: DTypeLike = "float32",
        init: fcnn.names.Initializer = "auto",
        rng: int | np.random.Generator | None = 0,
    ) -> None:
        sizes, activations, loss = as_architecture(sizes, activation, output_activation, loss)
        initializer = check.as_choice("init", init, INITIALIZERS)
        given_dtype = check.as_dtype(dtype)
        generator = check.as_generator(rng)
        super().__init__(sizes, activations, loss, given_dtype)
        self.rng = generator
        for W, name in zip(self.weights, activations, strict=True):
            W[...] = initial_weights(initializer, name, W.shape[1], W.shape[0], generator)

    # --- Parameters ------------------------------------------------------------------------------

    @property
    def parameters(self) -> Array:
        """The flat vector of all parameters, shape (num_parameters,).

        Layer after layer: W^l, stored (n_(l-1), n_l) row-major, then b^l. Writing to it changes the
        network, and so does assigning to it.
        """
        return super().parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        flat = super().parameters
        array = check.as_numeric("parameters", values)
        if array.shape != flat.shape:
            raise ValueError(f"parameters: expected shape {flat.shape}, got {array.shape}")
        flat[...] = check.cast("parameters", array, self.dtype)

    @property
    def weights(self) -> list[Array]:
        """W^1..W^L: ``net.weights[l - 1]`` has shape (n_l, n_(l-1)).

        Views, not copies: writing to them changes the network, and so does assigning to an entry or
        to the whole list.
        """
        return self._views("weights")

    @weights.setter
    def weights(self, values: Sequence[ArrayLike]) -> None:
        self._views("weights").assign(values)

    @property
    def biases(self) -> list[Array]:
        """b^1..b^L: ``net.biases[l - 1]`` has shape (n_l,); views like `weights`."""
        return self._views("biases")

    @biases.setter
    def biases(self, values: Sequence[ArrayLike]) -> None:
        self._views("biases").assign(values)

    def _views(self, name: str) -> Views:
        weights, biases = layer_views(self.parameters, self.sizes)
        return Views(name, weights if name == "weights" else biases)

    @property
    def num_parameters(self) -> int:
        """How many weights and biases there are."""
        return self.parameters.size

    # --- Passes ----------------------------------------------------------------------------------

    def trace(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Trace:
        """Return every z, a and delta of one pass, and the gradients layer by layer.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        y : array-like
            Targets, shape (s, num_targets), (s,) for labels or a single one.
        sample_weight : array-like, shape (s,), optional

        Returns
        -------
        fcnn.trace.Trace
            Its lists are indexed by l = 1..L; ``a[0]`` is the input, and ``delta[0]`` is dC/dx.
        """
        inputs, targets, weight = self._as_batch(X, y, sample_weight)
        if isinstance(inputs, SparseRows):
            inputs = inputs.toarray()
        z, a, delta, loss, gradient = self._backpropagate(inputs, targets, weight)
        a[0] = inputs.copy()  # it may be the caller's own array
        delta[0] = delta[1] @ self.weights[0]
        dW, db = layer_views(gradient, self.sizes)
        W, b = layer_views(self.parameters.copy(), self.sizes)
        rows, share = rows_and_shares(targets, weight, len(inputs), self.sizes[-1])
        return Trace(
            z, a, delta, [None, *dW], [None, *db], loss, self.activations, [None, *W], [None, *b],
            rows, share, self.loss,
        )  # fmt: skip

    def sample_gradients(self, X: ArrayLike, y: ArrayLike, *, out: Array | None = None) -> Array:
        """Return the gradient of each sample's cost.

        Parameters
        ----------
        X : array-like, shape (s, n_0) or (n_0,), or sparse matrix of SciPy's, shape (s, n_0)
        y : array-like
            Targets, shape (s, num_targets), (s,) for labels or a single one.
        out : numpy.ndarray, shape (s, num_parameters), optional
            Where to write: contiguous, of the network's dtype. It may be the memory of X or y.

        Returns
        -------
        numpy.ndarray, shape (s, num_parameters)
            Row i is ``gradients(X[i], y[i])[1]``, to the same bits but signs of zeros; their mean
            is the gradient of the batch. Beside it a few hundred samples are in memory at a time.
        """
        inputs, targets, _ = self._as_batch(X, y, None)
        shape = (len(inputs), self.num_parameters)
        if out is None:
            out = np.empty(shape, self.dtype)
        elif not (
            type(out) is np.ndarray and out.dtype == self.dtype and out.shape == shape
            and out.flags.carray and not np.may_share_memory(out, self.parameters)
        ):  # fmt: skip
            self._refuse_out(out, shape)
        values = inputs.values if isinstance(inputs, SparseRows) else inputs
        if np.may_share_memory(out, values) or np.may_share_memory(out, targets):
            inputs, targets = copy.deepcopy((inputs, targets))
        for begin in range(0, len(inputs), 256):
            rows = slice(begin, begin + 256)
            some = inputs[rows]
            if isinstance(some, SparseRows):
                some = some.toarray()
            _, a, delta, _, _ = self._backpropagate(some, targets[rows], None, summed=True)
            write_sample_gradients(a, delta, out[rows])
        return out

    def check_gradients(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        max_parameters: int | None = 2000,
    ) -> fcnn.gradient_check.GradientCheck:
        """Compare `gradients`, and dC/dx of the inputs, with central differences of the loss.

        Parameters
        ----------
        X, y, sample_weight
            As for `gradients`.
        max_parameters : int or None, default 2000
            Of a larger network this many parameters, and as many inputs, are compared, drawn at
            random; None compares all. Each costs four forward passes in float64. An input x_j is
            moved in all samples at once.

        Returns
        -------
        fcnn.gradient_check.GradientCheck
            Printable; `passed` says whether the relative error is within the tolerance.
        """
        from fcnn.gradient_check import compare_gradients

        if max_parameters is not None:
            check.as_count("max_parameters", max_parameters)
        check.refuse_nonfinite("X", self._as_inputs(X))
        _, gradient = self.gradients(X, y, sample_weight)
        delta = self.trace(X, y, sample_weight).delta[0]
        precise = core.Network(self.sizes, self.activations, self.loss, np.float64)
        precise.parameters[:] = self.parameters
        batch = check.as_batch(X, y, sample_weight, self.sizes, self.loss, precise.dtype)
        inputs, targets, weight = batch
        if isinstance(inputs, SparseRows):
            inputs = inputs.toarray()
        return compare_gradients(precise, gradient, inputs, targets, weight, max_parameters, delta)

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        epochs: int = 10,
        batch_size: int | Literal["auto"] | None = "auto",
        optimizer: Optimizer | fcnn.names.OptimizerName | None = None,
        sample_weight: ArrayLike | None = None,
        validation: Sequence[Any] | None = None,
        callbacks: Iterable[Callable[[fcnn.history.Progress], object]] = (),
        shuffle: bool = True,
        rng: int | np.random.Generator | None = None,
        progress: bool = False,
        n_threads: int | None = None,
        schedule: fcnn.schedules.AnySchedule | Sequence[fcnn.schedules.AnySchedule] | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        dropout: float | Sequence[float] = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict[int, float] | Literal["balanced"] | None = None,
        loss: Callable[..., tuple[float, ArrayLike]] | None = None,
        reduce: Callable[[Array], object] | fcnn.parallel.Reducer | None = None,
        trainable: Mapping[Any, float] | None = None,
        jacobian_targets: ArrayLike | None = None,
        jacobian_weight: float | None = None,
        resume: str | os.PathLike[str] | None = None,
        comm: Any = None,
    ) -> fcnn.history.History:
        """Train on mini-batches.

        Parameters
        ----------
        X : array-like or sparse matrix of SciPy's, shape (s, n_0); or iterable of batches
            A sparse matrix is used by its nonzero entries and never becomes dense.
            A `numpy.memmap` may be larger than memory: its samples, which must be stored one after
            the other, are read from its file in blocks of about 32 MB (at least a batch), and
            checked then, which may be after the first updates. Labels, weights and the shuffled
            order (8 bytes a sample) stay in memory; rows of y may be mapped, too. Elsewhere than on
            Linux, and opened with mode "c", the pages that are read count as the process's memory
            until the system needs them for something else.
            Without `y`, an iterable of (X, y) or (X, y, sample_weight), one update each, that is
            gone through anew in each epoch; or a function without arguments that returns an
            iterator. There is nothing to shuffle then.
        y : array-like
            Targets, shape (s, num_targets), (s,) for labels or a single one.
        epochs : int, default 10
            Passes over the samples.
        batch_size : int, "auto" or None, default "auto"
            Samples in one update; the last batch of an epoch takes what is left. None takes all.
            "auto" is 32, or all with an optimizer of all samples at once, which takes no fewer; an
            iterable of batches has sizes of its own.
        optimizer : fcnn.SGD, Adam, AdamW, LevenbergMarquardt or LBFGS, or a name, optional
            None is a new ``fcnn.Adam()``. It keeps its state: a second call goes on with it. A
            name, "adam", "adamw", "lm" or "lbfgs", is a new one with its defaults. An epoch of the
            last two is one iteration over all samples, with nothing to shuffle, and the training
            ends where no step lowers the loss. They take l2 and weights, but no smaller batches,
            schedule, l1, clip_norm, dropout, label_smoothing, trainable, own loss or iterable of
            batches.
        sample_weight : array-like, shape (s,), optional
        validation : (X, y) or (X, y, sample_weight), optional
            Evaluated after each epoch, without penalty, dropout and label smoothing. X may be a
            memory map, too; the outputs for all of it are held in memory.
        callbacks : iterable of callable, optional
            Each is called after each epoch with an `fcnn.history.Progress`; a callback that
            returns True ends the training. See `fcnn.callbacks`.
        shuffle : bool, default True
            Draw a new order of the samples for each epoch; of an iterable of batches, and with an
            optimizer of all samples at once, there is none to draw.
        rng : int, numpy.random.Generator or None, default None
            Seed or generator of shuffling and dropout; None goes on with ``net.rng``. Without both
            nothing is drawn, and it has no effect.
        progress : bool, default False
            Show a progress bar with the losses and the time left, in a terminal or a notebook
            (needs tqdm: ``pip install fcnn[cli]``).
        n_threads : int, optional
            At most so many threads, and no more than the CPUs that the process may use. None takes
            as many as gain by it (`fcnn.set_num_threads`). The result has the same bits whatever
            their number.
        schedule : one of fcnn.schedules, callable, or list of them, optional
            Factors of the optimizer's `lr` for every update. A callable is given the time in
            epochs; the factors of a list are multiplied. `lr` itself is not changed.
        l1, l2 : float, default 0
            Adds the penalty l1 sum |W| + l2/2 sum W^2, over weights but not biases, to the loss of
            every batch.
        clip_norm : float, optional
            A gradient whose Euclidean norm, over all parameters, is greater is scaled down to it.
        dropout : float or sequence of L floats, default 0
            Probability that a node's activation is dropped, one for all hidden layers or one for
            the inputs and each hidden layer, l = 0..L-1; the others are divided by 1 - p. N.
            Srivastava et al.: Dropout, JMLR 15, 2014, section 10, there called inverted. One
            number needs a hidden layer.
        label_smoothing : float, default 0
            Targets become (1 - e) y + e / n_L for cross_entropy and (1 - e) y + e / 2 for
            binary_cross_entropy. C. Szegedy et al.: Rethinking the inception architecture, CVPR
            2016, section 7.
        class_weight : dict or "balanced", optional
            Factor of the sample weight for each label; labels that a dict leaves out have 1.
            "balanced" is s / (number of classes * samples of the class). For cross_entropy, and for
            binary_cross_entropy with one output.
        loss : callable, optional
            Train with a loss of your own instead of the network's. For every batch, ``loss(a, y)``,
            or ``loss(a, y, sample_weight)`` if there are weights, is called with the outputs a,
            shape (s, n_L), and the batch's part of y as it was given. It returns the loss, a
            number, and dC/da (with its 1/s, if it is a mean). It may call the network, not train.
        reduce : callable or fcnn.parallel.Reducer, optional
            Called for every batch with its gradient, shape (num_parameters,), in the order of
            `parameters`, which it may change in place (noise, projections), before the penalty and
            `clip_norm`; to return another one is refused. A Reducer trains with other processes. Of
            what `trainable` keeps it has zeros, and what stands there afterwards is not looked at.
        trainable : dict, optional
            Which layers move, and how fast: ``{1: False, 2: 0.1, (3, "b"): False}`` keeps the first
            layer as it is, trains the second with a tenth of the learning rate and of the third
            the weights alone. Keys are layers l = 1..L, or (l, "W") and (l, "b"), which go before
            their layer; values True, False or factors of at least 0; what is left out has True. At
            least one has to move. What has False or 0 keeps its bits, under every penalty and
            decay, and so does its state in the optimizer; `clip_norm` does not count it, the
            penalty in the loss does. Below the lowest layer that moves nothing is propagated back.
            Adam's bias correction counts, of each W and b, the updates that it had part in, as in
            PyTorch: what is freed later begins with steps of the usual length. Not with optimizers
            of all samples at once.
        jacobian_targets : array-like, shape (s, n_L, n_0), optional
            Train on derivatives, too (Sobolev training): dY, what `jacobian` is to give for each
            sample; of one output (s, n_0) will do. Not with dropout, batches of an iterable and
            LevenbergMarquardt.
        jacobian_weight : float, optional
            w, at least 0: the loss gains w/2 |J - dY|^2, summed over the n_L n_0 entries of a
            sample's Jacobian J and averaged over samples by their weights. That of `validation`
            does not.
        resume : str or path-like, optional
            A file of `fcnn.ModelCheckpoint`, to go on from. With the same arguments otherwise the
            result is that of a training that was never interrupted, bit for bit. Read from the file
            are parameters, optimizer (hyperparameters included), generator, history, and the states
            of schedules and callbacks; `epochs` counts from the beginning. A training that a
            callback has ended stays ended. Other samples, targets, weights, `jacobian_targets` and
            another `validation` than the file's are refused, by checksums: of a map, and between
            sparse and dense ones, those of 1,024 rows; of batches that are no list their number.
            `trainable` must be that of the file; other options of the updates may change.
        comm : mpi4py.MPI.Intracomm, optional
            Train with the ranks of this communicator, which all call `fit` with rows of their own:
            short for ``reduce=fcnn.parallel.Reducer(comm)``, which says more.

        Returns
        -------
        fcnn.history.History
            The curves, one entry an epoch.

        Raises
        ------
        ValueError, TypeError
            If an argument is not as described, or data are NaN or infinite; nothing is changed,
            unless the data are read during the training.
        fcnn.DivergenceError
            If the loss stops being finite; the last finite parameters are kept.
        KeyboardInterrupt
            On Ctrl-C; the parameters are those of the last completed update.
        """
        if comm is not None or hasattr(reduce, "shards"):
            arguments = {name: value for name, value in locals().items() if name != "self"}
            return fcnn.parallel.fit(self, **arguments)
        # Imported by the first call, the second by the first; `from ... import` would take 4 us of
        # every call, as long as ten small steps.
        loop, data = fcnn.training, fcnn._data
        epochs = check.as_count("epochs", epochs)
        check.as_flag("shuffle", shuffle)
        check.as_flag("progress", progress)
        loss = as_own_loss(loss)
        if reduce is not None and not callable(reduce):
            raise TypeError(f"reduce: expected a function of a gradient, got {reduce!r}")
        options = check.as_step_options(
            len(self.sizes) - 1, self.loss if loss is None else None, l1, l2, clip_norm, dropout,
            label_smoothing, trainable,
        )  # fmt: skip
        size = data.as_batch_size(batch_size)
        samples = data.as_samples(
            self, X, y, sample_weight, epochs, own_loss=loss is not None,
            in_blocks=options.dropout is not None,
        )  # fmt: skip
        if class_weight is not None:
            samples.weigh_classes(class_weight)
        held_out = data.as_validation(self, validation, own_loss=loss is not None)
        jacobian = _sobolev.as_term(self, jacobian_targets, jacobian_weight, samples.samples)
        training = loop.TrainingState(
            self, optimizer, schedule, callbacks, rng, samples, resume, options.trainable, held_out,
            jacobian,
        )  # fmt: skip
        runner = loop.runner_of(
            training, samples, size, shuffle, options, loss, reduce, n_threads, jacobian
        )
        return loop.run(training, runner, held_out, epochs, progress)

    # --- Around it -------------------------------------------------------------------------------

    def summary(self) -> str:
        """Return a table of the layers, for printing."""
        rows = [("layer", "nodes", "activation", "W", "parameters")]
        rows.append(("input", f"{self.sizes[0]:,}", "", "", ""))
        for l, (W, name) in enumerate(zip(self.weights, self.activations, strict=True), start=1):
            n_out, n_in = W.shape
            rows.append(
                (str(l), f"{n_out:,}", name, f"({n_out}, {n_in})", f"{n_out * (n_in + 1):,}")
            )
        rows.append(("total", "", "", "", f"{self.num_parameters:,}"))
        wide = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [f"{type(self).__name__}: {self.dtype}, loss {self.loss}"]
        for row in rows:
            cells = [
                row[i].rjust(wide[i]) if i in (1, 4) else row[i].ljust(wide[i]) for i in range(5)
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        hidden = self.activations[:-1]
        shown: object = list(hidden) if len(set(hidden)) != 1 else hidden[0]
        activation = f"activation={shown!r}, " if hidden else ""
        return (
            f"{type(self).__name__}({self.sizes}, {activation}"
            f"output_activation={self.activations[-1]!r}, loss={self.loss!r}, "
            f"dtype={self.dtype.name!r})"
        )

    def _repr_html_(self) -> str:
        from fcnn._html import of_network

        return of_network(self)

    def copy(self) -> Network:
        """Return an independent network with the same parameters."""
        return copy.deepcopy(self)

    def __copy__(self) -> Network:
        return self.copy()

    # All of a network is in its state, and no function of fcnn's is needed to make it again: so it
    # is whole after whatever makes an object without __init__, pickle as well as skops.

    def __getstate__(self) -> dict[str, Any]:
        return {
            "sizes": self.sizes, "activations": self.activations, "loss": self.loss,
            "dtype": self.dtype.name, "parameters": self.parameters, "attributes": self.__dict__,
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        sizes, activations, loss, dtype = (
            state[name] for name in ("sizes", "activations", "loss", "dtype")
        )
        core.Network.__init__(self, sizes, activations, loss, dtype)
        self.parameters[:] = state["parameters"]
        self.__dict__.update(state["attributes"])

    def __reduce__(self) -> tuple[Any, ...]:
        return _empty, (type(self),), self.__getstate__()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file in the safetensors format, which is safe to load (no pickle).

        The file holds the parameters as tensors W1, b1, ..., WL, bL, in the shapes of `weights` and
        `biases`, the architecture and a checksum in its metadata; nothing in it is code. A file
        that is there is replaced at once, when the new one is complete, and keeps its permissions.
        Saving takes about a megabyte of memory, to a device or a pipe the file's size. The
        generator `rng` is not saved.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        from fcnn._format import save_model

        save_model(self, path)


def as_networks(networks: Any) -> list[Network]:
    """Return a list of networks, at least one; what they have in common is not looked at."""
    try:
        given = list(networks)
    except TypeError:
        raise TypeError(f"networks: expected a list of networks, got {networks!r}") from None
    if not given:
        raise ValueError("networks: expected at least one, got none")
    for i, network in enumerate(given):
        if not isinstance(network, Network):
            raise TypeError(
                f"networks[{i}]: expected an fcnn.Network, got {type(network).__name__}"
            )
    return given


def _empty(cls: type[Network]) -> Network:
    return cls.__new__(cls)
