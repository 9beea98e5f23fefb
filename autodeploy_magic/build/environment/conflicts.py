"""Why pins could not be installed elsewhere, told from the metadata of what is installed here: no index is asked.

The environment that the pins are of has just answered the sample, and workers of this machine run in it: a conflict is
no reason not to serve here. It is one for an image, whose installer refuses it after minutes. So it is written into the
version, and the setting `conflicts` says whether a version with one may be made at all.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from autodeploy_magic.build.environment.installed import (
    Installed,
    State,
    canonical,
    files_of,
    installed,
    is_compiled,
    owners,
)

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["Member", "problems"]


@dataclass
class Member:
    """A distribution of the environment, and the `requirements` of it that hold on this machine."""

    found: Installed
    requirements: set[Requirement] = field(default_factory=set)

    def needs(self, extra: str) -> frozenset[Requirement]:
        """What it requires here, with one of its extras. A requirement that cannot be read is none."""
        return _needs(self.found, extra)


@cache
def _needs(found: Installed, extra: str) -> frozenset[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    needs = set()
    for text in found.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # of an old release: pip does not read it either
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            needs.add(requirement)
    return frozenset(needs)


def problems(
    members: Mapping[str, Member], modules: Iterable[str], state: State
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Conflicts and notes, each a line that says what it is and what to do. `members` are by canonical name."""
    conflicts: list[str] = []
    notes: list[str] = []
    for member in members.values():
        conflicts += _requirements(member, members, state)
        conflicts += _python(member.found)
        for is_conflict, line in _origin(member.found, state):
            (conflicts if is_conflict else notes).append(line)
    notes += _shared(members, modules, state)
    return tuple(sorted(conflicts)), tuple(sorted(notes))


def _requirements(member: Member, members: Mapping[str, Member], state: State) -> Iterator[str]:
    for requirement in member.requirements:
        other = members.get(canonical(requirement.name))
        needs = f"{member.found.name} {member.found.version} needs {requirement.name}{requirement.specifier}"
        if other is None and installed(requirement.name, state) is None:
            yield f"{needs}, which is not installed: pip install '{requirement.name}{requirement.specifier}'"
        elif other is not None and not requirement.specifier.contains(other.found.public_version, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            yield (
                f"{needs}, and {other.found.name}=={other.found.public_version} is what is installed: "
                f"pip install '{wanted}', or another release of {member.found.name}, then deploy again"
            )


def _python(found: Installed) -> Iterator[str]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    here = platform.python_version()
    try:
        fits = SpecifierSet(found.python).contains(here, prereleases=True)
    except InvalidSpecifier:
        return
    if not fits:
        yield (
            f"{found.name} {found.version} needs Python {found.python}, and this is Python {here}: "
            f"pip install --upgrade {found.name}"
        )


def _origin(found: Installed, state: State) -> Iterator[tuple[bool, str]]:
    """What its origin means for an installer elsewhere: whether that is a conflict, and the line."""
    named = f"{found.name} {found.version}"
    publish = "install a release, or build a wheel of it (pip wheel) and put that into an index of yours"
    development = ".dev" in found.version
    if found.travels_by_copy:
        if is_compiled(found.name, state):
            yield False, f"{named} travels by copy, with parts that are compiled for this platform and Python alone"
    elif found.origin == "repository" and (development or "+" in found.version):
        yield True, f"{named} was installed from a repository, and no index has that version: {publish}"
    elif found.origin == "repository":
        yield False, f"{named} was installed from a repository: elsewhere the release of that number takes its place"
    elif found.origin == "archive":
        yield False, f"{named} was installed from a file or an address: elsewhere an index must have it"
    elif development:
        yield True, f"{named} is a development version, which indexes rarely have: {publish}"
    elif "+" in found.version:
        build = found.version.partition("+")[2]
        yield False, f"{named} is a build of its own ({build}): elsewhere {found.public_version} is installed"


def _shared(members: Mapping[str, Member], modules: Iterable[str], state: State) -> Iterator[str]:
    """Modules that two distributions have each installed: the later one has overwritten the earlier one's files."""
    seen = set()
    for module in modules:
        top = module.partition(".")[0]
        names = sorted(name for name in owners(top, state) if canonical(name) in members)
        if len(names) < 2 or top in seen:
            continue
        seen.add(top)
        first = f"{top}/__init__.py"
        both = [name for name in names if any(str(file) == first for file in files_of(name, state))]
        if len(both) > 1:
            listed = " and ".join(both)
            yield f"{listed} have both installed {top}, over each other: pip uninstall one of them, reinstall the other"
