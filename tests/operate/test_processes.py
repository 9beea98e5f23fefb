"""Trees of processes: what they took is what they say themselves; what has ended is gone, not zero."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from world import until

from autodeploy_magic.operate.observe import process, processes
from autodeploy_magic.operate.observe.process import PortableProcess, ProcfsProcess, open_process
from autodeploy_magic.operate.observe.processes import Tree, Usage

MB = 1 << 20
Start = Callable[[], Any]
"""Of conftest.py: starts a process that does what it is told."""


@pytest.fixture(params=[ProcfsProcess, PortableProcess], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type:
    """Both ways to read a process."""
    if request.param is ProcfsProcess and not Path(f"/proc/{os.getpid()}/stat").exists():
        pytest.skip("there is no /proc")
    monkeypatch.setattr(process, "_kind", lambda: request.param)
    return request.param


def test_cpu_is_what_the_process_says_itself(start: Start) -> None:
    burning, tree = start(), Tree()
    before = burning.do("burn 0.1")
    assert tree.read([burning.root], 100.0).cpu_s == 0.0  # nobody knows since when
    after = burning.do("burn 0.5")
    usage = tree.read([burning.root], 101.0)
    assert usage.cpu_s == pytest.approx(after - before, rel=0.1)
    assert tree.read([burning.root], 102.0).cpu_s == pytest.approx(0.0, abs=0.02)


def test_memory_is_its_own_and_what_is_shared_counts_once(start: Start) -> None:
    holding, tree = start(), Tree()
    empty = tree.read([holding.root], 100.0)
    holding.do("hold 100")
    full = tree.read([holding.root], 101.0)
    assert full.memory_bytes - empty.memory_bytes == pytest.approx(100 * MB, rel=0.05)
    assert full.rss_bytes - empty.rss_bytes == pytest.approx(100 * MB, rel=0.05)
    holding.do("fork")
    tree.read([holding.root], 110.0)
    both = tree.read([holding.root], 130.0)  # read anew: half of its hundred MB are its child's from now on
    assert both.processes == 2
    assert both.rss_bytes > 200 * MB
    assert both.memory_bytes == pytest.approx(full.memory_bytes, rel=0.1)


def test_memory_follows_the_resident_set_between_its_readings(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    holding, tree = start(), Tree()
    tree.read([holding.root], 100.0)
    tree.read([holding.root], 112.0)
    asked: list[int] = []
    memory = process._kind().memory
    monkeypatch.setattr(process._kind(), "memory", lambda self: asked.append(self.pid) or memory(self))
    tree.read([holding.root], 113.0)
    assert asked == []
    holding.do("hold 50")
    grown = tree.read([holding.root], 115.0)
    assert asked == [holding.pid]
    assert grown.memory_bytes == pytest.approx(psutil.Process(holding.pid).memory_full_info().pss, rel=0.02)


def test_threads_and_open_files(start: Start) -> None:
    one, tree = start(), Tree()
    before = tree.read([one.root], 100.0)
    assert before.threads == 1
    for order in ("thread", "thread", "open", "open", "open"):
        one.do(order)
    after = tree.read([one.root], 110.0)
    assert after.threads == 3
    assert after.files - before.files == 3
    assert after.files == psutil.Process(one.pid).num_fds()


def test_children_count_from_when_they_are_found(start: Start) -> None:
    parent, tree = start(), Tree()
    tree.read([parent.root], 100.0)
    child = psutil.Process(int(parent.do("start while True: pass")))
    assert tree.read([parent.root], 100.5 + processes.RARELY_S).processes == 2
    assert sorted(tree.pids) == sorted([parent.pid, child.pid])
    before = cpu_s(child)
    until(lambda: cpu_s(child) - before >= 0.4)
    child.suspend()
    usage = tree.read([parent.root], 107.0)
    assert usage.cpu_s == pytest.approx(cpu_s(child) - before, rel=0.1)
    child.kill()
    until(lambda: child.status() == psutil.STATUS_ZOMBIE)
    assert tree.read([parent.root], 108.0).processes == 1
    assert tree.pids == [parent.pid]


def cpu_s(child: psutil.Process) -> float:
    times = child.cpu_times()
    return times.user + times.system


def test_a_worker_that_is_new_counts_from_its_birth(start: Start) -> None:
    first, tree = start(), Tree()
    now = time.monotonic()
    tree.read([first.root], now)
    second = start()
    used = second.do("burn 0.3")
    usage = tree.read([first.root, second.root], time.monotonic())
    assert usage.processes == 2
    assert usage.cpu_s == pytest.approx(used, rel=0.1, abs=0.03)


def test_one_that_is_old_does_not_bring_its_past(start: Start) -> None:
    first, second, tree = start(), start(), Tree()
    second.do("burn 0.3")
    until(lambda: time.time() - second.created > 0.5)
    now = time.monotonic()
    tree.read([first.root], now)
    assert tree.read([first.root, second.root], now + 0.1).cpu_s == pytest.approx(0.0, abs=0.03)


def test_what_is_dead_is_gone_and_its_cpu_is_not_made_up(start: Start) -> None:
    first, second, tree = start(), start(), Tree()
    tree.read([first.root, second.root], 100.0)
    first.do("burn 0.3")
    first.kill()
    usage = tree.read([first.root, second.root], 101.0)
    assert usage.processes == 1
    assert usage.cpu_s == pytest.approx(0.0, abs=0.02)
    assert tree.pids == [second.pid]
    second.kill()
    assert tree.read([first.root, second.root], 102.0) == Usage()
    assert tree.read([], 103.0) == Usage()


def test_a_zombie_is_dead(start: Start) -> None:
    one, tree = start(), Tree()
    assert tree.read([one.root], 100.0).processes == 1
    os.kill(one.pid, signal.SIGKILL)
    until(lambda: psutil.Process(one.pid).status() == psutil.STATUS_ZOMBIE)
    assert tree.read([one.root], 101.0) == Usage()
    assert Tree().read([one.root], 100.0) == Usage()
    with pytest.raises(ProcessLookupError):
        open_process(*one.root)


def test_another_process_with_its_number_is_not_it(start: Start) -> None:
    one = start()
    assert Tree().read([(one.pid, one.created - 60)], 100.0) == Usage()
    assert Tree().read([(one.pid, one.created + 0.5)], 100.0).processes == 1  # told by a clock that was set since


def test_without_its_workers_nothing_of_it_lives(start: Start) -> None:
    parent, tree = start(), Tree()
    left = int(parent.do("fork"))
    assert tree.read([parent.root], 100.0).processes == 2
    parent.kill()
    try:
        assert psutil.pid_exists(left)
        assert tree.read([parent.root], 101.0) == Usage()
    finally:
        os.kill(left, signal.SIGKILL)


def test_a_tree_that_is_closed_holds_no_files(start: Start) -> None:
    open_before = len(psutil.Process().open_files()), psutil.Process().num_fds()
    for _ in range(3):
        one, tree = start(), Tree()
        one.do("fork")
        tree.read([one.root], 100.0)
        tree.close()
        one.end()
    ended, tree = start(), Tree()
    tree.read([ended.root], 100.0)
    ended.end()
    tree.read([ended.root], 101.0)
    assert (len(psutil.Process().open_files()), psutil.Process().num_fds()) == open_before


def test_readings_cost_less_than_they_may(start: Start) -> None:
    """Not a benchmark (that is benchmarks/sampling.py): nothing expensive is read each time."""
    one, tree = start(), Tree()
    tree.read([one.root], 100.0)
    asked: list[str] = []
    held = next(iter(tree._roots.values()))
    assert held is not None
    for name in ("memory", "files", "children"):
        method = getattr(held.process, name)
        setattr(held.process, name, lambda name=name, method=method: asked.append(name) or method())
    for tick in range(60):
        tree.read([one.root], 101.0 + tick)
    assert asked.count("memory") <= 6
    assert asked.count("children") == asked.count("files") <= 13
