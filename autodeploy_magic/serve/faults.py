"""Faults that a drill causes in a worker: for real, in bounds, and over when their time is, or who asked has gone."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from autodeploy_magic.errors import InvalidOption, ModelFailed
from autodeploy_magic.serve.lineup.orders import Disturb
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import Batch

__all__ = ["Disturbance"]

log = logging.getLogger(__name__)

LONGEST_S = 600.0
SLOWEST_S = 10.0
LEAK_EVERY_S = 0.1
_PAGE_BYTES = 4096

Run = Callable[[Batch, Sequence[str]], dict[str, Any]]


class Disturbance:
    """One fault in the model `served`, from now on until `end`. All of it on the event loop's thread.

    Raises `InvalidOption` for one that is out of bounds.
    """

    def __init__(self, order: Disturb, served: ServedModel) -> None:
        _check(order)
        loop = asyncio.get_running_loop()
        self._served = served
        self._held: list[bytearray] = []
        self._timers = [loop.call_later(order.seconds, self.end)]
        log.warning("a drill: %s for %g s", order.kind, order.seconds)
        if order.kind == "leak":
            self._leak(order, order.most_bytes)
        else:
            run = served.run
            disturbed = _slower(run, order.amount) if order.kind == "slow" else _failing(run, order.amount)
            vars(served)["run"] = disturbed  # stands before the class's own

    def end(self) -> None:
        """Everything is as it was; what was taken is given back."""
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self._held = []
        vars(self._served).pop("run", None)

    def _leak(self, order: Disturb, left: int) -> None:
        size = min(left, int(order.amount * LEAK_EVERY_S))
        if size > 0:
            taken = bytearray(size)
            taken[::_PAGE_BYTES] = b"x" * len(range(0, size, _PAGE_BYTES))  # memory is taken when it is written
            self._held.append(taken)
            again = asyncio.get_running_loop().call_later(LEAK_EVERY_S, self._leak, order, left - size)
            self._timers = [self._timers[0], again]


def _slower(run: Run, seconds: float) -> Run:
    def slower(batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        time.sleep(seconds)
        return run(batch, names)

    return slower


def _failing(run: Run, share: float) -> Run:
    """Every n-th run fails, so that a share of 0.2 is one in five from the beginning."""
    count = itertools.count(1)

    def failing(batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        number = next(count)
        if int(number * share) > int((number - 1) * share):
            raise ModelFailed("the model failed: a drill lets it", fix="wait until the drill is over")
        return run(batch, names)

    return failing


def _check(order: Disturb) -> None:
    most = {"slow": SLOWEST_S, "errors": 1.0, "leak": float("inf")}[order.kind]
    if not 0 < order.seconds <= LONGEST_S or not 0 < order.amount <= most or order.most_bytes < 0:
        raise InvalidOption(
            f"a drill cannot be {order.kind} by {order.amount:g} for {order.seconds:g} s",
            fix=f"{LONGEST_S:g} s at most",
        )
