"""The SLO line: what a deployment promises, as a person types it.

    p99<50ms, errors<0.1%, f1>0.9, memory<500MB, cpu<80%, drift<0.2

One parser, for the cell, the terminal, the panel and the settings file. See `METRICS` for what can be promised. An
empty line has objectives learned from the first minutes; `off` promises nothing.
"""

from __future__ import annotations

import difflib
import re
from decimal import Decimal
from typing import Literal, NamedTuple, NoReturn

from autodeploy_magic.contracts import Record
from autodeploy_magic.errors import InvalidOption

__all__ = ["LEARN", "METRICS", "OFF", "Kind", "Metric", "Objective", "Slo", "parse", "worded"]

OFF = "off"
"""The line that promises nothing: no objective is learned either."""
LEARN = "learn"
"""What may be typed for the empty line."""
LONGEST = 1000
"""Characters of a line: all metrics there are take less than half of that."""

Kind = Literal["latency", "share", "score", "bytes", "cores", "index", "target"]


class Objective(Record, frozen=True, kw_only=True):
    """One promise. `limit` is in the unit of `metric` (see `health`); `text` is as it is shown: "p99<50ms"."""

    metric: str
    op: Literal["<", ">"]
    limit: float
    text: str


class Slo(Record, frozen=True, kw_only=True):
    """All of them, in the order they were typed. `text` is the line in its usual form, "" for none, or "off"."""

    text: str = ""
    objectives: tuple[Objective, ...] = ()


class Metric(NamedTuple):
    """What can be promised. `kind` says its unit, `over` what it is measured over; `quantile` is of latencies alone.

    `budget` says that it is a share of events, of which some may be bad: it burns. The others are thresholds.
    """

    kind: Kind
    op: Literal["<", ">"]
    help: str
    over: str
    example: str
    quantile: float = 0.0
    budget: bool = False


def _latency(quantile: float, example: str) -> Metric:
    words = f"{quantile * 100:g} % of the answers are faster"
    return Metric("latency", "<", words, "each answer that the champion gave", example, quantile, budget=True)


METRICS: dict[str, Metric] = {
    "p50": _latency(0.5, "p50<10ms"),
    "p90": _latency(0.9, "p90<20ms"),
    "p95": _latency(0.95, "p95<30ms"),
    "p99": _latency(0.99, "p99<50ms"),
    "p999": _latency(0.999, "p999<200ms"),
    "errors": Metric("share", "<", "share of requests answered 5xx", "each request", "errors<0.1%", budget=True),
    "refused": Metric("share", "<", "share of requests answered 4xx", "each request", "refused<5%", budget=True),
    "availability": Metric(
        "share", ">", "share of requests not answered 5xx", "each request", "availability>99.9%", budget=True
    ),
    "accuracy": Metric("score", ">", "share of labelled rows answered right", "the newest labels", "accuracy>0.9"),
    "precision": Metric("score", ">", "of those answered so, how many are so", "the newest labels", "precision>0.9"),
    "recall": Metric("score", ">", "of those that are so, how many were found", "the newest labels", "recall>0.9"),
    "f1": Metric("score", ">", "harmonic mean of precision and recall", "the newest labels", "f1>0.9"),
    "mae": Metric("target", "<", "mean absolute error, in units of the target", "the newest labels", "mae<2.5"),
    "rmse": Metric("target", "<", "root mean squared error, in units of the target", "the newest labels", "rmse<3"),
    "r2": Metric("score", ">", "share of the target's variance explained", "the newest labels", "r2>0.8"),
    "memory": Metric("bytes", "<", "memory used, shared pages counted once", "all its processes", "memory<500MB"),
    "cpu": Metric("cores", "<", "processor time; 100 % is one core", "all its processes, over 30 s", "cpu<80%"),
    "disk_free": Metric("bytes", ">", "what is free on the disk that holds it", "that disk", "disk_free>1GB"),
    "drift": Metric("index", "<", "largest population stability index", "the columns of its requests", "drift<0.2"),
}
"""Everything that can be promised, by name."""

_D = Decimal
_UNITS: dict[Kind, dict[str, tuple[str, Decimal]]] = {
    "latency": {
        "us": ("us", _D("1e-6")),
        "µs": ("us", _D("1e-6")),  # the sign for micro
        "μs": ("us", _D("1e-6")),  # the Greek letter
        "ms": ("ms", _D("1e-3")),
        "s": ("s", _D(1)),
        "sec": ("s", _D(1)),
        "min": ("min", _D(60)),
    },
    "bytes": {
        "b": ("B", _D(1)),
        "kb": ("kB", _D(10) ** 3),
        "mb": ("MB", _D(10) ** 6),
        "gb": ("GB", _D(10) ** 9),
        "kib": ("KiB", _D(2) ** 10),
        "mib": ("MiB", _D(2) ** 20),
        "gib": ("GiB", _D(2) ** 30),
    },
    "share": {"": ("", _D(1)), "%": ("%", _D("0.01"))},
    "score": {"": ("", _D(1)), "%": ("%", _D("0.01"))},
    "cores": {"": ("", _D(1)), "%": ("%", _D("0.01")), "cores": ("cores", _D(1)), "core": ("cores", _D(1))},
    "index": {"": ("", _D(1))},
    "target": {"": ("", _D(1))},
}
"""Kind → unit as it may be typed, in small letters → how it is written, and how much it is."""

_BOUNDS: dict[Kind, tuple[float, float, str]] = {
    "latency": (1e-6, 3600, "from 1us to 60min"),
    "share": (1e-6, 0.999999, "more than 0 % and less than 100 %"),
    "score": (0, 0.999999, "from 0 to less than 1"),
    "bytes": (1e6, 1e15, "from 1MB up"),
    "cores": (0.01, 1024, "from 1% up"),
    "index": (1e-3, 10, "from 0.001 to 10; 0.1 is little, 0.25 is much"),
    "target": (1e-12, 1e12, "more than 0"),
}
"""Kind → the least and the largest limit that means something."""

_MEANT = {
    "latency": "p99",
    "p99.9": "p999",
    "error": "errors",
    "error_rate": "errors",
    "ram": "memory",
    "rss": "memory",
}
_MEANT |= {"mem": "memory", "disk": "disk_free", "psi": "drift", "uptime": "availability", "acc": "accuracy"}
_MEANT |= {"f1_score": "f1", "f1-score": "f1", "median": "p50", "disk-free": "disk_free"}
_SAME = {"<": "<", "<=": "<", "=<": "<", "≤": "<", ">": ">", ">=": ">", "=>": ">", "≥": ">"}
_BETWEEN = re.compile(r"[,;\n]| (?=[a-z][a-z0-9_.-]* ?[<>≤≥=])")
_PART = re.compile(r"([^<>≤≥=:]*)([<>≤≥=:]*)(.*)", re.DOTALL)
_VALUE = re.compile(r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]{1,3})?) ?([^0-9]*)")
_DIGITS = 9
"""Digits of a limit that count; more are nobody's meaning."""


def parse(text: str) -> Slo:
    """Read an SLO line. Raises `InvalidOption`, which names the part that is wrong and what would do.

    Objectives are separated by commas, semicolons, lines or spaces; capitals do not matter, nor whether a limit may be
    reached (< and <= are one). Read again, the `text` of the result gives the same result.
    """
    if len(text) > LONGEST:
        raise InvalidOption(
            f"the SLO line has {len(text)} characters: {text[:40]!r}…",
            why=f"{LONGEST} are more than all objectives there are can take",
            fix="leave out what is no objective: p99<50ms, errors<0.1%",
        )
    lines = text.lower().replace("\r", "\n").split("\n")
    flat = "\n".join(" ".join(line.split()) for line in lines)
    if flat.strip() in ("", LEARN):
        return Slo()
    if flat.strip() == OFF:
        return Slo(text=OFF)
    found: dict[str, Objective] = {}
    for part in filter(None, map(str.strip, _BETWEEN.split(flat))):
        objective = _objective(part)
        before = found.setdefault(objective.metric, objective)
        if before.limit != objective.limit:
            raise InvalidOption(
                f"{objective.metric} is promised twice: {before.text} and {objective.text}",
                fix=f"keep one of them: {before.text}, or {objective.text}",
            )
    if not found:
        raise InvalidOption(f"{_short(text)} holds no objective", fix="for example p99<50ms, errors<0.1%")
    return Slo(text=", ".join(one.text for one in found.values()), objectives=tuple(found.values()))


def worded(metric: str, value: float) -> str:
    """A value of a metric as people read it: "88 ms", "0.12 %", "512 MB", "0.931"."""
    kind = METRICS[metric].kind
    if kind == "latency":
        for least, factor, unit in ((60, 1 / 60, "min"), (1, 1, "s"), (1e-3, 1e3, "ms")):
            if value >= least:
                return f"{_three(value * factor)} {unit}"
        return f"{_three(value * 1e6)} us"
    if kind == "bytes":
        for least, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if value >= least:
                return f"{_three(value / least)} {unit}"
        return f"{value:.0f} B"
    return f"{_three(100 * value)} %" if kind in ("share", "cores") else f"{value:.3g}"


def _three(value: float) -> str:
    """A number with about three digits and without an exponent: "0.024", "3.41", "1240"."""
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.6f}"


def _objective(part: str) -> Objective:
    matched = _PART.fullmatch(part)
    assert matched is not None  # it takes any text
    name, sign, value = (piece.strip() for piece in matched.groups())
    metric = METRICS.get(name) or _refuse_name(name, part)
    if sign not in _SAME:
        _refuse(part, f"{name} has no limit" if not sign else f"{sign} is no limit", metric)
    if _SAME[sign] != metric.op:
        good, bad = ("small", "less") if metric.op == "<" else ("large", "more")
        raise InvalidOption(
            f"{_short(part)} is the wrong way round",
            why=f"{name} is good where it is {good}: a promise says that it is {bad} than a limit",
            fix=f"{name}{metric.op}{_short(value)}" if value else f"for example {metric.example}",
        )
    typed = _VALUE.fullmatch(value)
    if typed is None:
        _refuse(part, f"{_short(value)} is no number" if value else "the limit is missing", metric)
    number, unit = Decimal(typed[1]), typed[2].strip()
    units = _UNITS[metric.kind]
    if unit not in units:
        _refuse_unit(name, metric, typed[1], unit, part)
    written, size = units[unit]
    rounded = Decimal(f"{number:.{_DIGITS - 1}e}")
    limit = float(rounded * size)
    _check(name, metric, limit, unit, part, typed[1])
    return Objective(metric=name, op=metric.op, limit=limit, text=f"{name}{metric.op}{_plain(rounded)}{written}")


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _check(name: str, metric: Metric, limit: float, unit: str, part: str, typed: str) -> None:
    least, most, told = _BOUNDS[metric.kind]
    if metric.kind == "cores" and not unit and limit > 1:
        raise InvalidOption(
            f"{_short(part)}: {typed} of what?",
            why="100 % is one core, and a bare number is a share of it",
            fix=f"{name}{metric.op}{typed}% or {name}{metric.op}{typed}cores",
        )
    if least <= limit <= most:
        return
    fix = f"{name}{metric.op} takes a limit {told}: for example {metric.example}"
    if metric.kind in ("share", "score") and not unit and 1 < limit < 100:
        fix = f"{name}{metric.op}{typed}%"
    whole = metric.kind == "share" and limit in (0.0, 1.0)
    why = "no deployment can keep that for long: one bad answer would end it" if whole else ""
    if whole and (limit == 1.0) == (metric.op == "<"):
        why = "that is always so, and promises nothing"
    raise InvalidOption(f"{_short(part)} is no promise that can be kept or broken", why=why, fix=fix)


def _refuse(part: str, why: str, metric: Metric) -> NoReturn:
    raise InvalidOption(f"{_short(part)} is no objective", why=why, fix=f"for example {metric.example}")


def _refuse_unit(name: str, metric: Metric, number: str, unit: str, part: str) -> NoReturn:
    units = list(dict.fromkeys(written for written, _ in _UNITS[metric.kind].values()))
    named = [written for written in units if written]
    if not unit:
        likely = ("ms", "s") if metric.kind == "latency" else ("MB", "GB")
        why = f"a bare number has no unit: {number} could be {likely[0]} or {likely[1]}"
        fix = f"{name}{metric.op}{number}{likely[0]}, or {name}{metric.op}{number}{likely[1]}"
        raise InvalidOption(f"{_short(part)}: {number} of what?", why=why, fix=fix)
    why = f"the units of {name} are {', '.join(named)}" if named else f"{name} has no unit"
    raise InvalidOption(f"{_short(part)} has no unit that is known: {_short(unit)}", why=why, fix=metric.example)


def _refuse_name(name: str, part: str) -> NoReturn:
    short = name[:40]
    near = _MEANT.get(short) or next(iter(difflib.get_close_matches(short, METRICS, 1)), "")
    if not name:
        near, what = "", f"{_short(part)} names nothing that is promised"
    else:
        what = f"nothing called {_short(name)} can be promised"
    raise InvalidOption(
        what,
        why=f"did you mean {near}?" if near else "",
        fix=f"for example {METRICS[near].example}" if near else f"what can be: {', '.join(METRICS)}",
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:60]}…"
