"""The plan of a re-tune: its data, and the candidates that the optimisers offer. A job of its own."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Version, encode
from autodeploy_magic.errors import AutodeployError, MissingPackage, NotApplicable
from autodeploy_magic.operate.retune import data
from autodeploy_magic.operate.retune.base import Holdings, Offer, Optimiser
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.trace import recorded_trace
from autodeploy_magic.registry import load, table
from autodeploy_magic.retuning import Contender, DataUsed, Family, Goal, Order
from autodeploy_magic.store import Store

__all__ = ["holdings_of", "main", "optimiser"]

log = logging.getLogger(__name__)

TRACE = "trace.json"

_FAMILIES: dict[Goal, tuple[Family, ...]] = {
    "auto": ("run", "smaller", "better"),
    "latency": ("run", "smaller"),
    "size": ("smaller",),
    "quality": ("better",),
}
"""What is looked for, by goal."""


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Gather the data of a re-tune and ask every optimiser.

    In `spec`: `home`, `name`, `version` (the champion's number), `folder` (the re-tune's own), `order`; where
    `gathered` is true the data are there already. Returns `data` (DataUsed) and `contenders`: those that wait in the
    order in which they are to be made, then those that were skipped, with the reason; and whether there is a `trace` to
    try layouts with.
    """
    store = Store(spec["home"])
    version = store.version(spec["name"], spec["version"])
    order = msgspec.convert(spec["order"], Order)
    folder = Path(spec["folder"]) / "data"
    if spec.get("gathered"):
        used = data.described(folder)
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        used = data.gather(store, version, time.time(), folder, order.seed)
        used = _traced(store, version.deployment, used, folder, order.seed)
        (folder / data.USED).write_bytes(encode(used))
    found = list(_contenders(Champion.of(store, version), holdings_of(version, folder, order), order))
    return {
        "data": msgspec.to_builtins(used),
        "contenders": msgspec.to_builtins(found),
        "trace": (folder / TRACE).is_file(),
    }


def optimiser(name: str) -> Optimiser:
    """The optimiser called `name`."""
    found: Optimiser = load(table("optimisers")[name])()
    return found


def holdings_of(version: Version, folder: Path, order: Order) -> Holdings:
    """What was gathered in `folder`, with what is known of the version and asked of the re-tune."""
    return dataclasses.replace(
        data.load(folder, version.signature), task=version.task, goal=order.goal, max_loss=order.max_loss
    )


def _traced(store: Store, name: str, used: DataUsed, folder: Path, seed: int) -> DataUsed:
    """Write the trace down, or note why there is none."""
    try:
        trace = recorded_trace(store.requests_file(name), store.metrics_file(name), time.time(), seed=seed)
    except NotApplicable as error:
        return msgspec.structs.replace(used, notes=(*used.notes, f"layouts are not tried: {error.what}"))
    trace.write(folder / TRACE)
    return used


def _contenders(champion: Champion, holdings: Holdings, order: Order) -> Iterator[Contender]:
    """Candidates for the goal: the quick ones first."""
    offered: list[tuple[Optimiser, Offer]] = []
    skipped: list[tuple[str, Family, str]] = []
    for name in table("optimisers"):
        try:
            one = optimiser(name)
        except Exception as error:  # another package's, which may be broken
            log.exception("the optimiser %s cannot be loaded", name)
            skipped.append((name, "run", f"it cannot be loaded: {type(error).__name__}: {error}"))
            continue
        if one.family not in _FAMILIES[order.goal]:
            continue
        try:
            offered += [(one, offer) for offer in one.offers(champion, holdings)]
        except (NotApplicable, MissingPackage) as error:
            skipped.append((name, one.family, error.what + (f": {error.why}" if error.why else "")))
        except Exception as error:  # one optimiser that fails must not be the end of all others
            log.exception("%s offers nothing", name)
            words = error.what if isinstance(error, AutodeployError) else f"{type(error).__name__}: {error}"
            skipped.append((name, one.family, f"it could not be asked: {words}"))
    offered.sort(key=lambda pair: pair[1].slow)
    for number, (one, offer) in enumerate(offered, 1):
        yield Contender(
            id=f"c{number}",
            optimiser=one.name,
            title=offer.title,
            family=one.family,
            settings=dict(offer.settings),
            claims=one.claims,
        )
    for number, (name, family, reason) in enumerate(skipped, len(offered) + 1):
        yield Contender(id=f"c{number}", optimiser=name, title=name, family=family, state="skipped", reason=reason)
