"""Quality in a few words, for where there is room for no more."""

from __future__ import annotations

from autodeploy_magic.health import Figure, Quality

__all__ = ["leading", "words"]

_NAMES = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "mae": "MAE"}
_NAMES |= {"rmse": "RMSE", "r2": "R²"}
_FIRST = ("f1", "accuracy", "mae")


def words(quality: Quality | None) -> str:
    """ "F1 0.931, 412 labels", "accuracy ≈ 0.95 expected, no labels yet"; "" where there is nothing to tell."""
    if quality is None:
        return ""
    figure = leading(quality.figures)
    if figure is not None:
        value = f"{figure.value:.3f}" if figure.metric in ("f1", "accuracy") else f"{figure.value:.4g}"
        return f"{_NAMES[figure.metric]} {value}, {_labels(figure.labels)}"
    figure = leading(quality.estimated, ("accuracy", "f1"))
    if figure is not None:
        return f"{_NAMES[figure.metric]} ≈ {figure.value:.2f} expected, {_labels(quality.labels)}"
    return _labels(quality.labels) if quality.labels else ""


def leading(figures: tuple[Figure, ...], order: tuple[str, ...] = _FIRST) -> Figure | None:
    """The figure that stands for all: F1 where there is one, else the accuracy, or the mean absolute error."""
    found = {figure.metric: figure for figure in figures}
    return next((found[metric] for metric in order if metric in found), None)


def _labels(count: int) -> str:
    return "no labels yet" if not count else f"{count:,} label{'' if count == 1 else 's'}"
