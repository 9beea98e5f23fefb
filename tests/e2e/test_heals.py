"""Real faults in real processes: seen, told, and put right with nobody there."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from steady import Steady
from versions import X, Y
from world import World, until

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Alert, Health, Incident
from autodeploy_magic.notebook.deployment import Deployment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WAIT_S = 60.0
BAD = 99.0
"""What the bad version meets in production, and never in its sample."""


def fails_on_what_it_has_not_seen() -> Callable[[Any, Any], Any]:
    def predict(model: Any, x: Any) -> Any:
        if (x == 99.0).any():
            raise ValueError("I have not seen such a flower")
        return model.predict(x)

    return predict


def health(world: World, name: str) -> Health:
    return world.supervisor.health(name)


def alert(world: World, name: str, metric: str) -> Alert | None:
    return next((one for one in health(world, name).alerts if one.metric == metric), None)


def incident(world: World, name: str, action: str) -> Incident | None:
    return next((one for one in health(world, name).incidents if one.action == action), None)


def test_a_worker_that_hangs_is_replaced(world: World) -> None:
    status = world.serve(world.version("stuck"), "stuck", workers=2)
    (stuck, other) = (worker.pid for worker in status.workers)
    with Steady(status.url, world.headers("stuck"), X[:1].tolist(), 20):
        os.kill(stuck, signal.SIGSTOP)
        until(lambda: stuck not in {worker.pid for worker in world.supervisor.status("stuck").workers}, WAIT_S)
        until(lambda: world.supervisor.status("stuck").state == "running", WAIT_S)
    assert other in {worker.pid for worker in world.supervisor.status("stuck").workers}
    found = incident(world, "stuck", "end_worker")
    assert found is not None
    assert str(stuck) in found.text
    assert found.before
    kinds = {event.kind for event in world.supervisor.events("stuck")}
    assert {"alert", "worker_died"} <= kinds


def test_a_version_that_fails_is_taken_back_and_its_request_can_be_sent_again(world: World) -> None:
    good = world.version("shop")
    bad = world.version("shop", format="native", predict=fails_on_what_it_has_not_seen())
    url = world.serve(good, "shop", slo="errors<1%").url
    row = [[BAD, BAD, BAD, BAD]]
    with Steady(url, world.headers("shop"), row, 50) as load:
        until(lambda: len(load.answers) > 100, WAIT_S)
        assert {answer.status for answer in load.answers} == {200}
        world.serve(bad, "shop", slo="errors<1%", history=(good,))
        broken = time.time()
        until(lambda: world.supervisor.status("shop").version == good, WAIT_S)
        until(lambda: load.answers[-1].status == 200, WAIT_S)
    assert any(answer.status == 500 for answer in load.answers if answer.at_s >= broken)
    found = incident(world, "shop", "roll_back")
    assert found is not None
    assert found.did
    assert found.before["errors"]
    assert world.store.desired("shop").version == good
    repro = world.supervisor.repro("shop", found.id)
    assert repro["request"] in repro["code"]
    sent = Deployment("shop", store=world.store).recorded(repro["request"])
    assert (sent.version, sent.status) == (bad, 500)
    assert (sent.inputs == BAD).all()
    assert "I have not seen such a flower" in sent.error or sent.body


def test_labels_become_quality_and_an_objective(world: World) -> None:
    url = world.serve(world.version("graded"), "graded", slo="accuracy>0.99").url
    labels = []
    with httpx.Client(headers=world.headers("graded"), timeout=30) as client:
        for i in range(0, 150, 10):
            answer = client.post(f"{url}/predict", json={"inputs": X[i : i + 10].tolist()}).json()
            right = [["setosa", "versicolor", "virginica"][k] for k in Y[i : i + 10]]
            labels.append({"id": answer["id"], "labels": ["setosa" if i >= 100 else name for name in right]})
        told = client.post(f"{url}/feedback", json={"feedback": labels})
    assert told.status_code == 200, told.text
    assert told.json()["new"] == 150
    until(lambda: (quality := health(world, "graded").quality) is not None and quality.labels == 150, WAIT_S)
    quality = health(world, "graded").quality
    assert quality is not None
    accuracy = next(figure for figure in quality.figures if figure.metric == "accuracy")
    assert accuracy.value < 0.7
    until(lambda: health(world, "graded").slo_state == "broken", WAIT_S)
    (glance,) = (one for one in world.supervisor.glances() if one.status.name == "graded")
    assert "150 labels" in glance.quality
    assert glance.slo == "accuracy>0.99"


def test_the_slo_and_recovery_change_while_it_serves(world: World) -> None:
    status = world.serve(world.version("live"), "live")
    told: list[Any] = []
    world.supervisor.set_slo("live", "p99 < 50 ms , errors<0.1%", told.append)
    world.supervisor.set_recovery("live", "suggest", told.append)
    assert [worker.pid for worker in world.supervisor.status("live").workers] == [w.pid for w in status.workers]
    desired = world.store.desired("live")
    assert (desired.slo, desired.recovery) == ("p99<50ms, errors<0.1%", "suggest")
    until(lambda: len(health(world, "live").objectives) == 2, WAIT_S)
    with pytest.raises(InvalidOption, match="p98"):
        world.supervisor.set_slo("live", "p98<50ms", told.append)
    assert world.store.desired("live").slo == "p99<50ms, errors<0.1%"
    kinds = [event.kind for event in world.supervisor.events("live")]
    assert {"slo", "recovery"} <= set(kinds)


def test_a_drill_is_measured_and_leaves_nothing(world: World) -> None:
    world.serve(world.version("drilled"), "drilled", workers=2)
    told: list[Any] = []
    found = world.supervisor.drill("drilled", "kill", 30, told.append)
    assert found.recovered_s is not None
    assert found.requests > 50
    assert f"{found.lost} of {found.requests} requests lost" in found.text
    assert [step.step for step in told if step.state == "done"] == ["warm-up", "kill", "answers"]
    assert len(world.supervisor.status("drilled").workers) == 2
    with pytest.raises(InvalidOption, match="earthquake"):
        world.supervisor.drill("drilled", "earthquake", 30, told.append)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process may limit another's files")
def test_a_disk_that_is_full_keeps_serving(world: World) -> None:
    world.serve(world.version("full"), "full")
    found = world.supervisor.drill("full", "disk", 8, lambda _: None)
    assert found.requests > 100
    assert found.lost == 0
    assert world.supervisor.status("full").state == "running"


def test_alerts_and_incidents_outlive_the_supervisor(world: World) -> None:
    status = world.serve(world.version("lasting"), "lasting", workers=2)
    os.kill(status.workers[0].pid, signal.SIGSTOP)
    until(lambda: incident(world, "lasting", "end_worker") is not None, WAIT_S)
    until(
        lambda: len({w.pid for w in world.supervisor.status("lasting").workers} - {status.workers[0].pid}) == 2, WAIT_S
    )
    before = incident(world, "lasting", "end_worker")
    world.kill_supervisor()
    world.supervisor.ping()
    after = incident(world, "lasting", "end_worker")
    assert before is not None
    assert after is not None
    assert (after.id, after.text) == (before.id, before.text)
    assert any(one.rule.startswith("worker:") for one in health(world, "lasting").alerts)
