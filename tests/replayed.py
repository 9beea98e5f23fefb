"""A model written in one of its formats and asked by the format's runner, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Environment, Trust, Version
from autodeploy_magic.formats import format_of
from autodeploy_magic.registry import load, table
from autodeploy_magic.wire import decode as decode_inputs
from autodeploy_magic.wire import describe, in_library, to_container, to_request

__all__ = ["Replayed", "differing", "replayed"]


@dataclass(frozen=True)
class Replayed:
    """What the live object says, and what its written form says to the same rows, which came as a request's do."""

    live: dict[str, Any]
    found: dict[str, Any]
    runner: Any
    path: Path


def replayed(model: Any, sample: Any, format: str, folder: Path, *, threads: int | None = 1) -> Replayed:
    """Write `model` as `format` into `folder`, and answer `sample` with both."""
    exporter = exporter_of(model)
    assert exporter is not None
    read = read_sample(sample)
    rows = in_library(read.signature, read.container)
    live = exporter.live(model, rows)
    outputs = tuple(describe(name, value, read.rows) for name, value in live.items())
    path = folder / format_of(format).place
    exporter.write(model, format, path, rows, read.signature)
    version = Version(
        deployment="demo",
        number=1,
        digest="",
        created_at="",
        task="function",
        framework=exporter.name,
        model_type="",
        format=format,
        reason="",
        trust=Trust(level="green", reason=""),
        signature=read.signature,
        outputs=outputs,
        artifacts=(),
        environment=Environment(python="", platform=""),
        candidates=(),
        sample_rows=read.rows,
    )
    runner = load(table("runtimes")[format_of(format).runtime])(path, version, threads=threads)
    batch = decode_inputs(read.signature, to_request(rows))
    found = runner.run(to_container(batch) if runner.needs_container else batch, list(live))
    return Replayed(live, found, runner, path)


def differing(a: dict[str, Any], b: dict[str, Any], tolerance: float = 1e-5) -> Sequence[str]:
    """The names of the outputs that differ."""
    import numpy as np

    return [
        name
        for name in a.keys() | b.keys()
        if name not in a
        or name not in b
        or np.shape(a[name]) != np.shape(b[name])
        or not np.allclose(a[name], b[name], rtol=tolerance, atol=tolerance, equal_nan=True)
    ]
