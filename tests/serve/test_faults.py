"""A drill's faults in a worker: real while they last, and gone without a trace."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from versions import X

from autodeploy_magic.errors import InvalidOption, ModelFailed
from autodeploy_magic.serve.faults import Disturbance
from autodeploy_magic.serve.lineup.orders import Disturb
from autodeploy_magic.serve.model import ServedModel

MB = 1 << 20


@pytest.fixture
def served(version_folder: Path) -> ServedModel:
    return ServedModel.load(version_folder)


def answered(served: ServedModel) -> bool:
    try:
        served.run(served.decode(X[:1].tolist()), ("predictions",))
    except ModelFailed:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def test_that_share_of_the_runs_fails_until_it_is_ended(served: ServedModel) -> None:
    async def test() -> None:
        disturbance = Disturbance(Disturb("errors", 60, 0.2), served)
        assert sum(not answered(served) for _ in range(50)) == 10
        disturbance.end()
        assert all(answered(served) for _ in range(50))
        disturbance.end()

    asyncio.run(test())
    assert "run" not in vars(served)


def test_it_is_over_when_its_time_is(served: ServedModel) -> None:
    async def test() -> None:
        Disturbance(Disturb("errors", 0.05, 1.0), served)
        assert not answered(served)
        await until(lambda: answered(served))

    asyncio.run(test())
    assert "run" not in vars(served)


def test_a_slow_model_takes_so_much_longer(served: ServedModel) -> None:
    async def test() -> None:
        disturbance = Disturbance(Disturb("slow", 60, 0.05), served)
        began = time.perf_counter()
        assert answered(served)
        assert time.perf_counter() - began >= 0.05
        disturbance.end()

    asyncio.run(test())


def test_a_leak_takes_memory_within_its_bound_and_gives_it_back(served: ServedModel) -> None:
    process = psutil.Process(os.getpid())

    async def test() -> int:
        before = process.memory_info().rss
        disturbance = Disturbance(Disturb("leak", 60, 400 * MB, most_bytes=80 * MB), served)
        await until(lambda: process.memory_info().rss >= before + 70 * MB)
        await asyncio.sleep(0.3)  # it would go on taking
        most = process.memory_info().rss - before
        assert answered(served)
        disturbance.end()
        return most

    assert asyncio.run(test()) < 150 * MB


@pytest.mark.parametrize("order", [Disturb("slow", 60, 60), Disturb("errors", 60, 2.0), Disturb("leak", 1e6, 1.0)])
def test_one_that_is_out_of_bounds_is_refused(served: ServedModel, order: Disturb) -> None:
    async def test() -> None:
        with pytest.raises(InvalidOption):
            Disturbance(order, served)

    asyncio.run(test())
    assert answered(served)
