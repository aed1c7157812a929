"""Model: a network with what stands before and behind it, from raw data to answers."""

from __future__ import annotations

import html
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcnn import _format
from fcnn import _validation as check
from fcnn._attributes import Check, Checked, Checks
from fcnn._dispatch import core
from fcnn.history import TrainingRecord
from fcnn.metrics import ClassScores, NumberScores, coverage, d2_quantile
from fcnn.network import Network
from fcnn.tables import Preparation, Table, TableError, Target, as_table
from fcnn.tables.target import most_probable

Array = NDArray[Any]

__all__ = ["Model"]


def __dir__() -> list[str]:
    return __all__


def _part(kind: type, *, optional: bool = False) -> Check:
    """Return what takes a part of a model."""

    def as_part(name: str, value: Any) -> Any:
        if not isinstance(value, kind) and not (optional and value is None):
            raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}")
        return value

    return as_part


class Model(Checked):
    """A network together with the preparation of its inputs and the meaning of its outputs.

    What `fcnn train` saves and `fcnn.load` gives back: it takes raw data, and answers in the user's
    terms.

    Parameters
    ----------
    network : fcnn.Network
    preparation : fcnn.tables.Preparation
        From the columns of a table to the network's inputs.
    target : fcnn.tables.Target
        From the network's outputs to classes, or to numbers in their own units.
    training : fcnn.history.TrainingRecord, optional
        How it came to be, for `fcnn.report`.

    Attributes
    ----------
    network : fcnn.Network
    preparation : fcnn.tables.Preparation
    target : fcnn.tables.Target
    training : fcnn.history.TrainingRecord or None

    Raises
    ------
    TypeError, ValueError
        If the parts do not fit each other.

    Examples
    --------
    >>> import fcnn
    >>> from fcnn.tables import Preparation, Target
    >>> data = {"size": [1.0, 2.0, 3.0], "color": ["red", "blue", "red"]}
    >>> preparation = Preparation.fit(data)
    >>> network = fcnn.Network((preparation.width, 4, 2), init="zeros")
    >>> model = fcnn.Model(network, preparation, Target(["kind"], ["a", "b"]))
    >>> model.predict({"color": ["red"], "size": [2.5]})
    array(['a'], dtype='<U1')
    """

    network: Network
    preparation: Preparation
    target: Target
    training: TrainingRecord | None

    _checks: ClassVar[Checks] = {
        "network": _part(Network),
        "preparation": _part(Preparation),
        "target": _part(Target),
        "training": _part(TrainingRecord, optional=True),
    }

    def __init__(
        self,
        network: Network,
        preparation: Preparation,
        target: Target,
        training: TrainingRecord | None = None,
    ) -> None:
        given = {
            "network": network, "preparation": preparation, "target": target, "training": training,
        }  # fmt: skip
        for name, value in given.items():
            self._checks[name](name, value)
        self._refuse_together(given)
        self.__dict__.update(given)  # one by one, what is there already would be checked again

    def _refuse_together(self, values: Mapping[str, Any]) -> None:
        network, preparation, target = map(values.get, ("network", "preparation", "target"))
        if network is None or preparation is None or target is None:
            return
        _format.check_model(network.sizes, network.loss, preparation, target)
        training = values.get("training")
        if training is not None:
            training.check(len(target.classes), network.num_targets)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that it reads, in the order of an array's; empty without names."""
        return self.preparation.features

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the columns that it predicts; empty if they have none."""
        return self.target.names

    @property
    def classes(self) -> tuple[Any, ...]:
        """What it tells apart: texts, integers, floats or booleans; empty where it is numbers."""
        return self.target.classes

    @property
    def levels(self) -> tuple[float, ...]:
        """Of quantiles, below which share of the targets each is to be; else empty."""
        return core.split_loss(self.network.loss)[1]

    @property
    def has_std(self) -> bool:
        """Whether it predicts standard deviations, too: of the loss gaussian_nll."""
        return core.split_loss(self.network.loss)[0] == "gaussian_nll"

    @property
    def output_scaling(self) -> tuple[Array, Array] | None:
        """What makes numbers in their own units of each output a of the network, a scale + mean.

        Two arrays of float64, shape (n_L,): means and scales; or None. What is normal with the
        logarithm s of a variance has s + 2 log(scale) in the target's units.
        """
        mean, scale = self.target.mean, self.target.scale
        if mean is None or scale is None:
            return None
        if self.has_std:
            return (
                np.concatenate([mean, 2 * np.log(scale)]),
                np.concatenate([scale, np.ones(len(scale))]),
            )
        several = self.network.sizes[-1] // len(mean)
        return np.tile(mean, several), np.tile(scale, several)

    # --- Predicting ------------------------------------------------------------------------------

    def prepare(self, data: Any, notes: list[str] | None = None) -> Array:
        """Return data as the network's inputs, shape (s, n_0), in its dtype.

        Parameters
        ----------
        data : table-like
            See `predict`.
        notes : list, optional
            Takes a text for each column that had missing cells filled or unseen categories. None
            warns of unseen categories, once for each column, as all that take data do.
        """
        if notes is not None and not isinstance(notes, list):
            raise TypeError(f"notes: expected a list to write to, got {notes!r}")
        return self.preparation.transform(data, self.network.dtype, notes)

    def outputs(self, data: Any, *, n_threads: int | None = None) -> Array:
        """Return the network's outputs as they are, shape (s, n_L)."""
        return self.network.predict(self.prepare(data), n_threads=n_threads)

    def decode(self, outputs: Array) -> Array:
        """Return outputs of the network as answers: see `predict`, of several rows."""
        if self.classes:
            return self.target.decode(self._as_outputs(outputs))
        numbers = self._numbers(outputs)
        answers = numbers if self.levels[1:] else numbers[:, :, 0]
        return answers[:, 0] if answers.shape[1] == 1 else answers

    def central(self, outputs: Array) -> Array:
        """Return one number for each target, float64, shape (s, n): what scores are of.

        Of gaussian_nll the mean, of quantiles that whose level is nearest to 1/2.
        """
        middle = int(np.argmin([abs(level - 0.5) for level in self.levels or (0.5,)]))
        return self._numbers(outputs)[:, :, middle]

    def deviations(self, outputs: Array) -> Array:
        """Return the standard deviations, float64, shape (s, n), of the loss gaussian_nll."""
        if not self.has_std:
            raise ValueError(
                "outputs: only those of the loss gaussian_nll have standard deviations, got "
                f"{self.network.loss}"
            )
        with np.errstate(over="ignore"):
            std: Array = np.exp(self._numbers(outputs)[:, :, 1] / 2)
        return std

    def _numbers(self, outputs: Array) -> Array:
        """Return the outputs in their own units, float64, shape (s, n, outputs of a target)."""
        values = self._as_outputs(outputs).astype(np.float64)
        if self.output_scaling is not None:
            mean, scale = self.output_scaling
            values = values * scale + mean
        return values.reshape(len(values), -1, self.network.num_targets).transpose(0, 2, 1)

    def _as_outputs(self, outputs: Any) -> Array:
        """Return what the network is said to have answered, shape (s, n_L)."""
        array, n_L = check.as_numeric("outputs", outputs), self.network.sizes[-1]
        if array.ndim != 2 or array.shape[1] != n_L:
            raise ValueError(f"outputs: expected shape (rows, {n_L}), got {array.shape}")
        return array

    def predict(self, data: Any, *, return_std: bool = False, n_threads: int | None = None) -> Any:
        """Return the answers for raw data.

        Parameters
        ----------
        data : table-like
            A data frame of pandas or polars, a pyarrow table, a dict of columns, a list of dicts, a
            structured array or a table of `fcnn.tables.read_table`: columns are taken by name, in
            any order, others are ignored. Or anything that NumPy reads, shape (s, n) or (n,), with
            the columns of `features` in their order. A model without names takes all by position.
        return_std : bool, default False
            Return the standard deviations, too: of the loss gaussian_nll.
        n_threads : int, optional
            See `Network.predict`.

        Returns
        -------
        answers : numpy.ndarray
            Classes, shape (s,); or float64 numbers in the target's own units, (s,) of one and
            (s, n) of several. Several quantiles are the last dimension, in the order of `levels`.
            Of a single row, (n,) or a dict of single values, its one answer.
        std : numpy.ndarray of the same shape
            With `return_std`, in the target's own units.

        Raises
        ------
        TypeError, ValueError
            If columns are missing, or cells are not what was learned from: all of them are listed,
            up to ten; or with `return_std` the model has another loss.
        """
        if check.as_flag("return_std", return_std) and not self.has_std:
            raise ValueError(
                "return_std: only the loss gaussian_nll has standard deviations, got "
                f"{self.network.loss}"
            )
        table = as_table(data)
        outputs = self.outputs(table, n_threads=n_threads)
        answers = self.decode(outputs)
        if not return_std:
            return answers[0] if table.is_single else answers
        std = self.deviations(outputs).reshape(answers.shape)
        return (answers[0], std[0]) if table.is_single else (answers, std)

    def predict_proba(self, data: Any, *, n_threads: int | None = None) -> Array:
        """Return the probability of each class, in the order of `classes`.

        Parameters
        ----------
        data, n_threads
            See `predict`.

        Returns
        -------
        numpy.ndarray, shape (s, K), or (K,) of a single row

        Raises
        ------
        ValueError
            If the model predicts numbers, or its outputs are no probabilities, but those of a loss
            for numbers: `outputs` returns these.
        """
        activation = self.network.activations[-1]
        if not self.classes:
            raise ValueError("predict_proba: the model predicts numbers, not classes")
        if activation not in ("softmax", "sigmoid"):
            raise ValueError(
                f"predict_proba: the outputs are {activation} of a network trained with "
                f"{self.network.loss}, no probabilities; model.outputs(data) returns them"
            )
        table = as_table(data)
        outputs = self.outputs(table, n_threads=n_threads)
        if outputs.shape[1] == 1 < len(self.classes):
            outputs = np.hstack([1 - outputs, outputs])
        return np.asarray(outputs[0]) if table.is_single else outputs

    # --- Targets ---------------------------------------------------------------------------------

    def encode(self, y: Any, name: str = "y") -> Array:
        """Return target values as what the network is trained on.

        Parameters
        ----------
        y : array-like
            Classes, or numbers in their own units; what `Target.encode` returned is `scaled`'s.

        Returns
        -------
        numpy.ndarray
            Labels (s,), zeros and ones (s, n_L), or scaled numbers (s, n_L), by the loss.
        """
        values = self.target.encode(y, name)
        return self.scaled(values)

    def scaled(self, values: Array) -> Array:
        """Return labels (s,), or numbers (s, n_L) in their own units, as `encode` does."""
        target, n_out = self.target, self.network.sizes[-1]
        if target.is_classes:
            if check.TARGETS[self.network.loss] == "classes":
                return values
            if n_out == 1:
                return values[:, np.newaxis].astype(self.network.dtype)
            return np.eye(n_out, dtype=self.network.dtype)[values]
        if target.mean is None or target.scale is None:
            return values
        return np.asarray((values - target.mean) / target.scale)

    def evaluate(self, data: Any, y: Any = None) -> dict[str, Any]:
        """Return how good the answers are.

        Parameters
        ----------
        data : table-like
            See `predict`.
        y : array-like, shape (s,) or (s, n_L), optional
            Classes, or numbers in their own units; of what names its columns those of the target.
            Rows stand in the order of `data`, whatever the index. None takes the target's columns
            of `data`.

        Returns
        -------
        dict
            Of classes ``loss``, ``accuracy``, ``balanced_accuracy`` (the mean recall of the
            classes), of two ``roc_auc``; ``per_class``: of each class a dict of ``precision``,
            ``recall``, ``f1`` and ``support``, NaN where it is never answered or has no row; and
            ``confusion_matrix``, a list for each true class with a count for each answer.
            Of numbers ``r2`` (averaged over several), and in their own units ``rmse``, the root
            mean square error, and ``mae``, the mean absolute error: lists of several. They are of
            the means, or of the quantiles nearest to the median. Of quantiles there is ``d2``, too,
            the share of the best constants' quantile loss that they save, averaged over several
            targets, and of several quantiles ``coverage``, the share of the targets from the lowest
            to the highest one.
            Of both ``baseline``: the scores of the trivial ``answer``, the most frequent class or
            the mean of the rows that the model was trained on, or of these where it does not know
            (`training` is None); and ``warnings``, a list of texts: that the network is no better
            than it, or than constant quantiles, by ``d2``.
            `fcnn.metrics` has the definitions.

        Raises
        ------
        ValueError
            If a target is missing, or none of the classes; if y lacks a column of the target, or is
            of pandas with the index of `data` in another order.
        """
        _refuse_reordered(data, y)
        table = as_table(data)
        values = self.target_values(table, y)
        X = self.prepare(table)
        loss = None
        if self.classes:
            loss = float(self.network.evaluate(X, self.scaled(values))["loss"])
        return self.scores(self.network.predict(X), values, loss).to_dict()

    def scores(
        self, outputs: Array, values: Array, loss: float | None = None
    ) -> ClassScores | NumberScores:
        """Return the scores of outputs, as `evaluate` does, as attributes.

        Parameters
        ----------
        outputs : numpy.ndarray, shape (s, n_L)
            Of the network, as `outputs` returns them.
        values : numpy.ndarray
            Labels, shape (s,), or numbers in their own units, shape (s, n_L): see `Target.encode`.
        loss : float, optional
            The mean loss, to be among the scores of classes.
        """
        outputs = self._as_outputs(outputs)
        trivial: Any = None if self.training is None else self.training.trivial
        if not self.classes:
            levels, inside, d2 = self.levels, None, None
            if levels:
                numbers = self._numbers(outputs)
                if levels[1:]:
                    inside = coverage(numbers[:, :, 0], numbers[:, :, -1], values)
                n = values.shape[1]
                d2 = np.array(
                    [d2_quantile(numbers[:, k], values[:, [k]], levels) for k in range(n)]
                )
            return NumberScores.of(
                self.central(outputs), values, self.targets, trivial, levels, inside, d2
            )
        of_the_second = outputs[:, -1]
        if outputs.shape[1] == 2 and self.network.activations[-1] != "softmax":
            of_the_second = outputs[:, 1] - outputs[:, 0]  # where it is positive it is the answer
        return ClassScores.of(
            most_probable(outputs), values, self.classes, probabilities=of_the_second, loss=loss,
            texts=self.target.class_texts, baseline=trivial,
        )  # fmt: skip

    def target_values(self, table: Any, y: Any = None) -> Array:
        """Return the targets of a table's rows, as `Target.encode` does; y as in `evaluate`."""
        table = as_table(table, "table")
        values = self._targets_of(table) if y is None else self.target.encode(y)
        if len(values) != table.rows:
            raise ValueError(
                f"y: expected {table.rows:,} values, one for each row, got {len(values):,}"
            )
        return values

    def _targets_of(self, table: Table) -> Array:
        absent = [name for name in self.targets if name not in table]
        if absent or not self.targets:
            names = " ".join(map(repr, absent)) or "the target, which has no name"
            raise TableError(f"y: expected targets; {table.source} has no column {names}")
        return self.target.encode(table, table.source)

    # --- Around it -------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file in the safetensors format; `fcnn.load` gives it back.

        The file holds what `Network.save` writes; preparation and target in its metadata, their
        means and scales in float64. Nothing in it is code. An existing file is replaced at once,
        when the new one is complete.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        _format.save_model(self.network, path, self.preparation, self.target, self.training)

    def __repr__(self) -> str:
        return f"Model({self._predicts()} from {self._reads()}; {self._shape()})"

    def _predicts(self) -> str:
        named = ", ".join(self.targets)
        if self.classes:
            texts = self.target.class_texts
            shown = ", ".join(texts[:5]) + (", ..." if len(texts) > 5 else "")
            return f"{named + ': ' if named else ''}{len(texts):,} classes ({shown})"
        count = self.network.num_targets
        return named or f"{count:,} number{'s' * (count > 1)}"

    def _reads(self) -> str:
        names = self.features
        if not names:
            return f"{len(self.preparation.columns):,} columns by position"
        return ", ".join(names[:8]) + (f", ... ({len(names):,})" if len(names) > 8 else "")

    def _shape(self) -> str:
        sizes = "-".join(map(str, self.network.sizes))
        return f"{sizes}, {self.network.dtype}, loss {self.network.loss}"

    def rows(self) -> list[tuple[str, str, str]]:
        """Return name, kind and treatment of each column, those left out last, as texts."""
        told = []
        starts = self.preparation.starts
        for j, column in enumerate(self.preparation.columns):
            part = slice(starts[j], starts[j + 1])
            name = column.name or f"column {j + 1}"
            mean, scale = self.preparation.mean[part], self.preparation.scale[part]
            told.append((name, column.kind, column.told(mean, scale)))
        return told + [(name, "left out", why) for name, why in self.preparation.left_out]

    def summary(self) -> str:
        """Return columns, target and layers as tables, for printing."""
        rows = self.rows()
        shown = rows if len(rows) <= 50 else rows[:20]
        wide = [max(len(row[i]) for row in (("column", "kind"), *shown)) for i in range(2)]
        lines = [f"Model: {self._predicts()}", ""]
        for name, kind, told in (("column", "kind", "becomes"), *shown):
            lines.append(f"{name:{wide[0]}}  {kind:{wide[1]}}  {told}".rstrip())
        if len(shown) < len(rows):
            lines.append(f"... and {len(rows) - len(shown):,} more")
        return "\n".join([*lines, "", self.network.summary()])

    def _repr_html_(self) -> str:
        """Return columns and target as a table, for notebooks."""
        rows = self.rows()
        cells = [
            "<tr>" + "".join(f"<td style='text-align: left'>{html.escape(text)}</td>"
                             for text in row) + "</tr>"
            for row in rows[:50]
        ]  # fmt: skip
        if len(rows) > 50:
            cells.append(f"<tr><td>... and {len(rows) - 50:,} more</td><td></td><td></td></tr>")
        heads = "".join(
            f"<th style='text-align: left'>{text}</th>" for text in ("column", "kind", "becomes")
        )
        return (
            f"<div><b>fcnn.Model</b>: {html.escape(self._predicts())}<br>"
            f"{html.escape(self._shape())}"
            f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(cells)}</tbody></table></div>"
        )


def _refuse_reordered(data: Any, y: Any) -> None:
    """Refuse targets of pandas that have the labels of the data's rows in another order."""
    of_data: Any = getattr(data, "index", None)
    of_y: Any = getattr(y, "index", None)
    if not (hasattr(of_data, "equals") and hasattr(of_y, "equals")) or of_data.equals(of_y):
        return
    rows, given = of_data.tolist(), of_y.tolist()
    if Counter(rows) == Counter(given):
        row = next(i for i, (a, b) in enumerate(zip(rows, given, strict=True)) if a != b)
        raise ValueError(
            f"y: expected the rows of data in their order, got its index in another one: row {row} "
            f"is {rows[row]!r} in data, {given[row]!r} in y; y.loc[data.index] has the same order"
        )
