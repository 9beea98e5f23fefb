"""The SLO line as Prometheus' rules: what burns its error budget is told, wherever the image runs.

Only what a deployment's own `/metrics` page has is asked for; `UNSEEN` are the promises that no page can show. A budget
burns when, over a long window and over a short one, more than FACTOR times the allowed share was bad.

Source: the Site Reliability Workbook, chapter 5, "Alerting on SLOs": multi-window, multi-burn-rate alerts.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from autodeploy_magic.contracts import Desired
from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.slo import METRICS, OFF, Objective, parse

__all__ = [
    "LATENCIES_S",
    "UNPROMISED",
    "UNSEEN",
    "matching",
    "objectives",
    "recorded",
    "slo_notes",
    "slo_rules",
    "value_of",
]

LATENCIES_S = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bounds of the latency histogram's buckets on the page (`serve.exposition`; a test holds them equal)."""

UNPROMISED = "errors<1%"
"""What is watched of a deployment whose SLO line is empty: here its objectives are learned, and elsewhere nobody
learns."""

UNSEEN = frozenset({"accuracy", "precision", "recall", "f1", "mae", "rmse", "r2", "drift"})
"""What needs true answers, or the sample: the supervisor sees it, and no metrics page does."""

LEAST_BAD = 5
"""Fewer bad events than these burn no budget, however few there were in all."""

_DURATION = "autodeploy_request_duration_seconds"
_REQUESTS = "autodeploy_requests_total"


class _Pair(NamedTuple):
    """Two windows, and how many times the allowed share both have to reach."""

    long: str
    short: str
    factor: float
    severity: str


_PAIRS = (
    _Pair("1h", "5m", 14.4, "critical"),
    _Pair("6h", "30m", 6.0, "critical"),
    _Pair("3d", "6h", 1.0, "warning"),
)
_WINDOWS = ("5m", "30m", "1h", "6h", "3d")


def objectives(desired: Desired) -> tuple[Objective, ...]:
    """What is promised, `UNPROMISED` where the line is empty, and nothing where it is "off"."""
    slo = parse(desired.slo)
    return slo.objectives if slo.objectives or slo.text == OFF else parse(UNPROMISED).objectives


def slo_notes(cargo: Cargo) -> tuple[str, ...]:
    """What the rules do not watch, in words; () where they watch all that is promised."""
    notes = []
    if not parse(cargo.desired.slo).text:
        notes.append(f"the SLO line is empty, and nothing is learned elsewhere: the rules watch {UNPROMISED}")
    unseen = [one.text for one in objectives(cargo.desired) if one.metric in UNSEEN]
    if unseen:
        notes.append(f"{', '.join(unseen)}: no /metrics page shows it, so no rule watches it")
    return tuple(notes)


def slo_rules(cargo: Cargo) -> list[dict[str, Any]]:
    """Groups of Prometheus' rules as plain values: `{"groups": slo_rules(cargo)}` is a file of rules.

    The first records, for each objective with a budget, the share of bad events in each window; the second alerts.
    """
    match = matching(cargo.name)
    watched = [one for one in objectives(cargo.desired) if one.metric not in UNSEEN]
    budgets = [one for one in watched if METRICS[one.metric].budget]
    records = [_recording(one, match, window) for one in budgets for window in _WINDOWS]
    alerts = [_down(cargo.name, match), _dropped(match)]
    alerts += [_burning(cargo.name, one, match, pair) for one in budgets for pair in _PAIRS]
    alerts += [_beyond(cargo.name, one, match) for one in watched if not METRICS[one.metric].budget]
    groups = [{"name": f"autodeploy-{cargo.name}-shares", "interval": "30s", "rules": records}] if records else []
    return [*groups, {"name": f"autodeploy-{cargo.name}-alerts", "rules": alerts}]


def matching(deployment: str, *more: str) -> str:
    """Matchers of series without their braces; `more` are further ones, such as 'version="3"'."""
    return ", ".join([f"deployment={json.dumps(deployment, ensure_ascii=False)}", *more])


def recorded(window: str) -> str:
    """The name of the series that holds the share of bad events in a window."""
    return f"autodeploy:slo_bad:ratio_rate{window}"


def value_of(objective: Objective, match: str, window: str) -> str:
    """A query for what is promised as it was over `window`, in the unit of the objective's limit."""
    metric = objective.metric
    kind = METRICS[metric]
    if kind.quantile:
        return f"histogram_quantile({kind.quantile:g}, sum by (le) (rate({_DURATION}_bucket{{{match}}}[{window}])))"
    if metric == "availability":
        return f"1 - ({_ratio(objective, match, window, by='')})"
    if kind.budget:
        return _ratio(objective, match, window, by="")
    return f"max({_gauge(metric, match, window)})" if objective.op == "<" else f"min({_gauge(metric, match, window)})"


def _allowed(objective: Objective) -> float:
    quantile = METRICS[objective.metric].quantile
    allowed = 1 - quantile if quantile else objective.limit if objective.op == "<" else 1 - objective.limit
    return round(allowed, 12)


def _recording(objective: Objective, match: str, window: str) -> dict[str, Any]:
    labels = {"slo": objective.metric}
    return {"record": recorded(window), "expr": _ratio(objective, match, window, by="deployment"), "labels": labels}


def _ratio(objective: Objective, match: str, window: str, *, by: str) -> str:
    """The share of bad events: nothing where there was no event at all."""
    bad, all_ = _events(objective, match, window, "rate", by)
    return f"({bad}) / ({all_} > 0)"


def _events(objective: Objective, match: str, window: str, function: str, by: str) -> tuple[str, str]:
    """Queries for the bad events, and for all."""

    def total(series: str) -> str:
        return f"sum by ({by}) ({function}({series}[{window}]))" if by else f"sum({function}({series}[{window}]))"

    if METRICS[objective.metric].quantile:
        all_ = total(f"{_DURATION}_count{{{match}}}")
        good = " + ".join(
            f"{weight:g} * {bucket}" if weight != 1 else bucket
            for weight, bucket in (
                (weight, total(f'{_DURATION}_bucket{{{match}, le="{bound}"}}'))
                for bound, weight in _within(objective.limit)
            )
        )
        return f"{all_} - ({good})", all_
    all_ = total(f"{_REQUESTS}{{{match}}}")
    codes = "4.." if objective.metric == "refused" else "5.."
    bad = total(f'{_REQUESTS}{{{match}, code=~"{codes}"}}')
    return f"{bad} or 0 * {all_}", all_  # a status that was never answered has no series


def _within(limit_s: float) -> list[tuple[str, float]]:
    """Buckets, and how much of each, that hold what is faster than the limit: straight between two bounds.

    As `histogram_quantile` does it. What is between the last bound and a limit beyond it counts as slow.
    """
    low = 0.0
    for bound in LATENCIES_S:
        if abs(bound - limit_s) < 1e-9:
            return [(_le(bound), 1.0)]
        if bound > limit_s:
            part = round((limit_s - low) / (bound - low), 6)
            return [(_le(low), round(1 - part, 6)), (_le(bound), part)] if low else [(_le(bound), part)]
        low = bound
    return [(_le(low), 1.0)]


def _le(bound: float) -> str:
    """A bound as the page has it."""
    return f"{bound:g}" if bound % 1 else f"{bound:.1f}"


def _gauge(metric: str, match: str, window: str) -> str:
    return {
        "memory": f"autodeploy_process_memory_bytes{{{match}}}",
        "cpu": f"rate(autodeploy_process_cpu_seconds_total{{{match}}}[{window}])",
        "disk_free": f"autodeploy_disk_free_bytes{{{match}}}",
    }[metric]


def _alert(name: str, expr: str, wait: str, labels: dict[str, str], summary: str, description: str) -> dict[str, Any]:
    told = {"summary": summary, "description": description}
    return {"alert": name, "expr": expr, "for": wait, "labels": labels, "annotations": told}


def _down(name: str, match: str) -> dict[str, Any]:
    return _alert(
        "AutodeployDown",
        f"absent(autodeploy_build_info{{{match}}})",
        "2m",
        {"severity": "critical"},
        f"{name} shows no metrics",
        "No server of it was scraped for two minutes: it is down, or the scraper's token is wrong.",
    )


def _dropped(match: str) -> dict[str, Any]:
    return _alert(
        "AutodeployDropped",
        f"sum by (deployment) (increase(autodeploy_dropped_total{{{match}}}[10m])) > 0",
        "0m",
        {"severity": "warning"},
        "{{ $labels.deployment }} answered more than it counted",
        "Its queue of measurements was full: the other figures are too low.",
    )


def _burning(name: str, objective: Objective, match: str, pair: _Pair) -> dict[str, Any]:
    allowed = _allowed(objective)
    share = f"{min(pair.factor, (1 + 1 / allowed) / 2) * allowed:g}"  # no share can be more than 1
    slo = f'{match}, slo="{objective.metric}"'
    bad, _ = _events(objective, match, pair.long, "increase", "deployment")
    expr = (
        f"{recorded(pair.long)}{{{slo}}} >= {share} and {recorded(pair.short)}{{{slo}}} >= {share}"
        f" and on (deployment) ({bad}) >= {LEAST_BAD}"
    )
    return _alert(
        f"AutodeployBudget{objective.metric.title()}",
        expr,
        "0m",
        {"severity": pair.severity, "window": pair.long},
        f"{name} does not keep {objective.text}",
        f"{{{{ $value | humanizePercentage }}}} were bad in the last {pair.long}; {100 * allowed:g} % are allowed.",
    )


def _beyond(name: str, objective: Objective, match: str) -> dict[str, Any]:
    against = ">" if objective.op == "<" else "<"
    return _alert(
        f"Autodeploy{objective.metric.title().replace('_', '')}",
        f"{_gauge(objective.metric, match, '5m')} {against} {objective.limit:g}",
        "5m",
        {"severity": "warning"},
        f"{name} does not keep {objective.text}",
        "It is {{ $value | humanize }} on {{ $labels.instance }}.",
    )
