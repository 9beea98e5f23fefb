"""How what happened to a deployment reads: in a few words on a chart, in a line elsewhere."""

from __future__ import annotations

from autodeploy_magic.live import Event

__all__ = ["line", "short"]

_SHORT: dict[str, str] = {
    "deployed": "v{version} deployed",
    "swapped": "v{version} swapped in",
    "rolled_back": "rolled back to v{version}",
    "promoted": "v{version} promoted",
    "canary": "canary v{version}",
    "shadow": "shadow v{version}",
    "traffic": "traffic changed",
    "scaled": "scaled",
    "tuned": "tuned",
    "retuned": "re-tuned",
    "shipped": "shipped",
    "restarted": "restarted",
    "started": "started",
    "stopped": "stopped",
    "worker_died": "worker died",
    "failed": "failed",
    "incident": "incident",
}


def short(event: Event) -> str:
    """Return two or three words: "v4 swapped in", "worker died"."""
    words = _SHORT.get(event.kind, event.kind.replace("_", " "))
    if not event.version:  # of the deployment as a whole
        words = words.replace(" to v{version}", "").replace("v{version}", "").strip()
    return words.format(version=event.version)


def line(event: Event) -> str:
    """Return a line: "v4 swapped in: v3 → v4", or the event's own text where it says all."""
    return short(event) if event.text in ("", f"v{event.version}") else f"{short(event)}: {event.text}"
