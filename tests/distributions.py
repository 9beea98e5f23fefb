"""Distributions as an installer leaves them, in a folder that a test may fill as it likes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def distribution(
    site: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    python: str = "",
    origin: Mapping[str, Any] | None = None,
    installer: str | None = "pip",
    files: Mapping[str, str] | None = None,
) -> None:
    """Write one into `site` (a folder called site-packages): its metadata, and `files` with their contents."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {line}" for line in requires]
    lines += [f"Requires-Python: {python}"] if python else []
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    if installer is not None:
        (info / "INSTALLER").write_text(f"{installer}\n")
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))
    for file, text in (files or {}).items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)
    own = [f"{info.name}/{file.name}" for file in info.iterdir()]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in [*own, *(files or {})]))
