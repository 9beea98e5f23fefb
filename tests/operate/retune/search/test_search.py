"""The search for a layout: what there is to choose, what is tried first, what TPE adds, and which is the best."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Candidate, Version
from autodeploy_magic.errors import MissingPackage
from autodeploy_magic.operate.retune.search import search as module
from autodeploy_magic.operate.retune.search.layouts import Space, key_of, normal, seeds, space_of, title
from autodeploy_magic.operate.retune.search.queueing import REQUEST_S, ServiceTable, simulated
from autodeploy_magic.operate.retune.search.search import LayoutSearch, Outcome, main, percentile, suggest
from autodeploy_magic.operate.retune.trace import Arrival
from autodeploy_magic.retuning import Layout

TODAY = Layout(workers=1, settings={"threads": 0.0, "batch_rows": 256.0, "max_queue": 256.0, "spinning": 0.0})
SPACE = Space(
    workers=(1, 2, 4),
    settings={
        "threads": (1.0, 2.0),
        "spinning": (0.0, 1.0),
        "batch_rows": (0.0, 16.0, 256.0),
        "max_queue": (32.0, 256.0),
    },
)


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return write_version(tmp_path, LogisticRegression(max_iter=500).fit(X, NAMES[Y]), X)


def measured(version: Version, one_s: float | None, batch_s: float | None, **more: Any) -> Version:
    found = Candidate(format=version.format, passed=True, reason="", one_row_s=one_s, batch_s=batch_s, batch_rows=256)
    return msgspec.structs.replace(version, candidates=(found,), **more)


def outcome(p95_s: float, *, failed: int = 0, cpu_s: float = 0.0) -> Outcome:
    return Outcome(requests=100, failed=failed, p95_s=p95_s, limit_s=10.0, cpu_s=cpu_s)


# --- the space


def test_a_quick_row_has_neither_threads_nor_spinning_nor_a_queue(version: Version) -> None:
    space = space_of(measured(version, 1e-4, 1e-3), 2, TODAY)
    assert space.settings.keys() == {"batch_rows"}
    slow = space_of(measured(version, 5e-3, 2e-2), 2, TODAY)
    assert slow.settings["threads"] == (1.0, 2.0)
    assert slow.settings["spinning"] == (0.0, 1.0)
    assert 256.0 in slow.settings["max_queue"]
    assert slow.workers == (1, 2, 3, 4)


def test_where_a_batch_takes_as_long_as_its_rows_it_is_no_choice(version: Version) -> None:
    assert "batch_rows" not in space_of(measured(version, 5e-3, 0.9 * 256 * 5e-3), 2, TODAY).settings
    assert "batch_rows" in space_of(measured(version, 5e-3, 0.5 * 256 * 5e-3), 2, TODAY).settings
    streams = tuple(msgspec.structs.replace(one, streams=True) for one in version.outputs)
    assert "batch_rows" not in space_of(measured(version, 5e-3, 0.1, outputs=streams), 2, TODAY).settings


def test_one_core_and_little_memory_leave_little_to_choose(version: Version) -> None:
    space = space_of(measured(version, 5e-3, 2e-2), 1, TODAY)
    assert "threads" not in space.settings
    assert space.workers == (1, 2)
    tight = space_of(measured(version, 5e-3, 2e-2, size_bytes=10**9), 8, TODAY, memory_bytes=4 * 10**9)
    assert tight.workers == (1,)
    many = space_of(measured(version, 5e-3, 2e-2), 64, TODAY)
    assert max(many.workers) == 16


def test_the_first_are_todays_and_the_rules_of_thumb_each_once(version: Version) -> None:
    space = space_of(measured(version, 5e-3, 2e-2), 2, TODAY)
    first = seeds(space, 2, TODAY)
    assert [(one.workers, one.settings["threads"]) for one in first] == [(1, 2.0), (2, 1.0), (1, 1.0)]
    assert len({key_of(one) for one in first}) == len(first)
    assert all(one in list(space.layouts()) for one in first)


def test_one_thread_spins_not_and_a_layout_is_named_in_words() -> None:
    assert normal(Layout(settings={"threads": 1.0, "spinning": 1.0})).settings["spinning"] == 0.0
    assert len(list(SPACE.layouts())) == 3 * 3 * 3 * 2  # of two threads alone both kinds
    assert title(Layout(workers=2, settings={"threads": 1.0, "spinning": 0.0})) == "2 workers × 1 thread"
    words = title(Layout(workers=1, settings={"threads": 2.0, "spinning": 1.0, "batch_rows": 0.0, "max_queue": 32.0}))
    assert words == "1 worker × 2 threads, spinning, no batches, queue of 32"


# --- the search


SMALL = Space(workers=(1, 2), settings={"threads": (1.0, 2.0), "spinning": (0.0, 1.0)})


def searched(
    cost: Any, *, seed: int = 0, most: int = 30, first: tuple[Layout, ...] = (), space: Space = SPACE
) -> LayoutSearch:
    async def scenario() -> LayoutSearch:
        search = LayoutSearch(space, first, suggest, seed=seed, most=most)
        while (layout := await search.next()) is not None:
            search.tell(layout, cost(layout))
        return search

    return asyncio.run(scenario())


def bowl(layout: Layout) -> Outcome:
    """Best at 2 workers × 1 thread, batches of 16, a queue of 256."""
    has = layout.settings
    far = abs(layout.workers - 2) + 2 * (has["threads"] - 1) + abs(has["batch_rows"] - 16) / 100
    far += has["max_queue"] < 99
    return outcome(0.010 * (1 + far))


def test_it_finds_the_best_in_few_trials_and_measures_none_twice() -> None:
    for seed in range(3):
        search = searched(bowl, seed=seed, most=20, first=seeds(SPACE, 2, TODAY))
        assert search.best is not None
        assert bowl(search.best).p95_s == 0.010
        assert len({key_of(one.layout) for one in search.tried}) == len(search.tried) == 20


def test_the_same_seed_goes_the_same_way_and_can_go_on_where_it_was() -> None:
    one, other = searched(bowl, seed=1, most=9), searched(bowl, seed=1, most=9)
    assert one.tried == other.tried
    spec = {"space": msgspec.to_builtins(SPACE), "tried": msgspec.to_builtins(one.tried[:8]), "seed": 1}
    assert msgspec.convert(main(spec)["layout"], Layout) == one.tried[8].layout


def test_it_ends_when_all_were_tried_or_there_is_no_time() -> None:
    whole = searched(lambda layout: outcome(float(layout.workers)), most=1000, space=SMALL)
    assert len(whole.tried) == len(list(SMALL.layouts())) == 6

    async def none() -> Layout | None:
        return await LayoutSearch(SPACE, [TODAY], suggest, may_go_on=lambda: False).next()

    assert asyncio.run(none()) is None


def test_what_does_not_start_is_never_the_best_and_nothing_may_start_at_all() -> None:
    search = searched(lambda layout: None if layout.workers == 2 else bowl(layout), most=15)
    assert search.best is not None
    assert search.best.workers != 2
    assert searched(lambda _: None, most=5).best is None


def test_of_equals_the_one_that_takes_least_is_the_best() -> None:
    search = searched(lambda layout: outcome(0.0101 if layout.workers == 1 else 0.010), space=SMALL)
    assert search.best is not None
    assert (search.best.workers, search.best.settings["threads"]) == (1, 1.0)


def test_refusing_requests_to_answer_others_sooner_is_no_gain() -> None:
    assert outcome(0.005, failed=3).cost_s > outcome(0.1).cost_s


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str, feature: str) -> Any:
        raise MissingPackage(f"{feature} needs the package {module}", fix="pip install 'autodeploy_magic[tune]'")

    monkeypatch.setattr(module, "need", absent)
    with pytest.raises(MissingPackage, match="searching for the best layout"):
        searched(bowl, most=5)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([], 0.95) == 0.0
    assert percentile([float(i) for i in range(1, 101)], 0.95) == 95.0
    assert percentile([1.0], 0.5) == 1.0


# --- the simulated queue

TABLE = ServiceTable(
    {(1, False): [(1, 0.010), (16, 0.020)], (2, False): [(1, 0.006), (16, 0.012)], (2, True): [(1, 0.005), (16, 0.011)]}
)


def layout(workers: int, threads: float, batch: float = 0.0, **more: float) -> Layout:
    return Layout(workers=workers, settings={"threads": threads, "batch_rows": batch, **more})


def test_a_lone_request_takes_as_long_as_its_run() -> None:
    found = simulated([Arrival(i * 1.0, 1) for i in range(20)], layout(1, 1.0), TABLE, 2)
    assert found.p95_s == pytest.approx(0.010 + REQUEST_S)
    both = simulated([Arrival(i * 1.0, 1) for i in range(20)], layout(1, 2.0), TABLE, 2)
    assert both.p95_s == pytest.approx(0.006 + REQUEST_S)


def test_queues_grow_with_the_load_and_batches_and_workers_shorten_them() -> None:
    chance, at_s, arrivals = random.Random(0), 0.0, []
    for _ in range(1500):
        at_s += chance.expovariate(150.0)  # half as many again as one worker answers
        arrivals.append(Arrival(at_s, 1))
    alone, two, joined = (
        simulated(arrivals, one, TABLE, 2) for one in (layout(1, 1.0), layout(2, 1.0), layout(1, 1.0, 16.0))
    )
    assert alone.failed > 0
    assert two.failed == joined.failed == 0
    assert two.p95_s < 0.1 > joined.p95_s
    crowded = simulated(arrivals, layout(4, 2.0, 16.0), TABLE, 2)
    assert crowded.p95_s > joined.p95_s  # eight threads on two processors


def test_a_full_queue_refuses_and_that_costs() -> None:
    burst = [Arrival(0.0, 1) for _ in range(20)]
    found = simulated(burst, layout(1, 1.0, max_queue=4.0), TABLE, 2)
    assert (found.requests, found.failed) == (20, 15)
    assert found.cost_s > 10.0


def test_waiting_for_more_delays_a_lone_request() -> None:
    lone = [Arrival(i * 1.0, 1) for i in range(5)]
    found = simulated(lone, layout(1, 1.0, 16.0), TABLE, 2, wait_s=0.004)
    assert found.p50_s == pytest.approx(0.014 + REQUEST_S)
