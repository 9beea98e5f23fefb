"""Records of a re-tune: what was tried, what was measured, what passed, and why.

Retune → Contender (the champion among them) → Figures, Check
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from autodeploy_magic.contracts import SCHEMA, Record

__all__ = [
    "Check",
    "Contender",
    "DataUsed",
    "Family",
    "Figures",
    "Goal",
    "Layout",
    "Order",
    "Promote",
    "Retune",
    "RetuneState",
]

Family = Literal["run", "smaller", "better"]
"""Run it better: the answers stay. Make it smaller and faster: answers may move within a budget. Make it better:
answers should improve."""

Goal = Literal["auto", "latency", "size", "quality"]
Promote = Literal["ask", "auto"]
RetuneState = Literal["running", "done", "cancelled", "failed"]
ContenderState = Literal["waiting", "making", "measuring", "passed", "fell", "failed", "skipped", "champion"]


class Order(Record, frozen=True, kw_only=True):
    """What is asked of a re-tune.

    `budget_s` is how long it may take in seconds, `max_loss` how much worse the task's metric may be, as a share (0.005
    is half a percentage point of accuracy, or half a percent of an error). `trigger` says who asked: "button",
    "schedule", "incident ID", "replay ID". `replay` is the id of an earlier re-tune that is repeated with its own data,
    seed and champion; "" for none.
    """

    goal: Goal = "auto"
    budget_s: float = 300.0
    max_loss: float = 0.005
    promote: Promote = "ask"
    seed: int = 0
    trigger: str = "button"
    replay: str = ""


class Layout(Record, frozen=True, kw_only=True):
    """How a version is run: so many workers, and settings of `moves.TUNABLE`, by name."""

    workers: int = 1
    settings: dict[str, float] = msgspec.field(default_factory=dict)


class Figures(Record, frozen=True, kw_only=True):
    """What was measured of a contender. None: not measured, or not to be had.

    `metric` is the leading figure of the task ("accuracy", "rmse", …) on `labelled` held-out rows, with its 95 %
    interval; `metrics` has the others by name. `agreement` is the share of rows whose answer is the champion's;
    `difference` the largest difference of a probability, or of a value relative to the spread of the champion's;
    `cosine` the mean cosine with the champion's answers where these are vectors. `cpu_s` is the process-CPU time of a
    mean request of the recorded mix, `one_row_s` and `batch_s` of a call on 1 and on `batch_rows` rows, of the model
    alone. `p50_s`, `p95_s` and `p99_s` are wall seconds over HTTP, of the recorded trace replayed. `size_bytes` is the
    model's on disk, `packed_bytes` the same compressed, `memory_bytes` the resident size of a process that holds it.
    """

    metric: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    labelled: int = 0
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    agreement: float | None = None
    difference: float | None = None
    cosine: float | None = None
    rows: int = 0
    cpu_s: float | None = None
    one_row_s: float | None = None
    batch_s: float | None = None
    batch_rows: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    size_bytes: int | None = None
    packed_bytes: int | None = None
    memory_bytes: int | None = None


class Check(Record, frozen=True, kw_only=True):
    """One condition of the gate. `text` says what was found and what was asked, with the numbers."""

    name: str
    passed: bool
    text: str


class Contender(Record, frozen=True, kw_only=True):
    """One candidate of a re-tune; the champion is the one with the state "champion", and the id "c0".

    `optimiser` is the key in `registry.OPTIMISERS` ("layout" for how it is run), `settings` what it was made with,
    `claims` what it says to be better at ("" for the task's metric), `base` what it was made from.
    `reason` says why it passed or fell, in one line. `layout` is set where it is another way to run the champion.
    `version` is the number it has once it was made a version. `front` says that no other that passed is better in all
    of metric, CPU time and size. `seconds` is how long making and measuring it took.
    """

    id: str
    optimiser: str
    title: str
    family: Family
    state: ContenderState = "waiting"
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    base: str = "c0"
    claims: str = ""
    reason: str = ""
    note: str = ""
    figures: Figures = Figures()
    checks: tuple[Check, ...] = ()
    layout: Layout | None = None
    front: bool = False
    version: int = 0
    digest: str = ""
    seconds: float = 0.0


class DataUsed(Record, frozen=True, kw_only=True):
    """The data of a re-tune, as rows: for training, held out for the gate, for calibration; and requests of the trace.

    `from_s` and `until_s` bound the traffic that it is from (seconds since the epoch, 0 where there is none). `digest`
    is over all of it. `notes` say what was missing, and what was taken instead.
    """

    training: int = 0
    held_out: int = 0
    calibration: int = 0
    requests: int = 0
    from_s: float = 0.0
    until_s: float = 0.0
    digest: str = ""
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Retune(Record, frozen=True, kw_only=True):
    """One re-tune, from its order to its outcome; kept in the deployment's `retunes/ID/retune.json`.

    `champion` is the version that it began with, run as `layout`. `step` says in words what is done now. `best` is the
    id of the best contender so far, `chosen` of the one that the choice fell on at the end: "c0" keeps the champion.
    `outcome` says it in a sentence. `promoted` is the id of the contender that was taken, `promoted_s` when;
    `bakes_until_s` when its baking period ends; `undone` says that it was taken back.
    """

    schema: int = SCHEMA
    id: str
    name: str
    order: Order
    state: RetuneState = "running"
    champion: int = 0
    layout: Layout = Layout()
    step: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0
    data: DataUsed = DataUsed()
    contenders: tuple[Contender, ...] = ()
    best: str = "c0"
    chosen: str = ""
    outcome: str = ""
    error: str = ""
    promoted: str = ""
    promoted_s: float = 0.0
    bakes_until_s: float = 0.0
    undone: bool = False

    def contender(self, key: str) -> Contender | None:
        """The contender whose id is `key`."""
        return next((one for one in self.contenders if one.id == key), None)
