"""Moments of synthetic traffic from a seed, and of recorded traffic, with faults put into them at a known time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from autodeploy_magic.contracts import Desired, Environment, Signature, Status, Trust, Version, WorkerState
from autodeploy_magic.metrics.histogram import GAMMA
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.detect.base import Answers, Moment, Reference

__all__ = ["DAY_S", "START", "Scene", "bursts", "daily", "moments", "recorded", "sparse", "steady", "weekly"]

DAY_S = 24 * 3600
START = 1_767_571_200
"""Monday, 2026-01-05, 00:00 UTC."""
CHUNK_S = 600
MB = 1e6
RECORDED = Path(__file__).parent / "recorded" / "rollups.json"
_LOG_GAMMA = math.log(GAMMA)

Array = np.ndarray[Any, np.dtype[Any]]
Shape = Callable[[Array, np.random.Generator], Array]


def steady(t: Array, _: np.random.Generator) -> Array:
    """The same rate at all times."""
    return np.ones(len(t))


def daily(t: Array, _: np.random.Generator) -> Array:
    """A day: the least at three in the night, a twentieth of the most."""
    phase = (t % DAY_S) / DAY_S - 3 / 24
    return 0.05 + 0.95 * (1 - np.cos(2 * math.pi * phase)) / 2


def weekly(t: Array, chance: np.random.Generator) -> Array:
    """Days with a weekend of a fifth as many requests."""
    day = (t // DAY_S + 3) % 7  # the epoch began on a Thursday
    return daily(t, chance) * np.where(day >= 5, 0.2, 1.0)


def bursts(t: Array, chance: np.random.Generator) -> Array:
    """Three times as many requests for some seconds, every few minutes."""
    factors = np.ones(len(t))
    for start in np.flatnonzero(chance.random(len(t)) < 1 / 240):
        factors[start : start + chance.integers(3, 20)] = 3.0
    return factors


def sparse(t: Array, chance: np.random.Generator) -> Array:
    """A person at a notebook: some minutes of requests now and then, and nothing in between."""
    factors = np.zeros(len(t))
    for start in np.flatnonzero(chance.random(len(t)) < 1 / 900):
        factors[start : start + chance.integers(5, 240)] = 1.0
    return factors


@dataclass(frozen=True)
class Scene:
    """A deployment for some `seconds`, as `rate` (requests a second) times `shape`, with a fault from `change_s` on.

    Latencies are log-normal about `latency_s`, with `sigma` from request to request and `wander` from minute to
    minute; a hiccup of some seconds comes every ten minutes, and where `shape` is 1 they are e^`load` times as long as
    where it is 0. Memory goes up and down by `sawtooth` bytes, as with a garbage collector. From the change on answers
    take `slower` times as long and the slowest 3 % `tail` times, the share `fails` of the requests fails, `more` times
    as many come, `leak` bytes a second are lost, `cpu` more cores and `memory` more bytes are taken.
    """

    seconds: int
    rate: float = 100.0
    shape: Shape = steady
    latency_s: float = 0.005
    sigma: float = 0.5
    wander: float = 0.08
    load: float = 0.25
    sawtooth: float = 20 * MB
    failing: float = 0.0002
    change_s: int = 0
    slower: float = 1.0
    tail: float = 1.0
    fails: float = 0.0
    more: float = 1.0
    leak: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    start: int = START


@cache
def _fixed() -> dict[str, Any]:
    """What a moment has besides: a deployment of one worker that runs."""
    return {
        "name": "bench",
        "desired": Desired(name="bench", version=1, executable="python"),
        "status": Status(
            name="bench",
            state="running",
            version=1,
            generation=1,
            workers=(WorkerState(pid=1, create_time=0.0, boot_id="", generation=1, version=1, ready=True),),
        ),
        "version": Version(
            deployment="bench",
            number=1,
            digest="0",
            created_at="2026-01-05T00:00:00+00:00",
            task="classification",
            framework="sklearn",
            model_type="sklearn",
            format="onnx",
            reason="",
            trust=Trust(level="green", reason=""),
            signature=Signature(container="ndarray", columns=()),
            outputs=(),
            artifacts=(),
            environment=Environment(python="3.11", platform="linux"),
            candidates=(),
            sample_rows=0,
        ),
        "reference": lambda: Reference({}, {}),
        "swapped_s": float(START),
    }


def moments(scene: Scene, seed: int) -> Iterator[Moment]:
    """The scene, second by second."""
    chance = np.random.default_rng(seed)
    drift, lost = 0.0, 0.0
    for begin in range(0, scene.seconds, CHUNK_S):
        offsets = np.arange(begin, min(begin + CHUNK_S, scene.seconds))
        after = (offsets >= scene.change_s) if scene.change_s else np.zeros(len(offsets), bool)
        times = scene.start + offsets
        factors = scene.shape(times, chance)
        counts = chance.poisson(scene.rate * factors * np.where(after, scene.more, 1.0))
        levels, drift = _levels(scene, len(offsets), chance, drift)
        levels += scene.load * np.minimum(factors, 1.5) + np.where(after, math.log(scene.slower), 0.0)
        logs = np.repeat(levels, counts) + chance.normal(0.0, scene.sigma, int(counts.sum()))
        if scene.tail != 1.0:
            slow = (chance.random(len(logs)) < 0.03) & np.repeat(after, counts)
            logs[slow] += math.log(scene.tail)
        buckets = np.split(np.ceil(logs / _LOG_GAMMA).astype(int), np.cumsum(counts)[:-1])
        failed = chance.binomial(counts, np.where(after, scene.failing + scene.fails, scene.failing))
        cpu = 0.02 + 0.002 * counts * chance.normal(1.0, 0.05, len(offsets)) + np.where(after, scene.cpu, 0.0)
        used = 150 * MB + scene.sawtooth * ((times % 97) / 97) + chance.normal(0.0, 0.3 * MB, len(offsets))
        lost_now = lost + np.cumsum(np.where(after, scene.leak, 0.0))
        lost = float(lost_now[-1])
        used += lost_now + np.where(after, scene.memory, 0.0)
        for i, t in enumerate(times.tolist()):
            yield moment(t, int(counts[i]), int(failed[i]), Counter(buckets[i].tolist()), max(0.0, cpu[i]), used[i])


def _levels(scene: Scene, seconds: int, chance: np.random.Generator, drift: float) -> tuple[Array, float]:
    """Logarithms of the usual latency of each second: it wanders within about a minute, and has hiccups."""
    keep = math.exp(-1 / 30)
    steps = chance.normal(0.0, scene.wander * math.sqrt(1 - keep * keep), seconds)
    levels = np.empty(seconds)
    for i, step in enumerate(steps.tolist()):
        drift = keep * drift + step
        levels[i] = drift
    for start in np.flatnonzero(chance.random(seconds) < 1 / 600):
        levels[start : start + chance.integers(1, 4)] += math.log(3)
    return levels + math.log(scene.latency_s), drift


def moment(t: int, requests: int, failed: int, latency: dict[int, int], cpu_s: float, memory: float) -> Moment:
    """One second of it."""
    answers = Answers(requests=requests, failed=failed, latency=latency)
    used = Resources(t, 1.0, 1, float(cpu_s), int(memory), int(memory), 12, 40, 300 << 20, 40 << 30)
    by_version = {1: answers} if requests else {}
    return Moment(t=t, answers=answers, by_version=by_version, in_flight=min(requests, 2), used=used, **_fixed())


def recorded(scene: Scene, seed: int) -> Iterator[Moment]:
    """The recorded minutes again and again, from a second that the seed chooses, with the scene's fault put in."""
    chance = np.random.default_rng(seed)
    lines = _lines()
    first = int(chance.integers(len(lines)))
    later = round(math.log(scene.slower) / _LOG_GAMMA)
    lost = 0.0
    for offset in range(scene.seconds):
        requests, failed, latency, cpu_s, memory = lines[(first + offset) % len(lines)]
        after = bool(scene.change_s) and offset >= scene.change_s
        counts = {int(bucket): count for bucket, count in latency.items()}
        if after:
            requests = round(requests * scene.more)
            counts = {bucket + later: count for bucket, count in counts.items()} if requests else {}
            failed = min(requests, failed + int(chance.binomial(requests, scene.fails)))
            lost += scene.leak
        yield moment(scene.start + offset, requests, failed, counts, cpu_s + after * scene.cpu, memory + lost)


@cache
def _lines() -> list[tuple[int, int, dict[str, int], float, float]]:
    lines: list[tuple[int, int, dict[str, int], float, float]] = msgspec.json.decode(RECORDED.read_bytes())["seconds"]
    return lines
