"""How much of everything a version needs elsewhere, derived from what was measured of it here. Each formula is stated.

What another machine does may differ: a default is where a load test begins, and every one of them is an option.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.rules import objectives
from autodeploy_magic.slo import METRICS

__all__ = [
    "between",
    "canary_percent",
    "concurrency",
    "error_share",
    "latency_limit",
    "measured_notes",
    "memory_mib",
    "per_minute",
    "service_s",
    "smallest",
    "start_s",
    "step_up",
    "workers_for",
]

_UNMEASURED_MIB = 512
"""What a worker is taken to need where no image was started."""

_ROAD_S = 1e-3
"""What a request costs besides the model, rounded up: reading, checking, writing, the kernel's work."""

_USUAL_LIMIT_S = 0.25
"""The latency that is aimed at where none is promised."""


def memory_mib(cargo: Cargo, workers: int) -> int:
    """What `workers` need, in MiB: 64 + workers * 2 * what one had when it was ready; 512 for each where unmeasured.

    Twice, because that was idle: a large request is held as bytes, as rows and as answers at once.
    """
    if cargo.image is None or not cargo.image.rss_bytes:
        return 64 + workers * _UNMEASURED_MIB
    return 64 + math.ceil(workers * 2 * cargo.image.rss_bytes / 2**20)


def start_s(cargo: Cargo, least: int = 30) -> int:
    """How long a start may take, in seconds: ten times what it took here, at least `least`, at most 600.

    Ten times: a cloud's disk is cold, and its processor often a share of one.
    """
    ready = cargo.image.ready_s if cargo.image is not None else 0.0
    return min(600, max(least, math.ceil(10 * ready)))


def service_s(cargo: Cargo) -> float:
    """What one request of one row occupies a worker for: the model's measured median and 1 ms of the road around it."""
    one = next((c.one_row_s for c in cargo.version.candidates if c.format == cargo.version.format), None)
    return _ROAD_S + (one or 0.0)


def latency_limit(cargo: Cargo) -> tuple[str, float] | None:
    """The strictest promised latency as (quantile as CloudWatch writes it, seconds); None where none is promised."""
    found = [
        (METRICS[one.metric].quantile, one.limit)
        for one in objectives(cargo.desired)
        if METRICS[one.metric].kind == "latency"
    ]
    if not found:
        return None
    quantile, limit = max(found)
    return f"p{100 * quantile:g}", limit


def error_share(cargo: Cargo) -> float:
    """The share of requests that may fail: of `errors` or `availability` in the SLO line, else 0.01."""
    for one in objectives(cargo.desired):
        if one.metric == "errors":
            return one.limit
        if one.metric == "availability":
            return round(1 - one.limit, 9)
    return 0.01


def concurrency(cargo: Cargo, workers: int, most: int) -> int:
    """Requests at once that `workers` answer in time: workers * limit / (4 * service), between 1 and `most`.

    `limit` is the promised latency, 250 ms where there is none. A queue of n takes n times the service time; a fourth
    of that leaves room for the tail, which is what is promised.
    """
    promised = latency_limit(cargo)
    limit = promised[1] if promised is not None else _USUAL_LIMIT_S
    return max(1, min(most, math.floor(workers * limit / (4 * service_s(cargo)))))


def per_minute(cargo: Cargo, workers: int) -> int:
    """Requests a minute at which one instance is half busy: 0.5 * 60 * workers / service. Scaling aims at that."""
    return max(1, math.floor(30 * workers / service_s(cargo)))


def workers_for(cargo: Cargo, cores: float) -> int:
    """Workers on `cores`: as many as here, and no more than one a core."""
    return max(1, min(cargo.desired.workers, math.floor(cores)))


def smallest(cargo: Cargo, machines: Sequence[tuple[str, int, int]]) -> str:
    """The first of `machines` (name, cores, GiB) with a core a worker and a quarter of memory to spare, or the last."""
    workers = cargo.desired.workers
    for name, cores, gib in machines:
        if cores >= workers and memory_mib(cargo, workers) <= 768 * gib:
            return name
    return machines[-1][0]


def canary_percent(instances: int, wanted: int) -> int:
    """The share of a fleet that is tried first: `wanted`, and at least one instance of it."""
    return max(wanted, math.ceil(100 / instances))


def step_up(value: int, steps: Sequence[int], what: str) -> int:
    """The smallest of `steps` that is no less. Raises `InvalidOption` where the largest is too small."""
    for step in steps:
        if value <= step:
            return step
    raise InvalidOption(
        f"{what} would have to be {value}, and {steps[-1]} is the most there is",
        fix="choose another place, or fewer workers",
    )


def between(cargo: Cargo, option: str, derived: int, low: int, high: int) -> int:
    """An option that is a number, `derived` where it is 0. Raises `InvalidOption` outside `low` to `high`."""
    value = cargo.number(option) or derived
    if low <= value <= high:
        return value
    raise InvalidOption(f"{option} would be {value}", why=f"it is {low} to {high} there", fix=f"--set {option}={low}")


def measured_notes(cargo: Cargo) -> tuple[str, ...]:
    """What a person should know of the figures; () where they were measured."""
    if cargo.image is None or not cargo.image.rss_bytes:
        number = cargo.version.number
        return (f"no image of v{number} was started here: memory is a guess of {_UNMEASURED_MIB} MiB a worker",)
    return ()
