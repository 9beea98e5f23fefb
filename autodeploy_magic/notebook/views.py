"""What the verbs answer, each drawn as HTML and as text; as Python values they are plain lists, records and strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autodeploy_magic.contracts import Difference, Record, Status, Traffic, Version
from autodeploy_magic.notebook.html import Markup, card, details, element, join, table
from autodeploy_magic.notebook.text import (
    OPEN_TEXT,
    access_lines,
    grid,
    lineage_text,
    seconds_text,
    size_text,
    trust_text,
    value_text,
)

__all__ = [
    "Answer",
    "Check",
    "Checks",
    "Deployments",
    "Link",
    "Log",
    "Removed",
    "ShownDifference",
    "Versions",
    "View",
]


class View:
    """Something that draws itself: `text()` for a terminal, `html()` for a notebook."""

    __slots__ = ()

    def text(self) -> str:
        raise NotImplementedError

    def html(self) -> Markup:
        raise NotImplementedError

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": self.text(), "text/html": str(self.html())}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # IPython's own printers of lists and texts
        printer.text(self.text())

    def __str__(self) -> str:
        return self.text()


class Deployments(View, list[Status]):
    """All deployments, by name."""

    def text(self) -> str:
        if not self:
            return "Nothing is deployed. `%%deploy NAME --sample X` on a cell that trains a model deploys it."
        rows = [
            (s.name, s.state, f"v{s.version}", s.format, s.url, "; ".join([*_warnings(s), *filter(None, [s.reason])]))
            for s in self
        ]
        return grid(("name", "state", "version", "format", "url", ""), rows)

    def html(self) -> Markup:
        if not self:
            return card(element("p", self.text(), class_="mut"), label="deployments")
        tags = [element("span", status.format, class_="tag mut") if status.format else "" for status in self]
        return card(*map(head, self, tags), label="deployments")


class Versions(View, list[Version]):
    """The versions of one deployment, oldest first. `serving` is the champion's number, `traffic` what others get."""

    serving: int = 0
    name: str = ""
    traffic: Traffic = Traffic()

    def text(self) -> str:
        return grid(_VERSION_HEAD, self._rows())

    def html(self) -> Markup:
        title = element("b", f"{self.name}: versions")
        return card(title, table(_VERSION_HEAD, self._rows(), numeric=(6,)), label=f"versions of {self.name}")

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                self._mark(version.number),
                f"v{version.number}",
                version.created_at.replace("T", " ")[:16],
                version.model_type.rpartition(".")[2],
                version.format,
                parity_text(version),
                size_text(version.size_bytes),
                "; ".join(filter(None, [version.note, lineage_text(version)])),
                trust_text(version),
            )
            for version in reversed(self)
        ]

    def _mark(self, number: int) -> str:
        roles = dict.fromkeys(self.traffic.loaded, "○ by name")
        roles |= {self.traffic.canary: "◐ canary", self.traffic.shadow: "○ shadow", self.serving: "●"}
        return roles.get(number, "")


_VERSION_HEAD = ("", "version", "built (UTC)", "model", "format", "parity", "size", "note", "trust")


class ShownDifference(Difference, View, frozen=True, kw_only=True):
    """Two versions on the same sample."""

    @classmethod
    def of(cls, difference: Difference) -> ShownDifference:
        return cls(**{name: getattr(difference, name) for name in Difference.__struct_fields__})

    @property
    def summary(self) -> str:
        """The difference in one sentence."""
        if not self.comparable:
            return f"v{self.new} cannot be compared with v{self.old}: {self.reason}"
        if not self.differing:
            return f"v{self.new} answers all {self.rows} rows of the sample as v{self.old} does"
        return f"v{self.new} answers {self.differing} of {self.rows} rows of the sample differently from v{self.old}"

    def text(self) -> str:
        if not self.examples:
            return self.summary
        names, rows = self._examples()
        return f"{self.summary}\n{grid(names, rows)}"

    def html(self) -> Markup:
        return card(self.body(unfolded=True), label="difference")

    def body(self, *, unfolded: bool = False) -> Markup:
        """The difference as a part of another picture."""
        if not self.examples:
            return element("p", self.summary)
        names, rows = self._examples()
        more = f" (the first {len(rows)} here)" if len(rows) < self.differing else ""
        return details(f"{self.summary}{more}", table(names, rows), unfolded=unfolded)

    def _examples(self) -> tuple[list[str], list[list[str]]]:
        names = list(dict.fromkeys(name for example in self.examples for name in example))
        rows = [[value_text(example.get(name, "")) for name in names] for example in self.examples]
        return [{"old": f"v{self.old}", "new": f"v{self.new}"}.get(name, name) for name in names], rows


@dataclass(frozen=True)
class Answer(View):
    """What a deployment answered to rows of its sample; `as_verified` is None where nothing was kept to compare."""

    name: str
    inputs: Any
    predictions: Any
    version: int
    seconds: float
    as_verified: bool | None = None

    def text(self) -> str:
        verdict = {True: "  ✓ as verified", False: "  ✗ not what was verified", None: ""}[self.as_verified]
        return (
            f"{self.name} v{self.version} answered in {seconds_text(self.seconds)}{verdict}\n"
            f"  inputs       {value_text(self.inputs)}\n  predictions  {value_text(self.predictions)}"
        )

    def html(self) -> Markup:
        verdict = {
            True: element("span", "✓ as verified", class_="ok"),
            False: element("span", "✗ not what was verified", class_="bad"),
            None: "",
        }[self.as_verified]
        title = element(
            "div", element("b", f"{self.name} v{self.version}"), seconds_text(self.seconds), verdict, class_="row"
        )
        rows = [
            ("inputs", element("code", value_text(self.inputs))),
            ("predictions", element("code", value_text(self.predictions))),
        ]
        return card(title, table(("", ""), rows), label=f"{self.name}: test")


class Log(View, str):
    """The last lines of a log."""

    __slots__ = ()

    def text(self) -> str:
        return str.__str__(self) or "the log is empty"

    def html(self) -> Markup:
        return card(element("pre", self.text()), label="log")

    __repr__ = str.__repr__
    _repr_pretty_ = View._repr_pretty_  # IPython would take the nearer __repr__

    def __str__(self) -> str:
        return str.__str__(self)


class Link(View, str):
    """A URL to open."""

    __slots__ = ()

    def text(self) -> str:
        return str.__str__(self)

    def html(self) -> Markup:
        url = self.text()
        return card(element("a", url, href=url, target="_blank", rel="noopener"), label="link")

    def __str__(self) -> str:
        return str.__str__(self)


@dataclass(frozen=True)
class Removed(View):
    """What `rm` took away."""

    what: str

    def text(self) -> str:
        return self.what

    def html(self) -> Markup:
        return card(element("p", self.what), label="removed")


@dataclass(frozen=True)
class Check:
    """One finding of `doctor`. `fix` says what to do where `state` is not "ok"."""

    state: str
    what: str
    fix: str = ""


class Checks(View, list[Check]):
    """The findings of `doctor`."""

    def text(self) -> str:
        lines = [
            f"{_CHECK_MARKS[c.state]} {c.state:<5} {c.what}" + (f"\n          → {c.fix}" if c.fix else "") for c in self
        ]
        return "\n".join([*lines, self.verdict])

    def html(self) -> Markup:
        tones = {"ok": "ok", "warn": "warn", "fail": "bad"}
        rows = [
            (element("span", f"{_CHECK_MARKS[c.state]} {c.state}", class_=tones[c.state]), _check_text(c)) for c in self
        ]
        return card(element("b", self.verdict), table(("", ""), rows), label="doctor")

    @property
    def verdict(self) -> str:
        """All findings in one line."""
        counts = {state: sum(check.state == state for check in self) for state in ("fail", "warn")}
        if not any(counts.values()):
            return f"{len(self)} checks, all well"
        return f"{len(self)} checks: {counts['fail']} failed, {counts['warn']} to look at"


_CHECK_MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


def _check_text(check: Check) -> Markup:
    fix = [element("div", f"→ {check.fix}", class_="mut")] if check.fix else []
    return join([check.what, *fix])


# --- pieces that several pictures share


def head(status: Status, *extra: str) -> Markup:
    """The first line of a deployment's picture: state, name, version, URL."""
    tone = {"running": "ok", "starting": "warn", "degraded": "warn", "failed": "bad"}.get(status.state, "mut")
    dot = element("span", class_=f"dot {tone}", role="img", aria_label=status.state, title=status.state)
    state = "" if status.state == "running" else element("span", status.state, class_=f"tag {tone}")
    reason = element("span", status.reason, class_="mut") if status.reason else ""
    open_ = "" if status.auth else element("span", "no token", class_="tag warn", title=OPEN_TEXT)
    return element(
        "div",
        dot,
        element("span", status.name, class_="name"),
        element("span", f"v{status.version}", class_="tag mut"),
        *extra,
        open_,
        state,
        reason,
        element("span", class_="grow"),
        element("code", status.url) if status.url else "",
        class_="row",
    )


def _warnings(status: Status) -> list[str]:
    return [text for _, text, eye in access_lines(status) if eye]


def parity_text(version: Version) -> str:
    """How well the version answers its sample, against the live object."""
    chosen = next((item for item in version.candidates if item.format == version.format), None)
    if chosen is None or chosen.agreement is None:
        return "not measured"
    share = f"{chosen.agreement:.{0 if chosen.agreement in (0, 1) else 2}%} equal"
    if chosen.max_difference is None:
        return share
    return f"{share}, max Δ {chosen.max_difference:.1g}" if chosen.max_difference else f"{share}, exactly"


def to_text(value: Any) -> str:
    """A verb's answer as text, for a terminal."""
    from autodeploy_magic.notebook.measured import is_frame, table_text

    return table_text(value) if is_frame(value) else str(value)


def to_json(value: Any) -> Any:
    """A verb's answer as JSON values, for programs."""
    import msgspec

    from autodeploy_magic.notebook.measured import is_frame, records

    if is_frame(value):
        return records(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping | Record):
        return msgspec.to_builtins(value)
    return msgspec.to_builtins(value, enc_hook=str)  # a path
