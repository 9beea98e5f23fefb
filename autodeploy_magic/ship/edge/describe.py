"""signature.json: what a row must look like, how the graph is fed, and how its outputs become answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Version
from autodeploy_magic.ship.edge.graph import session_inputs, session_outputs

__all__ = ["signature_of"]

_DERIVED = (
    "Columns are checked and cast to their dtype. One graph input takes all columns side by side, several take those "
    "of their names, cast to the input's dtype; a missing number is NaN, a missing text is empty. Each of "
    "model_outputs is the graph's output of that name, in this dtype and shape; postprocess, where there is one, "
    "changes the predictions."
)


def signature_of(version: Version, session: Any, *, batch: int, code: Sequence[str]) -> dict[str, Any]:
    """What predict.py and the page read. `files` is added when they are written."""
    graph = session_outputs(session)
    outputs = version.model_outputs or version.outputs
    return {
        "schema": 1,
        "name": version.deployment,
        "version": version.number,
        "digest": version.digest,
        "created_at": version.created_at,
        "task": version.task,
        "model": version.model_type,
        "derived": _DERIVED,
        "container": version.signature.container,
        "columns": [_plain(column) for column in version.signature.columns],
        "inputs": session_inputs(session),
        "batch": batch,
        "model_outputs": [
            {**_plain(output), "graph": given["name"]} for output, given in zip(outputs, graph, strict=False)
        ],
        "graph_outputs": graph,
        "outputs": [_plain(output) for output in version.outputs],
        "code": list(code),
        "tolerance": float(
            settings.get("probability_tolerance" if version.task == "classification" else "value_tolerance")
        ),
    }


def _plain(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found
