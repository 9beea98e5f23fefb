"""From what was found to what the report says."""

from __future__ import annotations

from collections.abc import Iterator

from autodeploy_magic import __version__
from autodeploy_magic.contracts import Column, Version
from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.live import VersionLine
from autodeploy_magic.notebook.chart import Box, Drawing, panels
from autodeploy_magic.notebook.chart.palette import SEVERITIES, STATES
from autodeploy_magic.notebook.events import line
from autodeploy_magic.notebook.figures import Figures
from autodeploy_magic.notebook.report.document import (
    Cell,
    Charts,
    Code,
    Document,
    Facts,
    Part,
    Section,
    Sign,
    Table,
    Text,
    Tiles,
)
from autodeploy_magic.notebook.report.findings import Findings
from autodeploy_magic.notebook.text import (
    access_lines,
    count_text,
    lineage_text,
    percent_text,
    seconds_text,
    share_text,
    size_text,
    trust_text,
)
from autodeploy_magic.notebook.views import parity_text
from autodeploy_magic.period import day_and_time, period_text

__all__ = ["CREATOR", "PAGE", "composed"]

CREATOR = "autodeploy_magic report"
"""What every report carries, so that it is known as one."""
PAGE = 698.0
"""How wide a chart is that takes the whole page, in pixels."""
MOST_EVENTS = 60
MOST_COLUMNS = 60
TRUST = {"green": "#0f7b4f", "amber": "#b25a00"}


def composed(findings: Findings) -> Document:
    """Return the report of a deployment's period."""
    status = findings.view.glance.status
    sign, color = STATES[status.state]
    start = day_and_time(findings.at_s - findings.seconds)
    tags = (
        f"v{status.version}",
        status.format.upper(),
        *([findings.view.glance.slo] if findings.view.glance.slo else []),
    )
    return Document(
        title=findings.name,
        state=Sign(sign, color, status.state + (f": {status.reason}" if status.reason else "")),
        tags=tuple(tag for tag in tags if tag),
        subtitle=f"The last {period_text(findings.seconds)}: {start} to {day_and_time(findings.at_s)}",
        foot=f"{CREATOR}, release {__version__}, made {day_and_time(findings.at_s)}",
        sections=tuple(_sections(findings)),
    )


def _sections(findings: Findings) -> Iterator[Section]:
    yield Section("Summary", tuple(_summary(findings)))
    yield Section("Measurements", tuple(_charts(findings)))
    yield Section("What happened", tuple(_events(findings)))
    yield Section("Traffic by version", tuple(_traffic(findings)))
    version = findings.serving
    if version is not None:
        yield Section(f"What serves: version {version.number}", tuple(_model(version)))
    yield Section("Versions", (_versions(findings.view.versions),))
    if version is not None:
        yield Section("Inputs and outputs", tuple(_signature(version)), core=False)
    yield Section("How it runs", tuple(_environment(findings)), core=False)
    snippets = findings.view.snippets
    if snippets:
        code = tuple(Code(_LANGUAGES.get(name, name), text.rstrip("\n")) for name, text in snippets.items())
        yield Section("How to call it", (Text(_TOLD), *code) if findings.view.glance.status.auth else code, core=False)


_LANGUAGES = {"curl": "curl", "python": "Python", "javascript": "JavaScript"}
_TOLD = "The token is read from its file when the call is made; this report does not hold it."


def _summary(findings: Findings) -> Iterator[Part]:
    figures = findings.figures
    requests, rate, p50, p95, p99, refused, failed, cpu, memory, disk = figures.words
    yield Tiles(
        (
            (requests, "requests"),
            (rate, "in the mean"),
            (p50, "p50"),
            (p95, "p95"),
            (p99, "p99"),
            (refused, "refused (4xx)"),
            (failed, "failed (5xx)"),
            (cpu, "of one core, mean"),
            (memory, "memory, most"),
            (disk, "disk, its folder"),
        )
    )
    if not findings.window.measured:
        yield Text("Nothing was measured in this period: the deployment was down, or no supervisor ran.")
    elif not figures.requests:
        yield Text("No request was answered in this period.")
    wrong = {status: count for status, count in findings.statuses.items() if status >= 400}
    if wrong:
        names = _refusals()
        rows = tuple(
            (f"{status} {names.get(status, '')}".strip(), count_text(count), figures.share(count))
            for status, count in sorted(wrong.items())
        )
        yield Table(("answered with", "requests", "share"), rows, numeric=(1, 2))


def _refusals() -> dict[int, str]:
    """What the deployment calls each HTTP status that it refuses with."""
    return {kind.status: kind.__name__ for kind in RequestRefused.__subclasses__()}


def _charts(findings: Findings) -> Iterator[Part]:
    window = findings.window
    if not window.measured:
        yield Text("There is nothing to draw.")
        return
    step = period_text(window.step_s)
    yield Text(f"A point is {step}; percentiles are of all requests within it. A gap is time that was not measured.")
    half = (PAGE - 16) / 2
    rows: list[tuple[tuple[panels.Panel, str], ...]] = [
        ((panels.latency, "Latency: p50, p95 and p99 over time"),),
        ((panels.requests, "Requests a second over time, with those refused and failed"),),
        ((panels.cpu, "CPU over time"), (panels.memory, "Memory over time")),
        ((panels.queue, "Requests under way and waiting over time"), (panels.disk, "Disk used over time")),
    ]
    if window.last("gpu_share") is not None:
        rows.append(((panels.gpu, "Share of one GPU over time"),))
    for row in rows:
        drawings = []
        for panel, alt in row:
            wide, high = (PAGE, 190.0) if len(row) == 1 else (half, 142.0)
            drawing = Drawing(wide, high, f"{alt}, {findings.name}, the last {period_text(findings.seconds)}")
            panel(drawing, Box(0, 4, wide, high - 4), window, findings.events)
            drawings.append(drawing)
        yield Charts(tuple(drawings))


def _events(findings: Findings) -> Iterator[Part]:
    if not findings.events:
        yield Text("Nothing happened to it in this period.")
        return
    shown = sorted(findings.events, key=lambda event: (-event.at_s, -event.id))[:MOST_EVENTS]
    yield Table(
        ("when", "", "what"),
        tuple(
            (day_and_time(event.at_s), Sign(*SEVERITIES[event.severity], event.severity), line(event))
            for event in shown
        ),
    )
    if len(shown) < len(findings.events):
        yield Text(f"The latest {len(shown)} of {len(findings.events)}.")


def _traffic(findings: Findings) -> Iterator[Part]:
    traffic, status = findings.desired.traffic, findings.view.glance.status
    roles = dict.fromkeys(traffic.loaded, ("by name", "–"))
    roles |= {traffic.shadow: ("shadow", "copies"), traffic.canary: ("canary", share_text(traffic.share))}
    roles[status.version] = ("champion", share_text(1.0 - traffic.share))
    numbers = sorted({*findings.by_version, *(number for number in roles if number)}, reverse=True)
    rows = tuple(
        (f"v{number}", *roles.get(number, ("", "")), *_answered(findings.by_version.get(number))) for number in numbers
    )
    head = ("version", "role now", "share now", "requests", "refused", "failed", "p50", "p95", "p99")
    yield Table(head, rows, numeric=(2, 3, 4, 5, 6, 7, 8))
    shadow = findings.shadow
    if shadow is not None:
        differing = percent_text(shadow.differing / shadow.rows) if shadow.rows else "–"
        mean = "" if shadow.difference is None else f", by {shadow.difference:.3g} in the mean"
        text = (
            f"Shadow v{traffic.shadow} beside v{status.version}: {count_text(shadow.requests)} requests were compared, "
            f"{differing} of their rows were answered differently{mean}; it failed on {count_text(shadow.failed)}, and "
            f"{count_text(shadow.dropped)} copies were not run. p50 {_time(shadow.challenger_p50_s)} "
            f"({_time(shadow.champion_p50_s)}), p99 {_time(shadow.challenger_p99_s)} ({_time(shadow.champion_p99_s)})."
        )
        yield Text(text, muted=False)


def _answered(figures: Figures | None) -> tuple[str, ...]:
    if figures is None:
        return ("0", "–", "–", "–", "–", "–")
    requests, _, p50, p95, p99, refused, failed, *_ = figures.words
    return (requests, refused, failed, p50, p95, p99)


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else seconds_text(seconds)


def _model(version: Version) -> Iterator[Part]:
    pairs: tuple[tuple[str, Cell], ...] = (
        ("model", version.model_type + (f", {version.framework}" if version.framework else "")),
        ("task", version.task),
        ("format", version.reason or version.format),
        ("trust", Sign("●", TRUST[version.trust.level], trust_text(version))),
        ("parity", f"{parity_text(version)}, on {version.sample_rows} rows of the sample"),
        ("built", f"{version.created_at.replace('T', ' ')[:16]} UTC"),
        ("size", size_text(version.size_bytes)),
        ("content", f"SHA-256 {version.digest[:16]}…"),
        ("source", version.source),
        ("lineage", lineage_text(version)),
        ("note", version.note),
    )
    yield Facts(tuple((word, text) for word, text in pairs if text))
    rows = tuple(
        (
            "serves" if item.format == version.format else "passed" if item.passed else "refused",
            item.format,
            _time(item.one_row_s),
            _time(item.batch_s) + (f" / {item.batch_rows}" if item.batch_s is not None else ""),
            "–" if item.agreement is None else f"{item.agreement:.2%}",
            "–" if item.max_difference is None else f"{item.max_difference:.1g}",
            size_text(item.size_bytes) if item.size_bytes else "–",
            item.reason,
        )
        for item in version.candidates
    )
    if rows:
        yield Table(("", "format", "one row", "batch", "equal", "max Δ", "size", ""), rows, numeric=(2, 3, 4, 5, 6))


def _versions(versions: tuple[VersionLine, ...]) -> Table:
    rows = tuple(
        (
            f"v{version.number}",
            version.role,
            version.created_at.replace("T", " ")[:16],
            version.format,
            Sign("●", TRUST[version.trust], version.trust),
            size_text(version.size_bytes),
            version.note,
        )
        for version in versions
    )
    return Table(("version", "role", "built (UTC)", "format", "trust", "size", "note"), rows, numeric=(5,))


def _signature(version: Version) -> Iterator[Part]:
    columns = version.signature.columns
    rows = tuple((column.name, _kind(column), _range(column)) for column in columns[:MOST_COLUMNS])
    yield Text(f"A request holds a {version.signature.container} of:")
    yield Table(("input", "type", "in the sample"), rows)
    if len(columns) > MOST_COLUMNS:
        yield Text(f"… and {len(columns) - MOST_COLUMNS} more.")
    yield Table(
        ("output", "type", "of"),
        tuple(
            (output.name, f"{output.dtype}{list(output.shape) if output.shape else ''}", output.container)
            for output in version.outputs
        ),
    )


def _kind(column: Column) -> str:
    shape = str(list(column.shape)) if column.shape else ""
    return f"{column.dtype}{shape}{', may be missing' if column.nullable else ''}"


def _range(column: Column) -> str:
    if column.minimum is not None and column.maximum is not None:
        return f"{column.minimum:g} to {column.maximum:g}"
    texts = column.categories or column.known or ()
    return ", ".join(texts[:8]) + (f", … {len(texts) - 8} more" if len(texts) > 8 else "")


def _environment(findings: Findings) -> Iterator[Part]:
    status, version = findings.view.glance.status, findings.serving
    workers = f"{status.desired_workers}" + (f", of which {len(status.workers)} live" if status.workers else "")
    access = [(word, text) for word, text, _ in access_lines(status) if word != "traffic"]
    pairs = [("url", status.url), ("token", "needed" if status.auth else "not needed"), *access, ("workers", workers)]
    if version is not None:
        environment = version.environment
        pairs += [("Python", environment.python), ("platform", environment.platform), ("Bento", version.bento)]
        if environment.conflicts:
            pairs.append(("conflicts", "; ".join(environment.conflicts)))
        if environment.system_libraries:
            pairs.append(("system libraries", ", ".join(environment.system_libraries)))
        if environment.local_modules:
            pairs.append(("own modules", ", ".join(environment.local_modules)))
    yield Facts(tuple((word, text) for word, text in pairs if text))
    knobs = tuple(
        (
            knob.name,
            f"{knob.value:g} {knob.unit}".strip(),
            "" if knob.value == knob.default else f"default {knob.default:g}",
        )
        for knob in findings.view.knobs
    )
    if knobs:
        yield Table(("setting", "value", ""), knobs)
    if version is not None and version.environment.requirements:
        yield Code("requirements of the model", "\n".join(version.environment.requirements))
