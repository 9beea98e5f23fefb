"""What `%deploy quality` shows: how right a deployment answers, how sure that is, and where it is worse."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from autodeploy_magic.health import Confusion, Figure, Quality, Slice
from autodeploy_magic.notebook.html import Markup, card, element, join, table
from autodeploy_magic.notebook.text import grid
from autodeploy_magic.notebook.views import View

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Version
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["ShownQuality", "quality_of"]

_JOB = "autodeploy_magic.operate.quality.by:main"
_JOB_S = 60.0
_METRICS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
}
_SHARES = ("accuracy", "precision", "recall", "f1")


def quality_of(store: Store, supervisor: Supervisor, version: Version, by: str | None) -> ShownQuality:
    """Return how right the deployment answers, with `by` also for each value of a column.

    Raises `InvalidOption` for a column that labelled rows do not have.
    """
    name = version.deployment
    quality = supervisor.health(name).quality
    slices: tuple[Slice, ...] | None = None
    if by is not None:
        spec = {"file": str(store.requests_file(name)), "version": msgspec.to_builtins(version), "column": by}
        found = supervisor.runner(sys.executable).run(_JOB, spec, timeout_s=_JOB_S)["slices"]
        slices = msgspec.convert(found, tuple[Slice, ...])
    return ShownQuality(name, quality, slices, positions=version.signature.container in ("ndarray", "list"))


@dataclass(frozen=True)
class ShownQuality(View):
    """The quality of a deployment; None where nothing is recorded. `slices` are those of the column that was asked for,
    None for those that are worse than the rest. `positions` says that columns have no names but their positions.
    """

    name: str
    quality: Quality | None
    slices: tuple[Slice, ...] | None = None
    positions: bool = False

    def text(self) -> str:
        parts = [self._headline]
        for title, head, rows, _ in self._tables():
            parts += ["", *([title] if title else []), grid(head, rows)]
        notes = self._notes()
        return "\n".join([*parts, *([""] if notes and len(parts) > 1 else []), *notes])

    def html(self) -> Markup:
        name = element("span", self.name, class_="name")
        top = element("div", name, element("span", self._counts, class_="mut"), class_="row")
        drawn = [
            join([element("p", title, class_="mut") if title else "", table(head, rows, numeric=numeric)])
            for title, head, rows, numeric in self._tables()
        ]
        notes = self._notes()
        below = element("div", *(element("p", note, class_="mut") for note in notes)) if notes else ""
        return card(top, *drawn, below, label=f"quality of {self.name}")

    @property
    def _headline(self) -> str:
        return f"{self.name}: {self._counts}"

    @property
    def _counts(self) -> str:
        quality = self.quality
        if quality is None:
            return "no request is recorded yet"
        labels = f"{_count(quality.labels, 'label')}" if quality.labels else "no labels yet"
        newest = ", the newest" if quality.window and quality.labels >= quality.window else ""
        return f"{labels}{newest}; {_count(quality.answered, 'answered row')} recorded"

    def _tables(self) -> Iterator[tuple[str, list[str], list[list[str]], Sequence[int]]]:
        """Each table: what it is of, its head, its rows, and which columns are numbers."""
        quality = self.quality
        if quality is not None:
            figures = [_row(figure, _measured(figure)) for figure in quality.figures]
            figures += [_row(figure, _estimated(figure)) for figure in quality.estimated]
            if figures:
                yield "", ["figure", "value", "95 % interval", "from"], figures, (1, 2)
            if len(quality.versions) > 1:
                yield self._versions(quality)
            if quality.confusion is not None:
                yield _confusion(quality.confusion)
        slices = self.slices if self.slices is not None else quality.slices if quality is not None else ()
        if slices:
            yield self._sliced(slices)

    def _versions(self, quality: Quality) -> tuple[str, list[str], list[list[str]], Sequence[int]]:
        metrics = list(dict.fromkeys(f.metric for one in quality.versions for f in (*one.figures, *one.estimated)))
        rows = []
        for one in quality.versions:
            known = {figure.metric: _short(figure) for figure in one.estimated}
            known |= {figure.metric: _short(figure) for figure in one.figures}
            values = [known.get(metric, "–") for metric in metrics]
            rows.append([f"v{one.version}", f"{one.labels:,}", f"{one.answered:,}", *values])
        head = ["version", "labels", "recorded", *(_METRICS[metric] for metric in metrics)]
        return "by version (≈ is an estimate)", head, rows, range(1, len(head))

    def _sliced(self, slices: tuple[Slice, ...]) -> tuple[str, list[str], list[list[str]], Sequence[int]]:
        metrics = list(dict.fromkeys(figure.metric for one in slices for figure in one.figures))
        rows = []
        for one in slices:
            known = {figure.metric: figure for figure in one.figures}
            values = [_short(known[metric]) if metric in known else "–" for metric in metrics]
            between = _between(one.figures[0]) if one.figures else "–"
            rows.append([self._column(one.column), one.value, f"{one.labels:,}", *values[:1], between, *values[1:]])
        names = [_METRICS[metric] for metric in metrics]
        head = ["column", "value", "labels", *names[:1], "95 % interval", *names[1:]]
        title = "worse than the rest, and not by chance" if self.slices is None else "by value"
        return title, head, rows, range(2, len(head))

    def _column(self, name: str) -> str:
        return f"x[{name}]" if self.positions and name.isdigit() else name

    def _notes(self) -> list[str]:
        quality = self.quality
        if quality is None:
            return ["Requests are recorded as they come; then labels say how right the answers are."]
        notes = []
        words = {"late": "came over an hour after the answer", "changed": "replaced another label of the same row"}
        words["unmatched"] = "belong to no answer that is kept"
        said = [f"{getattr(quality, key):,} {text}" for key, text in words.items() if getattr(quality, key)]
        if said:
            notes.append(f"labels: {', '.join(said)}")
        notes += [_averaged(quality)] if _averaged(quality) else []
        if quality.labels and not quality.figures:
            notes.append(
                "the labels cannot be compared with these answers: they are no classes, no numbers, or of another form"
            )
        if quality.estimated:
            notes.append("≈ an estimate: what the model's confidence lets expect, where what is asked means the same")
        elif not quality.labels:
            notes.append("nothing can be expected without labels: no probabilities of the answers are recorded")
        if not quality.labels:
            notes.append("next: dep.feedback(ids, labels), POST /feedback, or a click on a row in the panel")
        elif self.slices is not None and not self.slices:
            notes.append("no labelled row that could be sliced")
        return notes


def _averaged(quality: Quality) -> str:
    """Which class precision, recall and F1 are of, or that they are averages; "" without them."""
    figures = {figure.metric: figure.value for figure in quality.figures}
    if "recall" not in figures or quality.confusion is None:
        return ""
    counts, classes = quality.confusion.counts, quality.confusion.classes
    if len(classes) == 2 and any(counts[1]):
        second = counts[1][1] / sum(counts[1])
        if abs(second - figures["recall"]) < 1e-9:
            return f"precision, recall and F1 are of the class {classes[1]}"
    if len(classes) == 2 or "others" in classes:
        return "precision, recall and F1 are of the positive class of two, or averages over more"
    return "precision, recall and F1 are averages over the classes, each counting the same"


def _confusion(confusion: Confusion) -> tuple[str, list[str], list[list[str]], Sequence[int]]:
    head = ["true \\ answered", *confusion.classes]
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(confusion.classes, confusion.counts, strict=True)
    ]
    return "confusion", head, rows, range(1, len(head))


def _row(figure: Figure, source: str) -> list[str]:
    name = _METRICS.get(figure.metric, figure.metric)
    return [f"{name}, expected" if figure.estimated else name, _short(figure), _between(figure), source]


def _short(figure: Figure) -> str:
    return f"{'≈ ' if figure.estimated else ''}{_number(figure, figure.value)}"


def _between(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return "–"
    return f"{_number(figure, figure.low)} – {_number(figure, figure.high)}"


def _number(figure: Figure, value: float) -> str:
    return f"{value:.3f}" if figure.metric in (*_SHARES, "r2") else f"{value:.4g}"


def _measured(figure: Figure) -> str:
    return _count(figure.labels, "label")


def _estimated(figure: Figure) -> str:
    by = f", put right by {_count(figure.labels, 'label')}" if figure.labels else ""
    return f"the model's confidence{by}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
