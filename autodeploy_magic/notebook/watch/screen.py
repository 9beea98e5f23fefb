"""What the terminal shows, drawn with rich: a table of all deployments, or one of them in full."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from autodeploy_magic.live import Activity, Event, Glance
from autodeploy_magic.notebook.events import line
from autodeploy_magic.notebook.text import (
    cores_text,
    count_text,
    percent_text,
    rate_text,
    seconds_text,
    shares_text,
    size_text,
)
from autodeploy_magic.notebook.watch.look import KEPT_S, Look, Now
from autodeploy_magic.period import clock

__all__ = ["drawn", "row_text", "spark_text"]

BLOCKS = "▁▂▃▄▅▆▇█"
STATES = {
    "running": ("●", "green"),
    "starting": ("◔", "cyan"),
    "degraded": ("▲", "yellow"),
    "failed": ("✗", "bold red"),
    "stopped": ("○", "dim"),
}
SEVERITIES = {"info": ("●", "blue"), "warning": ("▲", "yellow"), "critical": ("■", "bold red")}
STEPS = {"started": ("·", "cyan"), "done": ("✓", "green"), "failed": ("✗", "bold red"), "skipped": ("–", "dim")}
JOBS = {**STEPS, "running": STEPS["started"], "cancelled": STEPS["skipped"]}
LEAST_EVENTS = 3


@dataclass(frozen=True)
class _Column:
    """A column of the table: those with the lowest `rank` are there on the narrowest terminal."""

    head: str
    width: int
    rank: int
    text: Callable[[Glance, Now], Text]
    right: bool = True


def drawn(look: Look, name: str | None, width: int, height: int, now_s: float | None = None) -> RenderableType:
    """Return the whole screen, for a terminal of that many letters and lines."""
    now_s = time.time() if now_s is None else now_s
    parts: list[RenderableType] = [_head(look, name, now_s)]
    left = height - 2
    if look.lost:
        parts.append(Padding(Text(f"○ {look.lost}", style="yellow"), (1, 1)))
        parts.append(
            Padding(Text("Nothing is started by looking. A deploy starts one, and it is shown here then."), (0, 1))
        )
        return Group(*parts)
    if name is None:
        room = max(left - 1 - LEAST_EVENTS - 1, min(left - 1, len(look.glances)))
        table, lines = _table(look, width, room, now_s)
    else:
        table, lines = _one(look, name, width, now_s)
    parts.append(table)
    left -= lines
    activities = look.under_way(name, now_s)[: max(0, (left - 4) // 2)]
    if activities:
        parts += [_rule("under way"), *(_activity(activity, width) for activity in activities)]
        left -= 1 + sum(_activity_lines(activity) for activity in activities)
    events = look.latest(left - 2, name)
    if left >= 3:
        told: list[RenderableType] = [_event(event, named=name is None) for event in events]
        parts += [_rule("events"), *(told or [Text(" nothing has happened", style="dim")])]
    return Group(*parts)


def row_text(look: Look, glance: Glance, now_s: float | None = None) -> str:
    """Return one deployment as a line of text, for pipes and files."""
    now = look.now(glance.status.name, now_s)
    status = glance.status
    words = [f"{STATES[status.state][0]} {status.name}", f"v{status.version}", status.state]
    words += [rate_text(now.rate), f"p50 {_seconds(now.p50_s)}", f"p99 {_seconds(now.p99_s)}"]
    words += [
        f"errors {percent_text(now.errors)}",
        f"CPU {cores_text(now.cpu_cores)}",
        f"memory {_size(now.memory_bytes)}",
    ]
    return "  ".join([*words, *([status.reason] if status.reason else [])])


def spark_text(values: Sequence[float | None], least: float = 0.0) -> str:
    """Return values as blocks from zero to the highest; a space is a second that was not measured."""
    top = max((value for value in values if value is not None), default=0.0)
    top = max(top, least)
    steps = len(BLOCKS) - 1
    return "".join(
        " " if value is None else BLOCKS[min(steps, round(value / top * steps)) if top else 0] for value in values
    )


def _head(look: Look, name: str | None, now_s: float) -> Table:
    states = [glance.status.state for glance in look.glances.values()]
    running = states.count("running")
    told = f"{running} of {len(states)} run" if states and name is None else ""
    head = Table.grid(expand=True, padding=(0, 1))
    head.add_column(no_wrap=True)
    head.add_column(justify="right", no_wrap=True)
    left = Text.assemble((" autodeploy watch", "bold"), (f"  {told}" if told else "", "dim"))
    head.add_row(left, Text(f"{clock(now_s)}  q quits ", style="dim"))
    return head


def _rule(title: str) -> Rule:
    return Rule(Text(title, style="dim"), align="left", style="dim")


# --- all of them


def _table(look: Look, width: int, room: int, now_s: float) -> tuple[RenderableType, int]:
    """The table, what is wrong below it, and how many lines that takes."""
    if not look.glances:
        return Padding(Text("Nothing is deployed. `%%deploy NAME` in a notebook deploys a model."), (1, 1)), 3
    glances = sorted(look.glances.values(), key=lambda glance: glance.status.name)
    shown = glances
    if len(glances) > room:  # those that want an eye are never cut off
        shown = sorted(glances, key=lambda glance: (glance.status.state in ("running", "stopped"), glance.status.name))
        shown = shown[: max(1, room - 1)]
    columns = _columns(width, look, now_s)
    table = Table(box=None, padding=(0, 1), expand=False, show_edge=False, header_style="dim")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.head, justify=justify, no_wrap=True, min_width=column.width)
    for glance in shown:
        now = look.now(glance.status.name, now_s)
        table.add_row(*(column.text(glance, now) for column in columns))
    below = [_reason(glance) for glance in shown if glance.status.reason][: max(0, room - len(shown))]
    if len(shown) < len(glances):
        text = f" and {len(glances) - len(shown)} more; `autodeploy watch NAME` shows one of them"
        below = [Text(text, style="dim", no_wrap=True, overflow="ellipsis")]
    return Group(table, *below), len(shown) + len(below) + 1


def _columns(width: int, look: Look, now_s: float) -> list[_Column]:
    """As many columns as the terminal has room for, in their order; what is left is for the curve, and the URL."""
    names = max((len(name) for name in look.glances), default=4) + 2
    columns = [
        _Column("deployment", max(10, names), 0, lambda glance, _: _name(glance), right=False),
        _Column("state", 8, 1, lambda glance, _: Text(glance.status.state, style=_style(glance)), right=False),
        _Column("version", 7, 2, lambda glance, _: Text(_version(glance)), right=False),
        _Column("requests", 9, 0, lambda _, now: Text(rate_text(now.rate))),
        _Column("p50", 8, 4, lambda _, now: Text(_seconds(now.p50_s))),
        _Column("p99", 8, 1, lambda _, now: Text(_seconds(now.p99_s))),
        _Column("errors", 8, 2, lambda _, now: Text(percent_text(now.errors), style="bold red" if now.errors else "")),
        _Column("CPU", 6, 3, lambda _, now: Text(cores_text(now.cpu_cores))),
        _Column("memory", 7, 3, lambda _, now: Text(_size(now.memory_bytes))),
    ]
    for most in range(4, -1, -1):
        kept = [column for column in columns if column.rank <= most]
        left = width - sum(column.width + 2 for column in kept)
        if left >= 0:
            break
    spark = min(60, left - 2)
    if spark >= 15:
        kept.append(_Column(f"requests, {spark} s", spark, 5, _curve(look, spark, now_s), right=False))
        left -= spark + 2
    urls = max((len(glance.status.url) for glance in look.glances.values()), default=0)
    if urls and left >= urls + 2:
        kept.append(_Column("", urls, 6, lambda glance, _: Text(glance.status.url, style="dim"), right=False))
    return kept


def _curve(look: Look, seconds: int, now_s: float) -> Callable[[Glance, Now], Text]:
    def curve(glance: Glance, _now: Now) -> Text:
        return Text(spark_text(look.spark(glance.status.name, "requests_per_s", seconds, now_s)), style="blue")

    return curve


def _reason(glance: Glance) -> Text:
    text = f" {STATES[glance.status.state][0]} {glance.status.name}: {glance.status.reason}"
    return Text(text, style=_style(glance), no_wrap=True, overflow="ellipsis")


def _name(glance: Glance) -> Text:
    return Text.assemble((f"{STATES[glance.status.state][0]} ", _style(glance)), (glance.status.name, "bold"))


def _style(glance: Glance) -> str:
    return STATES[glance.status.state][1]


def _version(glance: Glance) -> str:
    traffic = glance.status.traffic
    beside = f"+{traffic.canary}" if traffic.canary else f"+{traffic.shadow}" if traffic.shadow else ""
    return f"v{glance.status.version}{beside}"


# --- one of them


def _one(look: Look, name: str, width: int, now_s: float) -> tuple[RenderableType, int]:
    """One deployment in full, and how many lines it takes."""
    glance = look.glances.get(name)
    if glance is None:
        return Padding(Text(f"{name} is not there any more", style="yellow"), (1, 1)), 3
    status, now = glance.status, look.now(name, now_s)
    room = min(KEPT_S, max(10, width - 34))
    workers = f"{sum(worker.ready for worker in status.workers)} of {status.desired_workers} workers"
    shares = shares_text(status.traffic)
    told = "  ".join(filter(None, [status.state, f"v{status.version}", status.format, workers, shares, glance.slo]))
    first = Text.assemble(" ", _name(glance), (f"  {told}", ""))
    second = Text(f" {status.reason or status.url}", style="yellow" if status.reason else "dim")
    lines: list[tuple[str, str, str, Callable[[float | None], str], str]] = [
        ("requests", rate_text(now.rate), "requests_per_s", rate_text, "blue"),
        ("failed", percent_text(now.errors), "failed_per_s", rate_text, "red"),
        ("p50", _seconds(now.p50_s), "p50_s", _seconds, "blue"),
        ("p95", _seconds(now.p95_s), "p95_s", _seconds, "cyan"),
        ("p99", _seconds(now.p99_s), "p99_s", _seconds, "yellow"),
        ("waiting", count_text(now.waiting), "waiting", count_text, "yellow"),
        ("CPU", cores_text(now.cpu_cores), "cpu_cores", cores_text, "blue"),
        ("memory", _size(now.memory_bytes), "memory_bytes", _size, "cyan"),
    ]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", min_width=9, no_wrap=True)
    grid.add_column(justify="right", min_width=9, no_wrap=True)
    grid.add_column(min_width=room, no_wrap=True)
    grid.add_column(style="dim", justify="right", no_wrap=True)
    grid.add_row("", Text("now", style="dim"), Text(f"the last {room} s", style="dim"), "highest")
    for word, value, column, text, style in lines:
        values = look.spark(name, column, room, now_s)
        highest = max((value for value in values if value is not None), default=None)
        grid.add_row(f" {word}", value, Text(spark_text(values), style=style), text(highest))
    return Group(first, second, Text(), grid), len(lines) + 4


# --- below


def _activity(activity: Activity, width: int) -> RenderableType:
    running = activity.state == "running"
    sign, style = JOBS[activity.state]
    seconds = seconds_text(max(0.0, time.time() - activity.started_s)) if running and activity.started_s else ""
    head = Text.assemble((f" {sign} ", style), (activity.title, "bold"), (f"  {seconds}", "dim"), no_wrap=True)
    if activity.error:
        head.append(f"  {activity.error.splitlines()[0]}", style="red" if activity.state == "failed" else "dim")
    head.truncate(width, overflow="ellipsis")
    steps = Text("   ", no_wrap=True)
    for step in activity.steps:
        mark, look = STEPS[step.state]
        took = (
            f" {seconds_text(step.seconds)}"
            if step.state in ("done", "failed")
            else "…"
            if step.state == "started"
            else ""
        )
        steps.append(f"{mark} ", style=look).append(f"{step.step}{took}  ")
    steps.truncate(width, overflow="ellipsis")
    return Group(head, steps) if activity.steps else head


def _activity_lines(activity: Activity) -> int:
    return 2 if activity.steps else 1


def _event(event: Event, *, named: bool) -> Text:
    sign, style = SEVERITIES[event.severity]
    name = f"{event.name}  " if named else ""
    text = Text.assemble(
        (f" {clock(event.at_s)} ", "dim"), (f" {sign}  ", style), (name, "bold"), line(event), no_wrap=True
    )
    text.overflow = "ellipsis"
    return text


def _seconds(value: float | None) -> str:
    return "–" if value is None else seconds_text(value)


def _size(value: float | None) -> str:
    return "–" if value is None else size_text(value)
