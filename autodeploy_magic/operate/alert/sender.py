"""Alerts to every channel that a deployment has, without making anybody wait.

send ──▶ log ─────── a line for each place that messages go to, with a queue and a thread of its own
     ──▶ slack ───── so that one that is slow, or dead, delays none of the others
     ──▶ webhook A, webhook B …
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from autodeploy_magic import registry
from autodeploy_magic.address import url_of
from autodeploy_magic.contracts import Desired
from autodeploy_magic.health import Alert
from autodeploy_magic.operate.alert.alerts import RANK
from autodeploy_magic.operate.alert.channels.base import Channel, Facts, Undelivered
from autodeploy_magic.operate.alert.line import Line, Pace
from autodeploy_magic.operate.alert.message import compose
from autodeploy_magic.store import Store

__all__ = ["Sender"]

log = logging.getLogger(__name__)

MOST_LINES = 64
"""Places that one supervisor sends to: so many threads at most."""


class Sender:
    """Without a `store` nothing is written to the deployments' logs. Safe to use from several threads."""

    def __init__(self, store: Store | None = None, pace: Pace = Pace()) -> None:  # noqa: B008 - a tuple
        self._store = store
        self._pace = pace
        self._lines: dict[tuple[str, str], Line] = {}
        self._channels: dict[str, Channel] | None = None
        self._broken: dict[str, str] = {}
        self._lock = threading.Lock()
        self._closed = False

    def send(self, desired: Desired, alerts: Iterable[Alert], done: Mapping[str, str] | None = None) -> None:
        """Have people told, by the channels that the deployment has. Returns at once.

        Alerts below its `alert_severity` are written to the log alone. `done` words what was done about them, by rule.
        """
        told = list(alerts)
        if not told:
            return
        facts = self._facts(desired)
        least = RANK.get(str(facts.settings.get("alert_severity", "warning")), 1)  # type: ignore[call-overload]
        for name, channel in self._known().items():
            chosen = told if name == "log" else [alert for alert in told if RANK[alert.severity] >= least]
            for target in self._targets(name, channel, facts) if chosen else ():
                line = self._line(name, channel, target, facts)
                if line is not None:
                    line.put(facts, chosen, done)

    def test(self, desired: Desired) -> dict[str, str]:
        """Send a test message by every channel that it has, at once and once: blocks until the deadline at most.

        Returns what went wrong by channel, "" for those by which it arrived.
        """
        facts = self._facts(desired)
        now = time.time()
        alert = Alert(
            id="test",
            name=desired.name,
            rule="test",
            detector="test",
            metric="test",
            severity="info",
            text="this is a test: alerts of this deployment arrive here",
            since_s=now,
        )
        message = compose(desired.name, [alert], url=facts.url, test=True)
        lines = []
        for name, channel in self._known().items():
            lines += [
                Line(channel, target, self._label(name, channel, target), self._pace)
                for target in self._targets(name, channel, facts)
            ]

        def attempt(line: Line) -> str:
            try:
                line.once(message, facts)
            except Undelivered as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(max_workers=max(1, len(lines)), thread_name_prefix="alert-test") as pool:
            found = dict(zip((line.label for line in lines), pool.map(attempt, lines), strict=True))
        return {**found, **self._broken}

    def faults(self, name: str = "") -> dict[str, str]:
        """What is wrong, by "channel NAME"; of the channels that one deployment has used, or of all."""
        with self._lock:
            lines = list(self._lines.values())
            found = {f"channel {broken}": why for broken, why in self._broken.items()}
        return found | {
            f"channel {line.label}": line.fault for line in lines if line.fault and (not name or name in line.names)
        }

    def close(self, within_s: float = 5.0) -> None:
        """Send what waits, once, and end: within that time, and a second for what cannot be cut off."""
        with self._lock:
            self._closed = True
            lines = list(self._lines.values())
        until_s = time.monotonic() + within_s
        for line in lines:
            line.close(until_s)
        left = [line.label for line in lines if not line.join()]
        if left:
            log.warning("alerts: not everything was delivered by %s", ", ".join(left))

    # --- inside

    def _facts(self, desired: Desired) -> Facts:
        log_file = self._store.log_file(desired.name) if self._store is not None else None
        return Facts(desired.name, desired.settings, url_of(desired), log_file)

    def _known(self) -> dict[str, Channel]:
        """The channels, imported when alerts are first sent; one that cannot be is a fault, and the rest goes on."""
        with self._lock:
            if self._channels is None:
                self._channels = {}
                for name, reference in registry.table("channels").items():
                    try:
                        self._channels[name] = registry.load(reference)()
                    except Exception as error:  # another package's code, which may raise anything
                        log.exception("alerts: channel %s cannot be loaded", name)
                        self._broken[name] = f"{type(error).__name__}: {error}"
            return self._channels

    def _targets(self, name: str, channel: Channel, facts: Facts) -> list[str]:
        try:
            found = channel.targets(facts)
        except Exception as error:  # as above
            log.exception("alerts: channel %s does not say where to", name)
            self._broken[name] = f"{type(error).__name__}: {error}"
            return []
        self._broken.pop(name, None)
        return found

    def _label(self, name: str, channel: Channel, target: str) -> str:
        """ "slack", or with its host where there may be several: "webhook hooks.example.org"."""
        label = channel.label(target)
        return f"{name} {label}" if label and name in ("webhook", "slack") else name

    def _line(self, name: str, channel: Channel, target: str, facts: Facts) -> Line | None:
        key = name, target + str(facts.settings.get("alert_smtp", "")) if name == "email" else target
        with self._lock:
            if self._closed:
                return None
            line = self._lines.get(key)
            if line is None:
                if len(self._lines) >= MOST_LINES and not self._dropped():
                    self._broken["limit"] = f"alerts go to more than {MOST_LINES} places; this one gets none: {name}"
                    return None
                line = self._lines[key] = Line(channel, target, self._label(name, channel, target), self._pace)
            return line

    def _dropped(self) -> bool:
        """Make room: let go of a line that has nothing to do and nothing to say."""
        for key, line in self._lines.items():
            if line.idle and not line.fault:
                del self._lines[key]
                return True
        return False
