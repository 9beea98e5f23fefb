"""What each version of a deployment is given, and how they compare: a small table, from what the workers recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption, UnknownVersion
from autodeploy_magic.metrics import Comparison, Summary, by_version, comparison
from autodeploy_magic.notebook.html import Markup, card, element, table
from autodeploy_magic.notebook.text import ago_text, grid, seconds_text, share_text
from autodeploy_magic.notebook.views import View
from autodeploy_magic.store import Store

__all__ = ["ShownTraffic", "VersionTraffic", "newest_beside", "share_of", "traffic_of"]

Role = Literal["champion", "canary", "shadow", "loaded"]

PERIOD_S = 3600.0
"""What is told where neither canary nor shadow says since when it is of interest."""


@dataclass(frozen=True)
class VersionTraffic:
    """One version's part since `ShownTraffic.since`.

    `share` is of the requests that name no version; None for a shadow, whose `requests` are copies, and for one that is
    only answered by name. `failed` and `differing` are shares of requests and of rows; None where nothing is known.
    `dropped` copies were not compared, since the shadow could not keep up.
    """

    version: int
    role: Role
    share: float | None
    requests: int
    failed: float | None
    p50_s: float | None
    p99_s: float | None
    differing: float | None = None
    dropped: int = 0


@dataclass(frozen=True)
class ShownTraffic(View):
    """The versions that answer, the champion first. `since` is in seconds since the epoch."""

    name: str
    since: float
    versions: tuple[VersionTraffic, ...]

    def text(self) -> str:
        title = f"{self.name}: traffic of the last {ago_text(self.since)}"
        return "\n".join([title, grid(_HEAD, self._rows()), *self._notes()])

    def html(self) -> Markup:
        title = element(
            "div",
            element("span", self.name, class_="name"),
            element("span", f"traffic of the last {ago_text(self.since)}", class_="mut"),
            class_="row",
        )
        notes = element("div", *(element("p", note, class_="mut") for note in self._notes()))
        rows = table(_HEAD, self._rows(), numeric=(2, 3, 4, 5, 6, 7))
        return card(title, rows, notes if self._notes() else "", label=f"traffic of {self.name}")

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                f"v{item.version}",
                item.role,
                share_text(item.share) if item.share is not None else _WITHOUT_SHARE[item.role],
                str(item.requests),
                _percent(item.failed),
                seconds_text(item.p50_s) if item.p50_s is not None else "–",
                seconds_text(item.p99_s) if item.p99_s is not None else "–",
                _percent(item.differing),
            )
            for item in self.versions
        ]

    def _notes(self) -> list[str]:
        notes = [
            f"v{item.version} could not keep up: {item.dropped} copies were not compared"
            for item in self.versions
            if item.dropped
        ]
        tried = next((item for item in self.versions if item.role in ("canary", "shadow")), None)
        if tried is not None:
            notes.append(
                f"next: %deploy promote {self.name} {tried.version}, or %deploy traffic {self.name} --off to end it"
            )
        return notes


_HEAD = ("version", "role", "share", "requests", "failed", "p50", "p99", "differing")
_WITHOUT_SHARE = {"shadow": "copies", "loaded": "by name", "champion": "–", "canary": "–"}


def traffic_of(store: Store, desired: Desired) -> ShownTraffic:
    """Return what each version of a deployment was given, and how it did."""
    file = store.metrics_file(desired.name)
    since = desired.traffic.since or time.time() - PERIOD_S
    answered = by_version(file, since)
    return ShownTraffic(desired.name, since, tuple(_versions(store, desired, answered, since)))


def _versions(store: Store, desired: Desired, answered: dict[int, Summary], since: float) -> Iterator[VersionTraffic]:
    traffic = desired.traffic
    yield _answering(desired.version, "champion", 1.0 - traffic.share, answered)
    if traffic.canary:
        yield _answering(traffic.canary, "canary", traffic.share, answered)
    if traffic.shadow:
        found = comparison(store.metrics_file(desired.name), desired.version, traffic.shadow, since)
        yield _shadowing(traffic.shadow, found)
    for number in traffic.loaded:
        if number not in (traffic.canary, traffic.shadow):
            yield _answering(number, "loaded", None, answered)


def _answering(version: int, role: Role, share: float | None, answered: dict[int, Summary]) -> VersionTraffic:
    found = answered.get(version)
    if found is None or not found.requests:
        return VersionTraffic(version, role, share, 0, None, None, None)
    return VersionTraffic(version, role, share, found.requests, found.failed / found.requests, found.p50_s, found.p99_s)


def _shadowing(version: int, found: Comparison | None) -> VersionTraffic:
    if found is None:
        return VersionTraffic(version, "shadow", None, 0, None, None, None)
    return VersionTraffic(
        version,
        "shadow",
        None,
        found.requests,
        found.failed / found.requests if found.requests else None,
        found.challenger_p50_s,
        found.challenger_p99_s,
        found.differing / found.rows if found.rows else None,
        found.dropped,
    )


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return "0" if share == 0 else f"{share:.2%}" if share >= 0.0001 else "<0.01%"


# --- what a person types


def share_of(typed: float | str) -> float:
    """Return a share that was given as 0.1, "0.1" or "10%". Raises `InvalidOption` for what is none."""
    try:
        share = float(typed.removesuffix("%")) / 100 if isinstance(typed, str) and "%" in typed else float(typed)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise InvalidOption(
            f"--share {typed} is not a share of the requests", fix="use more than 0%, at most 100%: for example 10%"
        )
    return share


def newest_beside(numbers: Sequence[int], desired: Desired) -> int:
    """The newest version that is not the champion. Raises `UnknownVersion` where there is none."""
    others = [number for number in numbers if number != desired.version]
    if others:
        return max(others)
    raise UnknownVersion(
        f"{desired.name} has no version beside v{desired.version}",
        fix=f"`%%deploy {desired.name} --canary 10% …` on a cell builds one and gives it a share",
    )
