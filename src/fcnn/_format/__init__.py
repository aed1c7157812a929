"""The format of files: a network's description and tensors, and its training's state, as bytes.

In the container (fcnn._format.container): tensors W1, b1, ..., WL, bL, the architecture as JSON in
a text; of a Model also its columns and target, with mean and scale of both in float64; in a
checkpoint the state of a training. Nothing here needs a Network.
"""

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._architecture import as_sizes, is_of_numbers, of_sizes
from fcnn._dispatch import core
from fcnn._format.container import (
    Container,
    Tensor,
    as_path,
    brief,
    holds,
    opened,
    parsed,
    refuse_nonsense,
    wide_first,
    write,
)  # fmt: skip
from fcnn._views import layer_views
from fcnn.history import TrainingRecord
from fcnn.names import Name
from fcnn.tables import Preparation, Target
from fcnn.tables.table import described as json_list
from fcnn.tables.target import classes_of

# 1 is a network, in the first versions also one with "preprocessing": names and scaling of its
# inputs; 2 is a model. 3 is either, with a checksum, which an fcnn that does not know it would not
# compare.
FORMATS = (1, 2, 3)

# Key of the metadata and beginning of the tensors' names that hold the state of a training.
_METADATA = "fcnn_training"
_TRAINING = "training."
# Key of the metadata of an ensemble: the descriptions of its networks. The tensors of network i
# have "i." before their names.
_ENSEMBLE = "fcnn_ensemble"
# And of a search: its state, as that of a training.
_SEARCH = "fcnn_search"
# Entries of a list that becomes a tensor: a curve of 200,000 epochs is 4 MB as JSON.
_LONG = 1000
_STATE: dict[str, Any] = {
    "epoch": int, "stopped": bool, "samples": int | None, "history": dict, "optimizer": dict,
    "generator": dict, "schedules": list, "callbacks": list,
}  # fmt: skip


class Stored(NamedTuple):
    """What a file holds beside the parameters of a network."""

    preparation: Preparation | None  # of a Model, like the target
    target: Target | None
    training: TrainingRecord | None
    features: list[str] | None  # of a network alone
    classes: list[Any] | None
    checksum: str | None  # that was compared, None in a file without one


class Architecture(NamedTuple):
    """All that makes a network but its parameters."""

    sizes: tuple[int, ...]
    activations: tuple[Name, ...]
    loss: Name
    dtype: np.dtype[Any]


class _Header(NamedTuple):
    """What a file says of a network before its numbers are read."""

    architecture: Architecture
    description: dict[str, Any]
    tensors: dict[str, Tensor]  # all of the network's, and of a model's scaling


# --- Writing -------------------------------------------------------------------------------------


def save_model(
    network: Any,
    path: str | os.PathLike[str],
    preparation: Preparation | None = None,
    target: Target | None = None,
    training: TrainingRecord | None = None,
) -> None:
    """Write a network, or a model, to a file: see `fcnn.Network.save` and `fcnn.Model.save`."""
    write(as_path(path), *_described(network, preparation, target, training))


def save_checkpoint(network: Any, state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a network and the state of its training: see `fcnn.history.Progress.save`.

    The state is a dict of numbers, texts, lists, dicts and arrays. Its arrays, and long lists of
    floats, become tensors named training.0, training.1, ...; the rest is JSON in the metadata,
    {"tensor": name} for each array and {"list": name} for each of these lists.
    """
    path = as_path(path)
    tensors, metadata = _described(network)
    metadata[_METADATA] = json.dumps(_packed(state, tensors, "the state"))
    write(path, tensors, metadata)


def save_ensemble(networks: Sequence[Any], path: str | os.PathLike[str]) -> None:
    """Write several networks to a file: see `fcnn.Ensemble.save`."""
    path = as_path(path)
    tensors: dict[str, Any] = {}
    descriptions = []
    for i, network in enumerate(networks):
        own, metadata = _described(network)
        tensors.update((f"{i}.{name}", tensor) for name, tensor in own.items())
        descriptions.append(json.loads(metadata["fcnn"]))
    text = json.dumps({"format": 1, "networks": descriptions})
    write(path, tensors, {_ENSEMBLE: text})


def save_search(state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the state of a search: see `fcnn.search`. It is packed as that of a training."""
    tensors: dict[str, Any] = {}
    packed = {"format": 1, "state": _packed(state, tensors, "the state")}
    write(as_path(path), tensors, {_SEARCH: json.dumps(packed)})


def load_search(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state of a search.

    Raises
    ------
    ValueError
        If the file is not sound, or of something else.
    """
    path = as_path(path)
    with opened(path, "a sound search") as file:
        if _SEARCH not in file.metadata:
            raise ValueError("a file of something else")
        if file.checksum is None:
            raise ValueError("its checksum is missing")
        packed = parsed(file.metadata[_SEARCH])
        if packed["format"] != 1:
            raise ValueError(f"format {packed['format']!r}, this fcnn reads 1")
        tensors = {
            name: np.empty(shape, dtype.newbyteorder("="))
            for name, (dtype, shape) in file.tensors.items()
        }
        file.read(tensors)
        state: dict[str, Any] = _unpacked(packed["state"], tensors)
        return state


def _packed(value: Any, tensors: dict[str, Any], what: str) -> Any:
    """Return a state with names in the place of its arrays, which are added to the tensors."""
    if isinstance(value, np.ndarray) and holds(value.dtype):
        name = f"{_TRAINING}{len(tensors)}"
        tensors[name] = np.require(value, value.dtype.newbyteorder("="), ["C", "A"])
        return {"tensor": name}
    if isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
        return _packed(value.item(), tensors, what)
    if isinstance(value, list) and len(value) >= _LONG and all(type(v) is float for v in value):
        return {"list": _packed(np.array(value), tensors, what)["tensor"]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        if list(value) in (["tensor"], ["list"]):
            raise TypeError(f"{what}: this key, alone in a dict, is for arrays, got {value!r}")
        return {key: _packed(v, tensors, f"{what}[{key!r}]") for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(v, tensors, f"{what}[{i}]") for i, v in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"{what}: a checkpoint holds numbers, texts, lists, dicts with texts as keys and arrays of "
        f"numbers, got {value!r}"
    )


def _described(
    network: Any,
    preparation: Preparation | None = None,
    target: Target | None = None,
    training: TrainingRecord | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the tensors and the metadata of a file."""
    tensors = _named_views(network.weights, network.biases)
    description: dict[str, Any] = {
        "format": 3,
        "sizes": network.sizes,
        "activations": network.activations,
        "loss": network.loss,
        "dtype": network.dtype.name,
    }
    if preparation is None:
        for name, given in (("features", network.features), ("classes", network.classes)):
            if given is not None:
                description[name] = _names(given)
        # Refuses what could not be read again, here and below.
        _read_names(description, network.sizes)
    if preparation is not None and target is not None:
        description["model"] = {**preparation.to_json(), "target": target.to_json()}
        if training is not None:
            description["model"]["training"] = training.to_json()
        tensors["mean"], tensors["scale"] = preparation.mean, preparation.scale
        if target.mean is not None and target.scale is not None:
            tensors["target_mean"], tensors["target_scale"] = target.mean, target.scale
    text = json.dumps(description)
    if preparation is not None:
        _around(parsed(text), tensors, network.sizes, network.loss)
    return tensors, {"fcnn": text}


def _names(given: Any) -> list[Any]:
    """Return names of inputs or classes as JSON has them: what is no number is a text."""
    values = [v.item() if isinstance(v, np.generic) else v for v in given]
    return [v if isinstance(v, (str, bool, int, float)) else str(v) for v in values]


def _read_names(
    description: dict[str, Any], sizes: tuple[int, ...]
) -> tuple[list[str] | None, list[Any] | None]:
    """Return the names of inputs and classes of a network alone, checked."""
    features, classes = description.get("features"), description.get("classes")
    if features is not None and len(json_list(features, "features", str)) != sizes[0]:
        raise ValueError(f"features: expected {sizes[0]} names, found {len(features)}")
    if classes is not None:
        known = len(json_list(classes, "classes", str, bool, int, float))
        if known != sizes[-1] and (known, sizes[-1]) != (2, 1):
            raise ValueError(f"classes: names {known} for {sizes[-1]} outputs")
    return features, classes


# --- Reading -------------------------------------------------------------------------------------


def load_model(
    source: str | memoryview, make: Callable[[Architecture], Any], verified: bool = False
) -> tuple[Any, Stored]:
    """Return the network that a file holds, and what stands around it: see `fcnn.load`.

    The numbers are read into the network that `make` returns, with no copy between. Of an ensemble
    the first is the list of its networks.
    """
    with opened(source, "a sound fcnn model") as file:
        if verified and file.checksum is None:
            raise ValueError("it has no checksum, and verified=True asks for one")
        if _ENSEMBLE in file.metadata:
            return _load_ensemble(file, make)
        header = _read_header(file)
        network = make(header.architecture)
        sizes, activations, loss, dtype = header.architecture
        if len(header.tensors) == 2 * len(activations):  # no model's
            numbers = file.numbers(_LITTLE[dtype])
            if numbers is not None:
                network._read_layers(numbers)
                names = _read_names(header.description, sizes)
                return network, Stored(None, None, None, *names, file.checksum)
        tensors = _named_views(*layer_views(network.parameters, sizes))
        if len(header.tensors) > len(tensors):  # a model's
            for name, (_, shape) in header.tensors.items():
                if name not in tensors:
                    tensors[name] = np.empty(shape)
        file.read(tensors)
        preparation, target, training = _around(header.description, tensors, sizes, loss)
        features = classes = None
        if preparation is None:
            features, classes = _read_names(header.description, sizes)
        return network, Stored(preparation, target, training, features, classes, file.checksum)


def _load_ensemble(file: Container, make: Callable[[Architecture], Any]) -> tuple[Any, Stored]:
    """Return the networks of an ensemble as a list, and the names that all of them have."""
    described = parsed(file.metadata[_ENSEMBLE])
    if type(described["format"]) is not int or described["format"] != 1:
        raise ValueError(
            f"an ensemble of format {described['format']!r}, this fcnn reads 1; a newer one may "
            "read it"
        )
    if file.checksum is None:
        raise ValueError("its checksum is missing")
    descriptions = described["networks"]
    if not isinstance(descriptions, list) or not descriptions:
        raise ValueError("an ensemble without networks")
    tensors = file.tensors
    places: dict[str, Any] = {}
    headers = []
    for i, description in enumerate(descriptions):
        own = {
            name.partition(".")[2]: tensor for name, tensor in tensors.items()
            if name.partition(".")[0] == str(i)
        }  # fmt: skip
        try:
            headers.append(_described_in(description, file))
            _check_tensors(own, headers[-1].tensors)
        except ValueError as error:
            raise ValueError(f"network {i} of {len(descriptions)}: {error}") from None
    beside = sorted(
        name for name in tensors if name.partition(".")[0] not in map(str, range(len(headers)))
    )
    if beside:
        raise ValueError(f"tensor {beside[0]}: of none of the {len(headers)} networks")
    names = [_read_names(header.description, header.architecture.sizes) for header in headers]
    if any(one != names[0] for one in names):
        raise ValueError("networks with other features or classes than the first")
    networks = [make(header.architecture) for header in headers]
    for i, network in enumerate(networks):
        views = _named_views(network.weights, network.biases)
        places.update((f"{i}.{name}", view) for name, view in views.items())
    file.read(places)
    return networks, Stored(None, None, None, *names[0], file.checksum)


def load_checkpoint(
    network: Any, path: str | os.PathLike[str]
) -> tuple[dict[str, Any], NDArray[Any]]:
    """Return the state of a training, and the parameters of its network then.

    Of the training of a network like `network`; None takes any.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a sound checkpoint, or one of a network of another architecture.
    """
    path = as_path(path, "resume")
    with opened(path) as file:
        with _named(path, "a sound fcnn model"):
            saved = _read_header(file).architecture
        for name, found in saved._asdict().items():
            wanted = found if network is None else getattr(network, name)
            if wanted != found:
                raise ValueError(
                    f"resume: expected a checkpoint of a network with {name} {wanted}, {path} has "
                    f"{brief(str(found))}"
                )
        if _METADATA not in file.metadata:
            raise ValueError(
                f"resume: {path} is a model without the state of its training; expected a file "
                "that fcnn.ModelCheckpoint wrote"
            )
        with _named(path, "a sound checkpoint"):
            tensors = {
                name: np.empty(shape, dtype.newbyteorder("="))
                for name, (dtype, shape) in file.tensors.items()
                if name.startswith(_TRAINING)
            }
            parameters = np.empty(_num_parameters(saved.sizes), saved.dtype)
            file.read({**tensors, **_named_views(*layer_views(parameters, saved.sizes))})
            state = _unpacked(parsed(file.metadata[_METADATA]), tensors)
            for name, kind in _STATE.items():
                if not isinstance(state[name], kind):
                    raise ValueError(f"expected {name} as {kind}, found {state[name]!r}")
    return state, parameters


def _unpacked(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_unpacked(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if list(value) in (["tensor"], ["list"]):
        ((kind, name),) = value.items()
        if name not in tensors:
            raise ValueError(f"it has no tensor {name!r}")
        return tensors[name] if kind == "tensor" else tensors[name].tolist()
    return {key: _unpacked(v, tensors) for key, v in value.items()}


@contextlib.contextmanager
def _named(source: str | os.PathLike[str], expected: str) -> Iterator[None]:
    """Turn what a file's content leads to into one error that begins with its path."""
    try:
        yield
    except Exception as error:
        refuse_nonsense(error, source, expected)
        raise


def _read_header(file: Container) -> _Header:
    """Return what a file says of its network, checked against the tensors that it has."""
    if _ENSEMBLE in file.metadata:
        raise ValueError("an ensemble of networks, where one network is expected")
    if _SEARCH in file.metadata:
        raise ValueError("the state of a search, which fcnn.search goes on with")
    if "fcnn" not in file.metadata:
        raise ValueError("a safetensors file, but not one of fcnn's: no architecture in it")
    header = _described_in(parsed(file.metadata["fcnn"]), file)
    if _METADATA in file.metadata:
        _check_tensors(
            {n: tensor for n, tensor in file.tensors.items() if not n.startswith(_TRAINING)},
            header.tensors,
        )
    elif not file.has(header.tensors):
        _check_tensors(file.tensors, header.tensors)
    return header


def _described_in(description: dict[str, Any], file: Container) -> _Header:
    """Return what a description says of a network, checked but for the tensors that there are."""
    version = description["format"]
    if type(version) is not int or version not in FORMATS:
        raise ValueError(
            f"format {version!r}, this fcnn reads {check.listed([*map(str, FORMATS)])}; a newer "
            "one may read it"
        )
    if version >= 3 and file.checksum is None:
        raise ValueError("its checksum is missing")
    sizes = as_sizes(description["sizes"])
    *hidden, output = description["activations"]
    dtype = check.as_dtype(description["dtype"])
    activations, loss = of_sizes(sizes, hidden, output, description["loss"])
    if (loss, *activations) != (description["loss"], *hidden, output):
        raise ValueError(f"expected {loss!r} and {activations}, by these names")
    tensors = _expected(sizes, loss, dtype, description)
    return _Header(Architecture(sizes, activations, loss, dtype), description, tensors)


def _check_tensors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Refuse tensors that are not those that a description asks for."""
    if found != expected:
        name = next(n for n in [*expected, *found] if expected.get(n) != found.get(n))
        wanted, got = expected.get(name), found.get(name)
        raise ValueError(f"tensor {name}: expected {_text(wanted)}, found {_text(got)}")


def _num_parameters(sizes: tuple[int, ...]) -> int:
    """Return how many weights and biases a network of these sizes has."""
    return sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes))


def _text(tensor: Any) -> str:
    return "none" if tensor is None else f"{tensor[0].name} of shape {tensor[1]}"


def _named_views(weights: Iterable[Any], biases: Iterable[Any]) -> dict[str, Any]:
    """Return the arrays that W1, b1, ..., WL, bL go to."""
    tensors: dict[str, Any] = {}
    for l, (W, b) in enumerate(zip(weights, biases, strict=True), start=1):
        tensors[f"W{l}"], tensors[f"b{l}"] = W, b
    return tensors


def _around(
    description: dict[str, Any], tensors: dict[str, Any], sizes: tuple[int, ...], loss: str
) -> tuple[Preparation | None, Target | None, TrainingRecord | None]:
    """Return what stands before and behind the network of a model, and its training."""
    described = _model_of(description)
    if described is None:
        return None, None, None
    mean, scale = tensors["mean"], tensors["scale"]
    if description["format"] == 1:
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("expected finite means and positive scales of the inputs")
        features, name, texts = (described[key] for key in ("features", "target", "classes"))
        for texts_of in ("features", "classes"):
            json_list(described[texts_of], texts_of, str)
        if not isinstance(name, str):
            raise ValueError(f"expected target as text, found {name!r}")
        if features and len({*features}) != sizes[0]:
            raise ValueError(f"expected {sizes[0]} different features, found {len(features)}")
        preparation = Preparation.of_numbers(mean, scale, features)
        target = Target([name] if name else [], classes_of(texts), class_texts=texts)
    else:
        preparation = Preparation.from_json(described, mean, scale)
        target = Target.from_json(
            described["target"], tensors.get("target_mean"), tensors.get("target_scale")
        )
    check_model(sizes, loss, preparation, target)
    training = None
    if description["format"] != 1 and "training" in described:
        training = TrainingRecord.from_json(described["training"])
        training.check(len(target.classes), sizes[-1] // core.outputs_per_target(loss))
    return preparation, target, training


def check_model(
    sizes: tuple[int, ...], loss: str, preparation: Preparation, target: Target
) -> None:
    """Refuse a preparation or a target that does not fit a network."""
    if preparation.width != sizes[0]:
        raise ValueError(
            f"preparation: expected {sizes[0]} numbers, the inputs of the network, got "
            f"{preparation.width}"
        )
    # One output of a binary classifier stands for two classes.
    classes, several = len(target.classes), core.outputs_per_target(loss)
    if classes and is_of_numbers(loss):
        raise ValueError(f"target: {loss} is of numbers, got {classes} classes")
    if classes and classes != sizes[-1] and (classes, sizes[-1]) != (2, 1):
        raise ValueError(f"target: names {classes} classes for {sizes[-1]} outputs of the network")
    n = sizes[-1] // several
    if target.mean is not None and target.mean.shape != (n,):
        raise ValueError(f"target: expected {n} numbers, got {target.mean.shape}")
    if not classes and len(target.names) not in (0, n):
        raise ValueError(f"target: names {len(target.names)} numbers for {n} targets")


_LITTLE = {np.dtype(name): np.dtype(f"<{name}") for name in ("f4", "f8")}


def _model_of(description: dict[str, Any]) -> Any:
    """Return what the description of a file says of a model, None of a network alone."""
    name = "preprocessing" if description["format"] == 1 else "model"
    described = description.get(name)
    if name in description and not isinstance(described, dict):
        raise ValueError(f"expected {name} as names, found {described!r}")
    return described


def _expected(
    sizes: tuple[int, ...], loss: str, dtype: np.dtype[Any], description: dict[str, Any]
) -> dict[str, Tensor]:
    """Return dtype and shape of each tensor but for those of a training."""
    little, double = _LITTLE[dtype], np.dtype("<f8")
    tensors: dict[str, Any] = {}
    for l in range(1, len(sizes)):
        tensors[f"W{l}"] = (little, (sizes[l], sizes[l - 1]))
        tensors[f"b{l}"] = (little, (sizes[l],))
    described = _model_of(description)
    if described is not None:
        tensors["mean"] = tensors["scale"] = (double, (sizes[0],))
        if description["format"] != 1 and described["target"].get("scaled"):
            n = sizes[-1] // core.outputs_per_target(loss)
            tensors["target_mean"] = tensors["target_scale"] = (double, (n,))
        tensors = wide_first(tensors)
    return tensors
