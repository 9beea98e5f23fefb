"""Rows → explanations: which answer is explained, which algorithm, within which time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from autodeploy_magic.contracts import Output, Version
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.serve.explain.exact import MOST_PLAYERS, exact
from autodeploy_magic.serve.explain.game import Game, Values
from autodeploy_magic.serve.explain.permutation import permutation
from autodeploy_magic.serve.explain.players import Players
from autodeploy_magic.serve.explain.shap import installed, shapley
from autodeploy_magic.wire import Batch, to_plain

__all__ = ["BACKGROUND_ROWS", "MOST_ROWS", "Ask", "Explained", "Explanation", "Method", "explain"]

Ask = Callable[[Batch, Sequence[str]], dict[str, Any]]
"""Rows and names of outputs → the model's values by output."""
Method = Literal["auto", "permutation", "shap"]

BACKGROUND_ROWS = 32
"""Rows of the version's sample that absent columns are taken from, evenly over what travels with it."""
MOST_ROWS = 100
"""Rows that one request may have explained: each costs as much as thousands of predictions."""


class Explanation(msgspec.Struct, frozen=True):
    """One row. `value` is the answer explained and `base` its mean over the background; the attributions, one for each
    column, are their difference. `errors` are standard errors, where orders were drawn by chance. `class_` is the
    position of the class whose probability is explained.
    """

    prediction: Any
    value: float
    base: float
    attributions: dict[str, float]
    errors: dict[str, float] | None = None
    class_: int | None = msgspec.field(default=None, name="class")


class Explained(msgspec.Struct, frozen=True):
    """All rows of a request. `output` says what is explained: "probabilities" of the class predicted, "predictions", or
    "agreement": whether a row is given the very label that this one is. `method` found them.
    """

    explanations: list[Explanation]
    columns: list[str]
    output: str
    method: str
    background_rows: int


def methods() -> tuple[Method, ...]:
    """What may be asked for here: SHAP's only where that is installed."""
    return ("auto", "permutation", "shap") if installed() else ("auto", "permutation")


def places_of(version: Version) -> int:
    """How many a `target` may choose from: classes with a probability, or numbers of a prediction; 0 where none."""
    _, places = _explained(version)
    return places


def explain(
    version: Version,
    rows: Batch,
    background: Batch,
    ask: Ask,
    *,
    method: Method = "auto",
    target: int | None = None,
) -> Explained:
    """Explain the answers to `rows` beside those to `background`, both decoded by the version's signature.

    `target` is the class, or the place in a prediction that has several; by default the class predicted, and the first.
    "auto" takes all coalitions where there are few columns, and permutations else. Raises `InvalidInputs` for what
    cannot be explained, and whatever `ask` raises.
    """
    players = Players(version.signature)
    if method not in methods():
        raise InvalidInputs("SHAP is not installed here", fix="leave method out", field="method")
    if rows.rows > MOST_ROWS:
        raise InvalidInputs(
            f"{rows.rows} rows are too many to explain at once", fix=f"send at most {MOST_ROWS}", field="inputs"
        )
    goal = _Goal(version, ask(rows, [output.name for output in version.outputs]), target)
    step = max(1, background.rows // BACKGROUND_ROWS)
    chosen = range(0, background.rows, step)[:BACKGROUND_ROWS]
    others = players.take(background, chosen)
    found = []
    words = ""
    for i in range(rows.rows):
        game = Game(players, players.take(rows, [i]), others, goal.score(ask, i))
        attributions, errors, words = _attributions(game, method)
        found.append(
            Explanation(
                prediction=goal.prediction(i),
                value=float(game.values(game.everybody)[0]),
                base=float(game.values(game.nobody)[0]),
                attributions=dict(zip(players.names, attributions.tolist(), strict=True)),
                errors=None if errors is None else dict(zip(players.names, errors.tolist(), strict=True)),
                class_=goal.class_(i),
            )
        )
    return Explained(found, list(players.names), goal.output, words, len(chosen))


def _attributions(game: Game, method: Method) -> tuple[Values, Values | None, str]:
    if method == "shap":
        attributions, words = shapley(game)
        return attributions, None, words
    if game.players <= MOST_PLAYERS:
        return exact(game), None, "exact"
    attributions, errors = permutation(game)
    return attributions, errors, "permutations"


class _Goal:
    """Which number of an answer is explained."""

    def __init__(self, version: Version, answers: dict[str, Any], target: int | None) -> None:
        self.output, places = _explained(version)
        self._answers = answers["predictions"]
        self._plain = to_plain(self._answers)
        self._classes: list[int] | None = None
        self._target = target or 0
        if self.output == "probabilities":
            likeliest = np.asarray(answers["probabilities"]).argmax(axis=1).tolist()
            self._classes = likeliest if target is None else [_checked(target, places)] * len(likeliest)
        elif places:
            self._target = _checked(self._target, places)
        elif not self.output:
            raise InvalidInputs(
                "this model's answers cannot be explained",
                why="they are neither numbers nor one label a row",
                fix="deploy it with a postprocess that returns one number or one label for each row",
                field="inputs",
            )

    def prediction(self, row: int) -> Any:
        return self._plain[row]

    def class_(self, row: int) -> int | None:
        return None if self._classes is None else self._classes[row]

    def score(self, ask: Ask, row: int) -> Callable[[Batch], Values]:
        """The function from rows to the numbers that are explained for this row."""

        def score(batch: Batch) -> Values:
            name = "probabilities" if self._classes is not None else "predictions"
            values = np.asarray(ask(batch, [name])[name])
            if self._classes is not None:
                return _floats(values[:, self._classes[row]])
            if self.output == "agreement":
                return _floats(values == np.asarray(self._answers)[row])
            return _floats(values.reshape(batch.rows, -1)[:, self._target])

        return score


def _explained(version: Version) -> tuple[str, int]:
    """What of an answer is explained, as `Explained.output` names it, "" where nothing can be; and among how many."""
    described = {output.name: output for output in version.outputs}
    predictions, probabilities = described["predictions"], described.get("probabilities")
    if probabilities is not None and _is_table(probabilities):
        return "probabilities", probabilities.shape[0]
    if version.task != "classification" and _is_number(predictions):
        return "predictions", predictions.shape[0] if predictions.shape else 0
    return ("agreement" if predictions.per_row and not predictions.shape else ""), 0


def _floats(values: Any) -> Values:
    return np.asarray(values, dtype=np.float64)


def _is_table(output: Output) -> bool:
    return output.per_row and output.container == "ndarray" and len(output.shape) == 1


def _is_number(output: Output) -> bool:
    numeric = output.dtype.startswith(("float", "int", "uint"))
    return output.per_row and numeric and len(output.shape) <= 1 and output.container in ("ndarray", "series")


def _checked(target: int, width: int) -> int:
    if not 0 <= target < width:
        raise InvalidInputs(
            f"target is {target}, and the answer has {width} places", fix=f"send 0 to {width - 1}", field="target"
        )
    return target
