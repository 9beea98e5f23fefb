"""What is desired after a roll-back, a promotion, or another number of workers: decided here, whoever asks for it."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption, UnknownVersion
from autodeploy_magic.health import Recovery
from autodeploy_magic.slo import parse
from autodeploy_magic.store import Store

__all__ = ["MOST_WORKERS", "TUNABLE", "Tuning", "previous", "promoted", "recovering", "rolled_back", "sloed", "tuned"]

MOST_WORKERS = 64
"""More workers than any machine that a notebook runs on has use for: a slip of the finger must not fork a thousand."""

TUNABLE = ("batch_rows", "max_queue", "request_timeout_s", "spinning", "threads")
"""The settings that change how a version is run, and none of its answers."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """How the same version is to be run. What is left out stays."""

    workers: int | None = None
    settings: dict[str, float] = {}


def rolled_back(store: Store, desired: Desired, version: int | None) -> Desired:
    """What is desired after going back to `version`, by default to the one served before.

    Called again it goes further back. Raises `UnknownVersion` or `InvalidOption`.
    """
    target = version if version is not None else previous(store, desired)
    if target is None:
        raise UnknownVersion(
            f"{desired.name} has no earlier version to go back to",
            why=f"v{desired.version} is the first that served, or the earlier ones were removed",
            fix=f"`%deploy versions {desired.name}` lists what is kept",
        )
    if target == desired.version:
        raise InvalidOption(
            f"v{target} of {desired.name} is already the one that serves",
            fix=f"`%deploy versions {desired.name}` lists them",
        )
    back = [*desired.history]
    history = back[: len(back) - back[::-1].index(target) - 1] if target in back else [*back, desired.version]
    return _with_champion(store, desired, target, tuple(history))


def previous(store: Store, desired: Desired) -> int | None:
    """The version served before the champion that is still kept; None where there is none."""
    kept = {version.number for version in store.versions(desired.name)}
    older = [number for number in desired.history if number in kept and number != desired.version]
    return older[-1] if older else None


def promoted(store: Store, desired: Desired, version: int | None) -> Desired:
    """What is desired once `version`, by default the canary or the shadow, is the champion.

    Raises `UnknownVersion` or `InvalidOption`.
    """
    target = _challenger(desired) if version is None else version
    if target == desired.version:
        raise InvalidOption(
            f"v{target} of {desired.name} is the champion already",
            fix=f"`%deploy versions {desired.name}` lists them",
        )
    return _with_champion(store, desired, target, (*desired.history, desired.version))


def tuned(desired: Desired, tuning: Tuning) -> Desired:
    """What is desired once it is run as `tuning` says. Raises `InvalidOption`."""
    workers = desired.workers if tuning.workers is None else tuning.workers
    if not 1 <= workers <= MOST_WORKERS:
        raise InvalidOption(
            f"{workers} is not a number of workers that {desired.name} can have", fix=f"use 1 to {MOST_WORKERS}"
        )
    chosen = {name: _checked(name, value) for name, value in tuning.settings.items()}
    return msgspec.structs.replace(desired, workers=workers, settings={**desired.settings, **chosen}, state="running")


def sloed(desired: Desired, text: str) -> Desired:
    """What is desired once it promises this: an SLO line, "" to learn one, "off" for none. Raises `InvalidOption`."""
    return msgspec.structs.replace(desired, slo=parse(text).text)


def recovering(desired: Desired, mode: str) -> Desired:
    """What is desired once this is done about its faults: see `health.Recovery`. Raises `InvalidOption`."""
    if mode not in get_args(Recovery):
        raise InvalidOption(
            f"recovery cannot be {mode!r}", fix="off does nothing, suggest proposes what to do, act does it"
        )
    return msgspec.structs.replace(desired, recovery=mode)


def _checked(name: str, value: float) -> Any:
    if name not in TUNABLE:
        raise InvalidOption(f"{name} cannot be changed here", fix=f"what can: {', '.join(TUNABLE)}")
    knob = settings.KNOBS[name]
    least = 0 if name in ("batch_rows", "threads") else 1
    if isinstance(knob.default, bool):
        if value not in (0, 1):
            raise InvalidOption(f"{name} cannot be {value:g}", why=knob.help, fix="use 1 for on, 0 for off")
        return bool(value)
    if value < least or value != value or value > 1e9 or (isinstance(knob.default, int) and value != int(value)):
        raise InvalidOption(f"{name} cannot be {value:g}", why=knob.help, fix=f"use {least} or more {knob.unit}")
    return type(knob.default)(value)


def _with_champion(store: Store, desired: Desired, version: int, history: tuple[int, ...]) -> Desired:
    store.version(desired.name, version)  # raises where it is not kept
    return msgspec.structs.replace(
        desired, version=version, history=history, traffic=desired.traffic.after_swap(), state="running"
    )


def _challenger(desired: Desired) -> int:
    """The version that is being tried. Raises `InvalidOption` where none is, or two are."""
    tried = {desired.traffic.canary, desired.traffic.shadow} - {0}
    if len(tried) == 1:
        return tried.pop()
    words = "has neither canary nor shadow" if not tried else "has a canary and a shadow"
    raise InvalidOption(
        f"{desired.name} {words}: which version is to be the champion?",
        fix=f"`%deploy promote {desired.name} VERSION`; `%deploy versions {desired.name}` lists them",
    )
