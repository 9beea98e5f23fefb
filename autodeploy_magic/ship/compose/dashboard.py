"""A dashboard for Grafana with the charts, the titles and the colours of our panel, from what `/metrics` has.

Source: grafana.com/docs, "Dashboard JSON model"; the names of the metrics are of `serve.exposition`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from autodeploy_magic.contracts import Desired
from autodeploy_magic.ship.rules import UNSEEN, matching, objectives, recorded
from autodeploy_magic.slo import METRICS

__all__ = ["DATASOURCE", "SCHEMA_VERSION", "dashboard"]

DATASOURCE = "autodeploy-prometheus"
"""The uid of the data source that is provisioned beside the dashboard."""
SCHEMA_VERSION = 39

_BLUE, _TEAL, _ORANGE, _VIOLET, _RED, _GREEN = "#3355dd", "#0e9384", "#d06a00", "#7f56d9", "#b42318", "#0f734f"
"""The panel's c1 to c4, bad and ok, as on a light page: each has 3 : 1 to a light and to a dark ground."""
_WIDE, _SIDE, _COLUMNS = 14, 10, 24
_OVER = "$__rate_interval"


class _Line(NamedTuple):
    label: str
    expr: str
    colour: str


class _Chart(NamedTuple):
    title: str
    unit: str
    lines: tuple[_Line, ...]
    about: str = ""
    log: bool = False
    limit: float | None = None
    most: float | None = None
    height: int = 7


def dashboard(desired: Desired) -> dict[str, Any]:
    """The dashboard of one deployment, as plain values."""
    name = desired.name
    of_all, of_some = matching(name), matching(name, 'version=~"$version"')
    limits = {one.metric: one.limit for one in objectives(desired)}
    main, side = _main(of_some, limits), _side(of_all, of_some, limits)
    panels = _tiles(of_all, of_some)
    panels += _column(main, x=0, width=_WIDE, y=4) + _column(side, x=_WIDE, width=_SIDE, y=4)
    below = 4 + max(sum(chart.height for chart in column) for column in (main, side))
    more = _more(desired, of_all, of_some)
    for i, chart in enumerate(more):
        panels.append(_chart(chart, x=12 * (i % 2), y=below + 7 * (i // 2), width=12))
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return {
        "uid": f"autodeploy-{name}"[:40],
        "title": f"autodeploy: {name}",
        "tags": ["autodeploy_magic"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_versions(of_all)]},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }


def _quantile(share: float, match: str, series: str = "autodeploy_request_duration_seconds") -> str:
    return f"histogram_quantile({share:g}, sum by (le) (rate({series}_bucket{{{match}}}[{_OVER}])))"


def _rate(series: str, match: str) -> str:
    return f"sum(rate({series}{{{match}}}[{_OVER}]))"


def _share(codes: str, match: str) -> str:
    all_ = _rate("autodeploy_requests_total", match)
    some = _rate("autodeploy_requests_total", f'{match}, code=~"{codes}"')
    return f"({some} or 0 * {all_}) / ({all_} > 0)"


def _main(match: str, limits: dict[str, float]) -> list[_Chart]:
    shares = (_Line("refused", _share("4..", match), _ORANGE), _Line("failed", _share("5..", match), _RED))
    quantiles = (
        _Line("p99", _quantile(0.99, match), _ORANGE),
        _Line("p95", _quantile(0.95, match), _TEAL),
        _Line("p50", _quantile(0.5, match), _BLUE),
    )
    fastest = next((limits[name] for name in ("p99", "p999", "p95", "p90", "p50") if name in limits), None)
    return [
        _Chart("Latency", "s", quantiles, "From a request's last byte to its answer.", log=True, limit=fastest),
        _Chart("Requests", "reqps", (_Line("requests", _rate("autodeploy_requests_total", match), _BLUE),), height=5),
        _Chart("Errors", "percentunit", shares, "Of the requests.", limit=limits.get("errors"), most=1, height=5),
    ]


def _side(of_all: str, of_some: str, limits: dict[str, float]) -> list[_Chart]:
    cpu = _Line("CPU", _rate("autodeploy_process_cpu_seconds_total", of_all), _BLUE)
    memory = _Line("memory", f"sum(autodeploy_process_memory_bytes{{{of_all}}})", _VIOLET)
    load = (
        _Line("in flight", f"sum(autodeploy_requests_in_flight{{{of_some}}})", _BLUE),
        _Line("waiting", f"sum(autodeploy_requests_waiting{{{of_some}}})", _ORANGE),
    )
    return [
        _Chart("CPU", "percentunit", (cpu,), "Of one core.", limit=limits.get("cpu"), height=6),
        _Chart("Memory", "bytes", (memory,), "Shared pages counted once.", limit=limits.get("memory"), height=6),
        _Chart("Load", "short", load, "The most at once, of the last five seconds.", height=5),
    ]


def _more(desired: Desired, of_all: str, of_some: str) -> list[_Chart]:
    executions = _rate("autodeploy_model_executions_total", of_some)
    runs = (
        _Line("model", f"{_rate('autodeploy_model_run_seconds_total', of_some)} / ({executions} > 0)", _BLUE),
        _Line("queue", f"{_rate('autodeploy_queue_seconds_total', of_some)} / ({executions} > 0)", _ORANGE),
    )
    rows = (
        _Line("p95", _quantile(0.95, of_some, "autodeploy_batch_rows"), _TEAL),
        _Line("p50", _quantile(0.5, of_some, "autodeploy_batch_rows"), _BLUE),
    )
    by_version = f"sum by (version) (rate(autodeploy_requests_total{{{of_all}}}[{_OVER}]))"
    traffic = (
        _Line("requests", _rate("autodeploy_request_bytes_total", of_some), _BLUE),
        _Line("answers", _rate("autodeploy_response_bytes_total", of_some), _TEAL),
    )
    counted = (
        _Line("rows", _rate("autodeploy_request_rows_total", of_some), _BLUE),
        _Line("not counted", _rate("autodeploy_dropped_total", of_some), _RED),
    )
    charts = [
        _Chart("Versions", "reqps", (_Line("v{{version}}", by_version, ""),), "Requests that each version answered."),
        _Chart("Model", "s", runs, "Of one run of the model: how long it took, and how long requests waited for it."),
        _Chart("Batches", "short", rows, "Rows of one run of the model."),
        _Chart("Rows", "short", counted, "A second."),
        _Chart("Network", "Bps", traffic),
    ]
    budgets = [one.metric for one in objectives(desired) if one.metric not in UNSEEN and METRICS[one.metric].budget]
    if budgets:
        colours = (_BLUE, _TEAL, _ORANGE, _VIOLET, _RED, _GREEN)
        bad = tuple(
            _Line(metric, f'{recorded("5m")}{{{of_all}, slo="{metric}"}}', colours[i % len(colours)])
            for i, metric in enumerate(budgets)
        )
        charts.append(_Chart("Promises", "percentunit", bad, "The share of events that broke it, of 5 min.", most=1))
    return charts


def _tiles(of_all: str, of_some: str) -> list[dict[str, Any]]:
    since = f"time() - max(autodeploy_last_answer_timestamp_seconds{{{of_some}}})"
    tiles = [
        _Chart("Latency p99", "s", (_Line("p99", _quantile(0.99, of_some), _ORANGE),)),
        _Chart("Requests", "reqps", (_Line("requests", _rate("autodeploy_requests_total", of_some), _BLUE),)),
        _Chart("Errors", "percentunit", (_Line("failed", _share("5..", of_some), _RED),)),
        _Chart("Last answer", "s", (_Line("ago", since, _BLUE),)),
        _Chart("Versions", "short", (_Line("loaded", f"count(autodeploy_build_info{{{of_all}}})", _VIOLET),)),
        _Chart("Down", "short", (_Line("down", f"absent(autodeploy_build_info{{{of_all}}})", _RED),)),
    ]
    width = _COLUMNS // len(tiles)
    return [_tile(tile, x=i * width, width=width) for i, tile in enumerate(tiles)]


def _column(charts: Sequence[_Chart], *, x: int, width: int, y: int) -> list[dict[str, Any]]:
    panels = []
    for chart in charts:
        panels.append(_chart(chart, x=x, y=y, width=width))
        y += chart.height
    return panels


def _panel(kind: str, chart: _Chart, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": DATASOURCE}
    targets = [
        {"refId": chr(ord("A") + i), "datasource": source, "expr": line.expr, "legendFormat": line.label, "range": True}
        for i, line in enumerate(chart.lines)
    ]
    overrides = [
        {
            "matcher": {"id": "byName", "options": line.label},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": line.colour}}],
        }
        for line in chart.lines
        if line.colour
    ]
    return {
        "type": kind,
        "title": chart.title,
        "description": chart.about,
        "gridPos": place,
        "datasource": source,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": chart.unit, "min": 0, "noValue": "–"}, "overrides": overrides},
    }


def _chart(chart: _Chart, *, x: int, y: int, width: int) -> dict[str, Any]:
    panel = _panel("timeseries", chart, {"x": x, "y": y, "w": width, "h": chart.height})
    defaults = panel["fieldConfig"]["defaults"]
    defaults["custom"] = {
        "lineWidth": 2,
        "fillOpacity": 8 if len(chart.lines) == 1 else 0,
        "showPoints": "never",
        "scaleDistribution": {"type": "log", "log": 10} if chart.log else {"type": "linear"},
        "thresholdsStyle": {"mode": "off" if chart.limit is None else "dashed"},
    }
    if chart.log:
        del defaults["min"]  # no logarithm has a zero
    if chart.most is not None:
        defaults["max"] = chart.most
    steps: list[dict[str, Any]] = [{"color": _GREEN, "value": None}]
    if chart.limit is not None:
        steps.append({"color": _RED, "value": chart.limit})
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    panel["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": len(chart.lines) > 1},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    return panel


def _tile(chart: _Chart, *, x: int, width: int) -> dict[str, Any]:
    panel = _panel("stat", chart, {"x": x, "y": 0, "w": width, "h": 4})
    for target in panel["targets"]:
        target |= {"instant": True, "range": False}
    panel["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "value",
    }
    return panel


def _versions(match: str) -> dict[str, Any]:
    query = f"label_values(autodeploy_requests_total{{{match}}}, version)"
    return {
        "name": "version",
        "label": "Version",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": DATASOURCE},
        "definition": query,
        "query": {"query": query, "refId": "versions"},
        "refresh": 2,
        "sort": 4,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }
