"""Versions that go into a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clusters import IMAGE, REFERENCE, Make, Ship
from msgspec.structs import replace
from records import make_version

from autodeploy_magic.contracts import Desired
from autodeploy_magic.ship.base import Cargo, Target, Written
from autodeploy_magic.ship.write import chosen, target_of
from autodeploy_magic.shipping import Image


@pytest.fixture(scope="session")
def make() -> Make:
    """`make("helm", scaling="keda", slo="p99<50ms", note="…")`: a version, how it is served, and options as typed."""

    def cargo(
        target: str = "kubernetes",
        *,
        reference: str = REFERENCE,
        image: Image | None = IMAGE,
        slo: str = "p99<50ms, errors<0.1%",
        version: dict[str, Any] | None = None,
        desired: dict[str, Any] | None = None,
        **options: str,
    ) -> Cargo:
        served = {"name": "iris", "version": 1, "executable": "python", "slo": slo, **(desired or {})}
        made = replace(make_version(), **(version or {}))
        return Cargo(
            version=made,
            desired=Desired(**served),
            model=Path("/nowhere"),
            record=Path("/nowhere"),
            image=image,
            reference=reference,
            options=chosen(target, target_of(target).choices, options),
        )

    return cargo


@pytest.fixture
def ship(make: Make, tmp_path: Path) -> Ship:
    """`ship("helm", …)` as `make`, and write it: its cargo, its folder, and what it said."""

    def write(target: str = "kubernetes", **changes: Any) -> tuple[Cargo, Path, Written]:
        cargo = make(target, **changes)
        place: Target = target_of(target)
        place.refuse(cargo)
        folder = tmp_path / "shipped"
        folder.mkdir()
        return cargo, folder, place.write(cargo, folder, lambda _: None)

    return write
