"""What `%deploy explain` shows: for each row what its columns add to the answer, as a plot and as a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autodeploy_magic import settings
from autodeploy_magic.calling.snippets import first_rows, sample_of
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.notebook.chart.attribution import HIGH, LOW, bars, dots, number_text
from autodeploy_magic.notebook.chart.svg import svg
from autodeploy_magic.notebook.html import Markup, card, details, element, join, table
from autodeploy_magic.notebook.text import grid, value_text
from autodeploy_magic.notebook.views import View
from autodeploy_magic.registry import need
from autodeploy_magic.wire import to_request

if TYPE_CHECKING:
    import pandas as pd

    from autodeploy_magic.contracts import Version
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["METHODS", "Explanations", "explained"]


def explained(
    store: Store, supervisor: Supervisor, version: Version, rows: Any, method: str, target: int | None
) -> Explanations:
    """Explain rows by a version, in a clean process; None is the first `_ROWS` of its sample.

    Raises `InvalidOption`, and `InvalidInputs` for rows that do not fit or are none of a table.
    """
    if method not in METHODS:
        raise InvalidOption(f"{method!r} explains nothing", fix=f"use {', '.join(METHODS)}")
    rows_given = 0 if rows is None else len(rows)
    if target is None and rows_given > _MOST_DRAWN and _classes(version) == 2:
        target = 1  # one and the same class for all, so that their dots can be told apart
    sample = store.version_folder(version.deployment, version.number) / "sample.json"
    inputs = first_rows(sample_of(store, version), _ROWS) if rows is None else to_request(rows)
    spec = {
        "folder": str(store.folder(version.deployment) / version.model_path),
        "sample": str(sample),
        "inputs": inputs,
        "method": method,
        "target": target,
    }
    runner = supervisor.runner(sys.executable)
    target_name = "autodeploy_magic.serve.explain.main:main"
    found = runner.run(target_name, spec, timeout_s=float(settings.get("build_timeout_s")))
    return Explanations(
        name=version.deployment,
        version=version.number,
        rows=found["explanations"],
        inputs=[dict(zip(found["columns"], row, strict=True)) for row in found["inputs"]],
        output=found["output"],
        method=found["method"],
        background_rows=found["background_rows"],
        columns=found["columns"],
    )


def _classes(version: Version) -> int:
    """How many classes have a probability; 0 where none has."""
    probabilities = next((output for output in version.outputs if output.name == "probabilities"), None)
    return probabilities.shape[0] if probabilities is not None and len(probabilities.shape) == 1 else 0


METHODS = ("auto", "shap", "permutation")
_ROWS = 5
_MOST_DRAWN = 3
"""Rows that are drawn one by one; of more the dots of all are drawn instead, and the first alone."""
_MOST_LINES = 15


@dataclass(frozen=True)
class Explanations(View):
    """Shapley values of some rows. `rows` are the explanations as `POST /explain` words them; `inputs` the rows' own
    values, by column.
    """

    name: str
    version: int
    rows: Sequence[Mapping[str, Any]]
    inputs: Sequence[Mapping[str, Any]]
    output: str
    method: str
    background_rows: int
    columns: Sequence[str] = field(default_factory=tuple)

    def frame(self) -> pd.DataFrame:
        """The attributions as a table: a row for each row, a column for each column, then base, value, prediction."""
        pandas: Any = need("pandas", "a table of attributions")
        records = [
            {**row["attributions"], "base": row["base"], "value": row["value"], "prediction": row["prediction"]}
            for row in self.rows
        ]
        return pandas.DataFrame(records)  # type: ignore[no-any-return]

    def shap(self) -> Any:
        """The same as SHAP's `Explanation`, for the plots of that package."""
        import numpy as np

        shap = need("shap", "SHAP's plots")
        return shap.Explanation(
            values=np.array([[row["attributions"][name] for name in self.columns] for row in self.rows]),
            base_values=np.array([row["base"] for row in self.rows]),
            data=np.array([[inputs[name] for name in self.columns] for inputs in self.inputs], dtype=object),
            feature_names=list(self.columns),
        )

    @property
    def summary(self) -> str:
        """What was explained, and how, in one sentence."""
        count = f"{len(self.rows)} row{'' if len(self.rows) == 1 else 's'}"
        return f"{self._what} of {count}; {self.method}, beside {self.background_rows} rows of the sample"

    @property
    def _what(self) -> str:
        places = {row.get("class") for row in self.rows}
        if self.output == "probabilities" and len(places) == 1:
            return f"the probability of class {places.pop()}"
        return _OUTPUTS[self.output]

    def text(self) -> str:
        parts = [f"{self.name} v{self.version}: {self.summary}"]
        for i in range(min(len(self.rows), _MOST_DRAWN)):
            parts += ["", self._headline(i), grid(("column", "value", "adds"), self._lines(i))]
        if len(self.rows) > _MOST_DRAWN:
            parts += ["", f"{len(self.rows) - _MOST_DRAWN} more rows: dep.explain(rows).frame() has all of them"]
        return "\n".join(parts)

    def html(self) -> Markup:
        top = element("span", f"{self.name} v{self.version}", class_="name")
        head = element("div", top, element("span", self.summary, class_="mut"), class_="row")
        several = len(self.rows) > _MOST_DRAWN
        drawn = [self._dots()] if several else []
        drawn += [self._row(i) for i in range(1 if several else len(self.rows))]
        tables = details(
            "as a table",
            *(
                join(
                    [
                        element("p", self._headline(i), class_="mut"),
                        table(("column", "value", "adds"), self._lines(i), numeric=(2,)),
                    ]
                )
                for i in range(min(len(self.rows), _MOST_DRAWN))
            ),
        )
        return card(head, *drawn, tables, label=f"explanations of {self.name}")

    def _row(self, i: int) -> Markup:
        row = self.rows[i]
        values = {name: value_text(value) for name, value in self.inputs[i].items()}
        drawing = bars(row["attributions"], values, row["base"], row["value"])
        return join([element("p", self._headline(i)), Markup(svg(drawing))])

    def _dots(self) -> Markup:
        drawing = dots([row["attributions"] for row in self.rows], self._ranks())
        low, high = (
            element("span", f"● {word}", style=f"color:{color}") for word, color in (("low", LOW), ("high", HIGH))
        )
        legend = element("p", "A dot for each row; its column's value is ", low, " or ", high, ".", class_="mut")
        return join([legend, Markup(svg(drawing))])

    def _headline(self, i: int) -> str:
        row = self.rows[i]
        said = f"row {i}: {value_text(row['prediction'])}"
        value, base = number_text(row["value"]), number_text(row["base"])
        if self.output == "predictions":
            return f"{said}, where the mean is {base}"
        return f"{said}, {_VALUES[self.output]} {value} where the mean is {base}"

    def _lines(self, i: int) -> list[tuple[str, str, str]]:
        attributions = self.rows[i]["attributions"]
        ordered = sorted(attributions, key=lambda name: -abs(attributions[name]))
        errors = self.rows[i].get("errors") or {}
        lines = []
        for name in ordered[:_MOST_LINES]:
            error = f" ± {number_text(errors[name])}" if errors.get(name) else ""
            lines.append(
                (name, value_text(self.inputs[i][name]), f"{number_text(attributions[name], signed=True)}{error}")
            )
        rest = ordered[_MOST_LINES:]
        if rest:
            total = number_text(sum(attributions[name] for name in rest), signed=True)
            lines.append((f"{len(rest)} other columns", "", total))
        return lines

    def _ranks(self) -> list[dict[str, float | None]]:
        """Where each value stands between its column's lowest and highest, None where it has no order."""
        found: list[dict[str, float | None]] = [{} for _ in self.rows]
        for name in self.columns:
            values = [inputs[name] for inputs in self.inputs]
            numbers = [value for value in values if isinstance(value, int | float)]
            low, high = min(numbers, default=0), max(numbers, default=0)
            for i, value in enumerate(values):
                ordered = isinstance(value, int | float) and high > low
                found[i][name] = (value - low) / (high - low) if ordered else None
        return found


_OUTPUTS = {
    "probabilities": "the probability of the class predicted",
    "predictions": "the predictions",
    "agreement": "whether a row gets the label predicted",
}
_VALUES = {"probabilities": "with probability", "agreement": "which it gets"}
