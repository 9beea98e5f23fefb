"""The tables: faults that have to be told of, and streams in which nothing is wrong.

A detector of another kind brings its streams in a file of its own (`data.py`) with `CASES` and `QUIET`: see `MORE`.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from detect.measure import Case, Quiet
from detect.streams import DAY_S, MB, START, Scene, bursts, daily, moments, recorded, sparse, weekly

__all__ = ["BUSY", "cases", "quiet"]

MORE = ("data",)
"""Files beside this one with further `CASES` and `QUIET`."""
WARM_S, LONG_S = 900, 2100
AFTER_S = 240
BUSY = Scene(seconds=600, rate=100.0, sawtooth=5 * MB)


def _case(name: str, scene: Scene, rules: tuple[str, ...], detector: str, target: float | None, warm_s: int) -> Case:
    there = replace(scene, seconds=warm_s + AFTER_S, change_s=warm_s)
    return Case(name, partial(moments, there), START + warm_s, rules, (detector,), target)


def _replayed(name: str, scene: Scene, rules: tuple[str, ...], detector: str, target: float, warm_s: int) -> Case:
    there = replace(scene, seconds=warm_s + AFTER_S, change_s=warm_s)
    return Case(f"{name}, recorded", partial(recorded, there), START + warm_s, rules, (detector,), target)


CASES: list[Case] = [
    *(
        _case(f"latency ×2, {rate:g}/s", Scene(0, rate, slower=2.0), ("latency",), "latency", target, WARM_S)
        for rate, target in ((1, None), (3, 30.0), (10, 30.0), (100, 30.0), (300, 30.0))
    ),
    *(
        _case(f"slowest 3 % ×6, {rate:g}/s", Scene(0, rate, tail=6.0), ("latency",), "latency", None, WARM_S)
        for rate in (30, 100)
    ),
    _case("errors 0 → 20 %, 1/s", Scene(0, 1, failing=0.0, fails=0.2), ("errors",), "errors", None, WARM_S),
    _case("errors 0 → 2 %, 10/s", Scene(0, 10, failing=0.0, fails=0.02), ("errors",), "errors", None, WARM_S),
    *(
        _case(f"errors 0 → 2 %, {rate}/s", Scene(0, rate, failing=0.0, fails=0.02), ("errors",), "errors", 15.0, 600)
        for rate in (100, 300)
    ),
    *(
        _case(f"requests → 0, {rate:g}/s", Scene(0, rate, more=0.0), ("rate",), "rate", target, LONG_S)
        for rate, target in ((1, None), (2, 15.0), (10, 15.0), (100, 15.0))
    ),
    _case("requests → 0, bursts", Scene(0, 30, bursts, more=0.0), ("rate",), "rate", 15.0, LONG_S),
    _case("requests ×20", Scene(0, 20, more=20.0), ("rate",), "rate", None, LONG_S),
    _case("leak of 1 MB/s", Scene(0, 30, leak=1 * MB), ("leak",), "leak", 120.0, 600),
    _case("leak of 1 MB/s, no sawtooth", Scene(0, 30, leak=1 * MB, sawtooth=0.0), ("leak",), "leak", 120.0, 600),
    _case("leak of 5 MB/s", Scene(0, 30, leak=5 * MB), ("leak",), "leak", 120.0, 600),
    _case("0.8 cores more", Scene(0, 30, cpu=0.8), ("cpu",), "resources", None, WARM_S),
    _case("300 MB more at once", Scene(0, 30, memory=300 * MB), ("memory",), "resources", None, WARM_S),
    _replayed("latency ×2", Scene(0, slower=2.0), ("latency",), "latency", 30.0, WARM_S),
    _replayed("errors 0 → 2 %", Scene(0, fails=0.02), ("errors",), "errors", 15.0, WARM_S),
    _replayed("requests → 0", Scene(0, more=0.0), ("rate",), "rate", 15.0, LONG_S),
    _replayed("leak of 1 MB/s", Scene(0, leak=1 * MB), ("leak",), "leak", 120.0, WARM_S),
]

QUIET: list[Quiet] = [
    *(Quiet(f"steady {rate:g}/s", partial(moments, Scene(DAY_S, rate)), 1.0) for rate in (1, 10, 100)),
    Quiet("steady 300/s, 4 hours", partial(moments, Scene(DAY_S // 6, 300)), 1 / 6),
    Quiet("daily cycle to 20/s", partial(moments, Scene(DAY_S, 20, daily)), 1.0),
    Quiet("daily cycle to 100/s", partial(moments, Scene(DAY_S, 100, daily)), 1.0),
    Quiet(
        "a weekend and a day on each side, to 3/s",
        partial(moments, Scene(4 * DAY_S, 3, weekly, start=START - 3 * DAY_S)),
        4.0,
        ("latency", "rate", "errors", "slo"),
    ),
    Quiet("bursts of 3 times 20/s", partial(moments, Scene(DAY_S, 20, bursts)), 1.0),
    Quiet("a person at a notebook", partial(moments, Scene(DAY_S, 3, sparse)), 1.0),
    Quiet("recorded, 6 hours", partial(recorded, Scene(DAY_S // 4)), 0.25),
]


def cases() -> list[Case]:
    """All of them."""
    return [*CASES, *(case for name in _more() for case in importlib.import_module(f"detect.{name}").CASES)]


def quiet() -> list[Quiet]:
    """All of them."""
    return [*QUIET, *(one for name in _more() for one in importlib.import_module(f"detect.{name}").QUIET)]


def _more() -> list[str]:
    return [name for name in MORE if (Path(__file__).parent / f"{name}.py").exists()]
