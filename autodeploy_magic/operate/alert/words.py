"""How an alert reads: as a subject, as a line, and at length."""

from __future__ import annotations

import time

from autodeploy_magic.health import Alert

__all__ = ["clean", "figure", "line", "long", "subject"]

_SECONDS = ("latency", "p50", "p90", "p95", "p99", "p999")
_SHARES = ("errors", "refused", "accuracy", "precision", "recall", "f1")
_BYTES = ("memory", "disk_free")


def clean(text: str, longest: int = 500) -> str:
    """One line of printable text: what a model or a client put into it ends no line and begins no header."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def figure(metric: str, value: float | None) -> str:
    """A value in the unit of its metric: "52 ms", "2.1 %", "431 MB", "80 %"; see `health`. "" for none."""
    if value is None:
        return ""
    if metric in _SECONDS:
        return f"{value * 1e3:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if metric in _SHARES or metric == "cpu":
        return f"{100 * value:.3g} %"
    if metric in _BYTES:
        for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {unit}"
        return f"{value:.0f} B"
    return f"{value:.3g}"


def subject(alert: Alert) -> str:
    """ "iris: p99 is 120 ms", "iris: over: p99 is 120 ms", with the drill it belongs to."""
    over = "over: " if alert.state == "resolved" else ""
    drill = " (drill)" if alert.drill else ""
    return clean(f"{alert.name}: {over}{alert.text or alert.rule}{drill}", 180)


def line(alert: Alert) -> str:
    """One line: severity or end, what, and since when."""
    if alert.state == "resolved":
        lasted = _lasted(alert.until_s - alert.since_s)
        return f"over after {lasted}: {clean(alert.text or alert.rule)}{_drill(alert)}"
    again = f", the {_nth(alert.times)} time" if alert.times > 1 else ""
    return f"{alert.severity}: {clean(alert.text or alert.rule)}{_drill(alert)} (since {_at(alert.since_s)}{again})"


def long(alert: Alert, *, url: str = "", done: str = "") -> str:
    """Everything of it, a line each: what, since when, value and limit, what was done, where to look."""
    about = [
        f"version {alert.version}" if alert.version else "",
        f"worker {alert.worker}" if alert.worker else "",
        f"request {clean(alert.request)}" if alert.request else "",
    ]
    promise = {"given": " (an objective)", "learned": " (learned)", "": ""}[alert.objective]
    times = f" ({_nth(alert.times)} time)" if alert.times > 1 else ""
    pairs = (
        ("what", clean(alert.text or alert.rule, 2000) + _drill(alert)),
        ("rule", clean(alert.rule)),
        ("since", _at(alert.since_s) + times),
        ("until", _at(alert.until_s) if alert.state == "resolved" else ""),
        ("value", figure(alert.metric, alert.value)),
        ("limit", figure(alert.metric, alert.limit) + promise if alert.limit is not None else ""),
        ("about", ", ".join(filter(None, about))),
        ("done", clean(done) or (f"see incident {clean(alert.incident)}" if alert.incident else "")),
        ("url", clean(url)),
        ("look", f"%deploy alerts {alert.name}"),
        ("silence", f"%deploy alerts {alert.name} --silence {clean(alert.rule)} --for 1h"),
    )
    return "\n".join(f"{word + ':':<9}{text}" for word, text in pairs if text)


def _drill(alert: Alert) -> str:
    return " (drill)" if alert.drill else ""


def _at(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_s))


def _lasted(seconds: float) -> str:
    whole = max(0, round(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def _nth(count: int) -> str:
    ending = "th" if count % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"
