"""The lane: short runs on the loop, long ones in a thread behind a bounded queue."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lanes import BOTH, SLOW, WAIT_S, Bench, P, Sum, ended, entered, rows, run, threads
from versions import X

from autodeploy_magic import settings
from autodeploy_magic.errors import Overloaded, Unavailable
from autodeploy_magic.serve.model import ServedModel


def test_a_short_run_is_answered_at_once(version_folder: Path, bench: Bench) -> None:
    served = ServedModel.load(version_folder)
    lane = bench.lane(served)
    batch = served.decode(X[:3].tolist())

    async def test() -> None:
        outputs = lane.run(batch, BOTH)
        assert isinstance(outputs, dict)
        np.testing.assert_array_equal(outputs["predictions"], served.run(batch, P)["predictions"])
        assert list(outputs) == list(BOTH)

    run(test)
    assert threads() == []
    stats = lane.take_stats()
    assert (stats.batches, stats.executions, stats.queue_s) == ({3: 1}, 1, 0.0)
    assert stats.run_s > 0
    assert lane.take_stats().executions == 0


@pytest.mark.parametrize("measured", [{"one_row_s": None}, {"one_row_s": 0.1}, SLOW])
def test_a_long_run_or_one_that_nobody_measured_is_answered_by_a_thread(bench: Bench, measured: dict[str, Any]) -> None:
    lane, _ = bench.sum(**measured)

    async def test() -> None:
        future = lane.run(rows(lane, [1, 2, 3, 4]), P)
        assert isinstance(future, asyncio.Future)
        assert (await future)["predictions"].tolist() == [10]

    run(test)
    stats = lane.take_stats()
    assert (stats.batches, stats.waiting) == ({1: 1}, 1)
    assert stats.queue_s > 0
    assert len(threads()) == 1
    lane.close()
    assert threads() == []


def test_many_rows_of_a_quick_model_go_to_the_thread(bench: Bench) -> None:
    lane, _ = bench.sum(one_row_s=1e-4, batch_s=256e-4)

    async def test() -> None:
        assert isinstance(lane.run(rows(lane, *[[1, 2, 3, 4]] * 2), P), dict)
        assert isinstance(await lane.run(rows(lane, *[[1, 2, 3, 4]] * 200), P), dict)  # type: ignore[misc]

    run(test)


def test_a_long_run_does_not_hold_the_loop(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        future = lane.run(rows(lane, [1, 2, 3, 4]), P)
        await entered(model)
        for _ in range(1000):
            await asyncio.sleep(0)  # the loop turns while the model runs
        assert not future.done()  # type: ignore[union-attr]
        assert (lane.running, lane.queued) == (1, 0)
        model.gate.set()  # type: ignore[union-attr]
        await future  # type: ignore[misc]
        assert lane.running == 0

    run(test)


def test_a_model_that_turns_out_slow_leaves_the_loop_and_comes_back(bench: Bench) -> None:
    lane, model = bench.sum(one_row_s=1e-4, batch_s=256e-4)
    model.seconds = 0.01

    async def test() -> None:
        batch = rows(lane, [1, 2, 3, 4])
        kinds = []
        for _ in range(60):
            answer = lane.run(batch, P)
            kinds.append(isinstance(answer, dict))
            if not isinstance(answer, dict):
                await answer
        assert kinds[0]
        assert not kinds[-1]
        model.seconds = 0.0
        for _ in range(500):
            answer = lane.run(batch, P)
            if isinstance(answer, dict):
                return
            await answer
        pytest.fail("it never came back to the loop")

    run(test)


def test_a_full_queue_refuses_and_says_when_to_come_back(bench: Bench) -> None:
    settings.set_option("max_queue", 3)
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        batch = rows(lane, [1, 2, 3, 4])
        answers = [lane.run(batch, P)]
        await entered(model)
        answers += [lane.run(batch, P) for _ in range(3)]
        with pytest.raises(Overloaded) as caught:
            lane.run(batch, P)
        assert caught.value.details["retry_after_s"] >= 1
        assert isinstance(caught.value.details["retry_after_s"], int)
        assert (lane.queued, lane.running) == (3, 1)
        model.gate.set()  # type: ignore[union-attr]
        assert all(isinstance(outputs, dict) for outputs in await ended(answers))

    run(test)
    stats = lane.take_stats()
    assert (stats.overloaded, stats.waiting) == (1, 3)


def test_who_goes_away_leaves_a_place(bench: Bench) -> None:
    settings.set_option("max_queue", 2)
    settings.set_option("batch_rows", 0)
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        first = lane.run(rows(lane, [1, 1, 1, 1]), P)
        await entered(model)
        gone, stays = (lane.run(rows(lane, [n, n, n, n]), P) for n in (2, 3))
        with pytest.raises(Overloaded):
            lane.run(rows(lane, [4, 4, 4, 4]), P)
        gone.cancel()  # type: ignore[union-attr]
        assert lane.queued == 1
        new = lane.run(rows(lane, [5, 5, 5, 5]), P)
        model.gate.set()  # type: ignore[union-attr]
        outputs = await ended([first, stays, new])
        assert [o["predictions"].tolist() for o in outputs] == [[4], [12], [20]]
        assert gone.cancelled()  # type: ignore[union-attr]

    run(test)
    assert model.seen == [1, 1, 1]
    assert lane.take_stats().cancelled == 1


def test_who_goes_away_while_the_model_runs_gets_nothing_and_holds_nothing_up(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        gone = lane.run(rows(lane, [1, 1, 1, 1]), P)
        await entered(model)
        stays = lane.run(rows(lane, [2, 2, 2, 2]), P)
        gone.cancel()  # type: ignore[union-attr]
        model.gate.set()  # type: ignore[union-attr]
        assert (await stays)["predictions"].tolist() == [8]  # type: ignore[misc]
        assert gone.cancelled()  # type: ignore[union-attr]

    run(test)
    assert lane.take_stats().cancelled == 0


def test_many_that_go_away_leave_nothing_behind(bench: Bench) -> None:
    settings.set_option("max_queue", 2)
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        batch = rows(lane, [1, 1, 1, 1])
        first = lane.run(batch, P)
        await entered(model)
        for _ in range(1000):
            lane.run(batch, P).cancel()  # type: ignore[union-attr]
        assert lane.queued == 0
        assert lane._pool._wake.qsize() <= 1
        model.gate.set()  # type: ignore[union-attr]
        await first  # type: ignore[misc]
        assert (await lane.run(batch, P))["predictions"].tolist() == [4]  # type: ignore[misc]

    run(test)
    assert model.seen == [1, 1]


def test_closing_refuses_what_waits_and_answers_what_runs(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        batch = rows(lane, [1, 2, 3, 4])
        running = lane.run(batch, P)
        await entered(model)
        waiting = lane.run(batch, P)
        lane.close()
        with pytest.raises(Unavailable):
            await waiting  # type: ignore[misc]
        with pytest.raises(Unavailable):
            lane.run(batch, P)
        model.gate.set()  # type: ignore[union-attr]
        assert (await running)["predictions"].tolist() == [10]  # type: ignore[misc]
        await asyncio.to_thread(lambda: [thread.join(WAIT_S) for thread in threads()])
        assert threads() == []
        lane.close()

    run(test)


def test_drained_is_when_nothing_waits_or_runs(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        await lane.drained()  # nothing was asked yet
        answers = [lane.run(rows(lane, [1, 2, 3, 4]), P) for _ in range(3)]
        drained = asyncio.ensure_future(lane.drained())
        await entered(model)
        assert not drained.done()
        model.gate.set()  # type: ignore[union-attr]
        await drained
        assert all(answer.done() for answer in answers)  # type: ignore[union-attr]

    run(test)


def test_two_threads_run_two_requests_at_a_time(bench: Bench) -> None:
    settings.set_option("batch_rows", 0)
    served = bench.load(Sum(), **SLOW)
    lane = bench.lane(served, as_recorded=True, threads=2)
    model: Sum = served._runner.model  # type: ignore[attr-defined]
    meeting = threading.Barrier(2)
    model.gate = meeting  # type: ignore[assignment]

    async def test() -> None:
        answers = [lane.run(rows(lane, [n, 0, 0, 0]), P) for n in range(2)]
        assert [isinstance(o, dict) for o in await ended(answers)] == [True, True]

    meeting.wait = lambda timeout=WAIT_S: threading.Barrier.wait(meeting, timeout) + 1  # type: ignore[method-assign]
    run(test)
    assert len(threads()) == 2


def test_an_answer_that_comes_after_the_loop_has_ended_hurts_nobody(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        lane.run(rows(lane, [1, 2, 3, 4]), P)
        await entered(model)

    run(test)
    model.gate.set()  # type: ignore[union-attr]
    lane.close()
    for thread in threads():
        thread.join(WAIT_S)
    assert threads() == []


def test_what_is_under_way_is_what_waits_and_what_is_in_the_model(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)
    assert model.gate is not None
    began = time.perf_counter()

    async def test() -> None:
        first = lane.run(rows(lane, [1, 2, 3, 4]), P)
        await entered(model)
        others = [lane.run(rows(lane, [1, 2, 3, i]), P) for i in range(3)]
        assert all(isinstance(future, asyncio.Future) for future in (first, *others))
        assert (lane.held(0.0), lane.held(60.0)) == (4, 4)
        assert 0.0 < lane.oldest_s() <= time.perf_counter() - began
        others[0].cancel()
        stats = lane.take_stats()
        assert (stats.executions, stats.waiting, stats.in_flight) == (0, 3, 4)
        stats = lane.take_stats()  # of a time in which nothing came, and nothing was answered
        assert (stats.waiting, stats.in_flight) == (2, 3)
        first.cancel()
        assert lane.held(0.0) == 3  # its client is gone, and it is still in the model
        assert lane.oldest_s() > 0.0
        model.gate.set()
        await asyncio.gather(*others[1:])

    run(test)
    lane.take_stats()
    assert (lane.held(0.0), lane.take_stats().in_flight) == (0, 0)
    assert lane.oldest_s() == 0.0


def test_a_run_on_the_loop_is_under_way_as_long_as_it_takes(bench: Bench) -> None:
    lane, model = bench.sum(gated=True, one_row_s=1e-5, batch_s=1e-5)
    lane._joining.allowed = False
    batch = rows(lane, [1, 2, 3, 4])
    assert model.gate is not None
    loop = threading.Thread(target=lambda: lane.run(batch, P))
    loop.start()
    assert model.entered.wait(WAIT_S)
    assert lane.held(60.0) == 0
    end = time.monotonic() + WAIT_S
    while not lane.held(0.01):
        assert time.monotonic() < end
    model.gate.set()
    loop.join(WAIT_S)
    assert lane.held(0.0) == 0
    assert lane.take_stats().in_flight == 1
