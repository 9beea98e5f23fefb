"""Lanes over models that can be told to wait, to be slow and to fail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from versions import X, write_version

from autodeploy_magic.serve.lane.lane import Lane
from autodeploy_magic.serve.lane.service_time import recorded
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import Batch

P = ("predictions",)
BOTH = ("predictions", "probabilities")
WAIT_S = 30.0
SLOW = {"one_row_s": 0.1, "batch_s": 0.1}
"""A model that is run in the thread, and whose time hardly depends on the number of rows."""


class Sum:
    """A model that can be told to wait, to be slow, and to fail: what a native version may hold.

    A row with 666 in it raises, one with 667 ends the interpreter if it can.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []  # rows of each run
        self.seconds = 0.0
        self.short = False  # answers one row too few
        self.gate: threading.Event | None = None
        self.entered = threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]

    def predict(self, x: Any) -> Any:
        self.seen.append(len(x))
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(WAIT_S)
        if self.seconds:
            time.sleep(self.seconds)
        if (x == 666).any():
            raise ValueError("this row")
        if (x == 667).any():
            raise SystemExit(1)
        return x.sum(axis=1)[: len(x) - self.short]

    def predict_proba(self, x: Any) -> Any:
        return np.column_stack([x.sum(axis=1), x.sum(axis=1)])


class Centred(Sum):
    """Answers that depend on the other rows of the request."""

    def predict(self, x: Any) -> Any:
        return super().predict(x) - x.mean()


class Total(Sum):
    """One answer, however many rows."""

    def predict(self, x: Any) -> Any:
        return float(super().predict(x).sum())


class Bench:
    """Versions, their lanes, and an end to all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lanes: list[Lane] = []

    def load(self, model: Any, **how: Any) -> ServedModel:
        folder = self._folder / str(len(list(self._folder.iterdir())))
        write_version(folder, model, X, **{"format": "native", **how})
        return ServedModel.load(folder)

    def lane(self, served: ServedModel, *, as_recorded: bool = False, **how: Any) -> Lane:
        """A lane. `as_recorded`: it goes by the record, though it has measured at its start that the model is quick."""
        lane = Lane(served, **how)
        record = recorded(served.version)
        if as_recorded and record.predict(1) < float("inf"):
            for count in (1, 2, 4, 8, 16, 32, 64, 128, 256):
                lane._times.calibrate(count, record.predict(count))
        self.lanes.append(lane)
        return lane

    def sum(self, *, gated: bool = False, kind: type[Sum] = Sum, **how: Any) -> tuple[Lane, Sum]:
        served = self.load(kind(), **{**SLOW, **how})
        lane = self.lane(served, as_recorded=True)
        model: Sum = served._runner.model  # type: ignore[attr-defined]
        model.seen.clear()  # what the lane tried at its start
        model.entered.clear()
        if gated:
            model.gate = threading.Event()
        return lane, model


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lane"]


def rows(lane: Lane, *values: Any) -> Batch:
    return lane._served.decode(np.asarray(values, dtype=float).tolist())


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(2 * WAIT_S):
            await test()

    asyncio.run(bounded())


async def entered(model: Sum) -> None:
    """Return when the thread is in the model."""
    assert await asyncio.to_thread(model.entered.wait, WAIT_S)


async def ended(answers: list[Any]) -> list[Any]:
    """The answers, or the errors in their places."""
    return await asyncio.gather(*answers, return_exceptions=True)
