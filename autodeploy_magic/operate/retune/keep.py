"""A candidate that was chosen becomes a version, with its lineage. A job of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.build.clean import SubprocessRunner
from autodeploy_magic.build.package import package
from autodeploy_magic.contracts import Lineage, Version, decode
from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import RetuneFailed
from autodeploy_magic.store import Store, now

__all__ = ["main"]


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Make a version of the candidate in `spec["folder"]`, and return its `number`.

    Also in `spec`: `home`, `name`, `lineage`, `reason`, `note`. One with the same content and lineage that is kept
    already is that version. The candidate's folder stays as it is. Raises `PackageFailed`, `DiskFull`, or
    `RetuneFailed` where the candidate is not there any more.
    """
    store, name = Store(spec["home"]), spec["name"]
    place = Path(spec["folder"])
    file = place / "model" / "version.json"
    if not file.is_file():
        raise RetuneFailed(
            "the candidate is not kept any more",
            why="candidates are kept until the next re-tune",
            fix=f"re-tune again: `%deploy retune {name} --replay ID`",
        )
    lineage = msgspec.convert(spec["lineage"], Lineage)
    found = decode(Version, file.read_bytes(), source=str(file))
    with disk_full(store.home), store.building(name), store.staging(name) as staging:
        known = store.by_digest(name, found.digest)
        if known is not None and known.lineage is not None and known.lineage.retune == lineage.retune:
            return {"number": known.number}
        number = store.next_number(name)
        for part in ("model", "record"):
            shutil.copytree(place / part, staging / part)
        version = msgspec.structs.replace(
            found,
            number=number,
            created_at=now(),
            reason=spec["reason"],
            note=spec["note"],
            lineage=msgspec.structs.replace(lineage, root=number if found.live_format else lineage.root),
        )
        package(version, staging, store, SubprocessRunner(own_session=False))
        return {"number": number}
