"""What becomes of faults: done, suggested, judged, undone, written down. The clock is the test's."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from recovering import MB, Machine, alert

from autodeploy_magic.contracts import Traffic
from autodeploy_magic.errors import InvalidOption, StartFailed
from autodeploy_magic.health import Incident
from autodeploy_magic.metrics.histogram import bucket
from autodeploy_magic.operate.detect.base import Answers
from autodeploy_magic.operate.recover.hands import Room
from autodeploy_magic.operate.recover.recovery import Recovery
from autodeploy_magic.operate.recover.words import story
from autodeploy_magic.store import Store

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def kept(store: Store) -> Store:
    """A store that has the deployment's folder."""
    store.folder("iris").mkdir(parents=True)
    return store


def run(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Let an async test run on a loop of its own."""

    @functools.wraps(test)
    def runs(*arguments: object, **more: object) -> None:
        asyncio.run(test(*arguments, **more))  # type: ignore[arg-type]

    return runs


def burning(**more: object) -> dict[str, object]:
    return {"detector": "slo", "metric": "p99", "value": 0.088, "limit": 0.05, "objective": "given", **more}


@run
async def test_demand_is_met_with_workers_and_given_back_when_it_is_over(kept: Store) -> None:
    machine = Machine(kept)
    machine.cpu, machine.waiting, machine.latency_s = 0.95, 9, 0.088
    await machine.second(count=30)
    late = alert("slo:p99", **burning(text="p99 88 ms > 50 ms for 30 s", since_s=machine.now_s))
    await machine.second(late)
    assert machine.done == ["run 2"]
    machine.cpu, machine.waiting, machine.latency_s = 0.9, 0, 0.0034
    await machine.second(late, count=5)
    (incident,) = await machine.second()  # the alert has ended
    assert (incident.outcome, incident.did, incident.undo) == ("helped", "scaled 1 → 2 workers", True)
    assert incident.before["p99"] == pytest.approx(0.088, rel=0.02)
    assert incident.after["p99"] == pytest.approx(0.0034, rel=0.02)
    assert story(incident) == "p99 88 ms > 50 ms for 30 s → scaled 1 → 2 workers → p99 3.4 ms after 6 s"
    machine.cpu = 0.2
    await machine.second(count=300)
    machine.cpu = 1.6  # busy for a moment: the ten minutes begin anew
    await machine.second()
    machine.cpu = 0.2
    await machine.second(count=598)
    assert machine.done == ["run 2"]
    await machine.second(count=30)
    assert machine.done == ["run 2", "run 1"]
    await machine.second(count=1300)
    assert machine.done == ["run 2", "run 1"]  # never below what the person wanted


@run
async def test_scaling_again_waits_for_its_cool_down_and_says_so(kept: Store) -> None:
    machine = Machine(kept)
    machine.cpu = 3.9
    await machine.second(alert("cpu"))
    await machine.second(count=10)
    again = alert("cpu", since_s=machine.now_s + 10)
    await machine.second(count=10)
    await machine.second(again)
    held = machine.recovery.of("iris")[0]
    assert (held.outcome, held.action, machine.done) == ("held", "scale_up", ["run 2"])
    assert "60 s have to pass" in held.why
    await machine.second(again, count=50)
    assert machine.done == ["run 2", "run 4"]
    assert machine.at[1] - machine.at[0] >= 60.0


@run
async def test_replicas_of_a_cluster_are_not_judged_by_this_machines_cores(kept: Store) -> None:
    machine = Machine(kept)
    machine.desired = msgspec.structs.replace(machine.desired, target="ray", address="http://127.0.0.1:8265")
    machine.cpu = 3.9
    await machine.second(alert("cpu"))
    assert machine.done == []
    tried = machine.recovery.of("iris")[0]
    assert "its cluster adds replicas by itself" in tried.why


@run
async def test_what_did_not_help_is_undone_and_not_tried_again_but_the_next_is(kept: Store) -> None:
    machine = Machine(kept)
    machine.cpu, machine.waiting, machine.latency_s = 0.95, 40, 0.088
    await machine.second(count=30)
    late = alert("slo:p99", **burning(since_s=machine.now_s))
    await machine.second(late, count=40)
    assert machine.done == ["run 2", "run 1"]
    incident = next(one for one in machine.recovery.of("iris") if one.action == "scale_up")
    assert (incident.outcome, incident.undo) == ("undone", False)
    assert "p99 was not better" in incident.why
    machine.free = Room(cores=1, cores_free=0.0, memory_free_bytes=0)
    await machine.second(late, count=5)
    assert machine.done == ["run 2", "run 1", "run None max_queue=20"]
    await machine.second(late, count=900)
    assert machine.done.count("run 2") == 1, "not within a day"
    machine.desired = msgspec.structs.replace(machine.desired, version=4)
    machine.free = Room(cores=8, cores_free=6.0, memory_free_bytes=8_000 * MB)
    await machine.second(late, count=3)
    assert machine.done.count("run 2") == 2, "another version is another matter"


@run
async def test_a_new_version_that_breaks_its_slo_goes_back_by_itself(kept: Store) -> None:
    machine = Machine(kept)
    await machine.second(count=20)
    machine.swapped_s, machine.failed = machine.now_s, 100
    broken = alert("slo:errors", **burning(metric="errors", value=1.0, limit=0.001, since_s=machine.now_s + 3))
    await machine.second(count=3)
    await machine.second(broken)
    assert machine.done == ["roll back to 2"]
    machine.failed = 0
    await machine.second(broken, count=20)  # burn rates look back for a while
    (incident,) = machine.recovery.of("iris")
    assert (incident.outcome, incident.did) == ("helped", "rolled back v3 → v2")
    assert (incident.before["errors"], incident.after["errors"]) == (pytest.approx(100 / 600), 0.0)
    await machine.second(broken, count=900)
    assert machine.done == ["roll back to 2"], "what was gone back to is not left for v1"


@pytest.mark.parametrize(
    ("more", "begins_s", "outcome"),
    [
        pytest.param({"objective": "learned", "value": 0.06, "limit": 0.01}, 3, "helped", id="learned, 6 % fail"),
        pytest.param({"objective": "learned", "value": 0.02, "limit": 0.01}, 3, "suggested", id="learned, 2 % fail"),
        pytest.param({"objective": "", "detector": "errors", "value": 0.5}, 3, "helped", id="unusual, half fail"),
        pytest.param({"value": 0.02, "limit": 0.001}, -30, "suggested", id="given, but burning before the swap"),
    ],
)
@run
async def test_who_goes_back_by_itself_and_who_asks(
    kept: Store, more: dict[str, object], begins_s: float, outcome: str
) -> None:
    machine = Machine(kept)
    await machine.second(count=40)
    machine.swapped_s = machine.now_s
    found = alert("errors", **burning(metric="errors", since_s=machine.now_s + begins_s, **more))
    await machine.second(found, count=4)
    await machine.second(count=2)
    (incident,) = machine.recovery.of("iris")
    assert incident.action == "roll_back"
    assert machine.done == (["roll back to 2"] if outcome == "helped" else [])
    assert incident.outcome == ("helped" if outcome == "helped" else "resolved")


@run
async def test_the_canary_that_is_to_blame_loses_its_share(kept: Store) -> None:
    machine = Machine(kept)
    machine.desired = msgspec.structs.replace(machine.desired, traffic=Traffic(canary=4, share=0.1))
    machine.swapped_s = machine.now_s
    machine.by_version = {3: Answers(90, 0, 0, {bucket(0.005): 90}), 4: Answers(10, 0, 9, {bucket(0.005): 10})}
    await machine.second(count=5)
    await machine.second(alert("errors", value=0.09, since_s=machine.now_s))
    assert machine.done == ["end trial"]


@run
async def test_a_worker_that_hangs_is_ended_at_once_even_while_another_action_is_judged(kept: Store) -> None:
    machine = Machine(kept, workers=2)
    await machine.second(count=3)
    await machine.second(alert("leak", metric="memory", severity="warning", since_s=machine.now_s))
    stuck = alert("worker:101", detector="workers", metric="workers", worker=101, since_s=machine.now_s)
    await machine.second(alert("leak", metric="memory", severity="warning"), stuck)
    assert machine.done == ["restart", "end 101"]
    found = await machine.second(count=3)
    assert [one.outcome for one in found] == ["helped", "helped"]
    assert machine.most_at_once == 1


@run
async def test_a_leak_is_restarted_and_the_figures_say_that_it_helped(kept: Store) -> None:
    machine = Machine(kept)
    machine.memory = 480 * MB
    await machine.second(count=30)
    leak = alert("leak", metric="memory", severity="warning", value=480.0 * MB, limit=500.0 * MB, text="memory leaks")
    await machine.second(leak)
    machine.memory = 200 * MB
    await machine.second(leak, count=25)
    (incident,) = machine.recovery.of("iris")
    assert (incident.outcome, incident.undo) == ("helped", False)
    assert story(incident).startswith("memory leaks → 1 worker replaced by fresh ones → memory 210 MB after ")


@run
async def test_the_disk_is_trimmed_once(kept: Store) -> None:
    machine = Machine(kept)
    await machine.second(alert("disk", metric="disk_free"), count=200)
    assert machine.done == ["trim"]
    found = {one.action: one for one in machine.recovery.of("iris")}
    assert found["trim"].did == "trimmed the store: 5.2 MB freed"
    assert found["trim"].outcome == "no_help"
    assert "trim: it did not help" in found[""].why, "it says that it gave up"


@run
async def test_off_does_nothing_and_suggest_does_nothing_by_itself(kept: Store) -> None:
    for mode, outcomes in (("off", []), ("suggest", ["suggested"])):
        machine = Machine(kept, mode=mode)
        await machine.second(alert("leak", metric="memory"), count=50)
        assert [one.outcome for one in machine.recovery.of("iris")] == outcomes
        assert machine.done == []
    incident = machine.recovery.of("iris")[0]
    assert incident.would == "replace 1 worker by fresh ones, without a lost request"
    done = await machine.recovery.act("iris", incident.id)
    assert (machine.done, done.outcome, done.did) == (["restart"], "open", "1 worker replaced by fresh ones")
    (after,) = await machine.second(count=3)
    assert after.outcome == "helped"
    with pytest.raises(InvalidOption, match="nothing to do"):
        await machine.recovery.act("iris", incident.id)
    with pytest.raises(InvalidOption, match="cannot be taken back"):
        await machine.recovery.undo("iris", incident.id)
    with pytest.raises(InvalidOption, match="has no incident"):
        await machine.recovery.act("iris", "0")


@run
async def test_a_suggestion_ends_with_its_fault_and_is_the_same_when_it_comes_back(kept: Store) -> None:
    machine = Machine(kept)
    drift = alert("drift:petal_width", detector="drift", metric="drift", severity="warning")
    for _ in range(5):
        (incident,) = await machine.second(drift, count=3)
        assert (incident.action, incident.outcome, incident.closed_s) == ("retune", "suggested", 0.0)
        (ended,) = await machine.second(count=3)
        assert (ended.outcome, ended.id) == ("resolved", incident.id)
    await machine.second(drift)
    done = await machine.recovery.act("iris", incident.id)
    assert machine.done == ["retune"]
    assert "began the re-tune a1: it proposes what it proves" in done.did


@run
async def test_drift_re_tunes_without_asking_where_the_person_lets_it(kept: Store) -> None:
    machine = Machine(kept)
    machine.desired = msgspec.structs.replace(
        machine.desired, settings={**machine.desired.settings, "retune_incidents": "act", "retune_promote": "auto"}
    )
    drift = alert("drift:petal_width", detector="drift", metric="drift", severity="warning")
    (incident,) = await machine.second(drift, count=3)
    assert machine.done == ["retune"]
    assert "what it proves is taken" in incident.did


@run
async def test_a_broken_slo_of_latency_may_be_re_tuned_and_mere_load_may_not(kept: Store) -> None:
    machine = Machine(kept)
    machine.desired = msgspec.structs.replace(machine.desired, settings={"retune_incidents": "act"})
    machine.cpu, machine.free = 0.95, machine.free._replace(cores_free=0.0)
    await machine.second(alert("cpu"), count=120)
    assert "retune" not in machine.done
    await machine.second(alert("slo:p99", **burning(since_s=machine.now_s)), count=400)
    assert "retune" in machine.done


@run
async def test_a_silenced_alert_leads_to_nothing(kept: Store) -> None:
    machine = Machine(kept)
    await machine.second(alert("leak", metric="memory", silenced_until_s=machine.now_s + 60), count=59)
    assert machine.recovery.of("iris") == ()
    await machine.second(alert("leak", metric="memory"), count=2)
    assert machine.done == ["restart"]


@run
async def test_no_more_than_so_many_actions_within_an_hour(kept: Store) -> None:
    machine = Machine(kept)
    machine.desired = msgspec.structs.replace(machine.desired, settings={"actions_per_hour": 3})
    for number in range(8):
        stuck = alert(f"worker:{100 + number}", detector="workers", metric="workers", worker=machine.pids[0])
        machine.now_s += 30
        await machine.second(stuck)
    assert len(machine.done) == 3
    held = machine.recovery.of("iris")[0]
    assert (held.outcome, held.action) == ("held", "end_worker")
    assert "3 actions within an hour" in held.why
    machine.now_s += 3600
    await machine.second(alert("worker:9", detector="workers", metric="workers", worker=machine.pids[0]))
    assert len(machine.done) == 4


@run
async def test_an_action_that_fails_is_told_and_the_rest_goes_on(kept: Store) -> None:
    machine = Machine(kept)
    leak = alert("leak", metric="memory")
    for trouble, words in ((StartFailed("v3 did not start"), "v3 did not start"), (KeyError("x"), "KeyError: 'x'")):
        machine.trouble = trouble
        machine.now_s += 400
        await machine.second(leak)
        failed = next(one for one in machine.recovery.of("iris") if one.action)
        assert (failed.outcome, failed.why) == ("failed", words)
        assert machine.recovery.faults("iris") == {"action restart": words}
    machine.now_s += 400
    await machine.second(leak, count=2)
    assert machine.done == ["restart"]
    assert machine.recovery.faults("iris") == {}


@run
async def test_a_person_takes_it_back_and_it_is_not_done_again(kept: Store) -> None:
    machine = Machine(kept)
    machine.cpu, machine.waiting = 0.95, 9
    late = alert("slo:p99", **burning())
    await machine.second(late, count=3)
    (incident, *_) = machine.recovery.of("iris")
    undone = await machine.recovery.undo("iris", incident.id)
    assert (undone.outcome, undone.undo, machine.done) == ("undone", False, ["run 2", "run 1"])
    await machine.second(late, count=200)
    assert machine.done == ["run 2", "run 1"]


@run
async def test_incidents_outlive_their_supervisor_and_one_it_was_in_the_middle_of_is_told_so(kept: Store) -> None:
    machine = Machine(kept)
    machine.turns = 1000
    await machine.second(count=2)
    machine.now_s += 1
    await machine.recovery.look(machine.moment(), [alert("leak", metric="memory")])
    while not kept.incidents_file("iris").exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0)
    await machine.recovery.close()  # as a SIGKILL would: what was begun is on disk, and no more
    assert machine.done == []
    after = Recovery(kept, machine, machine.told.append, clock=lambda: machine.now_s)
    (incident,) = after.of("iris")
    assert incident.outcome == "failed"
    assert "the supervisor ended in the middle of it" in incident.why


@run
async def test_what_was_done_before_a_restart_is_judged_after_it_and_still_undone(kept: Store) -> None:
    machine = Machine(kept)
    machine.cpu, machine.waiting = 0.95, 40
    late = alert("slo:p99", **burning())
    await machine.second(count=30)
    await machine.second(late)
    machine.recovery = Recovery(kept, machine, machine.told.append, clock=lambda: machine.now_s)
    machine.latency_s = 0.4
    await machine.second(late, count=30)
    assert machine.done == ["run 2", "run 1"]
    machine.recovery = Recovery(kept, machine, machine.told.append, clock=lambda: machine.now_s)
    await machine.second(late, count=400)
    assert machine.done == ["run 2", "run 1"]


def test_a_damaged_file_is_put_aside(kept: Store) -> None:
    file = kept.incidents_file("iris")
    file.write_text('{"schema": 1, "incidents": [{"id"')
    assert Machine(kept).recovery.of("iris") == ()
    assert file.with_suffix(".damaged").exists()
    assert not file.exists()


@run
async def test_a_disk_that_is_full_keeps_nothing_from_being_done(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store, path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write_json", full)
    machine = Machine(kept)
    await machine.second(alert("leak", metric="memory"), count=2)
    assert machine.done == ["restart"]
    assert "No space left" in machine.recovery.faults("iris")["incidents"]
    monkeypatch.undo()
    await machine.second(count=3)
    assert machine.recovery.faults("iris") == {}
    assert json.loads(kept.incidents_file("iris").read_text())["incidents"][0]["outcome"] == "helped"


@run
async def test_who_is_told_may_fail(kept: Store) -> None:
    machine = Machine(kept)

    def raises(_: Incident) -> None:
        raise RuntimeError("no panel")

    machine.recovery = Recovery(kept, machine, raises, clock=lambda: machine.now_s)
    await machine.second(alert("leak", metric="memory"), count=2)
    assert machine.done == ["restart"]
    assert machine.recovery.faults("iris") == {"telling of incidents": "RuntimeError: no panel"}


@run
async def test_no_more_incidents_are_kept_than_may_be(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodeploy_magic.operate.recover.state.MOST", 5)
    machine = Machine(kept, mode="suggest")
    for number in range(9):
        await machine.second(alert(f"drift:{number}", detector="drift", metric="drift"))
    assert [one.rule for one in machine.recovery.of("iris")] == [f"drift:{number}" for number in range(8, 3, -1)]


@run
async def test_what_the_person_changed_is_theirs(kept: Store) -> None:
    machine = Machine(kept)
    machine.cpu, machine.waiting = 0.95, 9
    await machine.second(alert("slo:p99", **burning()), count=2)
    assert machine.done == ["run 2"]
    machine.desired = msgspec.structs.replace(machine.desired, workers=4)
    machine.cpu, machine.waiting = 0.1, 0
    await machine.second(count=1500)
    assert machine.done == ["run 2"]


@pytest.mark.parametrize(
    ("metric", "more", "free", "done"),
    [
        pytest.param("errors", {"limit": 0.01}, 6.0, ["restart"], id="a fifth fail"),
        pytest.param("p99", {"limit": 0.001, "objective": "given"}, 6.0, ["restart"], id="late"),
        pytest.param("p99", {"limit": 0.001, "objective": "given"}, 0.1, [], id="late on a busy machine"),
        pytest.param("p99", {"limit": 0.001, "objective": "learned"}, 6.0, [], id="late, and nobody promised"),
        pytest.param("p99", {"limit": 9.0, "objective": "given"}, 6.0, [], id="late no more"),
    ],
)
@run
async def test_workers_that_are_spoilt_are_replaced(
    kept: Store, metric: str, more: dict[str, object], free: float, done: list[str]
) -> None:
    machine = Machine(kept)
    machine.free = machine.free._replace(cores_free=free)
    machine.failed = 20 if metric == "errors" else 0
    await machine.second(count=40)
    await machine.second(alert(f"slo:{metric}", metric=metric, detector="slo", since_s=machine.now_s, **more), count=5)
    assert machine.done == done
