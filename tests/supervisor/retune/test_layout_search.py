"""What a search makes of what trials say. Real workers are in `test_trials`; here the answers are given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Candidate, Desired, Version
from autodeploy_magic.errors import MissingPackage, RetuneFailed, StartFailed
from autodeploy_magic.operate.retune.search.search import Outcome
from autodeploy_magic.operate.retune.trace import Arrival, Trace
from autodeploy_magic.retuning import Contender, Layout
from autodeploy_magic.supervisor.retune import layout_search
from autodeploy_magic.supervisor.retune.layout_search import PAIRS, search_layouts

ARRIVALS = tuple(Arrival(i * 0.02, 1) for i in range(100))
DESIRED = Desired(name="iris", version=1, executable="python")


class Told:
    """Trials whose replays come out as `cost` says, and a job that suggests nothing."""

    zygotes: Any = None

    def __init__(self, cost: Callable[[Layout], Outcome]) -> None:
        self.cost = cost
        self.running_now = 0
        self.started: list[Layout] = []
        self.replays: list[tuple[Layout, int]] = []
        self.dies: set[int] = set()

    @asynccontextmanager
    async def running(self, desired: Desired, version: Version, layout: Layout) -> AsyncIterator[Any]:
        if layout.workers in self.dies:
            raise StartFailed("the model does not fit", why="no memory")
        self.started.append(layout)
        self.running_now += 1
        try:
            yield type("Trial", (), {"layout": layout, "ended": []})
        finally:
            self.running_now -= 1

    async def replay(self, trial: Any, trace: Sequence[Arrival], rows: Path, within_s: float, **_: Any) -> Outcome:
        self.replays.append((trial.layout, len(trace)))
        return self.cost(trial.layout)


def outcome(p95_s: float, **more: Any) -> Outcome:
    return Outcome(**{"requests": 100, "p50_s": p95_s / 2, "p95_s": p95_s, "p99_s": p95_s, "limit_s": 3.0, **more})


@pytest.fixture
def version(tmp_path: Path) -> Version:
    Trace(ARRIVALS, ARRIVALS, 50.0).write(tmp_path / "trace.json")
    model = LogisticRegression(max_iter=500).fit(X, NAMES[Y])
    written = write_version(tmp_path / "version", model, X)
    measured = Candidate(format="onnx", passed=True, reason="", one_row_s=0.005, batch_s=0.02, batch_rows=256)
    return msgspec.structs.replace(written, candidates=(measured,))


@pytest.fixture(autouse=True)
def two_cores_and_no_tpe(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> Layout | None:
        return None

    monkeypatch.setattr(layout_search, "usable_cores", lambda: 2)
    monkeypatch.setattr(layout_search._Search, "_suggested", nothing)


def search(told: Told, version: Version, folder: Path, within_s: float = 60.0) -> list[Contender]:
    trials: Any = told
    try:
        return asyncio.run(search_layouts(trials, DESIRED, version, folder, within_s, 0, lambda _: None))
    finally:
        assert told.running_now == 0


def test_what_is_clearly_better_on_held_out_traffic_passes(version: Version, tmp_path: Path) -> None:
    told = Told(lambda layout: outcome(0.004 if layout.workers == 2 else 0.020))
    champion, passed, *others = search(told, version, tmp_path)
    assert (champion.state, champion.layout, champion.figures.p95_s) == ("champion", told.started[0], 0.020)
    assert (passed.state, passed.title) == ("passed", "2 workers × 1 thread, batches of 256, queue of 256")
    assert passed.reason.startswith("p95 4 ms against 20 ms as it is run now, in 3 replays each")
    assert (passed.figures.p50_s, passed.note) == (0.002, "on held-out traffic")
    assert [one.state for one in others] == ["fell"]
    turns = [layout.workers for layout, _ in told.replays[-2 * PAIRS :]]
    assert turns == [1, 2] * PAIRS


def test_what_was_luck_in_the_search_falls_on_held_out_traffic(version: Version, tmp_path: Path) -> None:
    seen: list[int] = []

    def luck(layout: Layout) -> Outcome:
        seen.append(layout.workers)
        return outcome(0.004 if layout.workers == 2 and seen.count(2) == 1 else 0.020)

    found = search(Told(luck), version, tmp_path)
    assert [one.state for one in found] == ["champion", "fell", "fell"]
    assert any("not clearly better" in one.reason for one in found)


def test_where_todays_layout_is_the_best_nothing_is_confirmed(version: Version, tmp_path: Path) -> None:
    told = Told(lambda layout: outcome(0.005 if layout.settings["threads"] == 2 else 0.020))
    found = search(told, version, tmp_path)
    assert [one.state for one in found] == ["champion", "fell", "fell"]
    assert len(told.replays) == 3
    assert "p95 20 ms in a trial, 5 ms as it is run now" in found[1].reason


def test_a_layout_that_does_not_start_falls_and_the_others_go_on(version: Version, tmp_path: Path) -> None:
    told = Told(lambda layout: outcome(0.020))
    told.dies = {2}
    found = search(told, version, tmp_path)
    assert {one.title.split(" ")[0]: one.reason for one in found}["2"] == "it does not run: the model does not fit"
    told.dies = {1}
    with pytest.raises(RetuneFailed, match="could not be run for a trial") as caught:
        search(told, version, tmp_path)
    assert "does not fit" in caught.value.why


def test_a_machine_without_time_for_trials_is_told_from_a_layout_that_is_overloaded(
    version: Version, tmp_path: Path
) -> None:
    slow = {"failed": 60, "unanswered": 60, "worst": "60 × no answer in time"}
    with pytest.raises(RetuneFailed, match="60 of 100 requests .* and the trial 0.02 of 2 processors"):
        search(Told(lambda _: outcome(3.0, cpu_s=0.1, **slow)), version, tmp_path)
    told = Told(lambda layout: outcome(0.1) if layout.workers == 2 else outcome(3.0, cpu_s=9.0, **slow))
    found = search(told, version, tmp_path)
    assert found[1].state == "passed"


def test_without_time_todays_layout_alone_is_measured(version: Version, tmp_path: Path) -> None:
    told = Told(lambda _: outcome(0.020))
    found = search(told, version, tmp_path, within_s=0.0)
    assert [one.state for one in found] == ["champion"]


def test_without_optuna_the_rules_of_thumb_are_tried_and_it_is_said(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def absent(*_: Any) -> Layout | None:
        raise MissingPackage("searching needs the package optuna")

    monkeypatch.setattr(layout_search._Search, "_suggested", absent)
    found = search(Told(lambda _: outcome(0.020)), version, tmp_path)
    assert len(found) == 3
    assert all("the rules of thumb alone were tried: searching needs" in one.note for one in found)
