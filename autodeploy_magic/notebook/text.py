"""How times, sizes, values and tables read as text."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from autodeploy_magic.tls import SOON_S

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Status, Traffic, Version
    from autodeploy_magic.metrics import Summary

__all__ = [
    "OPEN_TEXT",
    "UNKNOWN",
    "access_lines",
    "ago_text",
    "certificate_text",
    "cores_text",
    "count_text",
    "grid",
    "lineage_text",
    "percent_text",
    "rate_text",
    "seconds_text",
    "share_text",
    "shares_text",
    "size_text",
    "traffic_text",
    "trust_text",
    "value_text",
]

UNKNOWN = "–"
OPEN_TEXT = "open to every program and every user on this machine: no token is asked for"


def access_lines(status: Status) -> list[tuple[str, str, bool]]:
    """Return what is to say of who gets in, how, and to what: a word, the text, and whether it wants an eye."""
    lines = [] if status.auth else [("access", OPEN_TEXT, True)]
    if status.url.startswith("https:"):
        until = status.certificate_until
        lines.append(("https", certificate_text(until), until - time.time() < SOON_S))
    if status.grpc_url:
        lines.append(("grpc", status.grpc_url, False))
    shares = shares_text(status.traffic)
    return [*lines, ("traffic", shares, False)] if shares else lines


def certificate_text(until: float) -> str:
    """Return when a certificate ends (seconds since the epoch; 0 where it cannot be read)."""
    if not until:
        return "the certificate cannot be read; %deploy doctor says why"
    day, days = time.strftime("%Y-%m-%d", time.gmtime(until)), (until - time.time()) / 86400
    if days <= 0:
        return f"the certificate ended on {day}: clients refuse it"
    return f"certificate good until {day}, {days:.0f} more days"


def seconds_text(seconds: float | None) -> str:
    """Return a time as people read it: "0.02 ms", "3.4 ms", "0.8 s", "1 min 5 s"."""
    if seconds is None:
        return "?"
    if seconds < 0.1:
        return f"{seconds * 1e3:.{2 if seconds < 0.001 else 1}f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def traffic_text(traffic: Summary | None) -> str:
    """Return what was answered: "120 requests, p50 1.9 ms, p99 3.4 ms, 2 refused"; what is unknown is said so."""
    if traffic is None:
        return "nothing recorded yet"
    if not traffic.requests:
        return "no requests"
    parts = [f"{traffic.requests} request{'s' if traffic.requests > 1 else ''}"]
    parts += [f"p50 {seconds_text(traffic.p50_s)}", f"p99 {seconds_text(traffic.p99_s)}"]
    counts = {"refused": traffic.refused, "failed": traffic.failed, "not recorded": traffic.dropped}
    return ", ".join(parts + [f"{count} {what}" for what, count in counts.items() if count])


def grid(names: tuple[str, ...] | list[str], rows: list[Any]) -> str:
    """A table as text, its columns as wide as they need to be."""
    cells = [list(names), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def share_text(share: float) -> str:
    """Return a share as people read it: "10%", "0.5%"."""
    return f"{100 * share:.4g}%"


def shares_text(traffic: Traffic) -> str:
    """Return what versions besides the champion are given: "v3 canary 10%, v4 shadow"; "" where none is."""
    parts = [f"v{traffic.canary} canary {share_text(traffic.share)}"] if traffic.canary else []
    parts += [f"v{traffic.shadow} shadow"] if traffic.shadow else []
    others = [number for number in traffic.loaded if number not in (traffic.canary, traffic.shadow)]
    return ", ".join([*parts, *(f"v{number} by name" for number in others)])


def value_text(value: Any, longest: int = 300) -> str:
    """A JSON value as people read it, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= longest else f"{text[:longest]}…"


def trust_text(version: Version) -> str:
    """ "amber: a pickled model…; allowed by --allow-pickle; signed by the key 1234abcd…"."""
    trust = version.trust
    parts = [f"{trust.level}: {trust.reason}" if trust.reason else trust.level]
    parts += [f"allowed by {trust.allowed_by}" if trust.allowed_by.startswith("-") else trust.allowed_by]
    parts += [f"signed by the key {version.signed_by[:12]}…" if version.signed_by else ""]
    return "; ".join(filter(None, parts))


def lineage_text(version: Version) -> str:
    """Where a version comes from that a re-tune made: "re-tune 4f2a: int8, dynamic, made of v3"; "" for another."""
    lineage = version.lineage
    return "" if lineage is None else f"re-tune {lineage.retune}: {lineage.title}, made of v{lineage.parent}"


def size_text(size_bytes: float) -> str:
    """ "431 B", "12 kB", "3.4 MB"."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 10 else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"


def count_text(count: float | None) -> str:
    """A count that may be a mean: "0", "0.2", "3.5", "12", "1,240"; "–" for what is not known."""
    if count is None:
        return UNKNOWN
    if count == 0:
        return "0"
    if count < 0.1:
        return f"{count:.2f}"
    if count < 10:
        return f"{count:.0f}" if count == int(count) else f"{count:.1f}"
    return f"{count:,.0f}"


def rate_text(per_s: float | None) -> str:
    """A rate: "0 /s", "0.2 /s", "1,240 /s"; "–" for what is not known."""
    return UNKNOWN if per_s is None else f"{count_text(per_s)} /s"


def percent_text(share: float | None) -> str:
    """A share of requests: "0.00 %", "<0.01 %", "0.12 %", "3.1 %", "40 %"; "–" for what is not known."""
    if share is None:
        return UNKNOWN
    percent = 100 * share
    if 0 < percent < 0.005:
        return "<0.01 %"
    return f"{percent:.{2 if percent < 1 else 1 if percent < 10 else 0}f} %"


def cores_text(cores: float | None) -> str:
    """CPU as a share of one core: "34 %", "0.4 %", "180 %"; "–" for what is not known."""
    return UNKNOWN if cores is None else f"{100 * cores:.{1 if 0 < cores < 0.01 else 0}f} %"


def ago_text(since: float) -> str:
    """How long ago a time (seconds since the epoch) was."""
    seconds = max(0, int(time.time() - since))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
