"""Whatever alerts come, and whatever comes of actions: there is no storm of them, no flapping, and no end of one's own.

A machine that lives in numbers is driven through hours by alerts that Hypothesis makes up.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recovering import MB, Machine, alert

from autodeploy_magic.contracts import Traffic
from autodeploy_magic.errors import StartFailed
from autodeploy_magic.operate.recover.hands import Room
from autodeploy_magic.store import Store

pytestmark = pytest.mark.timeout(120)

PER_HOUR = 4
KINDS: dict[str, dict[str, Any]] = {
    "slo:p99": {"detector": "slo", "metric": "p99", "objective": "given", "value": 0.09, "limit": 0.05},
    "slo:errors": {"detector": "slo", "metric": "errors", "objective": "learned", "value": 0.1, "limit": 0.01},
    "latency": {"detector": "latency", "metric": "p99", "severity": "warning"},
    "errors": {"detector": "errors", "metric": "errors", "value": 0.02, "severity": "warning"},
    "cpu": {"detector": "resources", "metric": "cpu", "severity": "warning"},
    "memory": {"detector": "slo", "metric": "memory", "value": 6e8, "limit": 5e8},
    "leak": {"detector": "leak", "metric": "memory", "severity": "warning", "value": 4e8, "limit": 5e8},
    "disk": {"detector": "disk", "metric": "disk_free"},
    "worker": {"detector": "workers", "metric": "workers"},
    "drift": {"detector": "drift", "metric": "drift", "severity": "warning"},
    "odd": {"detector": "mine", "metric": "moon"},
}


class Stretch(NamedTuple):
    """For so many seconds these alerts fire, and the machine is so."""

    seconds: int
    kinds: frozenset[str]
    latency_s: float
    cpu: float
    waiting: int
    failed: int
    cores_free: float
    swap: bool
    fails: bool


stretches = st.lists(
    st.builds(
        Stretch,
        st.sampled_from([1, 5, 40, 70, 650]),
        st.frozensets(st.sampled_from(sorted(KINDS)), max_size=4),
        st.sampled_from([0.003, 0.09, 0.5]),
        st.sampled_from([0.05, 0.9, 2.5]),
        st.sampled_from([0, 6, 60]),
        st.sampled_from([0, 2, 50]),
        st.sampled_from([0.0, 1.0, 6.0]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=2,
    max_size=6,
)


async def drive(store: Store, mode: str, plan: list[Stretch]) -> Machine:
    machine = Machine(store, mode=mode)
    machine.desired = msgspec.structs.replace(machine.desired, settings={"actions_per_hour": PER_HOUR})
    since: dict[str, float] = {}
    for stretch in plan:
        machine.latency_s, machine.cpu, machine.waiting = stretch.latency_s, stretch.cpu, stretch.waiting
        machine.failed = stretch.failed
        machine.free = Room(4, stretch.cores_free, 4_000 * MB)
        if stretch.swap:
            number = machine.desired.version + 10
            history = (*machine.desired.history, machine.desired.version)
            machine.desired = msgspec.structs.replace(
                machine.desired, version=number, history=history, traffic=Traffic(canary=number + 1, share=0.1)
            )
            machine.swapped_s = machine.now_s
        machine.trouble = StartFailed("it did not start") if stretch.fails else None
        since = {kind: since.get(kind, machine.now_s) for kind in stretch.kinds}
        for _ in range(stretch.seconds):
            firing = [
                alert(kind, since_s=begun, **KINDS[kind], **({"worker": machine.pids[0]} if kind == "worker" else {}))
                for kind, begun in since.items()
            ]
            await machine.second(*firing)
    return machine


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.sampled_from(["act", "act", "suggest", "off"]), stretches)
def test_actions_are_bounded_one_at_a_time_and_never_in_a_circle(mode: str, plan: list[Stretch]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "home")
        store.folder("iris").mkdir(parents=True)
        machine = asyncio.run(drive(store, mode, plan))
        incidents = machine.recovery.of("iris")
    if mode != "act":
        assert machine.done == []
        assert all(one.outcome in ("suggested", "held", "resolved") for one in incidents)
        assert mode == "suggest" or incidents == ()
    acted = sorted((one for one in incidents if one.acted_s), key=lambda one: one.acted_s)
    for one in acted:
        assert sum(one.acted_s - 3600 < other.acted_s <= one.acted_s for other in acted) <= PER_HOUR
    assert machine.most_at_once <= 1
    spent: Counter[tuple[str, str, int]] = Counter()
    for one in acted:
        key = (one.action, one.rule, one.version)
        assert not spent[key], "what did not help is not tried again for that rule and version"
        spent[key] += one.outcome in ("undone", "no_help")
    _no_flapping(machine)
    assert machine.desired.workers >= 1
    assert len(incidents) <= 40 * len(plan), "and what is said is bounded too"


def _no_flapping(machine: Machine) -> None:
    """No more workers within a minute, and no fewer within ten, of the change before, but where one is undone."""
    undone = {one.closed_s for one in machine.recovery.of("iris") if one.outcome == "undone"}
    scaled = [one for one in machine.recovery.of("iris") if one.action in ("scale_up", "give_back") and one.did]
    scaled.sort(key=lambda one: one.acted_s)
    for before, after in itertools.pairwise(scaled):
        least = 60.0 if after.action == "scale_up" else 600.0
        assert after.acted_s - before.acted_s >= least or before.closed_s in undone
    back = [one for one in machine.recovery.of("iris") if one.action == "roll_back" and one.did]
    for one in back:
        later = [other for other in back if other.acted_s > one.acted_s and other.outcome != "undone"]
        assert all(f"→ v{one.version}" not in other.did for other in later), "nothing goes back to what was left"
