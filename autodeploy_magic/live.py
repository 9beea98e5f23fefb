"""What is shown live: records on the way from the supervisor to panels, the sidebar and terminals.

JSON on each road: the supervisor's calls, the Jupyter Server's relay, the kernel's comm. `tests/golden/live.json` holds
one of each, and is read by the tests of Python and of TypeScript. Units are in the names, as in `contracts`.
"""

from __future__ import annotations

from typing import Any, Literal

from autodeploy_magic.contracts import Candidate, Progress, Record, Status
from autodeploy_magic.health import Alert, Recovery, Severity, SloState
from autodeploy_magic.retuning import Retune

__all__ = [
    "COLUMNS",
    "Activity",
    "Event",
    "Glance",
    "Hello",
    "Knob",
    "Message",
    "Point",
    "Probe",
    "Series",
    "VersionLine",
    "View",
]

COLUMNS = (
    "requests_per_s",
    "refused_per_s",  # answered 4xx
    "failed_per_s",  # answered 5xx
    "p50_s",
    "p95_s",
    "p99_s",
    "in_flight",
    "waiting",
    "bytes_in_per_s",
    "bytes_out_per_s",
    "cpu_cores",  # CPU seconds a second: 0.34 is a third of one core
    "memory_bytes",
    "disk_bytes",
    "disk_free_bytes",
    "gpu_share",
    "gpu_memory_bytes",
)
"""What a point tells, in this order. None: not measured, because nothing was asked, nothing lived, or nobody looked."""

Kind = Literal[
    "deployed",
    "swapped",
    "rolled_back",
    "promoted",
    "canary",
    "shadow",
    "traffic",
    "scaled",
    "tuned",
    "retuned",
    "shipped",
    "restarted",
    "slo",
    "recovery",
    "alert",
    "started",
    "stopped",
    "worker_died",
    "failed",
    "incident",
]


class Point(Record, frozen=True, kw_only=True):
    """One second of a deployment: `t` in seconds since the epoch, `v` in the order of `COLUMNS`.

    A later point of the same `t` replaces the earlier one: a worker's last answers may come late.
    """

    name: str
    t: int
    v: tuple[float | None, ...]


class Series(Record, frozen=True, kw_only=True):
    """A window of a deployment: point i covers `step_s` seconds from `start_s` + i × `step_s` (since the epoch).

    `values` has one tuple for each of `columns`, all of one length. Rates are means over the point's time, percentiles
    are read from its merged histogram; `in_flight`, `waiting` and the sizes are the most within it, free disk the
    least.
    """

    name: str
    start_s: float
    step_s: float
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


class Event(Record, frozen=True, kw_only=True):
    """Something that happened to a deployment; a mark on its time axis. `at_s` is in seconds since the epoch."""

    id: int
    name: str
    at_s: float
    kind: Kind
    severity: Severity = "info"
    version: int = 0
    text: str = ""


class Activity(Record, frozen=True, kw_only=True):
    """A long job, with its steps so far in order; the same events that the notebook and the terminal show.

    `where` tells who performs it: "supervisor", or "kernel" for a build. `log` are the last lines of the tools that it
    runs, where it runs any.
    """

    id: str
    name: str
    title: str
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    started_s: float = 0.0
    steps: tuple[Progress, ...] = ()
    error: str = ""
    where: Literal["supervisor", "kernel"] = "supervisor"
    log: tuple[str, ...] = ()


class Glance(Record, frozen=True, kw_only=True):
    """A deployment in one line: what the sidebar shows, and the head of the panel.

    `changed_s` is when it last changed its state, in seconds since the epoch. `slo` is the SLO's text, "" for none.
    `alerts` are those that fire, but for mere information and what is silenced. `quality` is its leading figure in
    words ("F1 0.931, 412 labels"), "" where there is none; `retune` what a re-tune that runs is at. `local` says
    whether the URL is of this machine alone.
    """

    status: Status
    framework: str = ""
    model_type: str = ""
    task: str = ""
    trust: Literal["green", "amber", ""] = ""
    slo: str = ""
    slo_state: SloState = "unset"
    alerts: tuple[Alert, ...] = ()
    quality: str = ""
    recovery: Recovery = "act"
    retune: str = ""
    changed_s: float = 0.0
    local: bool = True


class VersionLine(Record, frozen=True, kw_only=True):
    """One version that is kept. `role` is "" for one that gets no traffic."""

    number: int
    created_at: str
    format: str
    note: str = ""
    role: Literal["champion", "canary", "shadow", "loaded", ""] = ""
    size_bytes: int = 0
    trust: Literal["green", "amber"] = "green"


class Knob(Record, frozen=True, kw_only=True):
    """A setting that the panel can change while it serves; see `settings.Knob`."""

    name: str
    value: int | float
    default: int | float
    unit: str
    help: str


class View(Record, frozen=True, kw_only=True):
    """Everything the panel shows of one deployment, besides its points.

    `versions` newest first. `rollback_to` is the version that Roll back returns to, 0 for none. `snippets` are by
    language ("curl", "python", "javascript"); `candidates` those of the version that serves. `cores` are the machine's.
    `retunes` are the last ones, newest first.
    """

    glance: Glance
    versions: tuple[VersionLine, ...]
    events: tuple[Event, ...]
    snippets: dict[str, str]
    candidates: tuple[Candidate, ...] = ()
    knobs: tuple[Knob, ...] = ()
    rollback_to: int = 0
    cores: int = 1
    engines: tuple[str, ...] = ()
    retunes: tuple[Retune, ...] = ()


class Probe(Record, frozen=True, kw_only=True):
    """A row of the sample, sent as a client would. `status` is HTTP's; `as_verified` None where nothing compares.

    `request` and `answer` are JSON values; `seconds` the time from sending to the answer's last byte, over HTTP.
    """

    status: int
    seconds: float
    request: Any
    answer: Any
    version: int = 0
    as_verified: bool | None = None


class Hello(Record, frozen=True, kw_only=True):
    """The first message of a stream. `now_s` is the supervisor's clock, in seconds since the epoch."""

    now_s: float
    release: str
    columns: tuple[str, ...] = COLUMNS


class Message(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the stream `GET /live`: one of its fields is set.

    First `hello`, then `glances` with every deployment and `activities` with what is under way; from then on `glances`
    with those that changed, `gone` with names that were removed, and points, events, activities and re-tunes as they
    come.
    `beat` comes where nothing else was told for two seconds.
    """

    hello: Hello | None = None
    glances: tuple[Glance, ...] | None = None
    gone: tuple[str, ...] | None = None
    point: Point | None = None
    event: Event | None = None
    activity: Activity | None = None
    retune: Retune | None = None
    activities: tuple[Activity, ...] | None = None
    beat: bool | None = None
