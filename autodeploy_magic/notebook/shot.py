"""A deployment at one moment, as a picture that stays: in a saved notebook, on GitHub, in a mail.

It is drawn on white with its own colours, and its styles stand in the elements: whoever shows it may drop the rest.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic.live import Event, Glance, View
from autodeploy_magic.metrics.whole import whole
from autodeploy_magic.notebook.chart import Box, Drawing, Label, Window
from autodeploy_magic.notebook.chart.ink import Line
from autodeploy_magic.notebook.chart.palette import FAINT, INK, MUTED, SEVERITIES, SOFT, STATES
from autodeploy_magic.notebook.events import line
from autodeploy_magic.notebook.figures import HEAD, Figures
from autodeploy_magic.notebook.html import Markup, element
from autodeploy_magic.notebook.text import grid, shares_text
from autodeploy_magic.period import clock, day_and_time, period_text

if TYPE_CHECKING:
    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["PERIOD_S", "Shot", "taken"]

PERIOD_S = 900
POINTS = 300
WIDTH, HEIGHT = 820.0, 462.0
EVENTS = 5
"""How many events are told in words, of those within the period the latest."""


@dataclass(frozen=True)
class Shot:
    """What was known of a deployment at `at_s` (seconds since the epoch). `gone` says that it was removed since."""

    at_s: float
    view: View
    window: Window
    minute: Figures
    period: Figures
    gone: bool = False

    @property
    def name(self) -> str:
        return self.view.glance.status.name

    def removed(self) -> Shot:
        """The same as the last that is known of a deployment that is no more."""
        return replace(self, gone=True)

    def bundle(self, *, painted: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the MIME bundle and its metadata. It has no picture where nothing was measured, or not `painted`."""
        png = self.png() if self.window.measured and painted else None
        bundle: dict[str, Any] = {"text/plain": self.text(), "text/html": str(self.html(png))}
        if png is None:
            return bundle, {}
        size = {"width": int(WIDTH), "height": int(HEIGHT)}
        return bundle | {"image/png": base64.b64encode(png).decode()}, {"image/png": size}

    def png(self) -> bytes:
        """The picture, 820 pixels wide at one and a half times their density."""
        from autodeploy_magic.notebook.chart.paint import png

        return png(self.drawing(), colors=128)

    def drawing(self) -> Drawing:
        """The head, latency and requests to the left, CPU and memory to the right, and of when it is."""
        from autodeploy_magic.notebook.chart import panels

        drawing = Drawing(WIDTH, HEIGHT, self.alt)
        _head(drawing, self.view.glance, gone=self.gone)
        events = self._events()
        left, right = Box(16, 56, 516, 200), Box(546, 56, 262, 200)
        panels.latency(drawing, left, self.window, events)
        panels.cpu(drawing, right, self.window, events)
        left, right = Box(16, 266, 516, 156), Box(546, 266, 262, 156)
        panels.requests(drawing, left, self.window, events)
        panels.memory(drawing, right, self.window, events)
        drawing.rule(16, HEIGHT - 30, WIDTH - 16, HEIGHT - 30, "#e6e9ee")
        drawing.add(Label(16, HEIGHT - 11, self._when(), MUTED, 11))
        drawing.add(Label(WIDTH - 16, HEIGHT - 11, ", ".join(self._traffic()), MUTED, 11, "end"))
        return drawing

    @property
    def alt(self) -> str:
        """What the picture shows, for those who do not see it."""
        minute = dict(zip(HEAD, self.minute.words, strict=True))
        figures = ", ".join(f"{word} {minute[word]}" for word in ("rate", "p50", "p99", "failed", "CPU", "memory"))
        return (
            f"Charts of {self.name}: latency, requests, CPU and memory. {self._when()}. In the last minute: {figures}."
        )

    def text(self) -> str:
        """The figures and events as text."""
        lines = [f"{self._title()}  {self.view.glance.status.url}".rstrip(), f"  {self._when()}"]
        if not self.window.measured:
            return "\n".join([*lines, f"  {NOTHING}"])
        table = grid(("", *HEAD), self._rows()).splitlines()
        told = [f"{clock(event.at_s)}  {SEVERITIES[event.severity][0]} {line(event)}" for event in self._last_events()]
        return "\n".join([*lines, *(f"  {row}" for row in table), *(f"  {row}" for row in told)])

    def html(self, png: bytes | None) -> Markup:
        """The picture with a small table of figures, the latest events, and a caption."""
        parts: list[str] = []
        if png is None:
            url = element("code", self.view.glance.status.url, style=_URL)
            parts.append(element("div", element("b", self._title()), " ", url, style=f"{_TEXT}padding-top:12px;"))
            parts.append(self._table() if self.window.measured else element("div", NOTHING, style=_TEXT))
        else:
            source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            image = element("img", src=source, alt=self.alt, width=str(int(WIDTH)), style=_IMAGE)
            parts += [Markup(image.removesuffix("</img>")), self._table()]
        parts += [_event(event) for event in self._last_events()]
        caption = element("figcaption", self._caption(), style=f"{_TEXT}color:{MUTED};padding-top:3px;")
        figure = {"data_deployment": self.name, "style": _CARD}
        return element("figure", *parts, caption, class_="adm-static", **figure)

    def _table(self) -> Markup:
        head = element("tr", *(element("th", word, style=_HEAD) for word in ("", *HEAD)), style=_ROW)
        rows = [
            element("tr", *(element("td", cell, style=_CELL if i else _HEAD) for i, cell in enumerate(row)), style=_ROW)
            for row in self._rows()
        ]
        return element("table", element("thead", head), element("tbody", *rows), style=_TABLE)

    def _rows(self) -> list[tuple[str, ...]]:
        minute = ("last minute", *self.minute.words)
        longer = self.window.end_s - self.window.start_s > 60
        return [minute, (self._long(), *self.period.words)] if longer else [minute]

    def _title(self) -> str:
        status = self.view.glance.status
        state = "removed" if self.gone else status.state
        sign = STATES["stopped" if self.gone else status.state][0]
        return f"{sign} {status.name} v{status.version} {state}" + (f" ({status.reason})" if status.reason else "")

    def _caption(self) -> str:
        still = f"{self.name} v{self.view.glance.status.version}, a picture {self._when()}"
        return still if self.gone else f"{still}; %deploy panel {self.name} shows it live"

    def _when(self) -> str:
        return f"as of {day_and_time(self.at_s)}{', and removed since' if self.gone else ''}"

    def _long(self) -> str:
        return f"last {period_text(self.window.end_s - self.window.start_s)}"

    def _traffic(self) -> list[str]:
        status = self.view.glance.status
        workers = len([worker for worker in status.workers if worker.ready])
        told = [f"{workers} worker{'' if workers == 1 else 's'}"] if status.workers else []
        shares = shares_text(status.traffic)
        return [*told, *([shares] if shares else []), self._long()]

    def _events(self) -> list[Event]:
        return [event for event in self.view.events if event.at_s >= self.window.start_s]

    def _last_events(self) -> list[Event]:
        return sorted(self._events(), key=lambda event: -event.at_s)[:EVENTS]


NOTHING = "Nothing has been measured yet. The first request brings the picture."

_FONT = "font:12.5px/1.45 system-ui,-apple-system,'Segoe UI',sans-serif;"
_TEXT = f"{_FONT}color:{INK};padding:0 16px;"
_CARD = (
    f"{_FONT}color:{INK};background:#fff;border:1px solid #d5d9e0;border-radius:8px;max-width:822px;margin:4px 0;"
    "padding:0 0 11px;box-sizing:border-box;overflow-x:auto;"
)
_IMAGE = "display:block;max-width:100%;height:auto;margin:0 0 4px;"
_URL = f"font:11.5px ui-monospace,Menlo,Consolas,monospace;color:{INK};background:{SOFT};padding:1px 6px;"
_TABLE = f"{_FONT}color:{INK};border-collapse:collapse;border:0;margin:2px 16px 6px;background:#fff;"
_ROW = "background:#fff;border:0;"
_HEAD = f"{_FONT}color:{MUTED};font-weight:400;text-align:right;padding:1px 18px 1px 0;border:0;white-space:nowrap;"
_CELL = f"{_HEAD}color:{INK};font-variant-numeric:tabular-nums;"


def taken(store: Store, supervisor: Supervisor, name: str, seconds: int = PERIOD_S) -> Shot:
    """Ask the supervisor how a deployment is. Raises `UnknownDeployment`, or `SupervisorFailed` where none runs."""
    view = supervisor.view(name)
    now = time.time()
    series = supervisor.series(name, seconds, POINTS, until=now)
    file, window = store.metrics_file(name), Window.of(series).since_measured()
    values = tuple(tuple(window[column]) for column in series.columns)
    shown = msgspec.structs.replace(series, start_s=window.start_s, values=values)
    recorded = bool(store.desired(name).settings.get("metrics", True))
    return Shot(
        at_s=now,
        view=view,
        window=window,
        minute=Figures.of(whole(file, supervisor.series(name, 60, 60, until=now), recorded=recorded)),
        period=Figures.of(whole(file, shown, recorded=recorded)),
    )


def _head(drawing: Drawing, glance: Glance, *, gone: bool) -> None:
    """The first line: state, name, version, format, SLO, URL."""
    from autodeploy_magic.notebook.chart.paint import width

    status = glance.status
    _, color = STATES["stopped" if gone else status.state]
    _state_sign(drawing, "stopped" if gone else status.state, 23, 24, color)
    drawing.add(Label(36, 29, status.name, INK, 15.5, bold=True))
    x = 36 + width(status.name, 15.5, bold=True) + 12
    state = "removed" if gone else "" if status.state == "running" else status.state
    slo = {"met": "SLO met", "burning": "SLO burning", "broken": "SLO broken"}.get(glance.slo_state, "")
    for text, ink in ((f"v{status.version}", MUTED), (status.format.upper(), MUTED), (slo, MUTED), (state, color)):
        if text:
            long = width(text, 10.5)
            _tag(drawing, x, 15, long + 16, 19, ink)
            drawing.add(Label(x + 8, 28.5, text, ink, 10.5))
            x += long + 24
    room = WIDTH - 16 - x - 8
    url = status.url
    if url and width(url, 11.5, mono=True) <= room:
        drawing.add(Label(WIDTH - 16, 29, url, INK, 11.5, "end", mono=True))
    drawing.rule(16, 46, WIDTH - 16, 46, "#e6e9ee")


def _state_sign(drawing: Drawing, state: str, x: float, y: float, color: str) -> None:
    """A disc that runs; other shapes for what does not: the colour is not the only sign."""
    from autodeploy_magic.notebook.chart.ink import Disc, Fill

    if state == "running":
        drawing.add(Disc(x, y, 5.0, color))
    elif state in ("degraded", "failed"):
        drawing.add(Fill(((x - 6, y + 5), (x + 6, y + 5), (x, y - 6)), color))
    else:
        drawing.add(Disc(x, y, 4.5, color, hollow=True))
        if state == "starting":
            drawing.add(Disc(x, y, 2.0, color))


def _tag(drawing: Drawing, x: float, y: float, width: float, height: float, color: str) -> None:
    """A box with round ends, drawn as an outline."""
    import math

    radius = height / 2
    right = [(x + width - radius, y + radius, -math.pi / 2)]
    left = [(x + radius, y + radius, math.pi / 2)]
    around = [
        (cx + radius * math.cos(turn + i * math.pi / 10), cy + radius * math.sin(turn + i * math.pi / 10))
        for cx, cy, turn in (*right, *left)
        for i in range(11)
    ]
    drawing.add(Line(((*around, around[0]),), FAINT if color == MUTED else color, 1.0))


def _event(event: Event) -> Markup:
    sign, color = SEVERITIES[event.severity]
    at = element("span", clock(event.at_s), style=f"color:{MUTED};font-variant-numeric:tabular-nums;")
    mark = element("span", sign, style=f"color:{color};padding:0 7px;", role="img", aria_label=event.severity)
    return element("div", at, mark, line(event), style=_TEXT)
