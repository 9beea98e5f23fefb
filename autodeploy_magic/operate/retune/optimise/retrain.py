"""The person's own way: `retrain(model, X, y)` of the cell, with a copy of the live object and the labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodeploy_magic.errors import AutodeployError, NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.rows import Rows

__all__ = ["Retrain"]

_HINT = "return the model that shall serve, of the same kind as the one given, or change that one and return None"


class Retrain(Optimiser):
    """Calls the cell's `retrain`.

    X is what `preprocess` or else `predict` or the model is given: rows in the container of the sample, not yet
    preprocessed. y is a numpy array of the labels as they were sent. `model` is loaded anew: what becomes of it touches
    nothing that serves. Rows whose label is missing are left out; all other labels are the person's own to read.
    """

    name = "retrain"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        if "retrain" not in champion.code:
            raise NotApplicable("the cell defines no retrain(model, X, y)")
        if not champion.has_live:
            champion.live()  # raises, and says why
        rows = _labelled(holdings.training)
        return [Offer(f"retrain of the cell on {rows.count} rows", slow=True)]

    def make(self, champion: Champion, given: Given) -> Made:
        if "retrain" not in champion.code:
            raise NotApplicable("the cell defines no retrain(model, X, y)")
        rows = _labelled(given.holdings.training)
        model = champion.live()
        kind, before = type(model), _print(model)
        _seed(given.seed)
        try:
            found = champion.code["retrain"](model, rows.x(), rows.y())
        except AutodeployError:
            raise
        except Exception as error:  # the person's own code may raise anything
            first = (str(error).splitlines() or [""])[0][:400]
            raise RetuneFailed(
                f"retrain raised {type(error).__name__}: {first}",
                why=f"it was given {rows.count} labelled rows in a {rows.signature.container}",
                fix="try it in the notebook: retrain(model, X, y) on such rows",
            ) from error
        if found is None:
            if before and _print(model) == before:
                raise RetuneFailed("retrain returned None and left the model as it was", fix=_HINT)
            found = model
        if not isinstance(found, kind) and not _akin(found, model):
            raise RetuneFailed(
                f"retrain returned a {type(found).__name__}",
                why=f"the model that it was given is a {kind.__name__}",
                fix=_HINT,
            )
        _check_fitted(found)
        dropped = given.holdings.training.count - rows.count
        left = f"; {dropped} rows without a label left out" if dropped else ""
        return Rebuilt(found, note=f"retrain of the cell on {rows.count} rows{left}")


def _labelled(rows: Rows) -> Rows:
    """The rows that have a label. Raises `NotApplicable` for none."""
    kept = [i for i, label in enumerate(rows.labels) if label is not None]
    if not kept:
        raise NotApplicable(
            "there are no labelled rows to train on",
            fix="send true answers with POST /feedback or dep.feedback(…), or give a training set",
        )
    return rows if len(kept) == rows.count else rows.taken(kept)


def _seed(seed: int) -> None:
    """Seed what a function of the person's may draw from without saying so."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)  # the generator that the person's own code uses


def _print(model: Any) -> str:
    """What tells two states of a model apart; "" where nothing does."""
    from autodeploy_magic.build.export import exporter_of

    exporter = exporter_of(model)
    found = exporter.fingerprint(model) if exporter is not None else ""
    if found:
        return found
    import hashlib

    import cloudpickle

    try:
        return hashlib.sha256(cloudpickle.dumps(model)).hexdigest()
    except Exception:  # noqa: BLE001  # an object of any library; whether it changed is then not known
        return ""


def _akin(found: Any, model: Any) -> bool:
    """Whether both are models of one kind to those who serve them: the same exporter and task."""
    from autodeploy_magic.build.export import exporter_of

    ours, theirs = exporter_of(model), exporter_of(found)
    if ours is None or theirs is None or ours.name != theirs.name or ours.name == "function":
        return False
    return ours.task(model) == theirs.task(found)


def _check_fitted(model: Any) -> None:
    from autodeploy_magic.build.export import exporter_of

    exporter = exporter_of(model)
    if exporter is not None:
        exporter.check_fitted(model, "what retrain returned")
