"""Trials: a version run on a port of its own, hidden, and a trace replayed against it; the search that uses them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version
from world import WAIT_S, processes_of, until

from autodeploy_magic.contracts import Desired, Version, WorkerState, encode
from autodeploy_magic.errors import AutodeployError, NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.operate.retune.search.search import Outcome
from autodeploy_magic.operate.retune.trace import Arrival, Trace
from autodeploy_magic.retuning import Layout
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.retune import layout_search
from autodeploy_magic.supervisor.retune.layout_search import PAIRS, busiest, layout_of, search_layouts, verdict
from autodeploy_magic.supervisor.retune.trials import Trials
from autodeploy_magic.supervisor.workers.watch import boot_id, create_time
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

pytestmark = pytest.mark.timeout(120)

TRACE = [Arrival(i * 0.01, 1 + i % 3) for i in range(60)]


class Bench:
    """A deployment that is not running, what a re-tune has of it, and trials of it."""

    def __init__(self, store: Store, data: Path) -> None:
        self.store, self.data = store, data
        self.rows = data / "calibration.json.gz"

    def version(self, *, format: str = "onnx", **code: Any) -> Version:
        model = LogisticRegression(max_iter=1000).fit(X, NAMES[Y])
        with self.store.building("iris"), self.store.staging("iris") as staging:
            number = self.store.next_number("iris")
            made = write_version(staging, model, X, format=format, number=number, code=code, one_row_s=0.003)
            version = msgspec.structs.replace(made, deployment="iris")
            (staging / "version.json").write_bytes(encode(version))
            self.store.commit(version, staging)
        Rows(version.signature, X.tolist(), len(X)).write(self.rows)
        return version

    def desired(self, version: Version, **more: Any) -> Desired:
        return Desired(name="iris", version=version.number, executable=sys.executable, **more)

    def run(self, scenario: Any) -> Any:
        """`scenario` is given trials; afterwards nothing of them may be there."""

        async def within() -> Any:
            zygotes = Zygotes(self.store.home / "zygote.log")
            try:
                return await asyncio.wait_for(scenario(Trials(self.store, zygotes)), 60)
            finally:
                assert list(self.store.runtime_dir.iterdir()) == []
                zygotes.close()

        found = asyncio.run(within())
        until(lambda: processes_of(self.store.home) == [])
        return found


@pytest.fixture
def bench(store: Store, tmp_path: Path) -> Bench:
    (tmp_path / "data").mkdir()
    return Bench(store, tmp_path / "data")


def test_a_trial_answers_on_a_port_of_its_own_and_leaves_nothing(bench: Bench) -> None:
    version = bench.version()
    before = sorted(bench.store.folder("iris").rglob("*"))

    async def scenario(trials: Trials) -> Outcome:
        layout = Layout(workers=2, settings={"threads": 1.0, "batch_rows": 16.0, "spinning": 0.0})
        async with trials.running(bench.desired(version, host="0.0.0.0", tls="auto"), version, layout) as trial:
            assert trial.url.startswith("http://127.0.0.1:")
            assert len(set(trial.pids)) == 2
            assert {psutil.Process(pid).nice() for pid in trial.pids} == {15}
            async with httpx.AsyncClient() as client:
                refused = await client.post(f"{trial.url}/predict", json={"inputs": X[:2].tolist()})
                assert refused.status_code == 401
                headers = {"authorization": f"Bearer {trial.token}"}
                answered = await client.post(f"{trial.url}/predict", json={"inputs": X[:2].tolist()}, headers=headers)
                assert answered.json()["predictions"] == ["setosa", "setosa"]
            outcome = await trials.replay(trial, TRACE, bench.rows, 20.0, limit_s=5.0)
            assert trial.ended == []
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"{trial.url}/livez")
        return outcome

    outcome = bench.run(scenario)
    assert (outcome.requests, outcome.failed, outcome.worst) == (len(TRACE), 0, "")
    assert 0 < outcome.p50_s <= outcome.p95_s <= outcome.p99_s < 5.0
    assert outcome.cpu_s > 0
    assert sorted(bench.store.folder("iris").rglob("*")) == before  # no metrics, no requests, no log, no record


def test_what_does_not_start_so_says_why(bench: Bench) -> None:
    version = bench.version()
    model = bench.store.version_folder("iris", version.number) / "model.onnx"
    model.write_bytes(model.read_bytes() + b"?")

    async def scenario(trials: Trials) -> None:
        with pytest.raises(AutodeployError, match="not the file that was built"):
            async with trials.running(bench.desired(version), version, Layout(workers=2)):
                pass
        with pytest.raises(AutodeployError, match="cannot be"):
            async with trials.running(bench.desired(version), version, Layout(settings={"spinning": 0.5})):
                pass

    bench.run(scenario)


def test_cancelled_it_ends_its_workers(bench: Bench) -> None:
    version = bench.version()

    async def scenario(trials: Trials) -> None:
        replaying = asyncio.Event()
        pids: list[int] = []

        async def trial() -> None:
            async with trials.running(bench.desired(version), version, Layout(workers=1)) as trial:
                pids.extend(trial.pids)
                replaying.set()
                await trials.replay(trial, [Arrival(i * 1.0, 1) for i in range(60)], bench.rows, 90.0)

        task = asyncio.create_task(trial())
        await replaying.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pids
        assert not any(create_time(pid) for pid in pids)

    bench.run(scenario)


KILLED = """
import asyncio, sys
from pathlib import Path
from autodeploy_magic.contracts import Desired
from autodeploy_magic.retuning import Layout
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.retune.trials import Trials
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

async def main():
    store = Store()
    version = store.version("iris", 1)
    trials = Trials(store, Zygotes(store.home / "zygote.log"))
    desired = Desired(name="iris", version=1, executable=sys.executable)
    async with trials.running(desired, version, Layout(workers=2)) as trial:
        print(*trial.pids, *trials.zygotes.pids().values(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("also_the_zygote", [False, True])
def test_killed_with_its_supervisor_nothing_is_left_or_adopted(bench: Bench, also_the_zygote: bool) -> None:
    bench.version()
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        *workers, zygote = map(int, owner.stdout.readline().split())
        try:
            if also_the_zygote:
                os.kill(zygote, signal.SIGSTOP)  # it sees nothing of it
            owner.kill()
        finally:
            owner.wait(WAIT_S)
        if also_the_zygote:
            os.kill(zygote, signal.SIGKILL)
            until(lambda: create_time(zygote) is None)
            assert all(create_time(pid) for pid in workers)
        else:
            until(lambda: not any(create_time(pid) for pid in workers))
    assert list(bench.store.runtime_dir.glob("worker-*.sock")) == []  # where a supervisor looks for workers
    bench.run(_sweep)
    until(lambda: not any(create_time(pid) for pid in workers))


async def _sweep(trials: Trials) -> None:
    trials.sweep()


def test_a_sweep_ends_nobody_who_was_given_a_number_again(bench: Bench) -> None:
    folder = bench.store.runtime_dir / "trial-00000000"
    folder.mkdir()
    state = WorkerState(pid=os.getpid(), create_time=time.time() - 1e6, boot_id=boot_id(), generation=0, version=1)
    (folder / "workers.json").write_bytes(msgspec.json.encode([state]))
    (bench.store.runtime_dir / "trial-11111111").mkdir()
    bench.run(_sweep)
    assert not folder.exists()


def test_a_search_measures_todays_layout_and_others_and_says_what_came_of_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_search, "MOST_TRIALS", 4)
    monkeypatch.setattr(layout_search, "PAIRS", 1)
    for name, bounds in (("_SLICE_S", (0.4, 0.4)), ("_CONFIRM_S", (0.3, 0.3))):
        monkeypatch.setattr(layout_search, name, bounds)
    version = bench.version()
    arrivals = tuple(TRACE)
    Trace(arrivals, arrivals, 60.0).write(bench.data / "trace.json")
    said: list[str] = []

    def scenario(trials: Trials) -> Coroutine[Any, Any, Any]:
        return search_layouts(trials, bench.desired(version), version, bench.data, 60.0, 0, said.append)

    found = bench.run(scenario)
    assert found[0].state == "champion"
    assert found[0].reason == "how it is run now"
    assert found[0].layout.workers == 1
    assert found[0].figures.p95_s > 0
    assert len(found) >= 3
    assert {one.optimiser for one in found} == {"layout"}
    assert all(one.state in ("passed", "fell") and "p95" in one.reason for one in found[1:])
    assert sum(one.state == "passed" for one in found) <= 1
    assert found[0].title.startswith("1 worker")  # with its threads, but where there is one processor
    assert said[0] == f"layout 1 of at most 4: {found[0].title}"
    assert len([text for text in said if text.startswith("layout")]) == 4  # the fourth was TPE's, from a job


def test_without_traffic_or_with_a_trace_that_only_fails_it_says_so(bench: Bench) -> None:
    version = bench.version()

    def scenario(trials: Trials) -> Coroutine[Any, Any, Any]:
        return search_layouts(trials, bench.desired(version), version, bench.data, 30.0, 0, lambda _: None)

    with pytest.raises(NotApplicable, match="no recorded trace"):
        bench.run(scenario)
    Trace(tuple(TRACE[:10]), tuple(TRACE[:10]), 1.0).write(bench.data / "trace.json")
    with pytest.raises(NotApplicable, match="20 requests; 70 are missing"):
        bench.run(scenario)
    Trace(tuple(TRACE), tuple(TRACE), 1.0).write(bench.data / "trace.json")
    Rows(version.signature, [["a", "b", "c", "d"]], 1).write(bench.rows)  # of another kind than the version takes
    with pytest.raises(RetuneFailed, match="every request of the replayed trace failed") as caught:
        bench.run(scenario)
    assert "status 422" in caught.value.why


def outcome(p95_s: float, failed: int = 0) -> Outcome:
    return Outcome(requests=100, failed=failed, p50_s=p95_s / 2, p95_s=p95_s, p99_s=2 * p95_s, limit_s=3.0)


@pytest.mark.parametrize(
    ("pairs", "taken"),
    [
        ([(0.020, 0.010)] * PAIRS, True),
        ([(0.020, 0.019)] * PAIRS, False),  # better each time, and hardly
        ([(0.020, 0.010), (0.020, 0.010), (0.020, 0.021)], False),  # not each time
        ([(0.020, 0.012), (0.030, 0.021), (0.030, 0.010)], False),  # each time, by turns of what the machine does
        ([(0.0004, 0.0003)] * PAIRS, False),  # nobody would notice
    ],
)
def test_only_what_is_clearly_better_is_taken(pairs: list[tuple[float, float]], taken: bool) -> None:
    found, reason = verdict([(outcome(old), outcome(new)) for old, new in pairs])
    assert found is taken
    assert ("not clearly better" in reason) is not taken


def test_what_refuses_more_is_never_taken() -> None:
    found, reason = verdict([(outcome(0.020), outcome(0.001, failed=1))] * PAIRS)
    assert not found
    assert "3 requests failed, and 0 before" in reason


def test_the_busiest_part_is_from_zero_on_and_has_enough() -> None:
    arrivals = [*(Arrival(float(i), 1) for i in range(20)), *(Arrival(20 + i / 10, 2) for i in range(30))]
    part = busiest(arrivals, 2.0, 10)
    assert part[0] == Arrival(0.0, 2)
    assert len(part) in (20, 21)
    assert len(busiest(arrivals, 2.0, 40)) >= 40
    assert len(busiest(arrivals[:5], 2.0, 40)) == 5


def test_todays_layout_is_the_deployments_with_all_that_is_searched() -> None:
    desired = Desired(name="a", version=1, executable="", workers=3, settings={"threads": 2, "hosts": "*"})
    assert layout_of(desired) == Layout(
        workers=3, settings={"threads": 2.0, "batch_rows": 256.0, "max_queue": 256.0, "spinning": 0.0}
    )


def test_the_supervisor_stays_small() -> None:
    module = "autodeploy_magic.supervisor.retune.layout_search"
    code = f"import sys, {module}; print('numpy' in sys.modules, 'optuna' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert found.stdout.split() == ["False", "False"]
