"""A version as MLflow's `python_function`: what `mlflow.pyfunc.load_model` calls, without this package installed.

The model that `%deploy mlflow` logs has a version's folder as its data and this part of the package as its code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import restore, to_request

__all__ = ["Answers"]


class Answers:
    """`predict` answers as the deployment does: the person's own preprocess and postprocess are part of it."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def predict(self, x: Any, params: dict[str, Any] | None = None) -> Any:
        """The predictions for rows like the sample's; `params={"outputs": ["probabilities"]}` asks for others."""
        names = list((params or {}).get("outputs") or ["predictions"])
        found = self._served.predict(to_request(x), names)
        described = {output.name: output for output in self._served.version.outputs}
        index = x.index if hasattr(x, "iloc") else None
        values = {name: restore(described[name], found[name], index=index) for name in names}
        return values if len(names) > 1 else values[names[0]]


def _load_pyfunc(path: str) -> Answers:
    return Answers(ServedModel.load(Path(path)))
