"""scikit-learn's pipelines: transformers read into a preparation, feature by feature.

A transformer takes features and returns features. Each is followed back to a column of the table:
as (v - mean) / scale of its number, with what a missing one is filled with; as the flag of its
missing cells; as an indicator or a number of its categories. What cannot be said so is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fcnn.convert.steps import imported, layers_of, network_from
from fcnn.model import Model
from fcnn.network import Network
from fcnn.tables import Preparation, Target
from fcnn.tables.categories import CategoryColumn, OrdinalColumn
from fcnn.tables.columns import IgnoredColumn, NumberColumn
from fcnn.tables.numbers import PLAIN
from fcnn.tables.table import number_text

Array = NDArray[Any]

# Parts of a column that a feature may be.
VALUE, FLAG = "value", "missing"


@dataclass(frozen=True)
class Feature:
    """(u - mean) / scale, u being a part of what column j becomes."""

    j: int
    part: str | int = VALUE  # or FLAG, or the number of an indicator
    mean: float = 0.0
    scale: float = 1.0
    fill: Any = None  # of a value as it stands in the table
    encoder: Any = None  # OrdinalColumn or CategoryColumn without a name

    def scaled(self, mean: float, scale: float) -> Feature:
        """Return (feature - mean) / scale."""
        return replace(self, mean=self.mean + mean * self.scale, scale=self.scale * scale)

    @property
    def is_raw(self) -> bool:
        """Whether it is a column as it stands in the table, missing cells filled or not."""
        return (self.part, self.mean, self.scale, self.encoder) == (VALUE, 0.0, 1.0, None)


def is_pipeline(estimator: Any) -> bool:
    """Return whether it is a Pipeline or a TransformedTargetRegressor of scikit-learn."""
    return _kind(estimator) in ("Pipeline", "TransformedTargetRegressor")


def model_from(estimator: Any, network_of: Callable[[Any, str], Network]) -> Model:
    """Return the model of a fitted pipeline.

    Parameters
    ----------
    estimator : sklearn.pipeline.Pipeline or sklearn.compose.TransformedTargetRegressor
    network_of : callable
        Returns the network of the perceptron at the end; refuses what is none, by its source.
    """
    _check_fitted(estimator)
    reader = _first_of(estimator)
    names = [str(name) for name in getattr(reader, "feature_names_in_", ())]
    features = [Feature(j) for j in range(reader.n_features_in_)]
    columns = names or [f"{j + 1}" for j in range(len(features))]
    perceptron, made, scaler = _followed(estimator, features, "estimator", None)
    network = network_of(*perceptron)
    encoders, positions = _encoders(made, columns)
    layers = layers_of(network)
    W = layers[0].W
    if W.shape[1] != len(made):
        raise ValueError(
            f"estimator: its transformers return {len(made)} features, the perceptron reads "
            f"{W.shape[1]}"
        )
    if names:
        used = [j for j in range(len(columns)) if j in encoders]
        left_out = [(names[j], "not used") for j in range(len(columns)) if j not in encoders]
        kept = [replace(encoders[j], name=names[j]) for j in used]
    else:
        used, left_out = [*range(len(columns))], []
        kept = [encoders.get(j, IgnoredColumn("")) for j in used]
    starts = dict(zip(used, np.cumsum([0, *(len(one.outputs) for one in kept)]), strict=False))
    width = sum(len(one.outputs) for one in kept)
    # What a column becomes and no feature is, has weights of 0.
    mean, scale = np.zeros(width), np.ones(width)
    first = np.zeros((len(W), width), W.dtype)
    for i, (feature, position) in enumerate(zip(made, positions, strict=True)):
        at = starts[feature.j] + position
        first[:, at], mean[at], scale[at] = W[:, i], feature.mean, feature.scale
    layers[0] = layers[0]._replace(W=first)
    preparation = Preparation(kept, mean, scale, left_out, is_named=bool(names))
    network = network_from(layers, network.loss, network.dtype)
    return Model(network, preparation, _target(perceptron[0], network, scaler))


def _first_of(estimator: Any) -> Any:
    """Return the step that reads the table: a Pipeline does not look behind a "passthrough"."""
    if _kind(estimator) == "TransformedTargetRegressor":
        return _first_of(estimator.regressor_)
    if _kind(estimator) != "Pipeline":
        return estimator
    steps = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
    return _first_of(steps[0])


def _followed(
    estimator: Any, features: list[Feature], source: str, scaler: Any
) -> tuple[tuple[Any, str], list[Feature], Any]:
    """Return the last step and its name, the features it reads, and the scaler of the targets."""
    kind = _kind(estimator)
    if kind == "TransformedTargetRegressor":
        if scaler is not None:
            _refuse(source, estimator, "the targets are transformed twice")
        _check_fitted(estimator)
        transformer = estimator.transformer_
        if _kind(transformer) == "StandardScaler":
            scaler = transformer
        elif not _does_nothing(transformer):
            _refuse(source, transformer, "expected targets that a StandardScaler scales")
        return _followed(estimator.regressor_, features, source, scaler)
    if kind == "Pipeline":
        if estimator.transform_input:
            _refuse(source, estimator, "transform_input cannot be converted")
        for name, step in estimator.steps[:-1]:
            features = _transformed(step, features, f"step {name!r}")
        name, last = estimator.steps[-1]
        return _followed(last, features, f"step {name!r}", scaler)
    return (estimator, source), features, scaler


def _encoders(
    features: Sequence[Feature], names: Sequence[str]
) -> tuple[dict[int, Any], list[int]]:
    """Return the encoder of each column that is used, and which of its outputs a feature is."""
    of_column: dict[int, list[Feature]] = {}
    for feature in features:
        of_column.setdefault(feature.j, []).append(feature)
    encoders: dict[int, Any] = {}
    for j, own in of_column.items():
        parts = [feature.part for feature in own]
        encoded = [feature.encoder for feature in own if feature.part != FLAG]
        if len({*parts}) < len(parts) or any(one != encoded[0] for one in encoded):
            raise ValueError(
                f"estimator: column {names[j]!r} is read by several transformers; a Model reads "
                "each column in one way"
            )
        encoder = encoded[0] if encoded else None
        if encoder is not None and FLAG in parts:
            raise ValueError(
                f"estimator: column {names[j]!r} has categories, and an indicator of missing cells "
                "that is not one of them"
            )
        if encoder is None:
            values = [feature.fill for feature in own if feature.part == VALUE]
            fill = values[0] if values else 0.0
            if isinstance(fill, str):
                raise ValueError(f"estimator: column {names[j]!r} of texts is not encoded")
            encoder = NumberColumn("", None if fill is None else float(fill), FLAG in parts)
        elif isinstance(encoder, OrdinalColumn):
            unseen, missing = (
                None if value is None or np.isnan(value) else value
                for value in (encoder.unseen, encoder.missing)
            )
            encoder = replace(encoder, unseen=unseen, missing=missing)
        encoders[j] = encoder
    positions = [
        {VALUE: 0, FLAG: 1}[feature.part] if isinstance(feature.part, str) else feature.part
        for feature in features
    ]
    return encoders, positions


def _target(perceptron: Any, network: Network, scaler: Any) -> Target:
    n_out = network.num_targets
    if hasattr(perceptron, "classes_"):
        classes = perceptron.classes_.tolist()
        if n_out > 1 and network.activations[-1] != "softmax":
            _refuse("estimator", perceptron, "predicts several labels for each row")
        return Target((), classes)
    mean = scale = None
    if scaler is not None:
        mean = scaler.mean_ if scaler.with_mean else np.zeros(n_out)
        scale = scaler.scale_ if scaler.with_std else np.ones(n_out)
    return Target((), (), mean, scale, [PLAIN] * n_out)


def _kind(value: Any) -> str:
    module = type(value).__module__
    return type(value).__name__ if module.startswith("sklearn.") else ""


def _refuse(source: str, what: Any, why: str) -> NoReturn:
    shown = repr(what) if isinstance(what, str) or what is None else type(what).__name__
    raise ValueError(f"{source} ({shown}): {why}")


def _check_fitted(estimator: Any) -> None:
    validation = imported("sklearn.utils.validation", "sklearn")
    exceptions = imported("sklearn.exceptions", "sklearn")
    try:
        validation.check_is_fitted(estimator)
    except exceptions.NotFittedError:
        raise ValueError(
            f"estimator: this {type(estimator).__name__} has not been fitted"
        ) from None


def _does_nothing(transformer: Any) -> bool:
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return True
    if _kind(transformer) != "FunctionTransformer":
        return False
    return transformer.func is None and transformer.inverse_func is None


# --- Transformers --------------------------------------------------------------------------------


def _transformed(transformer: Any, features: list[Feature], source: str) -> list[Feature]:
    """Return what a fitted transformer makes of features."""
    if _does_nothing(transformer):
        return features
    kind = _kind(transformer)
    if kind == "Pipeline":
        for step, inner in transformer.steps:
            features = _transformed(inner, features, f"{source}, step {step!r}")
        return features
    if kind == "ColumnTransformer":
        return _column_transformed(transformer, features, source)
    if kind == "StandardScaler":
        mean = transformer.mean_ if transformer.with_mean else np.zeros(len(features))
        scale = transformer.scale_ if transformer.with_std else np.ones(len(features))
        return [f.scaled(float(m), float(s)) for f, m, s in zip(features, mean, scale, strict=True)]
    if kind == "MinMaxScaler":
        if transformer.clip:
            _refuse(source, transformer, "clip=True cannot be converted")
        pairs = zip(transformer.min_, transformer.scale_, strict=True)
        return [
            f.scaled(-float(m) / float(s), 1 / float(s))
            for f, (m, s) in zip(features, pairs, strict=True)
        ]
    if kind == "SimpleImputer":
        return _imputed(transformer, features, source)
    if kind == "OneHotEncoder":
        return _one_hot(transformer, features, source)
    if kind == "OrdinalEncoder":
        return _ordinal(transformer, features, source)
    _refuse(source, transformer, "not one of the transformers that can be converted")


def _column_transformed(transformer: Any, features: list[Feature], source: str) -> list[Feature]:
    if transformer.transformer_weights:
        _refuse(source, transformer, "transformer_weights cannot be converted")
    result: list[Feature] = []
    for name, inner, _ in transformer.transformers_:
        if inner == "drop":
            continue
        chosen = transformer._transformer_to_input_indices[name]
        if not len(chosen):
            continue
        given = [features[i] for i in chosen]
        made = _transformed(inner, given, f"{source}, {name!r}")
        output = transformer.output_indices_[name]
        if output.stop - output.start != len(made):
            _refuse(f"{source}, {name!r}", inner, "returns another number of features than read")
        result += made
    return result


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or value != value


def _imputed(transformer: Any, features: list[Feature], source: str) -> list[Feature]:
    if not _is_missing(transformer.missing_values):
        _refuse(source, transformer, f"missing_values={transformer.missing_values!r}, not NaN")
    made = []
    for feature, statistic in zip(features, transformer.statistics_, strict=True):
        if _is_missing(statistic):
            if transformer.strategy == "constant" or transformer.keep_empty_features:
                _refuse(source, transformer, f"fills column {feature.j + 1} with {statistic!r}")
            continue  # a column without a value, which it leaves out
        if isinstance(statistic, (float, np.floating)) and np.isinf(statistic):
            _refuse(source, transformer, f"fills column {feature.j + 1} with {statistic}")
        made.append(_filled(feature, statistic, transformer, source))
    if transformer.add_indicator:
        for i in transformer.indicator_.features_:
            if features[i].part != VALUE or features[i].encoder is not None:
                _refuse(source, transformer, "add_indicator of what has been encoded")
            if features[i].fill is not None:
                _refuse(source, transformer, "add_indicator of what has been filled before")
            made.append(Feature(features[i].j, FLAG))
    return made


def _filled(feature: Feature, statistic: Any, transformer: Any, source: str) -> Feature:
    """Return a feature whose missing cells are a statistic of it."""
    if feature.part != VALUE:
        return feature
    if feature.encoder is not None:
        value = float(statistic) * feature.scale + feature.mean
        unseen, missing = (
            value if number is not None and np.isnan(number) else number
            for number in (feature.encoder.unseen, feature.encoder.missing)
        )
        return replace(feature, encoder=replace(feature.encoder, unseen=unseen, missing=missing))
    if feature.fill is not None:
        return feature
    if feature.is_raw:
        return replace(feature, fill=getattr(statistic, "item", lambda: statistic)())
    if isinstance(statistic, str):
        _refuse(source, transformer, f"fills numbers with {statistic!r}")
    return replace(feature, fill=float(statistic) * feature.scale + feature.mean)


def _category_text(value: Any) -> str:
    """Return a category as the text of a cell."""
    value = getattr(value, "item", lambda: value)()
    return value.strip() if isinstance(value, str) else number_text(value)


def _categories(
    transformer: Any, i: int, feature: Feature, source: str
) -> tuple[list[str], list[bool]]:
    """Return texts of the categories of feature i, and which of them stand for a missing cell."""
    if not feature.is_raw:
        _refuse(source, transformer, "expected columns as they are, not what became of them")
    values = transformer.categories_[i].tolist()
    missing = [_is_missing(value) for value in values]
    texts = ["" if none else _category_text(v) for v, none in zip(values, missing, strict=True)]
    if sum(missing) > 1:
        _refuse(source, transformer, "several categories stand for a missing cell")
    if len({*texts}) != len(texts):
        _refuse(source, transformer, "categories that differ by blanks or type only")
    return texts, missing


def _fill_text(feature: Feature) -> str | None:
    return None if feature.fill is None else _category_text(feature.fill)


def _one_hot(transformer: Any, features: list[Feature], source: str) -> list[Feature]:
    drops = transformer.drop_idx_
    infrequent = getattr(transformer, "infrequent_categories_", [None] * len(features))
    how = transformer.handle_unknown
    made = []
    for i, feature in enumerate(features):
        texts, missing = _categories(transformer, i, feature, source)
        rare = [] if infrequent[i] is None else infrequent[i].tolist()
        if any(_is_missing(value) for value in rare):
            _refuse(source, transformer, "an infrequent category is that of missing cells")
        rare_texts = [_category_text(value) for value in rare]
        dropped = None if drops is None else drops[i]
        if dropped is not None and rare_texts:
            _refuse(source, transformer, "drop with min_frequency or max_categories")
        if dropped is not None and missing[dropped]:
            _refuse(source, transformer, "drops the category of missing cells")
        left = [texts[dropped]] if dropped is not None else rare_texts
        without = {*left}
        own = [t for t, none in zip(texts, missing, strict=True) if t not in without and not none]
        other = bool(rare_texts)
        unseen = "refuse" if how == "error" else "none" if how == "ignore" else "other"
        encoder = CategoryColumn(
            "", tuple(own), other, any(missing), tuple(left), unseen, _fill_text(feature)
        )
        # scikit-learn's order: as the categories are, the infrequent ones together last.
        n = len(own)
        place_of = {text: k for k, text in enumerate(own)}
        places = [
            n + other if none else place_of[text]
            for text, none in zip(texts, missing, strict=True)
            if none or text in place_of
        ]
        places += [n] * other
        made += [Feature(feature.j, place, encoder=encoder) for place in places]
    return made


def _ordinal(transformer: Any, features: list[Feature], source: str) -> list[Feature]:
    infrequent = getattr(transformer, "infrequent_categories_", [None] * len(features))
    made = []
    for i, feature in enumerate(features):
        texts, missing = _categories(transformer, i, feature, source)
        if infrequent[i] is not None:
            _refuse(source, transformer, "min_frequency and max_categories cannot be converted")
        known = [t for t, none in zip(texts, missing, strict=True) if not none]
        unseen: float | None = None
        if transformer.handle_unknown == "use_encoded_value":
            unseen = float(transformer.unknown_value)  # NaN until it is filled
        of_missing = unseen
        if any(missing):
            of_missing = float(transformer.encoded_missing_value)
        encoder = OrdinalColumn(
            "", tuple(known), tuple(map(float, range(len(known)))), unseen, of_missing,
            _fill_text(feature),
        )  # fmt: skip
        made.append(Feature(feature.j, encoder=encoder))
    return made
