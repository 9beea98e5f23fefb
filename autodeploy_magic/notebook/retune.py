"""`%deploy retune`: what was asked for, what came of it, candidate by candidate, and how to take it or take it back."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

import msgspec

from autodeploy_magic.errors import AutodeployError, InvalidOption
from autodeploy_magic.notebook.chart.svg import svg
from autodeploy_magic.notebook.html import Markup, card, details, element, facts, join, table
from autodeploy_magic.notebook.retune_plot import LOWER_IS_BETTER, drawn, measure_of
from autodeploy_magic.notebook.text import UNKNOWN, ago_text, grid, seconds_text, share_text, size_text
from autodeploy_magic.notebook.views import View
from autodeploy_magic.period import period_text, seconds_of
from autodeploy_magic.retuning import Contender, Goal, Order, Promote, Retune

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Progress, Report
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = [
    "Asked",
    "ShownRetune",
    "ShownRetunes",
    "background",
    "cancelled",
    "looked_for",
    "order_of",
    "replayed",
    "shown",
    "taken",
    "undone",
]

_MARKS = {"champion": "●", "passed": "✓", "fell": "✗", "failed": "!", "skipped": "–"}
_STATES = {"waiting": "waits", "making": "is made", "measuring": "is measured", "skipped": "not tried"}
_ORDER = ("champion", "passed", "fell", "measuring", "making", "waiting", "failed", "skipped")
_INTERVAL = "95 % interval"
_SHARE = 0.2
"""A loss that is typed without a percent sign and is larger is taken for a percentage, and asked about."""


@dataclass(frozen=True)
class Asked:
    """What stands on the line besides the order; one of them at most."""

    background: bool = False
    cancel: bool = False
    show: str | None = None
    take: str | None = None
    undo: str | None = None
    replay: str | None = None

    def check(self) -> None:
        """Raises `InvalidOption` where two do not go together."""
        given = [name for name in ("cancel", "take", "undo", "replay") if getattr(self, name)]
        given += ["show"] if self.show and not self.take else []
        given += ["background"] if self.background and not self.replay else []
        if len(given) > 1:
            raise InvalidOption(f"--{given[0]} and --{given[1]} do not go together", fix="use one of them")


class _Begun(Exception):
    """No error: the re-tune has begun, and nobody waits for its end."""


@dataclass(frozen=True)
class ShownRetune(View):
    """A re-tune: its outcome, its candidates, what it worked with, and what can be done now. `record` has it all."""

    record: Retune
    note: str = ""

    def text(self) -> str:
        parts = [f"{self.record.name}: {outcome_text(self.record)}"]
        tried, rest = self._tried()
        if tried:
            parts += ["", grid(self._head(), [self._row(one) for one in tried]), self._legend()]
        if rest:
            parts += ["", "not tried", *(f"  {', '.join(titles)}: {why}" for why, titles in rest.items())]
        width = max((len(word) for word, _ in self._facts()), default=0) + 2
        parts += ["", *(f"{word:<{width}}{text}" for word, text in self._facts())] if self._facts() else []
        return "\n".join(parts)

    def html(self) -> Markup:
        record = self.record
        name = element("span", record.name, class_="name")
        tag = element("span", f"re-tune {record.id}", class_="tag mut")
        top = element("div", name, tag, class_="row")
        told = element("p", outcome_text(record), class_=_TONES.get(record.state, ""))
        drawing = drawn(record)
        sections = [top, told, Markup(svg(drawing)) if drawing is not None else ""]
        tried, rest = self._tried()
        if tried:
            under = element("p", self._legend(), class_="mut")
            rows = [self._drawn_row(one) for one in tried]
            head = [word for word in self._head() if word not in ("family", _INTERVAL)]
            sections.append(Markup(table(head, rows, numeric=tuple(range(2, len(head) - 1))) + under))
        if rest:
            left = [(", ".join(titles), why) for why, titles in rest.items()]
            count = sum(map(len, rest.values()))
            sections.append(details(f"{count} not tried", table(("candidate", "why"), left)))
        sections.append(facts(*self._facts()) if self._facts() else "")
        return card(*sections, label=f"re-tune of {record.name}")

    # --- the candidates

    def _contenders(self) -> list[Contender]:
        """The champion first, then what passed, the best on top."""
        first = (self.record.promoted or self.record.chosen, self.record.best)

        def rank(one: Contender) -> tuple[int, int, bool, float]:
            place = first.index(one.id) if one.id in first else len(first)
            return _ORDER.index(one.state), place, not one.front, one.figures.cpu_s or float("inf")

        return sorted(self.record.contenders, key=rank)

    def _head(self) -> list[str]:
        measure = measure_of(self.record)
        return [
            "",
            "candidate",
            "family",
            *([measure, _INTERVAL] if measure and measure != "agreement" else []),
            *(["as before"] if self._agreements() else []),
            "CPU",
            "size",
            *(["p95"] if self._p95s() else []),
            "verdict",
        ]

    def _tried(self) -> tuple[list[Contender], dict[str, list[str]]]:
        """Those that were tried, or will be; and the titles of the others, by why they were not."""
        found, rest = [], dict[str, list[str]]()
        for one in self._contenders():
            if one.state == "skipped":
                rest.setdefault(self._why(one), []).append(one.title)
            else:
                found.append(one)
        return found, rest

    def _row(self, one: Contender) -> list[str]:
        figures, champion = one.figures, self._champion
        own = one.state == "champion"
        measure = measure_of(self.record)
        metric = [_number(figures.value, measure), _between(figures.low, figures.high, measure)]
        p95 = figures.p95_s
        return [
            f"{self._mark(one)} {one.id}",
            one.title,
            "" if own else one.family,
            *(metric if measure and measure != "agreement" else []),
            *(
                [UNKNOWN if own or figures.agreement is None else _share(figures.agreement)]
                if self._agreements()
                else []
            ),
            seconds_text(figures.cpu_s) if own and figures.cpu_s else _times(champion.cpu_s, figures.cpu_s, own),
            size_text(figures.size_bytes) if own and figures.size_bytes else _size(champion.size_bytes, one),
            *([UNKNOWN if p95 is None else seconds_text(p95)] if self._p95s() else []),
            self._why(one),
        ]

    def _drawn_row(self, one: Contender) -> list[str]:
        """The same, narrower: the family below the title, the interval below the metric."""
        row = dict(zip(self._head(), self._row(one), strict=True))
        for word, below in (("candidate", row.pop("family")), (measure_of(self.record), row.pop(_INTERVAL, ""))):
            if below not in ("", UNKNOWN):
                row[word] = join([row[word], element("div", below, class_="mut")])
        return list(row.values())

    @property
    def _champion(self) -> Any:
        found = next((one for one in self.record.contenders if one.state == "champion"), None)
        return (found or Contender(id="c0", optimiser="", title="", family="run")).figures

    def _agreements(self) -> bool:
        return any(one.figures.agreement is not None for one in self.record.contenders)

    def _p95s(self) -> bool:
        return any(one.figures.p95_s is not None for one in self.record.contenders)

    def _mark(self, one: Contender) -> str:
        record = self.record
        if one.id == record.promoted or (not record.promoted and one.id == record.chosen and one.state != "champion"):
            return "→"
        return _MARKS.get(one.state, "…")

    def _why(self, one: Contender) -> str:
        if one.state == "champion":
            kept = self.record.state == "done" and self.record.chosen in ("", one.id) and not self.record.promoted
            return f"v{self.record.champion} as it served" + (": it stays" if kept else "")
        failed = next((check.text for check in one.checks if not check.passed), "")
        said = one.reason or (failed if one.state == "fell" else "") or _STATES.get(one.state, one.state)
        served = f"v{one.version}" if one.version else ""
        taken_ = "served now" if one.id == self.record.promoted and not self.record.undone else ""
        return "; ".join(filter(None, [said, one.note, served, taken_]))

    def _legend(self) -> str:
        marks = "● the one before  → chosen  ✓ passed  ✗ fell  ! could not be made"
        return f"{marks}; 2x: half of what a request took, or of the size"

    # --- what it worked with, and what can be done

    def _facts(self) -> list[tuple[str, str]]:
        record, data = self.record, self.record.data
        told = [("note", self.note)] if self.note else []
        if record.error and record.error not in outcome_text(record):
            told.append(("error", record.error))
        counts = [
            f"{count:,} {word}"
            for count, word in (
                (data.training, "labelled rows to train with"),
                (data.held_out, "held out to judge by"),
                (data.calibration, "rows to calibrate with"),
                (data.requests, "requests replayed"),
            )
            if count
        ]
        if counts:
            told.append(("data", ", ".join(counts) + (f" ({', '.join(data.sources)})" if data.sources else "")))
        told += [("missing" if i == 0 else "", note) for i, note in enumerate(data.notes)]
        order = record.order
        took = (record.ended_s or time.time()) - record.started_s if record.started_s else 0.0
        asked = f"goal {order.goal}, at most {period_text(order.budget_s)}, loss at most {share_text(order.max_loss)}"
        told.append(("asked", f"{asked}, seed {order.seed}, by {order.trigger}; took {seconds_text(took)}"))
        return told + [("next", text) for text in self._next()][:1] + [("", text) for text in self._next()[1:]]

    def _next(self) -> list[str]:
        record = self.record
        line = f"%deploy retune {record.name}"
        if record.state == "running":
            return [f"{line} --show {record.id}: how it goes; {line} --cancel ends it"]
        said = []
        if record.promoted and not record.undone:
            bakes = record.bakes_until_s - time.time()
            watched = f"; watched for {period_text(max(bakes, 1))} more" if bakes > 0 else ""
            said.append(f"{line} --undo {record.id}: serve again what served before{watched}")
        passed = [one for one in self._contenders() if one.state == "passed" and one.id != record.promoted]
        if passed and not record.promoted:
            others = f", or {', '.join(one.id for one in passed[1:4])}" if len(passed) > 1 else ""
            said.append(f"{line} --show {record.id} --take {passed[0].id}: serve {passed[0].title}{others}")
        if record.contenders:
            said.append(f"{line} --replay {record.id}: the same again, with its own data and seed")
        return said


@dataclass(frozen=True)
class ShownRetunes(View):
    """The re-tunes of a deployment, the newest first."""

    name: str
    records: tuple[Retune, ...]

    def text(self) -> str:
        if not self.records:
            return f"{self.name}: {self._nothing}"
        return "\n".join([f"{self.name}: re-tunes", grid(_LIST_HEAD, self._rows()), self._note])

    def html(self) -> Markup:
        title = element("b", f"{self.name}: re-tunes")
        if not self.records:
            return card(title, element("p", self._nothing, class_="mut"), label="re-tunes")
        note = element("p", self._note, class_="mut")
        return card(title, table(_LIST_HEAD, self._rows()), note, label=f"re-tunes of {self.name}")

    @property
    def _nothing(self) -> str:
        return f"it was never re-tuned; %deploy retune {self.name}"

    @property
    def _note(self) -> str:
        return f"one of them: %deploy retune {self.name} --show {self.records[0].id}"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                one.id,
                f"{ago_text(one.started_s)} ago",
                one.order.trigger,
                one.order.goal,
                f"v{one.champion}",
                f"{sum(each.state == 'passed' for each in one.contenders)} of {max(len(one.contenders) - 1, 0)}",
                outcome_text(one),
            )
            for one in self.records
        ]


_LIST_HEAD = ("id", "when", "by", "goal", "champion", "passed", "outcome")
_TONES = {"failed": "bad", "cancelled": "warn"}


def outcome_text(record: Retune) -> str:
    """What came of it, in a sentence."""
    if record.state == "running":
        return f"re-tuning: {_so_far(record)}"
    if record.undone:
        return f"{record.outcome or 'something better was served'}; taken back since"
    fallback = {
        "cancelled": "cancelled: nothing was changed",
        "failed": f"the re-tune failed, and nothing was changed: {record.error or 'no reason is known'}",
        "done": f"v{record.champion} stays as it is",
    }
    return record.outcome or fallback[record.state]


def _so_far(record: Retune) -> str:
    tried = sum(one.state in ("passed", "fell", "failed") for one in record.contenders)
    fit = sum(one.state not in ("champion", "skipped") for one in record.contenders)
    best = record.contender(record.best)
    said = f"; the best so far: {best.title}" if best is not None and best.state == "passed" else ""
    return f"{record.step or 'it begins'}; {tried} of {fit} tried{said}"


def order_of(goal: str, budget: str | float, max_loss: str | float, promote: str, seed: int) -> Order:
    """What is asked of a re-tune. Raises `InvalidOption`."""
    for option, value, choices in (("goal", goal, get_args(Goal)), ("promote", promote, get_args(Promote))):
        if value not in choices:
            raise InvalidOption(f"--{option} cannot be {value!r}", fix=f"use {', '.join(choices)}")
    seconds = seconds_of(budget if isinstance(budget, str) else f"{budget:g}s", "--budget")
    return Order(
        goal=cast("Goal", goal),
        budget_s=float(seconds),
        max_loss=_loss(max_loss),
        promote=cast("Promote", promote),
        seed=int(seed),
    )


def _loss(typed: str | float) -> float:
    """0.005 of "0.5%", "0.005" and 0.005."""
    text = str(typed).strip().replace(" ", "")
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)(%?)", text)
    if found is None:
        raise InvalidOption(f"--max-loss {typed} is not a loss", fix="for example --max-loss 0.5% or 0.005; 0 for none")
    share = float(found[1]) / (100 if found[2] else 1)
    if share > _SHARE and not found[2]:
        raise InvalidOption(
            f"--max-loss {typed} lets {share_text(share)} of the quality go",
            why="without a percent sign it is a share",
            fix=f"--max-loss {text}% is {share_text(share / 100)}",
        )
    if share >= 1:
        raise InvalidOption(f"--max-loss {typed} would let anything pass", fix="for example --max-loss 0.5%")
    return share


def looked_for(supervisor: Supervisor, name: str, order: Order, report: Report, note: str = "") -> ShownRetune:
    """Wait for a re-tune, and return what came of it. An interrupt cancels it, and nothing is changed then."""

    def told(event: Progress) -> None:
        running = None
        if event.state == "started":
            with suppress(AutodeployError):  # where it cannot be told, the call itself says why
                running = _running(supervisor, name)
        report(event if running is None else msgspec.structs.replace(event, detail=_so_far(running)))

    try:
        return ShownRetune(supervisor.retune(name, order, told), note)
    except KeyboardInterrupt:
        running = _running(supervisor, name)
        if running is None:
            raise
        return ShownRetune(supervisor.cancel_retune(name, running.id), note)


def background(supervisor: Supervisor, name: str, order: Order, note: str = "") -> ShownRetune:
    """Have one begin, and return at once."""

    def told(_: object) -> None:
        raise _Begun

    try:
        return ShownRetune(supervisor.retune(name, order, told), note)
    except _Begun:
        running = _running(supervisor, name)
        return ShownRetune(running or supervisor.retunes(name)[0], note)


def replayed(supervisor: Supervisor, name: str, key: str) -> Order:
    """The order of an earlier one, to be done again."""
    earlier = supervisor.retune_of(name, key).order
    return msgspec.structs.replace(earlier, replay=key, trigger=f"replay {key}", promote="ask")


def cancelled(supervisor: Supervisor, name: str) -> ShownRetune:
    """End the one that runs. Raises `InvalidOption` where none does."""
    running = _running(supervisor, name)
    if running is None:
        raise InvalidOption(f"no re-tune of {name} runs", fix=f"`%deploy retune {name} --show` lists those there were")
    return ShownRetune(supervisor.cancel_retune(name, running.id))


def shown(supervisor: Supervisor, name: str, which: str) -> ShownRetune | ShownRetunes:
    """All of them, or the one of an id."""
    if which == "all":
        return ShownRetunes(name, tuple(supervisor.retunes(name)))
    return ShownRetune(supervisor.retune_of(name, _key(supervisor, name, which)))


def taken(supervisor: Supervisor, name: str, contender: str, which: str | None, report: Report) -> ShownRetune:
    """Serve a contender of the last re-tune, or of the one of an id. Raises `InvalidOption`."""
    key = _key(supervisor, name, which if which not in (None, "all") else "last")
    record = supervisor.retune_of(name, key)
    found = record.contender(contender)
    if found is None or found.state != "passed":
        passed = [f"{one.id} ({one.title})" for one in record.contenders if one.state == "passed"]
        why = f"{found.title} {found.state}: {found.reason}" if found is not None else f"{key} has no such candidate"
        raise InvalidOption(
            f"{contender!r} cannot be taken",
            why=why.removesuffix(": "),
            fix=f"those that passed: {', '.join(passed)}"
            if passed
            else "none passed: what serves is the best there is",
        )
    return ShownRetune(supervisor.take(name, key, contender, report))


def undone(supervisor: Supervisor, name: str, which: str, report: Report) -> ShownRetune:
    """Serve again as before the last one whose contender was taken, or before that of an id. Raises `InvalidOption`."""
    if which == "last":
        found = next((one for one in supervisor.retunes(name) if one.promoted and not one.undone), None)
        if found is None:
            raise InvalidOption(
                f"nothing of a re-tune of {name} is served",
                fix=f"`%deploy rollback {name}` returns to an older version",
            )
        which = found.id
    return ShownRetune(supervisor.undo_retune(name, which, report))


def _key(supervisor: Supervisor, name: str, which: str | None) -> str:
    """The id of the last one, or the one that was typed. Raises `InvalidOption` where there is none."""
    if which != "last" and which is not None:
        return which
    records = supervisor.retunes(name)
    if not records:
        raise InvalidOption(f"{name} was never re-tuned", fix=f"`%deploy retune {name}`")
    return records[0].id


def _running(supervisor: Supervisor, name: str) -> Retune | None:
    records: Sequence[Retune] = supervisor.retunes(name)
    return next((one for one in records if one.state == "running"), None)


def _times(before: float | None, now: float | None, own: bool = False) -> str:
    """How many times less: "2.4x", "0.8x"; "–" for what was not measured."""
    if own or not before or not now:
        return UNKNOWN
    ratio = before / now
    return f"{ratio:.{1 if ratio < 9.95 else 0}f}x"


def _size(before: int | None, one: Contender) -> str:
    return _times(before, one.figures.size_bytes, one.state == "champion")


def _number(value: float | None, measure: str) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.4g}" if measure in LOWER_IS_BETTER else f"{value:.3f}"


def _between(low: float | None, high: float | None, measure: str) -> str:
    return UNKNOWN if low is None or high is None else f"{_number(low, measure)} – {_number(high, measure)}"


def _share(value: float) -> str:
    return "100 %" if value == 1 else f"{100 * value:.{2 if value > 0.99 else 1}f} %"
