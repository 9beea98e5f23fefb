"""Simulated traffic for objectives: seconds of answers with a known latency and share of errors; seeds are fixed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from records import make_status, make_version

from autodeploy_magic.contracts import Desired
from autodeploy_magic.metrics.histogram import GAMMA
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.detect.base import Answers, Moment, Reference

START = 1_800_000_000
MEDIAN_S, SIGMA = 0.010, 0.5
"""Of a log-normal latency: its 99th percentile is 32 ms."""
BUCKETS = np.arange(-320, 60)


VERSIONS = {number: make_version(number) for number in range(1, 5)}


def probabilities(median_s: float = MEDIAN_S, sigma: float = SIGMA) -> np.ndarray:
    """How likely a log-normal latency falls into each of `BUCKETS`."""
    edges = (np.append(BUCKETS - 1, BUCKETS[-1]) * math.log(GAMMA) - math.log(median_s)) / sigma
    cumulated = np.array([0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges])
    found: np.ndarray = np.diff(cumulated)
    return found


def answers(
    seconds: int,
    rate: float | Callable[[int], float],
    *,
    seed: int,
    errors: float = 0.0,
    median_s: float = MEDIAN_S,
) -> Iterator[Answers]:
    """What is answered in each second, at a `rate` of requests a second that may change from second to second."""
    rng = np.random.default_rng(seed)
    shares = probabilities(median_s)
    kept = shares > 1e-9
    indexes, shares = BUCKETS[kept], shares[kept] / shares[kept].sum()
    for begin in range(0, seconds, 600):
        span = range(begin, min(seconds, begin + 600))
        rates = [rate(second) if callable(rate) else rate for second in span]
        counts = rng.poisson(rates)
        failed = rng.binomial(counts, errors)
        drawn = rng.multinomial(counts, shares)
        for total, bad, row in zip(counts.tolist(), failed.tolist(), drawn, strict=True):
            there = row.nonzero()[0]
            latency = dict(zip(indexes[there].tolist(), row[there].tolist(), strict=True))
            yield Answers(requests=total, failed=bad, latency=latency)


def moment(t: int, found: Answers | None, slo: str = "", *, number: int = 1, **more: Any) -> Moment:
    """A second of a deployment whose champion is version `number`."""
    known: dict[str, Any] = {
        "t": t,
        "name": "iris",
        "desired": Desired(name="iris", version=number, executable="python", slo=slo),
        "status": make_status(version=number),
        "version": VERSIONS[number],
        "answers": found,
        "reference": lambda: Reference({}, {}),
        "by_version": {} if found is None else {number: found},
        "swapped_s": float(START),
    }
    return Moment(**{**known, **more})


def used(t: int, *, memory_bytes: float = 200e6, cpu_s: float = 0.1, free_bytes: float = 50e9) -> Resources:
    return Resources(t, 1.0, 3, cpu_s, int(memory_bytes), int(memory_bytes), 9, 9, 0, int(free_bytes))
