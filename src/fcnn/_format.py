"""The format of files: a network's description and tensors, and its training's state, as bytes.

The container is that of safetensors: tensors W1, b1, ..., WL, bL, the architecture as JSON in the
metadata; of a Model also its columns and target, with mean and scale of both in float64, which is
format 2; in a checkpoint the state of a training. Nothing here needs a Network.
"""

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcnn import _validation as check
from fcnn._architecture import as_architecture, as_sizes
from fcnn._views import layer_views
from fcnn.history import TrainingRecord
from fcnn.tables import Preparation, Target
from fcnn.tables.table import described as json_list
from fcnn.tables.target import classes_of

# 1 is a network, before 2 also one with "preprocessing": names and scaling of its inputs. An fcnn
# that knows 1 alone must refuse a model rather than take its network for all of it.
FORMATS = (1, 2)

# Key of the metadata and beginning of the tensors' names that hold the state of a training.
_METADATA = "fcnn_training"
_TRAINING = "training."
_STATE: dict[str, Any] = {
    "epoch": int, "stopped": bool, "samples": int | None, "history": dict, "optimizer": dict,
    "generator": dict, "schedules": list, "callbacks": list,
}  # fmt: skip


class Stored(NamedTuple):
    """What a file holds of a network: all that makes one."""

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    dtype: np.dtype[Any]
    parameters: NDArray[Any]  # in the order of fcnn.Network.parameters
    preparation: Preparation | None  # of a Model, like the target
    target: Target | None
    training: TrainingRecord | None
    features: list[str] | None  # of a network alone
    classes: list[Any] | None


# --- Writing -------------------------------------------------------------------------------------


def save_model(
    network: Any,
    path: str | os.PathLike[str],
    preparation: Preparation | None = None,
    target: Target | None = None,
    training: TrainingRecord | None = None,
) -> None:
    """Write a network, or a model, to a file: see `fcnn.Network.save` and `fcnn.Model.save`."""
    _write(as_path(path), *_described(network, preparation, target, training))


def save_checkpoint(network: Any, state: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a network and the state of its training: see `fcnn.history.Progress.save`.

    The state is a dict of numbers, texts, lists, dicts and arrays. Its arrays become tensors named
    training.0, training.1, ...; the rest is JSON in the metadata, {"tensor": name} for each array.
    """
    path = as_path(path)
    tensors, metadata = _described(network)
    metadata[_METADATA] = json.dumps(_packed(state, tensors, "the state"))
    _write(path, tensors, metadata)


def _write(path: Path, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    from safetensors.numpy import save as to_bytes

    write_whole(path, to_bytes(tensors, metadata=metadata))


def _packed(value: Any, tensors: dict[str, Any], what: str) -> Any:
    """Return a state with names in the place of its arrays, which are added to the tensors."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        name = f"{_TRAINING}{len(tensors)}"
        tensors[name] = np.require(value, value.dtype.newbyteorder("="), ["C", "A"])
        return {"tensor": name}
    if isinstance(value, np.generic):
        return _packed(value.item(), tensors, what)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
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
    tensors: dict[str, Any] = {}
    for l, (W, b) in enumerate(zip(network.weights, network.biases, strict=True), start=1):
        tensors[f"W{l}"] = np.ascontiguousarray(W)
        tensors[f"b{l}"] = b
    description: dict[str, Any] = {
        "format": 1,
        "sizes": network.sizes,
        "activations": network.activations,
        "loss": network.loss,
        "dtype": network.dtype.name,
    }
    else_named = {"features": network.features, "classes": network.classes}
    if preparation is None:
        description |= {
            name: _names(name, given) for name, given in else_named.items() if given is not None
        }
    if preparation is not None and target is not None:
        description["format"] = 2
        description["model"] = {**preparation.to_json(), "target": target.to_json()}
        if training is not None:
            description["model"]["training"] = training.to_json()
        tensors["mean"], tensors["scale"] = preparation.mean, preparation.scale
        if target.mean is not None and target.scale is not None:
            tensors["target_mean"], tensors["target_scale"] = target.mean, target.scale
    return tensors, {"fcnn": json.dumps(description)}


def _names(name: str, given: Any) -> list[Any]:
    """Return names of inputs or classes as JSON has them: what is no number is a text."""
    values = [v.item() if isinstance(v, np.generic) else v for v in given]
    return [v if isinstance(v, (str, bool, int, float)) else str(v) for v in values]


def _read_names(
    description: dict[str, Any], sizes: tuple[int, ...]
) -> tuple[list[str] | None, list[Any] | None]:
    """Return the names of inputs and classes of a network alone, checked."""
    features, classes = description.get("features"), description.get("classes")
    if features is not None and len(json_list(features, "features", str)) != sizes[0]:
        raise ValueError(f"expected {sizes[0]} names of features, found {len(features)}")
    if classes is not None:
        known = len(json_list(classes, "classes", str, bool, int, float))
        if known != sizes[-1] and (known, sizes[-1]) != (2, 1):
            raise ValueError(f"names {known} classes for {sizes[-1]} outputs")
    return features, classes


def as_path(path: Any, name: str = "path") -> Path:
    """Return a path, or refuse what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name}: expected a str or os.PathLike, got {type(path).__name__}")
    return Path(path)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader, or a crash, finds the old content or the new."""
    given = path
    if given.exists() and not given.is_file() and not given.is_dir():
        given.write_bytes(content)  # a device or a pipe is written to, never replaced
        return
    path = Path(os.path.realpath(path))  # a link stays a link
    # Beside the target, because a rename is atomic only within one file system.
    temporary = path.with_name(f".fcnn-{os.urandom(8).hex()}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            # Of the file that was asked for, not of the temporary one.
            raise type(error)(error.errno, error.strerror, str(given)) from None
        raise


# --- Reading -------------------------------------------------------------------------------------


def load_model(path: str | os.PathLike[str]) -> Stored:
    """Return what a file holds of a network: see `fcnn.load`."""
    with _opened(as_path(path)) as file:
        return _read(file, str(path))


def load_checkpoint(
    network: Any, path: str | os.PathLike[str]
) -> tuple[dict[str, Any], NDArray[Any]]:
    """Return the state of a training, and the parameters of its network then.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a sound checkpoint, or one of a network of another architecture.
    """
    with _opened(as_path(path, "resume")) as file:
        saved = _read(file, str(path))
        for name in ("sizes", "activations", "loss", "dtype"):
            wanted, found = getattr(network, name), getattr(saved, name)
            if wanted != found:
                raise ValueError(
                    f"resume: expected a checkpoint of a network with {name} {wanted}, {path} has "
                    f"{found}"
                )
        metadata = file.metadata()
        if _METADATA not in metadata:
            raise ValueError(
                f"resume: {path} is a model without the state of its training; expected a file "
                "that fcnn.ModelCheckpoint wrote"
            )
        try:
            state = _unpacked(json.loads(metadata[_METADATA]), file)
            for name, kind in _STATE.items():
                if not isinstance(state[name], kind):
                    raise ValueError(f"expected {name} as {kind}, found {state[name]!r}")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{path}: not a sound checkpoint ({error})") from None
    return state, saved.parameters


def _unpacked(value: Any, file: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(v, file) for v in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["tensor"]:
        return file.get_tensor(value["tensor"])
    return {key: _unpacked(v, file) for key, v in value.items()}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a model file, got a folder")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: expected a regular file, got a device or a pipe")
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not a model file, or a truncated one (safetensors: {error})"
        ) from None


def _read(file: Any, path: str) -> Stored:
    """Return what an open file holds, checked."""
    metadata = file.metadata() or {}
    if "fcnn" not in metadata:
        raise ValueError(
            f"{path}: a safetensors file, but not one of fcnn's (no architecture in it)"
        )
    try:
        description = json.loads(metadata["fcnn"])
        version = description["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path}: its architecture cannot be read ({error})") from None
    if version not in FORMATS:
        raise ValueError(
            f"{path}: format {version!r}, this fcnn reads {check.listed([*map(str, FORMATS)])}; a "
            "newer one may read it"
        )
    try:
        sizes = as_sizes(description["sizes"])
        *hidden, output = description["activations"]
        expected = _expected_shapes(sizes, description)
        # Before anything is allocated: a forged header may announce any size.
        names = file.keys()
        if _METADATA in metadata:
            names = [name for name in names if not name.startswith(_TRAINING)]
        found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        if found != expected:
            raise ValueError(f"expected tensors {expected}, found {found}")
        sizes, activations, loss = as_architecture(sizes, hidden, output, description["loss"])
        if (loss, *activations) != (description["loss"], *hidden, output):
            raise ValueError(f"expected {loss!r} and {activations}, by these names")
        dtype = check.as_dtype(description["dtype"])
        kinds = {name: file.get_slice(name).get_dtype() for name in expected}
        for name, kind in kinds.items():
            if kind not in ("F32", "F64"):
                raise ValueError(f"expected {name} as float32 or float64, found {kind}")
        tensors = {name: file.get_tensor(name) for name in expected}
        for name, tensor in tensors.items():
            wanted = np.dtype(np.float64) if name in _SCALING else dtype
            if tensor.dtype != wanted:
                raise ValueError(f"expected {name} as {wanted}, found {tensor.dtype}")
        preparation, target = _around(description, tensors, sizes)
        named = _read_names(description, sizes) if preparation is None else (None, None)
        training = None
        if description["format"] == 2 and "training" in description["model"]:
            training = TrainingRecord.from_json(description["model"]["training"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: not a sound fcnn model ({error})") from None
    return Stored(
        sizes, activations, description["loss"], dtype, _parameters(tensors, sizes, dtype),
        preparation, target, training, *named,
    )  # fmt: skip


def _parameters(
    tensors: dict[str, Any], sizes: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return the flat vector of what W1, b1, ... hold."""
    count = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes))
    flat = np.empty(count, dtype)
    for l, (W, b) in enumerate(zip(*layer_views(flat, sizes), strict=True), start=1):
        W[...], b[...] = tensors[f"W{l}"], tensors[f"b{l}"]
    return flat


def _around(
    description: dict[str, Any], tensors: dict[str, Any], sizes: tuple[int, ...]
) -> tuple[Preparation | None, Target | None]:
    """Return what stands before and behind the network of a model."""
    described = _model_of(description)
    if described is None:
        return None, None
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
    check_model(sizes, preparation, target)
    return preparation, target


def check_model(sizes: tuple[int, ...], preparation: Preparation, target: Target) -> None:
    """Refuse a preparation or a target that does not fit a network."""
    if preparation.width != sizes[0]:
        raise ValueError(
            f"preparation: expected {sizes[0]} numbers, the inputs of the network, got "
            f"{preparation.width}"
        )
    # One output of a binary classifier stands for two classes.
    classes = len(target.classes)
    if classes and classes != sizes[-1] and (classes, sizes[-1]) != (2, 1):
        raise ValueError(f"target: names {classes} classes for {sizes[-1]} outputs of the network")
    if target.mean is not None and target.mean.shape != sizes[-1:]:
        raise ValueError(f"target: expected {sizes[-1]} numbers, got {target.mean.shape}")
    if not classes and len(target.names) not in (0, sizes[-1]):
        raise ValueError(f"target: names {len(target.names)} numbers for {sizes[-1]} outputs")


_SCALING = ("mean", "scale", "target_mean", "target_scale")


def _model_of(description: dict[str, Any]) -> Any:
    """Return what the description of a file says of a model, None of a network alone."""
    if description["format"] == 2:
        return description["model"]
    described = description.get("preprocessing")
    if described is not None and not isinstance(described, dict):
        raise ValueError(f"expected preprocessing as names, found {described!r}")
    return described


def _expected_shapes(sizes: tuple[int, ...], description: dict[str, Any]) -> dict[str, Any]:
    shapes: dict[str, Any] = {}
    for l in range(1, len(sizes)):
        shapes[f"W{l}"] = (sizes[l], sizes[l - 1])
        shapes[f"b{l}"] = (sizes[l],)
    described = _model_of(description)
    if described is not None:
        shapes["mean"] = shapes["scale"] = (sizes[0],)
    if description["format"] == 2 and described["target"].get("scaled"):
        shapes["target_mean"] = shapes["target_scale"] = (sizes[-1],)
    return shapes
