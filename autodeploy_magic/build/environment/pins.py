"""Exact pins of what installed the modules, of the runtime, and of all that these require; and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from autodeploy_magic.build.environment.conflicts import Member, problems
from autodeploy_magic.build.environment.installed import State, canonical, installed, owners, site_state

__all__ = ["OURS", "RUNTIME", "Resolved", "pins", "resolve"]

RUNTIME = ("bentoml", "onnxruntime", "numpy", "msgspec", "psutil", "uvicorn", "uvloop", "httptools", "cloudpickle")
"""Distributions that every version runs on, whatever its model needs."""

OURS = "autodeploy_magic"


@dataclass(frozen=True)
class Resolved:
    """Pins, sorted. `conflicts` are why an installer elsewhere would refuse them, `notes` what is good to know."""

    requirements: tuple[str, ...]
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def pins(modules: Iterable[str]) -> tuple[str, ...]:
    """Exact pins ("numpy==2.4.6"), sorted, of what installed `modules`, of the runtime, and of all that these require.

    An index, a path or a local build label ("+cpu") is never part of a pin.
    """
    return resolve(modules).requirements


def resolve(modules: Iterable[str]) -> Resolved:
    """The pins of `modules`, and what stands in the way of installing them elsewhere. Read from metadata alone."""
    return _resolve(frozenset(modules), site_state())


@cache
def _resolve(modules: frozenset[str], state: State) -> Resolved:
    wanted = {owner for module in modules for owner in owners(module, state)}
    members: dict[str, Member] = {}
    pending = [(name, "") for name in (*RUNTIME, *sorted(wanted))]
    seen: set[tuple[str, str]] = set()
    while pending:
        name, extra = pending.pop()
        key = canonical(name)
        if (key, extra) in seen or key == canonical(OURS):
            continue
        seen.add((key, extra))
        found = installed(name, state)
        if found is None:
            continue  # a module without metadata; or a requirement that is not there, which is a conflict of its owner
        member = members.setdefault(key, Member(found))
        needs = member.needs(extra)
        member.requirements |= needs
        pending += [(need.name, wish) for need in needs for wish in ("", *need.extras)]
    pinned = [member for member in members.values() if not member.found.travels_by_copy]
    conflicts, notes = problems(members, modules, state)
    texts = sorted((canonical(m.found.name), f"{m.found.name}=={m.found.public_version}") for m in pinned)
    return Resolved(tuple(pin for _, pin in texts), conflicts, notes)
