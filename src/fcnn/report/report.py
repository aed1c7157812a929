"""The report: what is measured, and how it is told."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

import fcnn
from fcnn import _validation as check
from fcnn import plot
from fcnn._format.replacing import write_whole
from fcnn.metrics import ClassScores, NumberScores, precision_recall_f1
from fcnn.model import Model
from fcnn.plot._figure import shortened_inside
from fcnn.report.importance import Importance, importance_of
from fcnn.report.page import document, section, table, tag
from fcnn.report.pictures import as_svg, drawable, page_style, scrolled
from fcnn.tables import Table, TableError, as_table
from fcnn.tables.target import most_probable

Array = NDArray[Any]

_MOST_CLASSES = 100  # in the confusion matrix's picture
_MOST_COUNTED = 40  # in its table
_MOST_TARGETS = 12  # with a picture of their own


@dataclass(frozen=True, eq=False)
class Report:
    """How good a model is on a table.

    Attributes
    ----------
    model : fcnn.Model
    scores : fcnn.metrics.ClassScores or fcnn.metrics.NumberScores
    importance : Importance
    y, answers : numpy.ndarray
        True and predicted values: labels, shape (s,), or numbers in their own units, (s, n_L).
    missing : tuple of int
        Empty cells in each column that the model reads.
    notes : tuple of str
        What was left out, filled or unknown.
    source : str
        Name of the data.
    which : str
        What rows these are, where the model was trained on others of the same data; else empty.
    """

    model: Model
    scores: ClassScores | NumberScores
    importance: Importance
    y: Array
    answers: Array
    missing: tuple[int, ...]
    notes: tuple[str, ...]
    source: str
    which: str

    @classmethod
    def of(
        cls, model: Model, data: Any, y: Any = None, *, repeats: int = 5, seed: int = 0,
        source: str = "",
    ) -> Report:  # fmt: skip
        """Measure a model.

        Of the data that the model was trained on, in the order of then, the rows are taken that
        were held out for its test, as far as it remembers them (`TrainingRecord.held_out`).

        Parameters
        ----------
        model : fcnn.Model
        data : table-like
            See `fcnn.Model.predict`. Rows without a target are left out.
        y : array-like, optional
            See `fcnn.Model.evaluate`; None takes the target's columns of `data`.
        repeats, seed : int
            See `permutation_importance`.
        source : str, optional
            Name of the data; "" takes that of their file.

        Raises
        ------
        TypeError, ValueError
            As `fcnn.Model.evaluate`.
        """
        if not isinstance(model, Model):
            raise TypeError(
                f"model: expected a fcnn.Model, got {type(model).__name__}: a network alone does "
                "not know columns and classes"
            )
        seed = check.as_count("seed", seed, least=0)
        given = as_table(data)
        whole = given
        notes: list[str] = []
        if y is None:
            given = _with_targets(model, given, notes)
        values = model.target_values(given, y)
        which = ""
        held_out = None if model.training is None else model.training.held_out
        X = model.prepare(given, notes)
        held = None if held_out is None else held_out.find(X, values)
        if held is not None:
            which = (
                f"the {len(held):,} of {given.rows:,} rows that were held out for the test: the "
                "model was made of the others"
            )
            given, X, values = given.take(held), X[held], values[held]
        outputs = model.network.predict(X)
        loss = None
        if model.classes:
            loss = float(model.network.evaluate(X, model.scaled(values))["loss"])
            answers = most_probable(outputs)
        else:
            answers = model.central(outputs)
        named = given.is_named and model.preparation.is_named
        columns = [given[c.name] for c in model.preparation.columns if named and c.name in given]
        if not columns and given.matrix is None:
            columns = given.columns
        return cls(
            model, model.scores(outputs, values, loss),
            importance_of(model, X, values, repeats, seed), values, answers,
            tuple(int(column.is_missing().sum()) for column in columns), (*whole.notes, *notes),
            source or ("" if whole.source == "X" else whole.source), which,
        )  # fmt: skip

    # --- The page --------------------------------------------------------------------------------

    def to_html(
        self, *, command: str = "", date: str = "", model_name: str = "", title: str = ""
    ) -> str:
        """Return the report as one HTML page.

        Parameters
        ----------
        command : str, optional
            The command that makes it.
        date : str, optional
            Of the data.
        model_name : str, optional
            Of the model's file.
        title : str, optional

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        for name, text in (("command", command), ("date", date), ("model_name", model_name),
                           ("title", title)):  # fmt: skip
            if not isinstance(text, str):
                raise TypeError(f"{name}: expected a text, got {text!r}")
        title = title or " on ".join(
            Path(name).name for name in (model_name, self.source) if name
        ) or "A model of fcnn"  # fmt: skip
        with page_style():
            parts = [
                self._head(title), self._score_section(), self._answer_section(),
                self._class_section(), self._importance_section(), self._column_section(),
                self._training_section(), self._about_section(command, date, model_name),
            ]  # fmt: skip
        return document(f"Report: {title}", *(part for part in parts if part is not None))

    def _head(self, title: str) -> Element:
        warnings = [
            tag("p", tag("strong", "Warning: "), f"{text}.", class_="warning", role="note")
            for text in self.scores.warnings
        ]
        what = (
            f"Predicts {self._predicted()} from {_count(len(self.importance.names), 'column')}; "
            f"measured on {self.which or _count(self.scores.rows, 'row')}."
        )
        return tag("header", tag("h1", title), tag("p", what, class_="pale"), *warnings)

    def _predicted(self) -> str:
        named = ", ".join(map(repr, self.model.targets[:5])) + ", ..." * (
            len(self.model.targets) > 5
        )
        if self.model.classes:
            return f"{len(self.model.classes)} classes{f' of {named}' if named else ''}"
        return named or _count(self.model.network.num_targets, "number")

    def _score_section(self) -> Element:
        if isinstance(self.scores, ClassScores):
            s = self.scores
            answer = _shown(self.model.target.class_texts[s.baseline], 40)
            heads = ["score", "network", f"always {answer!r}"]
            rows: list[tuple[str, ...]] = [
                ("accuracy", f"{s.accuracy:.4f} ({s.right:,} of {s.rows:,})",
                 f"{s.baseline_accuracy:.4f}"),
                ("balanced accuracy", f"{s.balanced_accuracy:.4f}",
                 f"{s.baseline_balanced_accuracy:.4f}"),
            ]  # fmt: skip
            if s.roc_auc is not None:
                rows.append(("ROC AUC", _share(s.roc_auc), "0.5000"))
            if s.loss is not None:
                rows.append((self.model.network.loss.replace("_", " "), f"{s.loss:.4g}", ""))
            meaning = (
                "Accuracy is the share of right answers; balanced accuracy the mean of the "
                "classes' recalls, which a rare class counts in like a frequent one. The last "
                f"column is the trivial answer, the most frequent class of {self._trivial_of()}."
            )
            return section("scores", "Scores", tag("p", meaning), table(
                "Scores of the network and of the trivial answer", heads, rows, (1, 2),
                "scores-table",
            ))  # fmt: skip
        n = self.scores
        names = self._target_names()
        columns = (n.r2, n.baseline_r2, n.rmse, n.baseline_rmse, n.mae, n.baseline_mae)
        texts = [
            [f"{value:.4f}" if j < 2 else f"{value:.6g}" for value in column]
            for j, column in enumerate(columns)
        ]
        kinds = ("r\u00b2", "root mean square error", "mean absolute error")
        caption = "Scores of the network and of the trivial answer, the mean"
        if len(names) == 1:
            heads = ["score", "network", f"always {n.baseline[0]:.6g}"]
            rows = [(kind, texts[2 * i][0], texts[2 * i + 1][0]) for i, kind in enumerate(kinds)]
        else:
            heads = ["target", *(text for kind in kinds for text in (kind, "of the mean"))]
            rows = [(name, *(column[k] for column in texts)) for k, name in enumerate(names)]
        meaning = (
            "Errors are in the target's own units. An r\u00b2 of 1 is perfect, that of these rows' "
            f"mean is 0. The trivial answer is the mean of {self._trivial_of()}."
        )
        if n.d2 is not None:
            told = " and ".join(
                f"{value:.4f}" + (f" of {name}" if len(names) > 1 else "")
                for name, value in zip(names, n.d2, strict=True)
            )
            meaning += (
                " These scores are of the quantile nearest to the median. What the quantiles are "
                "trained for is d\u00b2, the share of the best constants' loss that they save: "
                f"{told}."
            )
        made = table(caption, heads, rows, range(1, len(heads)), "scores-table")
        return section("scores", "Scores", tag("p", meaning), made)

    def _trivial_of(self) -> str:
        record = self.model.training
        known = record is not None and record.trivial is not None
        return "the rows that the model was trained on" if known else "these rows"

    def _target_names(self) -> list[str]:
        return list(self.model.targets) or [f"target {k + 1}" for k in range(len(self.y[0]))]

    def _answer_section(self) -> Element:
        if isinstance(self.scores, ClassScores):
            return self._confusion_section(self.scores)
        pictures = []
        for k, name in enumerate(self._target_names()[:_MOST_TARGETS]):
            shown = drawable(name)
            figure = plot.plot_predictions(self.answers[:, k], self.y[:, k], name=shown)
            svg = as_svg(
                figure, f"predictions-{k}", f"Predicted against true {shown}",
                f"{len(self.y):,} rows; r2 {self.scores.r2[k]:.4f}. On the line the prediction is "
                "the true value.",
            )  # fmt: skip
            caption = f"{name}: r\u00b2 {self.scores.r2[k]:.4f}"
            pictures.append(scrolled(svg, caption))
        left = len(self._target_names()) - _MOST_TARGETS
        more = [tag("p", f"... and {left} more targets.", class_="pale")] if left > 0 else []
        return section("answers", "Predicted against true",
                       tag("div", *pictures, class_="pictures"), *more)  # fmt: skip

    def _confusion_section(self, scores: ClassScores) -> Element:
        texts = [drawable(text) for text in self.model.target.class_texts]
        counts = scores.confusion_matrix
        children: list[Element] = []
        if len(texts) <= _MOST_CLASSES:
            figure = plot.plot_confusion_matrix(self.answers, self.y, _different(texts))
            svg = as_svg(
                figure, "confusion", "Confusion matrix",
                f"Rows are the true classes, columns the answers: {scores.right:,} of "
                f"{scores.rows:,} rows are right. The counts are in the table below.",
            )  # fmt: skip
            if len(texts) > 6:
                svg.set("class", "wide")
            children.append(scrolled(svg, "Row: true class. Column: answer."))
        else:
            children.append(tag("p", f"{len(texts):,} classes are too many for a picture."))
        wrong = counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:10]
        pairs = [divmod(int(i), len(texts)) for i in order if wrong.flat[i]]
        if pairs:
            rows: list[tuple[str, ...]] = [
                (texts[true], texts[answer], f"{wrong[true, answer]:,}") for true, answer in pairs
            ]
            children.append(table("The most frequent confusions", ["true class", "answer", "rows"],
                                  rows, (2,), "confusions-table"))  # fmt: skip
        if len(texts) <= _MOST_COUNTED:
            rows = [
                (text, *(f"{count:,}" for count in row))
                for text, row in zip(texts, counts.tolist(), strict=True)
            ]
            all_counts = table("Rows by true class, and by answer", ["true class", *texts], rows,
                               range(1, len(texts) + 1), "confusion-table")  # fmt: skip
            children.append(tag("details", tag("summary", "All counts as a table"), all_counts))
        return section("answers", "Confusion matrix", *children)

    def _class_section(self) -> Element | None:
        if not isinstance(self.scores, ClassScores):
            return None
        precision, recall, f1, support = precision_recall_f1(self.scores.confusion_matrix)
        rows = [
            (text, _share(precision[k]), _share(recall[k]), _share(f1[k]), f"{support[k]:,}")
            for k, text in enumerate(self.model.target.class_texts)
        ]
        meaning = (
            "Precision is the share of a class's answers that are right, recall the share of its "
            "rows that are found, F1 their harmonic mean. \u2013 stands where a class is never "
            "answered or has no row."
        )
        made = table("Scores of each class", ["class", "precision", "recall", "F1", "rows"], rows,
                     (1, 2, 3, 4), "classes-table")  # fmt: skip
        return section("classes", "Classes", tag("p", meaning), made)

    def _importance_section(self) -> Element:
        found = self.importance
        score = {"r2": "r\u00b2", "d2": "d\u00b2"}.get(found.score, "balanced accuracy")
        figure = plot.plot_importance(
            [drawable(name) for name in found.names], found.mean, found.deviation,
            label=f"loss of {score}",
        )  # fmt: skip
        order = np.argsort(-found.mean, kind="stable")
        first = ", ".join(_shown(found.names[j], 40) for j in order[:3])
        svg = as_svg(figure, "importance", "Permutation importance of the columns",
                     f"The most important first: {first}. The numbers are in the table of the "
                     "columns.")  # fmt: skip
        meaning = (
            f"How much {score} is lost when the cells of one column change places: the mean of "
            f"{_count(found.values.shape[1], 'permutation')} of {_count(found.rows, 'row')}, and "
            "their standard deviation. Columns that say the same share their importance: each "
            "alone may seem to have none."
        )
        return section("importance", "Importance of the columns", tag("p", meaning),
                       scrolled(svg, f"Of {score} {found.baseline:.4f}."))  # fmt: skip

    def _column_section(self) -> Element:
        rows = self.model.rows()
        used = len(self.importance.names)
        mean, deviation = self.importance.mean, self.importance.deviation
        told = []
        for j, (name, kind, becomes) in enumerate(rows):
            importance = f"{mean[j]:.4f} \u00b1 {deviation[j]:.4f}" if j < used else ""
            missing = f"{self.missing[j]:,}" if j < used and self.missing else ""
            told.append((name, kind, importance.replace("-", "\u2212"), missing, becomes))
        heads = ["column", "kind", "importance", "missing", "becomes"]
        children = [table("Columns, their kinds and what becomes of them", heads, told, (2, 3),
                          "columns-table")]  # fmt: skip
        if self.notes:
            children.append(tag("ul", *(tag("li", note) for note in self.notes)))
        return section("columns", "Columns", *children)

    def _training_section(self) -> Element:
        record = self.model.training
        children: list[Element] = []
        if record is not None and record.history.loss:
            children.append(tag("div", *self._curves(record.history), class_="pictures"))
        else:
            children.append(tag("p", "The model's file holds no curves of its training.",
                                class_="pale"))  # fmt: skip
        facts = []
        if record is not None:
            parts = ", ".join(f"{count:,} {part}" for part, count in record.parts.items())
            facts += [("data", record.data), ("rows", parts), ("ended", record.date),
                      ("command", record.command)]  # fmt: skip
        net = self.model.network
        hidden = ", ".join(dict.fromkeys(net.activations))
        facts += [
            ("network", f"{'-'.join(map(str, net.sizes))}, {hidden}; {net.num_parameters:,} "
             f"parameters, {net.dtype}"),
            ("loss", net.loss.replace("_", " ")),
        ]  # fmt: skip
        children.append(_facts("Training and network", facts, "training-table"))
        return section("training", "Training", *children)

    def _curves(self, history: Any) -> list[Element]:
        """Return a picture for each of losses, score and learning rate."""
        from matplotlib.figure import Figure

        names = ["loss"]
        if history.validation_score:
            names.append(f"validation {history.score_name}")
        if len(set(history.learning_rate)) > 1:
            names.append("learning rate")
        # Each in a figure of its own: side by side where there is room, else one below the other.
        figures = [Figure(figsize=(4.6, 3.2), layout="constrained") for _ in names]
        plot.plot_history(history, ax=[figure.subplots() for figure in figures])
        made: list[Element] = []
        for name, figure in zip(names, figures, strict=True):
            last = history.loss[-1]
            svg = as_svg(figure, f"curve-{len(made)}", f"Curve of the training: {name}",
                         f"{_count(len(history.loss), 'epoch')}; the last training loss is "
                         f"{last:.4g}.")  # fmt: skip
            made.append(scrolled(svg, name.capitalize()))
        return made

    def _about_section(self, command: str, date: str, model_name: str) -> Element:
        import matplotlib

        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        versions = (
            f"fcnn {fcnn.__version__}, NumPy {np.__version__}, matplotlib "
            f"{matplotlib.__version__}, Python {platform.python_version()}"
        )
        facts = [
            ("model", model_name), ("data", self.source), ("data of", date),
            ("rows", f"{self.scores.rows:,}"), ("command", command), ("made", now),
            ("versions", versions),
        ]  # fmt: skip
        advice = (
            f"The scores are of {self.which}." if self.which else
            "These scores hold for new rows if the model was not trained on those it is measured "
            "on here."
        )  # fmt: skip
        return section("about", "About this report", tag("p", advice),
                       _facts("How this report was made", facts, "about-table"))  # fmt: skip


def write_report(
    model: Model,
    data: Any,
    path: str | os.PathLike[str],
    y: Any = None,
    *,
    repeats: int = 5,
    seed: int = 0,
    source: str = "",
    command: str = "",
    model_name: str = "",
    title: str = "",
) -> Report:
    """Write how good a model is on a table as one HTML file.

    It needs no other file and no network access, and runs no script. In it: the scores beside
    those of the trivial answer, the confusion matrix or the predicted against the true numbers, the
    scores of each class, the permutation importance of the columns, what becomes of each column,
    and the curves of the training if the model's file has them.

    Parameters
    ----------
    model : fcnn.Model
    data : table-like
        See `Report.of`: rows that the model was not trained on, or all rows of then.
    path : str or path-like
        Of the HTML file; it is replaced when the new one is complete.
    y : array-like, optional
        See `fcnn.Model.evaluate`; None takes the target's columns of `data`.
    repeats, seed : int
        See `permutation_importance`.
    source : str, optional
        Name of the data; "" takes that of their file, whose date is told.
    command, model_name, title : str, optional
        Told in the report.

    Returns
    -------
    Report
        The numbers.

    Raises
    ------
    TypeError, ValueError
        As `fcnn.Model.evaluate`.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected a str or os.PathLike, got {type(path).__name__}")
    report = Report.of(model, data, y, repeats=repeats, seed=seed, source=source)
    page = report.to_html(
        command=command, date=_date(report.source), model_name=model_name, title=title
    )
    write_whole(Path(path), page.encode("utf-8", "replace"))
    return report


def _with_targets(model: Model, given: Table, notes: list[str]) -> Table:
    """Return the rows of a table that have a target."""
    names = [name for name in model.targets if name in given]
    known = [model.target.has_value(given[name]) for name in names]
    empty = ~np.all(known, axis=0) if known else np.zeros(given.rows, bool)
    if not empty.any():
        return given
    if empty.all():
        raise TableError(f"{given.source}: no row has a target, {', '.join(map(repr, names))}")
    notes.append(f"{_count(int(empty.sum()), 'row')} without a target left out")
    return given.take(np.flatnonzero(~empty))


def _date(source: str) -> str:
    """Return when a file was changed last; nothing where there is none."""
    try:
        changed = os.stat(source).st_mtime
    except (OSError, ValueError):
        return ""
    moment = datetime.datetime.fromtimestamp(changed).astimezone()
    return moment.isoformat(sep=" ", timespec="seconds")


def _facts(caption: str, facts: list[tuple[str, str]], name: str) -> Element:
    return table(caption, ["what", "which"], [fact for fact in facts if fact[1]], (), name)


def _share(value: float) -> str:
    return "\u2013" if np.isnan(value) else f"{value:.4f}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _shown(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def _different(texts: list[str]) -> list[str]:
    """Return the texts as short as the picture has them, those that are then the same numbered."""
    seen: dict[str, int] = {}
    made = []
    for text in (shortened_inside(text, 16) for text in texts):
        seen[text] = seen.get(text, 0) + 1
        made.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return made
