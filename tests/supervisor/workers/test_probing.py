"""What a worker that does not answer is said to do: the CPU time of its process, over the seconds that it is silent."""

from __future__ import annotations

import pytest

from autodeploy_magic.contracts import WorkerState
from autodeploy_magic.operate.observe.process import Reading
from autodeploy_magic.supervisor.workers import probing
from autodeploy_magic.supervisor.workers.probing import _Probe

WORKER = WorkerState(pid=4321, create_time=0.0, boot_id="b", generation=1, version=1, ready=True)


class Process:
    """Takes `bursts`: the CPU time that begins at each of these moments, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.bursts: dict[float, float] = {}

    def read(self) -> Reading:
        return Reading(sum(cpu for at, cpu in self.bursts.items() if at <= self.now), 1, 1, 1, False)

    def close(self) -> None: ...


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    found = Process()
    monkeypatch.setattr(probing, "open_process", lambda pid, created: found)
    monkeypatch.setattr(probing.time, "monotonic", lambda: found.now)
    return found


@pytest.mark.parametrize("every_s", [0.05, 0.25, 1.0])
@pytest.mark.parametrize(
    ("bursts", "idle"),
    [
        ({}, True),
        ({i + 0.3: 0.008 for i in range(10)}, True),  # its threads look and write once a second, on a slow machine
        ({i / 2 + 0.1: 0.03 for i in range(20)}, False),
        ({i / 10: 0.012 for i in range(100)}, False),  # it would take all, and gets little
    ],
    ids=["nothing", "threads", "works", "starved"],
)
def test_a_silent_worker_is_idle_if_it_takes_no_more_than_its_threads_do(
    process: Process, every_s: float, bursts: dict[float, float], *, idle: bool
) -> None:
    process.bursts = bursts
    probe = _Probe(WORKER, "/nowhere")
    probe._waits, probe._asked_s = True, 0.0
    for i in range(round(8 / every_s) + 1):
        process.now = i * every_s
        sight = probe.sight(process.now, WORKER)
        assert sight is not None
    assert sight.silent_s == pytest.approx(8.0)
    assert sight.idle_s > 6.0 if idle else sight.idle_s <= 1.0
