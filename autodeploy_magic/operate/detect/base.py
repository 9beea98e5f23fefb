"""What a detector is given each second, and what it has to be.

    class Detector:
        about = About(…)
        def __init__(self, name: str) -> None              one for each deployment, made when it is first watched
        def see(self, moment: Moment) -> Iterable[Finding]  the faults that are there now, each second anew

A fault is told for as long as it is there, hysteresis and minimum duration included: who is told, and what is done,
is decided by others. A detector keeps little (bounded) state and no files, takes no clock but the moment's, never
blocks, and is given moments in the order of their time, with gaps where the supervisor was busy or away. One that
raises is isolated by who calls it. One that wants to know what was before the supervisor began may have
`recall(file, moment)`, which is given `metrics.sqlite`, or `warm(recorded, labelled)`; both are called once, before it
sees anything. All detectors of all deployments run in one thread; they have 2 ms a deployment and second between them,
reading included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from autodeploy_magic.contracts import Desired, Status, Version
from autodeploy_magic.health import ColumnDrift, Finding, ObjectiveState, Quality
from autodeploy_magic.metrics.histogram import Histogram
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.reservoir import Labelled, Recorded

__all__ = ["About", "Answers", "Detector", "Moment", "Reference", "WorkerSight"]


@dataclass(frozen=True)
class About:
    """What the README says of a detector. `defaults` are its numbers with their units, `detects` how long until it
    fires on a known shift (as `make bench-detect` measures it), `cost` of one second of one deployment.
    """

    help: str
    defaults: str
    detects: str
    cost: str


@dataclass
class Answers:
    """What was answered within a second, by all workers: of all versions together, or of one.

    `failed` were answered 5xx, `refused` 4xx. `latency` counts the answers by bucket; see `metrics.histogram`.
    """

    requests: int = 0
    refused: int = 0
    failed: int = 0
    latency: Histogram = field(default_factory=dict)


class WorkerSight(NamedTuple):
    """A worker as its deployment's prober saw it last.

    `stopped`: the system holds it (SIGSTOP). `silent_s` is how long it has not answered the supervisor though asked,
    0.0 where it answered last time. `idle_s` is for how long of that it took no CPU time either: it waits for what
    does not come. `held_s` is how long its oldest request has been under way, where it tells. `age_s` since its start.
    """

    pid: int
    version: int
    age_s: float
    stopped: bool = False
    silent_s: float = 0.0
    idle_s: float = 0.0
    held_s: float = 0.0


class Reference(NamedTuple):
    """What a version is compared with: its sample, and what the live object answered to it.

    `columns` are values by column, as `reservoir.columns_of` gives them; `outputs` the answers by name, as they are
    recorded. Either may be empty.
    """

    columns: Mapping[str, Sequence[Any]]
    outputs: Mapping[str, Sequence[Any]]


@dataclass
class Moment:
    """What is known of a deployment at one second: `t`, in seconds since the epoch, UTC.

    `answers` is None where nothing is known of the second (the supervisor was away); a second in which nothing was
    asked has zeros. `by_version` has those that were asked. `waiting` and `in_flight` are the most at once. `used` is
    None before the second reading. `recorded` are the requests that came into the reservoir since the last moment, and
    `labelled` the rows whose label came: both are samples, at most some hundreds.

    `version` is the champion's record; `reference` reads what it is compared with (cached: ask each time).
    `swapped_s` is when the champion became what it is (seconds since the epoch). `drill` names the fault that is being
    caused on purpose, "" for none.

    The detectors before it leave `objectives`, `drift` and `quality` here for those after, and for who shows them;
    `findings` are theirs.
    """

    t: int
    name: str
    desired: Desired
    status: Status
    version: Version
    answers: Answers | None
    reference: Callable[[], Reference]
    by_version: dict[int, Answers] = field(default_factory=dict)
    waiting: int = 0
    in_flight: int = 0
    used: Resources | None = None
    workers: tuple[WorkerSight, ...] = ()
    recorded: Sequence[Recorded] = ()
    labelled: Sequence[Labelled] = ()
    swapped_s: float = 0.0
    drill: str = ""
    quality: Quality | None = None
    objectives: tuple[ObjectiveState, ...] = ()
    drift: tuple[ColumnDrift, ...] = ()
    findings: Sequence[Finding] = ()


class Detector(Protocol):
    """See the module. `about` is of the class."""

    about: About

    def see(self, moment: Moment) -> Iterable[Finding]: ...
