"""What is wrong with a deployment, and who is told: as a list, and what became of a test message."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Alert, Health
from autodeploy_magic.notebook.html import Markup, card, element, table
from autodeploy_magic.notebook.text import ago_text, grid
from autodeploy_magic.notebook.views import View
from autodeploy_magic.period import clock, day_and_time, period_text, seconds_of

if TYPE_CHECKING:
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["ShownAlerts", "ShownTest", "alerts_of"]

_ALL = "all"
_HEAD = ("", "rule", "what", "since")


@dataclass(frozen=True)
class ShownAlerts(View):
    """The alerts of a deployment: `firing`, `silenced` (they fire, and nobody is told), and `resolved` of a day."""

    name: str
    firing: tuple[Alert, ...]
    silenced: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    faults: dict[str, str]
    note: str = ""

    @classmethod
    def of(cls, health: Health, note: str = "") -> ShownAlerts:
        """Sort the alerts that the supervisor knows of."""
        now = time.time()
        fires = [alert for alert in health.alerts if alert.state == "firing"]
        return cls(
            health.name,
            tuple(alert for alert in fires if alert.silenced_until_s <= now),
            tuple(alert for alert in fires if alert.silenced_until_s > now),
            tuple(alert for alert in health.alerts if alert.state == "resolved"),
            {part: why for part, why in health.faults.items() if part.startswith(("channel ", "alerts"))},
            note,
        )

    def text(self) -> str:
        rows = self._rows()
        lines = [f"{self.name}: {self._summary()}", *([grid(_HEAD, rows)] if rows else []), *self._notes()]
        return "\n".join(lines)

    def html(self) -> Markup:
        title = element(
            "div",
            element("span", self.name, class_="name"),
            element("span", self._summary(), class_="mut"),
            class_="row",
        )
        rows = self._rows()
        notes = element("div", *(element("p", note, class_="mut") for note in self._notes())) if self._notes() else ""
        return card(title, table(_HEAD, rows) if rows else "", notes, label=f"alerts of {self.name}")

    def _summary(self) -> str:
        parts = [f"{len(self.firing)} firing" if self.firing else "nothing is wrong" if not self.silenced else ""]
        parts += [f"{len(self.silenced)} silenced" if self.silenced else ""]
        parts += [f"{len(self.resolved)} over within a day" if self.resolved else ""]
        return ", ".join(filter(None, parts))

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            (alert.severity, alert.rule, _what(alert), f"{ago_text(alert.since_s)} ago") for alert in self.firing
        ]
        rows += [
            ("silenced", alert.rule, _what(alert), f"{ago_text(alert.since_s)} ago, silent until {_until(alert)}")
            for alert in self.silenced
        ]
        rows += [
            ("over", alert.rule, _what(alert), f"{ago_text(alert.until_s)} ago, after {period_text(_lasted(alert))}")
            for alert in self.resolved
        ]
        return rows

    def _notes(self) -> list[str]:
        notes = [self.note] if self.note else []
        return notes + [f"{part}: {why}" for part, why in self.faults.items()]


@dataclass(frozen=True)
class ShownTest(View):
    """What became of a test message, by channel: "" where it arrived, else why it did not."""

    name: str
    channels: dict[str, str]

    def text(self) -> str:
        lines = [f"{channel}: {why or 'arrived'}" for channel, why in self.channels.items()]
        return "\n".join([f"{self.name}: {self._summary()}", *lines, *self._hint()])

    def html(self) -> Markup:
        rows = [(channel, why or "arrived") for channel, why in self.channels.items()]
        hint = [element("p", line, class_="mut") for line in self._hint()]
        title = element("div", element("span", self.name, class_="name"), f" {self._summary()}")
        return card(title, table(("channel", ""), rows), *hint, label=f"test of the alerts of {self.name}")

    def _summary(self) -> str:
        arrived = sum(not why for why in self.channels.values())
        return f"the test message arrived by {arrived} of {len(self.channels)} channels"

    def _hint(self) -> list[str]:
        if set(self.channels) - {"log"}:
            return []
        others = "alert_webhook, alert_email, alert_command"
        first = "%config DeployMagics.alert_slack = 'file:/path/of/the/address'"
        return [f"no channel is set: {first} (or {others}), then %deploy restart {self.name}"]


def alerts_of(
    supervisor: Supervisor, name: str, silence: str | None, period: str, unsilence: str | None, *, test: bool
) -> ShownAlerts | ShownTest:
    """Do what was asked, and return what there is to show. Raises `InvalidOption`."""
    asked = [f"--{word}" for word, given in (("silence", silence), ("unsilence", unsilence), ("test", test)) if given]
    if len(asked) > 1:
        raise InvalidOption(f"{' and '.join(asked)} do not go together", fix="ask for one after the other")
    if test:
        return ShownTest(name, supervisor.try_alerts(name))
    if silence:
        seconds = seconds_of(period, "--for")
        _check(supervisor, name, silence)
        health = supervisor.silence(name, _rule(silence), float(seconds))
        until = day_and_time(time.time() + seconds)
        what = "it" if silence == _ALL else silence
        note = f"nobody is told of {what} until {until}; it is listed here all the same. --unsilence ends that"
        return ShownAlerts.of(health, note)
    if unsilence:
        return ShownAlerts.of(supervisor.silence(name, _rule(unsilence), 0.0), "it is told of again")
    return ShownAlerts.of(supervisor.health(name))


def _check(supervisor: Supervisor, name: str, rule: str) -> None:
    """Refuse a rule that no alert has or had: a slip of the pen would silence nothing."""
    known = sorted({alert.rule for alert in supervisor.health(name).alerts})
    families = {one.partition(":")[0] for one in known}
    if rule != _ALL and rule not in families.union(known):
        raise InvalidOption(
            f"{name} has no alert {rule!r}",
            why=f"it has: {', '.join(known)}" if known else "nothing was wrong with it within a day",
            fix=f"`%deploy alerts {name}` lists them; --silence all is every one, also those to come",
        )


def _rule(typed: str) -> str:
    return "" if typed == _ALL else typed


def _what(alert: Alert) -> str:
    marks: Iterable[str] = (
        f"{alert.times} times" if alert.times > 1 else "",
        "drill" if alert.drill else "",
    )
    said = ", ".join(filter(None, marks))
    return alert.text + (f" ({said})" if said else "")


def _until(alert: Alert) -> str:
    soon = alert.silenced_until_s - time.time() < 12 * 3600
    return clock(alert.silenced_until_s) if soon else day_and_time(alert.silenced_until_s)


def _lasted(alert: Alert) -> float:
    return max(0.0, alert.until_s - alert.since_s)
