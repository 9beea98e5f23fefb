"""Several alerts of a deployment as one message.

The rule of grouping: what is told of one deployment within some seconds is one message (`line.WAIT_S`; the next one
follows `line.INTERVAL_S` later at the earliest). In it, rules that differ only in what follows a ":" are one line
("drift: 5 columns"), and while a worker is stuck or gone, the latency, errors, refusals and missing requests told with
it are listed under it. Each alert is still a record of its own, in the message, in the panel, and when it is over.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from autodeploy_magic.contracts import Record
from autodeploy_magic.health import Alert, Severity
from autodeploy_magic.operate.alert import words
from autodeploy_magic.operate.alert.alerts import RANK

__all__ = ["LISTED", "Message", "compose"]

LISTED = 20
"""Alerts that a message lists; of more it says how many."""
_FOLLOWS = ("latency", "rate", "errors", "refused", "p50", "p90", "p95", "p99", "p999")


class Message(Record, frozen=True, kw_only=True):
    """What a channel delivers. `alerts` are records; `title`, `lines` and `body` are them in words.

    `id` is the same when it is tried again. `held` counts what is told late, since too much was sent before.
    """

    id: str
    name: str
    state: str
    severity: Severity
    title: str
    lines: tuple[str, ...]
    body: str
    alerts: tuple[Alert, ...]
    url: str = ""
    sent_s: float = 0.0
    held: int = 0
    test: bool = False

    def plain(self) -> dict[str, Any]:
        """As JSON values: what a webhook gets as its body, and a command on its standard input."""
        shown = self.alerts[:LISTED]
        return {
            "version": 1,
            "id": self.id,
            "deployment": self.name,
            "state": self.state,
            "severity": self.severity,
            "title": self.title,
            "text": self.body,
            "url": self.url,
            "sent_s": self.sent_s,
            "test": self.test,
            "more": len(self.alerts) - len(shown),
            "alerts": [{**msgspec.to_builtins(alert), "text": words.clean(alert.text)} for alert in shown],
        }


def compose(
    name: str,
    alerts: Sequence[Alert],
    *,
    url: str = "",
    held: int = 0,
    done: Mapping[str, str] | None = None,
    test: bool = False,
) -> Message:
    """Put alerts of one deployment into a message, the worst that fires first."""
    ordered = sorted(alerts, key=_order)
    firing = [alert for alert in ordered if alert.state == "firing"]
    lines = _lines(firing) + _lines([alert for alert in ordered if alert.state == "resolved"])
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    shown = ordered[:LISTED]
    rest = [f"… and {len(ordered) - LISTED} more: %deploy alerts {name}"] if len(ordered) > LISTED else []
    late = [f"{held} of these were held back: too many messages in an hour."] if held else []
    longs = [words.long(alert, url=url, done=(done or {}).get(alert.rule, "")) for alert in shown]
    return Message(
        id=secrets.token_hex(8),
        name=name,
        state="firing" if firing else "resolved",
        severity=ordered[0].severity,
        title=words.clean(("test: " if test else "") + words.subject(ordered[0]) + more, 200),
        lines=(*lines[:LISTED], *rest, *late),
        body="\n\n".join([*(["\n".join(lines[:LISTED])] if len(lines) > 1 else []), *longs, *rest, *late]),
        alerts=tuple(ordered),
        url=url,
        sent_s=time.time(),
        held=held,
        test=test,
    )


def _order(alert: Alert) -> tuple[bool, int, bool, float, str]:
    return alert.state != "firing", -RANK[alert.severity], alert.detector != "workers", alert.since_s, alert.rule


def _lines(alerts: Sequence[Alert]) -> list[str]:
    """One line for each cause."""
    families: dict[str, list[Alert]] = {}
    for alert in alerts:
        families.setdefault(alert.rule.partition(":")[0], []).append(alert)
    workers = any(alert.detector == "workers" for alert in alerts)
    lines: list[str] = []
    under: list[str] = []
    for family, members in families.items():
        first = members[0]
        text = words.line(first)
        if len(members) > 1:
            parts = [alert.rule.partition(":")[2] or alert.rule for alert in members]
            named = ", ".join(words.clean(part, 60) for part in parts[:5]) + (", …" if len(parts) > 5 else "")
            text = f"{words.clean(family)}: {len(members)} ({named}); first: {text}"
        follows = workers and first.detector != "workers" and first.metric in _FOLLOWS
        (under if follows else lines).append(f"  with it: {text}" if follows else text)
    return lines + under
