"""How a deployment does: what is wrong with it, who was told, what was done about it, and how right it answers.

Records that cross rooms and processes; `live` has those of what is shown from second to second. JSON on each road.
Units are in the names, as in `contracts`; a `value` and a `limit` are in the unit of their `metric`:

    latency    seconds          p50, p90, p95, p99, p999
    share      0 to 1           errors, refused, availability, accuracy, precision, recall, f1
    bytes                       memory, disk_free; memory_growth a second
    cores      CPU seconds a second: 1.0 is all of one core         cpu
    index      population stability index, 0 is the same            drift
    target     in the units of the model's answers                  mae, rmse; r2 has none
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from autodeploy_magic.contracts import Record

__all__ = [
    "Alert",
    "ColumnDrift",
    "Confusion",
    "Drill",
    "Figure",
    "Finding",
    "Health",
    "Incident",
    "ObjectiveState",
    "Quality",
    "Recovery",
    "Severity",
    "Slice",
    "SloState",
    "Unlabelled",
]

Severity = Literal["info", "warning", "critical"]
SloState = Literal["unset", "met", "burning", "broken"]
Recovery = Literal["off", "suggest", "act"]
"""What is done about a fault: nothing, an action is proposed, or it is taken where its rule allows that."""
Outcome = Literal["open", "suggested", "helped", "resolved", "no_help", "undone", "failed", "held"]


class Finding(Record, frozen=True, kw_only=True):
    """A fault that a detector sees now. It is told anew each second for as long as it is there.

    `rule` tells it from the deployment's other faults ("latency", "drift:petal_width"), `detector` is a name of
    `registry.DETECTORS`. `text` is one sentence with the numbers in it. `version` 0 is the deployment as a whole,
    `worker` the pid of the one that it is about. `request` is the id of one that shows it; "" for none.
    `objective` says that it breaks an objective: "given" by the person, or "learned".
    """

    rule: str
    detector: str
    metric: str
    severity: Severity
    text: str
    value: float | None = None
    limit: float | None = None
    version: int = 0
    worker: int = 0
    request: str = ""
    objective: Literal["", "given", "learned"] = ""


class Alert(Record, frozen=True, kw_only=True):
    """A fault that people are told of, from its first second to its last. Times are seconds since the epoch.

    One at a time for a deployment's `rule`. `times` is how often it came back before it stayed away; `incident` is what
    was done about it; `silenced_until_s` when it may be told of again. `drill` says that it was caused on purpose.
    """

    id: str
    name: str
    rule: str
    detector: str
    metric: str
    severity: Severity
    state: Literal["firing", "resolved"] = "firing"
    text: str = ""
    value: float | None = None
    limit: float | None = None
    version: int = 0
    worker: int = 0
    request: str = ""
    objective: Literal["", "given", "learned"] = ""
    since_s: float = 0.0
    until_s: float = 0.0
    times: int = 1
    silenced_until_s: float = 0.0
    drill: bool = False
    incident: str = ""


class Incident(Record, frozen=True, kw_only=True):
    """What was done about a fault: metric → rule → action → result, with the numbers before and after.

    `action` is a name of `registry.ACTIONS`, or "" where none fits; `did` words what it did ("scaled 1 → 2 workers"),
    `would` what it would do where it is not done yet, and `result` what came of it ("p99 3.4 ms after 6 s"). `why` says
    why it was only suggested, held back or given up. `before` and `after` are figures by metric (p99,
    errors, memory, …), None where there was nothing to measure. Times are seconds since the epoch; `acted_s` and
    `closed_s` are 0 while that has not come. `undo` is whether it can be taken back now.
    """

    id: str
    name: str
    rule: str
    metric: str
    severity: Severity
    text: str
    opened_s: float
    acted_s: float = 0.0
    closed_s: float = 0.0
    action: str = ""
    did: str = ""
    would: str = ""
    result: str = ""
    why: str = ""
    outcome: Outcome = "open"
    before: dict[str, float | None] = msgspec.field(default_factory=dict)
    after: dict[str, float | None] = msgspec.field(default_factory=dict)
    version: int = 0
    request: str = ""
    undo: bool = False
    drill: bool = False


class ObjectiveState(Record, frozen=True, kw_only=True):
    """One objective of the SLO as it is now. `text` is as it is typed: "p99<50ms".

    `value` is over the last five minutes, or the time of the fault while it is broken; None where nothing was measured.
    `burn_fast` and `burn_slow` are how many times too fast the error budget is used up, over an hour and three days;
    None for an objective that has no budget (memory, cpu, drift, f1). `budget_left` is what is left of it, 0 to 1.
    """

    text: str
    metric: str
    state: Literal["unknown", "met", "burning", "broken"]
    limit: float
    value: float | None = None
    burn_fast: float | None = None
    burn_slow: float | None = None
    budget_left: float | None = None
    learned: bool = False


class Figure(Record, frozen=True, kw_only=True):
    """One measure of quality with its 95 % confidence interval, over `labels` labelled rows.

    `estimated` says that no label was needed for it: it is what the model's own confidence lets expect.
    """

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    labels: int = 0
    estimated: bool = False


class Confusion(Record, frozen=True, kw_only=True):
    """How often each class was answered for each true one: `counts[true][answered]`, in the order of `classes`."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Slice(Record, frozen=True, kw_only=True):
    """The rows whose `column` has this `value` (or lies in this range), and the figures of them alone."""

    column: str
    value: str
    labels: int
    figures: tuple[Figure, ...] = ()


class Quality(Record, frozen=True, kw_only=True):
    """How right a deployment answers. `version` 0 is all versions together; `versions` has the same for each.

    `labels` rows are labelled of `answered` recorded ones; of the labels that came, `late` came over an hour after the
    answer, `changed` replaced another label of the same row, and `unmatched` belong to no answer that is kept.
    `figures` are over the newest labels, `window` of them at most; `estimated` need none.
    """

    name: str
    version: int = 0
    task: str = ""
    labels: int = 0
    answered: int = 0
    late: int = 0
    changed: int = 0
    unmatched: int = 0
    window: int = 0
    figures: tuple[Figure, ...] = ()
    estimated: tuple[Figure, ...] = ()
    confusion: Confusion | None = None
    slices: tuple[Slice, ...] = ()
    versions: tuple[Quality, ...] = ()


class ColumnDrift(Record, frozen=True, kw_only=True):
    """How far a column of the requests, or the answers (`column` ""), is from what it was compared with.

    `method` is the test that told ("psi", "ks", "chi2", "unseen", "range", "missing"); `value` is the population
    stability index where there is one, `p_value` that of the test. `rows` were compared with `reference` ones.
    """

    column: str
    method: str
    value: float
    limit: float
    state: Literal["same", "drifting", "drifted"]
    p_value: float | None = None
    rows: int = 0
    reference: int = 0
    text: str = ""


class Unlabelled(Record, frozen=True, kw_only=True):
    """A row that was answered and has no label yet. `inputs` are its columns; `confidence` of the answer, 0 to 1."""

    request: str
    row: int
    at_s: float
    version: int
    inputs: dict[str, Any]
    prediction: Any
    confidence: float | None = None


class Drill(Record, frozen=True, kw_only=True):
    """A fault that was caused on purpose, and what became of it.

    `detected_s` and `recovered_s` are seconds after it began, None where that did not come while it lasted. Of the
    `requests` that were sent meanwhile (a row of the sample, so many a second) `lost` were not answered 200.
    """

    name: str
    kind: str
    lasted_s: float
    detected_s: float | None = None
    recovered_s: float | None = None
    requests: int = 0
    lost: int = 0
    alerts: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    text: str = ""


class Health(Record, frozen=True, kw_only=True):
    """Everything of how one deployment does. `slo` is as the person typed it, "" where it was learned or is not yet.

    `alerts` are those that fire, then those that ended within a day; `incidents` the newest first. `faults` are parts
    of the watch itself that failed, by name.
    """

    name: str
    slo: str = ""
    slo_state: SloState = "unset"
    objectives: tuple[ObjectiveState, ...] = ()
    recovery: Recovery = "act"
    alerts: tuple[Alert, ...] = ()
    incidents: tuple[Incident, ...] = ()
    quality: Quality | None = None
    drift: tuple[ColumnDrift, ...] = ()
    faults: dict[str, str] = msgspec.field(default_factory=dict)
