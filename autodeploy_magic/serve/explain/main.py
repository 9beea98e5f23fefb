"""Explanations in a clean process, where SHAP may be imported without a request waiting for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.serve.explain.explain import Method, explain
from autodeploy_magic.serve.explain.players import Players
from autodeploy_magic.serve.explain.shap import installed
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import decode, to_plain

__all__ = ["main"]


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Explain `spec["inputs"]`, as a request would send them, by the version in `spec["folder"]`.

    Also in `spec`: `sample` (the file with the version's sample: the background), `method` ("auto" is SHAP where it is
    installed), `target`. Returns an `Explained` as JSON values, with the rows' own values as `inputs`. Raises
    `InvalidInputs`.
    """
    served = ServedModel.load(Path(spec["folder"]))
    sample = msgspec.json.decode(Path(spec["sample"]).read_bytes())["inputs"]
    method: Method = spec.get("method") or "auto"
    if method == "auto" and installed():
        method = "shap"
    signature = served.version.signature  # no limit of requests holds here
    rows = decode(signature, spec["inputs"])
    found = explain(
        served.version,
        rows,
        decode(signature, sample),
        served.run,
        method=method,
        target=spec.get("target"),
    )
    players = Players(signature).take(rows, range(rows.rows))
    values = [to_plain(column) for column in players]
    return {**msgspec.to_builtins(found), "inputs": [list(row) for row in zip(*values, strict=True)]}
