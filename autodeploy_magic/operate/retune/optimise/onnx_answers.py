"""What a graph answers to calibration rows, how far two graphs are apart on them, and what a call costs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import RetuneFailed
from autodeploy_magic.operate.retune.optimise.onnx_file import session
from autodeploy_magic.registry import load, table
from autodeploy_magic.wire import decode

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion
    from autodeploy_magic.operate.retune.rows import Rows

__all__ = ["Apart", "Feeds", "answers", "apart", "checked", "cpu_s", "feeds", "spread"]

Array = NDArray[Any]
Feeds = Sequence[Mapping[str, Array]]

_MOST_ROWS = 512
_PART = 32
"""Rows that are fed together: a recorded sample may be large, and a graph's values are larger."""


def feeds(champion: Champion, rows: Rows, most: int = _MOST_ROWS, part: int = _PART) -> Feeds:
    """What a session is fed for at most `most` of the rows, `part` at a time: exactly what a worker would feed it."""
    if rows.count > most:
        rows = rows.taken(spread(rows.count, most))
    transformers = champion.needs_onnx().parent != champion.folder
    if not transformers and part > 1 and _one_by_one(champion):
        part = 1
    parts = [rows.taken(range(at, min(at + part, rows.count))) for at in range(0, rows.count, part)]
    xs = [
        champion.fed(item.x()) if "preprocess" in champion.code else decode(item.signature, item.inputs)
        for item in parts
    ]
    return _token_feeds(champion, xs) if transformers else _array_feeds(champion, xs)


def spread(count: int, most: int) -> list[int]:
    """Positions of `most` of `count` rows, evenly over them."""
    return [int(i) for i in np.linspace(0, count - 1, min(most, count)).round()]


def _one_by_one(champion: Champion) -> bool:
    """Whether a graph was made for exactly one row."""
    shapes = [item.shape for item in session(champion.needs_onnx()).get_inputs()]
    return any(shape and shape[0] == 1 for shape in shapes)


def _array_feeds(champion: Champion, xs: Sequence[Any]) -> Feeds:
    runner = load(table("runtimes")["onnx"])(champion.needs_onnx(), champion.version, threads=1)
    return [runner.feeds(x)[0] for x in xs]


def _token_feeds(champion: Champion, xs: Sequence[Any]) -> Feeds:
    """Of texts: what the tokenizer beside the graph makes of them, recorded on its way into the session."""
    file = champion.needs_onnx()
    told = json.loads((file.parent / load("autodeploy_magic.serve.runtime.transformers_answers:RECORD")).read_bytes())
    read = load("autodeploy_magic.serve.runtime.transformers_tokens:read_tokenizer")
    tokens = load("autodeploy_magic.serve.runtime.transformers_tokens:Tokens")(read(file.parent), told)
    run = session(file)
    names = [item.name for item in run.get_inputs()]
    found: list[Mapping[str, Array]] = []

    def forward(arrays: Mapping[str, Array]) -> Any:
        found.append({name: arrays[name] for name in names})
        return run.run(None, found[-1])

    answering = load("autodeploy_magic.serve.runtime.transformers_answers:Answering")(told, tokens, forward)
    for x in xs:
        answering.answers(x)
    return found


def answers(run: Any, fed: Feeds) -> list[list[Array]]:
    """Each output's answers, one array for each feed. A sequence of maps (ZipMap's) becomes rows of its values."""
    found: list[list[Array]] = [[] for _ in run.get_outputs()]
    for feed in fed:
        for kept, value in zip(found, run.run(None, dict(feed)), strict=True):
            kept.append(np.array([list(row.values()) for row in value]) if isinstance(value, list) else value)
    return found


@dataclass(frozen=True)
class Apart:
    """How far one graph's answers are from another's.

    `disagreement` is the share of rows whose label, or whose largest number of several, is another. `error` is the root
    mean square of the differences relative to the spread of the champion's numbers. `cosine` is the mean over the rows
    of the cosine between both vectors of numbers, 1.0 where there are none.
    """

    disagreement: float
    error: float
    cosine: float

    @property
    def words(self) -> str:
        """For a note."""
        return f"{1 - self.disagreement:.1%} of the calibration rows answered alike, cosine {self.cosine:.3f}"


def apart(ours: list[list[Array]], theirs: list[list[Array]]) -> Apart:
    """How far `theirs` are from `ours`, the champion's; over the output that is furthest."""
    disagreement, error, cosine = 0.0, 0.0, 1.0
    for mine, other in zip(ours, theirs, strict=True):
        a, b = (np.concatenate([part.reshape(len(part), -1) for part in parts]) for parts in _alike(mine, other))
        if a.dtype.kind != "f":
            disagreement = max(disagreement, float((a != b).any(axis=1).mean()) if a.size else 0.0)
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        fine = np.isfinite(a)
        a, b = np.where(fine, a, 0.0), np.where(fine, b, 0.0)
        spread_of = float(np.sqrt(((a - a.mean(axis=0)) ** 2).mean())) or float(np.abs(a).max()) or 1.0
        error = max(error, float(np.sqrt(((a - b) ** 2).mean())) / spread_of)
        if a.shape[1] > 1:
            norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
            cosine = min(cosine, float(np.mean((a * b).sum(axis=1) / np.maximum(norms, 1e-30))))
            if a.shape[1] <= _MOST_CLASSES:
                disagreement = max(disagreement, float((a.argmax(axis=1) != b.argmax(axis=1)).mean()))
    return Apart(disagreement, error, cosine)


_MOST_CLASSES = 100
"""Of wider rows the largest number is no answer: an embedding's."""


def _alike(mine: list[Array], other: list[Array]) -> tuple[list[Array], list[Array]]:
    """Arrays whose rows have one width each: those of texts are as long as their longest."""
    if len({part.shape[1:] for part in mine}) > 1:
        return [part.reshape(-1, 1) for part in mine], [part.reshape(-1, 1) for part in other]
    return mine, other


def checked(champion: Champion, file: Path, fed: Feeds) -> Apart:
    """Make sure that a worker can take `file` in the place of the champion's, and say how far its answers are.

    It has the same inputs and outputs, and to the same feeds gives arrays of the same shapes and types, whose numbers
    are finite wherever the champion's are. Raises `RetuneFailed`.
    """
    old, new = session(champion.needs_onnx()), session(file)
    for kind in ("get_inputs", "get_outputs"):
        was, now = ([(i.name, i.type, len(i.shape or [])) for i in getattr(run, kind)()] for run in (old, new))
        if [item[:2] for item in was] != [item[:2] for item in now]:
            raise RetuneFailed(f"the changed graph has other {kind.removeprefix('get_')}: {now} and not {was}")
    ours, theirs = answers(old, fed), answers(new, fed)
    for name, mine, other in zip([item.name for item in old.get_outputs()], ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            if a.shape != b.shape or a.dtype != b.dtype:
                raise RetuneFailed(f"it answers {name} as {b.dtype} {b.shape} and not as {a.dtype} {a.shape}")
            if a.dtype.kind == "f" and not np.isfinite(b[np.isfinite(a)]).all():
                raise RetuneFailed(f"its {name} are not finite on the calibration rows")
    return apart(ours, theirs)


def cpu_s(runs: Sequence[Any], fed: Feeds, turns: int = 5, turn_s: float = 0.03) -> list[float]:
    """Seconds of the processor of a pass over the feeds, of each session: the best of turns taken one after the other.

    They share a process, so it tells a clear gain from none, and no more.
    """
    best = [float("inf")] * len(runs)
    for _ in range(turns):
        for i, run in enumerate(runs):
            passes, start = 0, time.process_time()
            while passes == 0 or time.process_time() - start < turn_s:
                for feed in fed:
                    run.run(None, dict(feed))
                passes += 1
            best[i] = min(best[i], (time.process_time() - start) / passes)
    return best
