"""The same rows, of which the model reads fewer columns: those that say next to nothing of the answer are ignored.

How much a column says is its mutual information with the answer (Kozachenko and Leonenko's estimate by neighbours for
numbers, counts for all else; `sklearn.feature_selection`), less what the same column says of shuffled answers: an
estimate of few rows is above zero for noise, and the more so the more values a column has. It is told of each column
alone: two that tell something only together are dropped, and it is the gate that sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.base import Given, Holdings, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.optimise.sklearn_steps import (
    classes_of,
    is_classifier,
    needs_live,
    parted,
    targets,
)

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["FewerInputs", "information", "kept_columns"]

SHARES = (0.99, 0.95)
LEAST_ROWS = 100
MOST_ROWS = 20_000
MOST_MEASURED = 2000
"""Rows that information is measured on."""
MOST_BY_NEIGHBOURS = 40
"""Columns up to which numbers are measured by neighbours; of more, all are cut into tenths."""
CUTS = 10
SHUFFLES = 5
DEVIATIONS = 2.5
"""How far above what it says of shuffled answers a column must be, to say anything."""
BY_PLACE = ("categorical_features", "monotonic_cst", "interaction_cst", "monotone_constraints", "cat_features")
"""Settings that name columns, which would mean other ones."""


class FewerInputs(Optimiser):
    """The URL takes the same rows. The model is fitted anew on the columns that are kept."""

    name: ClassVar = "sklearn_inputs"
    family: ClassVar = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        columns = champion.version.signature.columns
        if len(columns) == 1 and len(columns[0].shape) != 1:
            raise NotApplicable("its input is no table of columns")
        if (len(columns) if columns[0].shape == () else columns[0].shape[0]) < 2:
            raise NotApplicable("it has one input column only")
        rows = max(holdings.training.count, holdings.calibration.count)
        if rows < LEAST_ROWS:
            raise NotApplicable(f"there are {rows} rows to learn from, and it takes {LEAST_ROWS}")
        found, told = self._measured(champion, holdings)
        offers, before = [], len(found)
        for share in SHARES:
            kept = kept_columns(found, share)
            if len(kept) < before:
                title = f"{len(kept)} of {len(found)} inputs, {share:.0%} of what they say"
                offers.append(Offer(title, {"share": share}, slow=True))
                before = len(kept)
        if not offers:
            raise NotApplicable("every input says something of the answer", why=told)
        return offers

    def make(self, champion: Champion, given: Given) -> Rebuilt:
        from sklearn.base import clone

        model = needs_live(champion)
        found, _ = self._measured(champion, given.holdings)
        kept = kept_columns(found, float(given.settings["share"]))
        data = targets(champion, model, given.holdings, MOST_ROWS, given.seed, least=LEAST_ROWS)
        fitted = _reading(model, kept, data.x)
        _seed(fitted, given.seed)
        fitted = clone(fitted).fit(data.x, data.y)
        if is_classifier(model) and list(classes_of(fitted)) != list(classes_of(model)):
            raise RetuneFailed("no row has one of its classes", why="the model would not know it any more")
        dropped = [str(name) for name in found if name not in kept]
        names = ", ".join(dropped[:8]) + (f" and {len(dropped) - 8} more" if len(dropped) > 8 else "")
        changed = {"dropped": dropped}
        return Rebuilt(fitted, note=f"without {names}; fitted on {data.words}", changed=changed)

    def _measured(self, champion: Champion, holdings: Holdings) -> tuple[dict[Any, float], str]:
        """What each column of the rows, as the model is fed them, says of the answer; measured alike at each call."""
        model = needs_live(champion)
        if any(_is_set(model, name) for name in BY_PLACE):
            raise NotApplicable("its settings name columns by their places")
        data = targets(champion, model, holdings, MOST_MEASURED, 0, least=LEAST_ROWS)
        if not (hasattr(data.x, "columns") or getattr(data.x, "ndim", 0) == 2) or hasattr(data.x, "toarray"):
            raise NotApplicable("what the model is fed is no table of columns")
        return information(data.x, data.y, classes=is_classifier(model)), data.words


def information(x: Any, y: Any, *, classes: bool) -> dict[Any, float]:
    """Nats that each column of a table or a 2-D array says of `y`, by its name or place; several targets: the most.

    A number with gaps is cut into tenths, and a gap is one more value. What has nearly as many texts as rows cannot be
    measured, and says infinitely much.
    """
    import numpy as np

    names = list(x.columns) if hasattr(x, "columns") else list(range(x.shape[1]))
    columns = [_as_numbers(x[name] if hasattr(x, "columns") else x[:, name]) for name in names]
    if len(columns) > MOST_BY_NEIGHBOURS:
        columns = [(values if discrete else _cut(values), True) for values, discrete in columns]
    discrete = np.array([one for _, one in columns])
    matrix = np.column_stack([values for values, _ in columns])
    free = [one and len(np.unique(values)) > 0.5 * len(values) for values, one in columns]
    answers = np.asarray(y).reshape(len(matrix), -1)
    best = np.zeros(len(names))
    for target in answers.T:
        best = np.maximum(best, _above_noise(matrix, target, discrete, classes=classes))
    return {name: float("inf") if free[i] else float(best[i]) for i, name in enumerate(names)}


def kept_columns(found: Mapping[Any, float], share: float) -> list[Any]:
    """The columns that say most, up to `share` of what all say together; in their own order, and at least one."""
    import math

    total = sum(value for value in found.values() if math.isfinite(value))
    said, kept = 0.0, set[Any]()
    for name in sorted(found, key=lambda name: -found[name]):
        if math.isfinite(found[name]):
            if kept and said >= share * total:
                break
            said += found[name]
        kept.add(name)
    return [name for name in found if name in kept]


def _above_noise(matrix: Any, y: Any, discrete: Any, *, classes: bool) -> Any:
    import numpy as np
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    measure = mutual_info_classif if classes else mutual_info_regression
    random = np.random.default_rng(0)
    said = measure(matrix, y, discrete_features=discrete, random_state=0)
    noise = [
        measure(matrix, random.permutation(y), discrete_features=discrete, random_state=0) for _ in range(SHUFFLES)
    ]
    level = np.mean(noise, axis=0)
    spread = np.sqrt(np.var(noise, axis=0, ddof=1).mean())  # of all columns together: five shuffles of one say little
    return np.where(said > level + DEVIATIONS * spread, said - level, 0.0)


def _as_numbers(column: Any) -> tuple[Any, bool]:
    """A column as float64, and whether its values are names of something and no quantities."""
    import numpy as np
    import pandas as pd

    series = pd.Series(column)
    if series.dtype.kind in "mM":
        series = series.astype("int64").where(series.notna())
    numbers = pd.to_numeric(series, errors="coerce") if series.dtype.kind in "fiu" else None
    if numbers is None:
        return pd.factorize(series)[0].astype(np.float64), True
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    gaps = not np.isfinite(values).all()
    few = len(np.unique(values[np.isfinite(values)])) <= CUTS
    if few or gaps:
        return pd.factorize(values)[0].astype(np.float64) if few else _cut(values), True
    return values, False


def _cut(values: Any) -> Any:
    """The tenth that a number is in; gaps are an eleventh."""
    import numpy as np

    finite = np.isfinite(values)
    edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, CUTS + 1)[1:-1])) if finite.any() else np.zeros(0)
    return np.where(finite, np.searchsorted(edges, values, side="right"), len(edges) + 1).astype(np.float64)


def _is_set(model: Any, setting: str) -> bool:
    """Whether a setting of the estimator that is fed the rows names columns, and not a rule for all of them."""
    value = getattr(parted(model).last, setting, None)
    return value is not None and not isinstance(value, str)


def _seed(model: Any, seed: int) -> None:
    """Set the seeds that were left open."""
    for name, value in model.get_params().items():
        if (name == "random_state" or name.endswith("__random_state")) and value is None:
            model.set_params(**{name: seed})


def _reading(model: Any, kept: Sequence[Any], x: Any) -> Any:
    """The model, not fitted, as it reads these columns alone: its own choice of columns made smaller, or one before it.

    Both can be written as ONNX.
    """
    from sklearn.base import clone
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    parts = parted(model)
    first = parts.head[0][1] if parts.head else None
    if isinstance(first, ColumnTransformer):
        own = ColumnTransformer(
            _fewer(first, set(kept), x),
            remainder="drop",
            sparse_threshold=first.sparse_threshold,
            verbose_feature_names_out=first.verbose_feature_names_out,
        )
        if not own.transformers:
            raise RetuneFailed("no column would be left", why="its own choice of columns has none of those kept")
        _like_before(own, first)
        rest = [(name, clone(step)) for name, step in [*parts.head[1:], (parts.name, parts.last)]]
        return Pipeline([(parts.head[0][0], own), *rest])
    chosen = ColumnTransformer([("kept", "passthrough", list(kept))], verbose_feature_names_out=False)
    if hasattr(x, "columns") and any(getattr(dtype, "kind", "O") not in "fiu" for dtype in x[list(kept)].dtypes):
        chosen.set_output(transform="pandas")  # texts and numbers stay what they are
    steps = [(name, clone(step)) for name, step in parts.head] if parts.head else []
    taken = {name for name, _ in steps}
    name = "columns_" if "columns" in taken or parts.name == "columns" else "columns"
    return Pipeline([(name, chosen), *steps, (parts.name, clone(parts.last))])


def _fewer(fitted: Any, kept: set[Any], x: Any) -> list[tuple[str, Any, list[Any]]]:
    """The transformers of a fitted choice of columns, not fitted, each with those of its columns that are kept."""
    from sklearn.base import clone

    names = list(x.columns) if hasattr(x, "columns") else list(range(x.shape[1]))
    found = []
    for name, step, columns in fitted.transformers_:
        mine = [one for one in _resolved(columns, names) if one in kept]
        if mine and not (isinstance(step, str) and step == "drop"):
            found.append((name, step if isinstance(step, str) else clone(step), mine))
    return found


def _resolved(columns: Any, names: list[Any]) -> list[Any]:
    """Names or places of columns, however they were given: one, several, a slice, truths."""
    import numpy as np

    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            start = names.index(columns.start) if columns.start is not None else 0
            stop = names.index(columns.stop) + 1 if columns.stop is not None else len(names)
            return names[start : stop : columns.step]
        return names[columns]
    listed = [columns] if isinstance(columns, str | int) else list(columns)
    if listed and isinstance(listed[0], bool | np.bool_):
        return [name for name, wanted in zip(names, listed, strict=True) if wanted]
    return [one if one in names else names[int(one)] for one in listed]


def _like_before(new: Any, old: Any) -> None:
    """The container that the old one was told to give, where it was told."""
    config = getattr(old, "_sklearn_output_config", None)
    if config and config.get("transform"):
        new.set_output(transform=config["transform"])
