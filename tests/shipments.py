"""What a target of `ship` is given, without a store: a version, how it is served, and an image that nobody built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from records import make_version

from autodeploy_magic.contracts import Desired, Progress, Version
from autodeploy_magic.ship.base import Cargo, Target
from autodeploy_magic.ship.write import chosen
from autodeploy_magic.shipping import Image

REFERENCE = "registry.example.com/team/iris:v1"


def told(progress: Progress) -> None:
    """Nobody listens."""


def make_cargo(
    target: Target,
    *,
    name: str = "iris",
    slo: str = "p99<50ms, errors<0.1%",
    options: dict[str, str] | None = None,
    reference: str = REFERENCE,
    model: Path = Path("/nowhere"),
    version: Version | None = None,
    rss_bytes: int = 90 << 20,
    **desired: Any,
) -> Cargo:
    """A cargo whose options were typed as `options`."""
    version = replace(version or make_version(), deployment=name)
    image = Image(
        deployment=name,
        version=version.number,
        version_digest=version.digest,
        name=reference or "iris:v1",
        flavour="lean",
        engine="podman",
        rss_bytes=rss_bytes,
    )
    return Cargo(
        version=version,
        desired=Desired(name=name, version=version.number, executable="python", slo=slo, **desired),
        model=model,
        record=model,
        image=image if reference else None,
        reference=reference,
        options=chosen("it", target.choices, options or {}),
    )
