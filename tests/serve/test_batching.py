"""Several requests in one run of the model: when, which, and with the answers that each would get alone."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from lanes import BOTH, SLOW, Bench, Centred, P, Total, ended, entered, rows, run, threads
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y

from autodeploy_magic import settings
from autodeploy_magic.errors import ModelFailed
from autodeploy_magic.serve.lane.batching import EXPLORE


def test_what_comes_while_the_model_runs_is_answered_together(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        batches = [rows(lane, [n, 0, 0, 0]) for n in range(7)] + [rows(lane, [7, 0, 0, 0], [8, 0, 0, 0])]
        answers = [lane.run(batches[0], P)]
        await entered(model)
        answers += [lane.run(batch, P) for batch in batches[1:]]
        model.gate.set()  # type: ignore[union-attr]
        outputs = await ended(answers)
        assert [o["predictions"].tolist() for o in outputs] == [[n] for n in range(7)] + [[7, 8]]

    run(test)
    assert model.seen == [1, 8]
    assert lane.take_stats().batches == {1: 1, 8: 1}


def test_no_more_rows_together_than_the_setting_says(bench: Bench) -> None:
    settings.set_option("batch_rows", 4)
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        answers = [lane.run(rows(lane, [1, 0, 0, 0]), P)]
        await entered(model)
        answers += [lane.run(rows(lane, *[[n, 0, 0, 0]] * 3), P) for n in range(2)]
        answers += [lane.run(rows(lane, *[[7, 0, 0, 0]] * 9), P), lane.run(rows(lane, [2, 0, 0, 0]), P)]
        model.gate.set()  # type: ignore[union-attr]
        outputs = await ended(answers)
        assert [o["predictions"].tolist() for o in outputs] == [[1], [0] * 3, [1] * 3, [7] * 9, [2]]

    run(test)
    assert model.seen == [1, 4, 3, 9]


@pytest.mark.parametrize(
    "why", ["switched off", "linear", "rows depend on each other", "code", "one answer for all rows"]
)
def test_what_is_never_answered_together(bench: Bench, why: str) -> None:
    how: dict[str, Any] = {}
    if why == "switched off":
        settings.set_option("batch_rows", 0)
    elif why == "linear":
        how = {"one_row_s": 0.003, "batch_s": 256 * 0.003}
    elif why == "rows depend on each other":
        how = {"kind": Centred}
    elif why == "code":
        how = {"code": {"preprocess": lambda x: x}}
    elif why == "one answer for all rows":
        how = {"kind": Total}
    lane, model = bench.sum(gated=True, **how)

    async def test() -> None:
        answers = [lane.run(rows(lane, [1, 0, 0, 0]), P)]
        await entered(model)
        answers += [lane.run(rows(lane, [1, 0, 0, 0]), P) for _ in range(4)]
        model.gate.set()  # type: ignore[union-attr]
        await ended(answers)

    run(test)
    assert model.seen == [1] * 5


def test_requests_for_other_outputs_are_not_joined_and_not_overtaken_for_long(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        answers = [lane.run(rows(lane, [1, 0, 0, 0]), P)]
        await entered(model)
        answers += [lane.run(rows(lane, [n, 0, 0, 0]), P if n % 2 else BOTH) for n in range(4)]
        model.gate.set()  # type: ignore[union-attr]
        outputs = await ended(answers)
        assert [list(o) for o in outputs] == [["predictions"], [*BOTH], ["predictions"], [*BOTH], ["predictions"]]
        assert [o["predictions"].tolist() for o in outputs] == [[1], [0], [1], [2], [3]]

    run(test)
    assert model.seen == [1, 2, 2]


@pytest.mark.parametrize("bad", [666, 667])
def test_only_the_bad_request_of_several_fails(bench: Bench, bad: int) -> None:
    lane, model = bench.sum(gated=True)

    async def test() -> None:
        answers = [lane.run(rows(lane, [1, 0, 0, 0]), P)]
        await entered(model)
        answers += [lane.run(rows(lane, [n, 0, 0, 0]), P) for n in (2, bad, 3)]
        model.gate.set()  # type: ignore[union-attr]
        first, second, failed, third = await ended(answers)
        assert isinstance(failed, ModelFailed)
        assert [o["predictions"].tolist() for o in (first, second, third)] == [[1], [2], [3]]
        assert (await lane.run(rows(lane, [4, 0, 0, 0]), P))["predictions"].tolist() == [4]  # type: ignore[misc]

    run(test)
    assert model.seen == [1, 3, 1, 1, 1, 1]


def test_who_sends_bad_rows_does_not_make_all_runs_fail(bench: Bench) -> None:
    """After a run of several that failed, requests are run alone for a while."""
    lane, model = bench.sum(one_row_s=1e-3, batch_s=1e-3)

    async def test() -> None:
        await ended([lane.run(rows(lane, [n, 0, 0, 0]), P) for n in (1, 666)])
        answers = [lane.run(rows(lane, [n, 0, 0, 0]), P) for n in (2, 666, 3)]
        await ended([answer for answer in answers if not isinstance(answer, dict)])

    run(test)
    assert model.seen == [2, 1, 1, 1, 1, 1]


def test_joining_that_did_not_pay_is_tried_again_some_day(bench: Bench) -> None:
    lane, _ = bench.sum(one_row_s=1e-3, batch_s=1e-3)
    assert lane._joining.pays(1, 8)
    for count in (2, 4, 8, 16, 32, 64, 128, 256):
        lane._times.calibrate(count, count * 2e-3)  # as it is while another process takes the processor
    assert [lane._joining.pays(1, 8) for _ in range(3 * EXPLORE)].count(True) == 3


def test_outputs_that_do_not_fit_the_rows_are_asked_for_one_by_one(bench: Bench) -> None:
    lane, model = bench.sum(gated=True)
    model.short = True

    async def test() -> None:
        answers = [lane.run(rows(lane, [1, 0, 0, 0]), P)]
        await entered(model)
        answers += [lane.run(rows(lane, [n, 0, 0, 0], [n, 0, 0, 0]), P) for n in (2, 3)]
        model.gate.set()  # type: ignore[union-attr]
        assert [o["predictions"].tolist() for o in await ended(answers)] == [[], [2], [3]]

    run(test)
    assert model.seen == [1, 4, 2, 2]


@pytest.mark.parametrize("runtime", ["onnx", "native"])
def test_together_or_alone_the_answers_are_the_same(bench: Bench, classifier: Any, runtime: str) -> None:
    served = bench.load(classifier, format=runtime, **SLOW)
    lane = bench.lane(served, as_recorded=True)
    batches = [served.decode(X[i : i + 1 + i % 3].tolist()) for i in range(0, len(X), 2)]

    async def test() -> None:
        outputs = await ended([lane.run(batch, BOTH) for batch in batches])
        for batch, together in zip(batches, outputs, strict=True):
            alone = served.run(batch, BOTH)
            np.testing.assert_array_equal(together["predictions"], alone["predictions"])
            np.testing.assert_allclose(together["probabilities"], alone["probabilities"], atol=1e-6)
            assert together["probabilities"].dtype == alone["probabilities"].dtype

    run(test)
    assert lane.take_stats().executions < len(batches)


def test_short_runs_that_come_in_one_turn_of_the_loop_are_one(bench: Bench) -> None:
    served = bench.load(LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), one_row_s=2.5e-4, batch_s=2.6e-4)
    lane = bench.lane(served, as_recorded=True)
    batches = [served.decode(X[i : i + 1].tolist()) for i in range(0, 150, 20)]

    async def test() -> None:
        for _ in range(3):
            answers = [lane.run(batch, P) for batch in batches]
            assert lane.queued == len(batches)
            outputs = await ended(answers)
            for batch, together in zip(batches, outputs, strict=True):
                assert together["predictions"].tolist() == served.run(batch, P)["predictions"].tolist()
        assert lane.take_stats().batches == {len(batches): 3}
        # Who comes alone is not kept waiting for others again and again.
        kinds = []
        for _ in range(40):
            answer = lane.run(batches[0], P)
            kinds.append(isinstance(answer, dict))
            if not isinstance(answer, dict):
                await answer
        assert kinds.count(False) <= 6

    run(test)
    assert threads() == []


def test_gathered_requests_can_be_given_up_and_fail_one_by_one(bench: Bench) -> None:
    lane, model = bench.sum(one_row_s=1e-3, batch_s=1e-3)

    async def test() -> None:
        answers = [lane.run(rows(lane, [n, 0, 0, 0]), P) for n in (1, 2, 666, 3)]
        assert all(isinstance(answer, asyncio.Future) for answer in answers)
        answers[1].cancel()  # type: ignore[union-attr]
        assert lane.queued == 3
        first, gone, failed, third = await ended(answers)
        assert isinstance(gone, asyncio.CancelledError)
        assert isinstance(failed, ModelFailed)
        assert [o["predictions"].tolist() for o in (first, third)] == [[1], [3]]

    run(test)
    assert model.seen == [3, 1, 1, 1]
    assert threads() == []


def test_tiny_models_are_not_kept_waiting(bench: Bench, classifier: Any) -> None:
    served = bench.load(classifier, format="onnx", one_row_s=1e-5, batch_s=4e-5)
    lane = bench.lane(served)
    batch = served.decode(X[:1].tolist())

    async def test() -> None:
        at_once = 0
        for _ in range(2000):
            answer = lane.run(batch, P)
            if isinstance(answer, dict):
                at_once += 1
            else:  # a run that the machine interrupted was measured as a long one
                await answer
        assert at_once >= 1000

    run(test)
