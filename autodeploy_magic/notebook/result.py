"""The card of a deployment: where it is, what it is, how good its copy of the model is, and how to call it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autodeploy_magic.calling.snippets import Snippets
from autodeploy_magic.contracts import Candidate, Status, Version
from autodeploy_magic.metrics import Summary
from autodeploy_magic.notebook.html import Markup, card, details, element, facts, join, table
from autodeploy_magic.notebook.text import (
    access_lines,
    ago_text,
    grid,
    seconds_text,
    size_text,
    traffic_text,
    trust_text,
)
from autodeploy_magic.notebook.views import ShownDifference, View, head, parity_text

__all__ = ["Card", "Outcome", "Plan", "ShownStatus", "news"]


@dataclass(frozen=True)
class Outcome:
    """What one deploy did. `fresh` is false where unchanged content was recognised and nothing was built.

    `role` is what a version is that was put beside the champion; it has answered nobody yet.
    """

    version: int
    previous: int | None
    fresh: bool
    first_answer_s: float | None
    difference: ShownDifference | None = None
    role: str = ""


@dataclass(frozen=True)
class Card(View):
    """A deployment as it is now; `outcome` is there where this handle's own deploy made the version that serves."""

    status: Status
    version: Version
    snippets: Snippets
    outcome: Outcome | None = None

    def text(self) -> str:
        status, version = self.status, self.version
        state = status.state + (f" ({status.reason})" if status.reason else "")
        lines_of = [
            ("url", status.url),
            ("state", f"{state}, {_workers(status)}" if status.workers else state),
            *((word, text) for word, text, _ in access_lines(status)),
            ("model", _model(version)),
            ("format", version.reason),
            *((("source", version.source),) if version.source else ()),
            ("trust", trust_text(version)),
            ("parity", f"{parity_text(version)} on {version.sample_rows} rows"),
            ("size", size_text(version.size_bytes)),
            *(("to know", line) for line in _to_know(version)),
        ]
        if self.outcome is not None and self.outcome.first_answer_s is not None:
            lines_of.append(("first answer", seconds_text(self.outcome.first_answer_s)))
        lines = [
            f"{_dot(status)} {status.name} v{version.number} ({version.format})",
            *(f"  {key:<13}{value}" for key, value in lines_of),
        ]
        lines += [f"  {'change':<13}{line}" for line in _changes(self.outcome)]
        if self.outcome is not None and self.outcome.difference is not None and self.outcome.difference.examples:
            lines += [f"    {line}" for line in self.outcome.difference.text().splitlines()[1:]]
        lines += [f"  {'next':<13}{'  '.join(_next(status, self.outcome))}", "", _indented(self.snippets.curl)]
        return "\n".join(lines)

    def html(self) -> Markup:
        version = self.version
        tone = _tone(version)
        trust = element("span", version.format, class_=f"tag {tone}", title=version.trust.reason)
        note = element("span", version.note, class_="mut") if version.note else ""
        return card(
            head(self.status, trust, note),
            self._numbers(),
            self._about(tone),
            join(_change_parts(self.outcome)),
            element("div", _candidates(self.version), *_snippet_parts(self.snippets), class_="folds"),
            element("div", *_next_parts(self.status, self.outcome), class_="row"),
            label=f"deployment {self.status.name}",
        )

    def _numbers(self) -> Markup:
        chosen = _chosen(self.version)
        tiles: list[tuple[str, str]] = []
        if self.outcome is not None and self.outcome.first_answer_s is not None:
            tiles.append((seconds_text(self.outcome.first_answer_s), "first answer"))
        if chosen is not None and chosen.one_row_s is not None:
            tiles.append((seconds_text(chosen.one_row_s), "model, one row"))
        if chosen is not None and chosen.agreement is not None:
            share = f"{chosen.agreement:.{0 if chosen.agreement in (0, 1) else 2}%}"
            tiles.append((share, f"equal to the live model, {self.version.sample_rows} rows"))
        if chosen is not None and chosen.max_difference is not None:
            tiles.append((f"{chosen.max_difference:.1g}", "largest difference"))
        tiles.append((size_text(self.version.size_bytes), "size"))
        if self.status.state == "running" and self.status.workers:
            tiles.append((str(len(self.status.workers)), "worker" if len(self.status.workers) == 1 else "workers"))
        return element(
            "div", *(element("span", element("b", n), element("small", what)) for n, what in tiles), class_="nums"
        )

    def _about(self, tone: str) -> Markup:
        return facts(*_access_facts(self.status), *_build_facts(self.version, tone))


def news(version: Version, outcome: Outcome) -> Markup:
    """What a deploy changed and what it built, for below its steps: the live panel shows how it is now, not this."""
    tone = _tone(version)
    built = f"built v{version.number}: {version.format}, on {version.sample_rows} rows {parity_text(version)}"
    return join([*_change_parts(outcome), details(built, facts(*_build_facts(version, tone)), _candidates(version))])


@dataclass(frozen=True)
class Plan(View):
    """What a deploy would do; nothing was changed."""

    name: str
    version: Version
    fresh: bool
    serving: int | None
    url: str

    @property
    def summary(self) -> str:
        where = self.url or "a URL chosen at the start"
        if not self.fresh:
            return f"dry run: the content equals v{self.version.number}, so nothing would be built; served at {where}"
        replaced = f", in place of v{self.serving}" if self.serving is not None else ""
        return f"dry run: would be v{self.version.number} of {self.name} at {where}{replaced}; nothing was changed"

    def text(self) -> str:
        rows = [_candidate_row(item, item.format == self.version.format) for item in self.version.candidates]
        lines = [self.summary, f"  {'model':<13}{_model(self.version)}"]
        lines += [f"  {'inputs':<13}{_inputs(self.version)}"]
        lines += [f"  {'format':<13}{self.version.reason}"]
        lines += [f"  {'parity':<13}{parity_text(self.version)} on {self.version.sample_rows} rows"]
        lines += [f"  {'to know':<13}{line}" for line in _to_know(self.version)]
        return "\n".join([*lines, grid(_CANDIDATE_HEAD, rows)] if rows else lines)

    def html(self) -> Markup:
        rows = [_candidate_row(item, item.format == self.version.format) for item in self.version.candidates]
        return card(
            element("b", self.summary),
            facts(
                ("model", _model(self.version)),
                ("inputs", _inputs(self.version)),
                ("format", self.version.reason),
                *(("to know", line) for line in _to_know(self.version)),
            ),
            table(_CANDIDATE_HEAD, rows, numeric=(2, 3, 4, 5, 6)) if rows else "",
            label=f"dry run of {self.name}",
        )


class ShownStatus(Status, View, frozen=True, kw_only=True):
    """How a deployment is now, with its workers, and what it answered in the last minute."""

    last_minute: Summary | None = None
    trust: str = ""

    @classmethod
    def of(cls, status: Status, last_minute: Summary | None = None, version: Version | None = None) -> ShownStatus:
        trust = "" if version is None else trust_text(version)
        fields = {name: getattr(status, name) for name in Status.__struct_fields__}
        return cls(**fields, last_minute=last_minute, trust=trust)

    def text(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        first = f"{_dot(self)} {self.name} v{self.version}  {self.state}{reason}  {self.url}".rstrip()
        access = [f"  {word}: {text}" for word, text, _ in access_lines(self)]
        access += [f"  trust: {self.trust}"] if self.trust else []
        return "\n".join([first, *access, f"  last minute: {traffic_text(self.last_minute)}", *self._grid()])

    def html(self) -> Markup:
        workers = table(_WORKER_HEAD, self._rows(), numeric=(0, 1, 2)) if self.workers else ""
        trust = [("trust", self.trust)] if self.trust else []
        minute = facts(*_access_facts(self), *trust, ("last minute", traffic_text(self.last_minute)))
        return card(head(self), minute, workers, label=f"status of {self.name}")

    def _grid(self) -> list[str]:
        return [grid(_WORKER_HEAD, self._rows())] if self.workers else []

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                str(w.pid),
                f"v{w.version}",
                str(w.generation),
                "ready" if w.ready else "starting",
                ago_text(w.create_time),
            )
            for w in self.workers
        ]


_WORKER_HEAD = ("worker pid", "version", "generation", "state", "up for")
_CANDIDATE_HEAD = ("", "format", "one row", "batch", "equal", "max Δ", "size", "")


def _candidate_row(item: Candidate, chosen: bool) -> tuple[str, ...]:
    batch = seconds_text(item.batch_s) + f" / {item.batch_rows}" if item.batch_s is not None else ""
    return (
        "✓" if chosen else "" if item.passed else "✗",
        item.format,
        seconds_text(item.one_row_s) if item.one_row_s is not None else "",
        batch,
        f"{item.agreement:.2%}" if item.agreement is not None else "",
        f"{item.max_difference:.1g}" if item.max_difference is not None else "",
        size_text(item.size_bytes) if item.size_bytes else "",
        item.reason,
    )


def _chosen(version: Version) -> Candidate | None:
    return next((item for item in version.candidates if item.format == version.format), None)


def _tone(version: Version) -> str:
    return "ok" if version.trust.level == "green" else "warn"


def _model(version: Version) -> str:
    kind = version.model_type.rpartition(".")[2]
    return f"{kind}, {version.task}, {version.framework}" if version.framework else f"{kind}, {version.task}"


def _inputs(version: Version) -> str:
    columns = version.signature.columns
    shown = ", ".join(f"{c.name}: {c.dtype}{'' if not c.shape else list(c.shape)}" for c in columns[:8])
    return f"{version.signature.container} of {shown}" + (f", … {len(columns) - 8} more" if len(columns) > 8 else "")


def _build_facts(version: Version, tone: str) -> list[tuple[str, Markup | str]]:
    mark = element("span", "●", class_=tone, role="img", aria_label=version.trust.level)
    trust = join([mark, " ", trust_text(version).partition(": ")[2]])
    source = [("source", version.source)] if version.source else []
    told = [("to know", element("span", line, class_="warn")) for line in _to_know(version)]
    return [("model", _model(version)), *source, ("format", version.reason), ("trust", trust), *told]


def _to_know(version: Version) -> list[str]:
    """What stands in the way of the version elsewhere, and what its owner had better know of it."""
    return [*version.environment.conflicts, *version.environment.notes]


def _candidates(version: Version) -> Markup:
    rows = [_candidate_row(item, item.format == version.format) for item in version.candidates]
    return details("formats compared", table(_CANDIDATE_HEAD, rows, numeric=(2, 3, 4, 5, 6))) if rows else Markup("")


def _changes(outcome: Outcome | None) -> list[str]:
    if outcome is None:
        return []
    if outcome.role:
        told = [] if outcome.difference is None else [outcome.difference.summary]
        return [f"v{outcome.version} is the {outcome.role}", *told]
    if not outcome.fresh:
        return [f"unchanged: the content equals v{outcome.version}, so nothing was built"]
    if outcome.difference is not None:
        return [outcome.difference.summary]
    return [] if outcome.previous is None else [f"replaces v{outcome.previous}"]


def _change_parts(outcome: Outcome | None) -> list[str]:
    told: list[str] = [element("p", line) for line in _changes(outcome)]
    if outcome is not None and outcome.fresh and outcome.difference is not None:
        return [*told[:-1], outcome.difference.body()]
    return told


def _access_facts(status: Status) -> list[tuple[str, Markup]]:
    """Who gets in, and how; amber where that wants its owner's eye."""
    return [(word, element("span", text, class_="warn" if eye else "")) for word, text, eye in access_lines(status)]


def _workers(status: Status) -> str:
    where = sorted({worker.container.partition("/")[0] for worker in status.workers if worker.container})
    inside = f", in a container of {', '.join(where)}" if where else ""
    return f"{len(status.workers)} worker{'' if len(status.workers) == 1 else 's'}{inside}"


def _dot(status: Status) -> str:
    return "●" if status.state == "running" else "○"


def _next(status: Status, outcome: Outcome | None) -> list[str]:
    """What a person is likely to want now."""
    name = status.name
    if status.state == "stopped":
        return [f"%deploy start {name}", f"%deploy versions {name}"]
    if status.state != "running":
        return [f"%deploy logs {name}", f"%deploy restart {name}", "%deploy doctor"]
    if status.traffic.canary or status.traffic.shadow:
        return [f"%deploy traffic {name}", f"%deploy promote {name}", f"%deploy traffic {name} --off"]
    steps = [f"%deploy test {name}", f"%deploy versions {name}"]
    if outcome is not None and outcome.fresh and outcome.previous is not None:
        steps.append(f"%deploy rollback {name}")
    return [*steps, f"%deploy logs {name}"]


def _next_parts(status: Status, outcome: Outcome | None) -> list[Markup]:
    return [element("span", "next", class_="mut"), *(element("code", line) for line in _next(status, outcome))]


def _snippet_parts(snippets: Snippets) -> Sequence[Markup]:
    named = (("curl", snippets.curl), ("Python", snippets.python), ("JavaScript", snippets.javascript))
    return [details(f"call with {name}", element("pre", text.rstrip("\n"))) for name, text in named]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
