"""A model kept in one format and asked again in this process: quicker than a build, for what every format must keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodeploy_magic.build import BuildRequest
from autodeploy_magic.build.capture import Captured, capture
from autodeploy_magic.build.compare import Comparison, compare
from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.build.stage import write_folder
from autodeploy_magic.formats import format_of
from autodeploy_magic.serve.model import ServedModel

__all__ = ["Kept", "keep", "write"]


@dataclass(frozen=True)
class Kept:
    """What came of it: `comparison` is with the live object's answers, `found` are those of the format."""

    captured: Captured
    served: ServedModel
    comparison: Comparison
    found: dict[str, Any]


def keep(model: Any, sample: Any, format: str, folder: Path, **options: Any) -> Kept:
    """Write `model` as `format` into `folder`, load that, and answer the sample with it."""
    captured = capture(BuildRequest("kept", model, sample, **options), folder)
    path = folder / format_of(format).place
    if format != "native":
        captured.exporter.write(model, format, path, captured.fed, captured.sample.signature)
    write_folder(captured, 1, [format], folder)
    served = ServedModel.load(folder, format=format, threads=2, sealed=False)
    found = served.replay(captured.inputs, [output.name for output in captured.outputs])
    return Kept(captured, served, compare(captured.outputs, captured.live.plain, found), found)


def write(model: Any, sample: Any, format: str, path: Path) -> None:
    """Write `model` as `format`; raises what its exporter raises."""
    from autodeploy_magic.build.sample import read_sample

    exporter = exporter_of(model)
    assert exporter is not None
    exporter.write(model, format, path, sample, read_sample(sample).signature)
