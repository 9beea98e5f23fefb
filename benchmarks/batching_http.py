"""Batching on beside off (AUTODEPLOY_BATCH_ROWS=0), through HTTP: where it should win, and where it must not lose.

A wide MLP reads its weights from memory for each call, so that eight rows cost little more than one. A transformer
encoder computes, and eight rows cost eight times as much. For a small model a call costs less than any queue.

Run: python benchmarks/batching_http.py [--rounds N] [--seconds S]
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from serving import cores
from serving.clients import Clients, clients
from serving.models import ENCODER, IRIS, WIDE, answers, encoder, iris, tokens, wide
from serving.ours import deployed, rows
from serving.report import Target, at_least, options_of, run, show, table
from serving.rounds import interleave
from state import temporary_home

WINS, LOSES_NOT = 1.5, 0.97
CONNECTIONS = 16
OFF = {"AUTODEPLOY_BATCH_ROWS": "0"}


def main() -> int:
    """Print a table for each model, and what became of the targets."""
    options = options_of(__doc__, rounds=6, seconds=1.2, peers=False)
    where = cores.apart()
    print(f"one row as JSON, {CONNECTIONS} keep-alive connections, one worker each; {where.words}")
    draw = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    targets: list[Target] = []
    with temporary_home(), clients(where.client) as load, tempfile.TemporaryDirectory(prefix="bench-batching-") as name:
        heavy, text = wide(Path(name) / "wide.onnx"), encoder(Path(name) / "encoder.onnx")
        small = (iris(), IRIS[0], IRIS[1][:1].tolist())
        for what, wins, (model, sample, found) in (
            (WIDE, True, (str(heavy), draw, answers(heavy, draw[:1]))),
            (ENCODER, False, (str(text), tokens(64), answers(text, tokens(64)[:1]))),
            ("StandardScaler + LogisticRegression", False, small),
        ):
            gain = measured(load, where, options.rounds, options.seconds, what, model, sample, found)
            wanted = WINS if wins else LOSES_NOT
            targets.append(at_least(f"batching on to off, requests/s: {what.partition(':')[0]}", gain, wanted))
    return show(targets, "python benchmarks/batching_http.py")


def measured(
    load: Clients, where: cores.Cores, rounds: int, seconds: float, what: str, model: Any, sample: Any, found: Any
) -> float:
    """Print the two lines of one model, and return the ratio of their rates."""
    one = sample[:1].tolist()
    with contextlib.ExitStack() as stack:
        on = stack.enter_context(deployed("batched", model, sample, where=where))
        off = stack.enter_context(deployed("one-by-one", model, sample, where=where, settings=OFF))
        servers = [
            on.server("batching on", rows(on, one, found), name="on"),
            off.server("batching off", rows(off, one, found), name="off"),
        ]
        results = interleave(load, servers, rounds=rounds, seconds=seconds, connections=CONNECTIONS)
    print(f"\n{what}")
    print(table(list(results.values()), [("× off", results["off"])]))
    return results["on"].ratio(results["off"], lambda figures: figures.rate)


if __name__ == "__main__":
    run(main)
