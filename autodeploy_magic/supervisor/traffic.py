"""What versions besides the champion may be given, checked before any worker is asked."""

from __future__ import annotations

import logging
import time

import msgspec

from autodeploy_magic.contracts import Desired, Traffic, Version
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.serve.lineup.together import apart, unlike_inputs
from autodeploy_magic.store import Store

__all__ = ["MOST_LOADED", "TrafficChange", "beside", "changed", "only_kept", "settled"]

log = logging.getLogger(__name__)

MOST_LOADED = 4
"""Versions that requests may name besides champion, canary and shadow: each takes its memory in every worker."""


class TrafficChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be another than it is; see `contracts.Traffic`. What is left out stays."""

    canary: int | msgspec.UnsetType = msgspec.UNSET
    share: float | msgspec.UnsetType = msgspec.UNSET
    shadow: int | msgspec.UnsetType = msgspec.UNSET
    loaded: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET


def changed(traffic: Traffic, change: TrafficChange) -> Traffic:
    """The traffic after a change."""
    given = {name: getattr(change, name) for name in change.__struct_fields__}
    return msgspec.structs.replace(
        traffic, **{name: value for name, value in given.items() if value is not msgspec.UNSET}
    )


def settled(store: Store, desired: Desired, before: Desired | None) -> Desired:
    """Return what is desired with its traffic in order.

    A version that was only loaded is left out where it cannot share a process with a new champion. Raises
    `UnknownVersion` for one that is not kept, and `InvalidOption` for a canary or a shadow that cannot be one.
    """
    traffic = msgspec.structs.replace(
        desired.traffic,
        share=desired.traffic.share if desired.traffic.canary else 0.0,
        loaded=tuple(sorted({*desired.traffic.loaded} - {desired.version})),
        since=_since(desired, before),
    )
    loaded = traffic.loaded
    desired = msgspec.structs.replace(desired, traffic=traffic)
    if not traffic.versions:
        return desired
    _check(desired)
    champion = store.version(desired.name, desired.version)
    for number, role in ((traffic.canary, "canary"), (traffic.shadow, "shadow")):
        if number:
            _check_role(champion, store.version(desired.name, number), role)
    others = beside(store, desired)
    reason = apart([champion, *others])
    if not reason:
        return desired
    if before is not None and before.version != desired.version and loaded:
        log.info("%s: %s are loaded no longer: %s", desired.name, loaded, reason)
        left = msgspec.structs.replace(traffic, loaded=())
        return settled(store, msgspec.structs.replace(desired, traffic=left), before)
    raise InvalidOption(
        f"these versions of {desired.name} cannot serve side by side",
        why=reason,
        fix=f"deploy with --format onnx, which gets along with any, or swap to it: `%deploy promote {desired.name} N`",
    )


def only_kept(store: Store, desired: Desired) -> Desired:
    """What is desired without versions besides the champion that somebody took away."""
    traffic = desired.traffic
    there = {number for number in traffic.versions if store.version_folder(desired.name, number).is_dir()}
    if there == {*traffic.versions}:
        return desired
    log.warning("%s: of the versions %s only %s are there", desired.name, traffic.versions, sorted(there))
    left = Traffic(
        canary=traffic.canary if traffic.canary in there else 0,
        share=traffic.share if traffic.canary in there else 0.0,
        shadow=traffic.shadow if traffic.shadow in there else 0,
        loaded=tuple(number for number in traffic.loaded if number in there),
    )
    return msgspec.structs.replace(desired, traffic=left)


def beside(store: Store, desired: Desired) -> tuple[Version, ...]:
    """The versions that are loaded besides the champion. Raises `UnknownVersion`."""
    numbers = [number for number in desired.traffic.versions if number != desired.version]
    return tuple(store.version(desired.name, number) for number in numbers)


def _since(desired: Desired, before: Desired | None) -> float:
    """Since when there are these roles: what was measured before says nothing of them."""
    now = desired.traffic
    if not (now.canary or now.shadow):
        return 0.0
    was = None if before is None else (before.version, before.traffic.canary, before.traffic.shadow)
    if before is not None and was == (desired.version, now.canary, now.shadow) and before.traffic.since:
        return before.traffic.since
    return time.time()


def _check(desired: Desired) -> None:
    name, traffic = desired.name, desired.traffic
    for number, role in ((traffic.canary, "canary"), (traffic.shadow, "shadow")):
        if number == desired.version:
            raise InvalidOption(
                f"v{number} of {name} is the champion, and cannot be its own {role}",
                fix=f"name another: `%deploy versions {name}` lists them",
            )
    if traffic.canary and traffic.canary == traffic.shadow:
        raise InvalidOption(
            f"v{traffic.canary} of {name} cannot be canary and shadow at once",
            why="a shadow's answers are thrown away, a canary's are given",
            fix=f"`%deploy traffic {name} --off` ends both",
        )
    if traffic.canary and not 0 < traffic.share <= 1:
        raise InvalidOption(
            f"a canary cannot get {traffic.share:.4g} of the requests",
            fix="give it more than 0 and at most 1, for example --share 10%",
        )
    if len(traffic.loaded) > MOST_LOADED:
        raise InvalidOption(
            f"{len(traffic.loaded)} versions besides the champion are more than the {MOST_LOADED} that may be loaded",
            why="each takes its memory in every worker",
            fix="unload one first",
        )


def _check_role(champion: Version, other: Version, role: str) -> None:
    reason = unlike_inputs(champion, other)
    if reason:
        raise InvalidOption(
            f"v{other.number} of {champion.deployment} cannot be a {role} of v{champion.number}",
            why=f"it would be sent requests made for v{champion.number}, and {reason}",
            fix=f"swap to it instead: `%deploy promote {champion.deployment} {other.number}`",
        )
