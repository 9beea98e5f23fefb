"""An ONNX champion of an optimiser, the file that is made in its place, and what both answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from bettering import contents, rows_of
from msgspec.structs import replace

from autodeploy_magic.operate.retune.base import Given, Holdings, Optimiser, Replaced
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.registry import load, table
from autodeploy_magic.wire import decode, to_request

__all__ = ["graph_of", "holdings_for", "of_type", "operators_of", "replaced_of", "run_of"]


def holdings_for(champion: Champion, x: Any, labels: Any = None, max_loss: float = 0.005) -> Holdings:
    """Rows to calibrate by, and the same with labels where there are some."""
    bare = Rows(champion.version.signature, to_request(x), len(x))
    training = bare.taken([]) if labels is None else rows_of(champion, x, labels)
    return Holdings(training, bare, 0, champion.version.task, max_loss=max_loss)


def replaced_of(
    optimiser: Optimiser, champion: Champion, holdings: Holdings, settings: Mapping[str, Any], within_s: float = 8.0
) -> Replaced:
    """What it makes with `settings`; the champion's files must be as they were, and its own folder have no other."""
    folder = champion.folder.parent / f"{champion.folder.name}-made"
    before = contents(champion.folder)
    made = optimiser.make(champion, Given(holdings, settings, folder, 3, within_s, 1))
    assert contents(champion.folder) == before
    assert isinstance(made, Replaced)
    assert [file.name for file in folder.iterdir()] == [made.file.name]
    return made


def run_of(champion: Champion, x: Any, file: Path | None = None) -> dict[str, Any]:
    """What a worker answers with the champion's file, or with another in its place."""
    path = file or champion.needs_onnx()
    if champion.version.format == "transformers-onnx":
        path = path.parent
    runner = load(table("runtimes")[champion.version.format.removesuffix("-float64")])(
        path, champion.version, threads=1
    )
    batch = decode(champion.version.signature, to_request(x))
    names = [output.name for output in champion.version.outputs]
    return {name: np.asarray(value) for name, value in runner.run(batch, names).items()}


def graph_of(file: Path) -> Any:
    return onnx.load_model_from_string(file.read_bytes()).graph


def operators_of(file: Path) -> list[str]:
    return [node.op_type for node in graph_of(file).node]


def of_type(champion: Champion, model_type: str) -> Champion:
    """The same graph, said to be made from another class; "" for a file that somebody brought."""
    version = replace(champion.version, model_type=model_type)
    return Champion(version, champion.folder, champion.live_folder, champion.root, champion.kept_folder)
