"""What panels, the sidebar and terminals are told by a real supervisor."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from watching import watching
from world import World, until

from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import InvalidOption, ShipFailed, UnknownDeployment, UnknownVersion
from autodeploy_magic.live import COLUMNS, Activity, Event
from autodeploy_magic.shipping import Wanted
from autodeploy_magic.supervisor.moves import MOST_WORKERS

pytestmark = pytest.mark.timeout(120)


def quiet(_: Progress) -> None:
    pass


def changes(events: Iterable[Event]) -> list[str]:
    """What was done, in its order. What the watch makes of a busy machine is not among it."""
    return [event.kind for event in events if event.kind not in ("alert", "incident")]


# --- the stream


def test_a_stream_begins_with_the_whole_picture_and_goes_on_with_what_changes(world: World) -> None:
    world.serve(world.version())
    world.serve(world.version("churn", format="native"), "churn")
    with watching(world.supervisor) as seen:
        first, second, third = seen.messages[:3]
        assert first.hello is not None
        assert abs(first.hello.now_s - time.time()) < 60
        assert second.glances is not None
        assert [glance.status.name for glance in second.glances] == ["churn", "iris"]
        assert third.activities is not None
        glance = seen.glances["iris"]
        assert (glance.framework, glance.trust, glance.local) == ("sklearn", "green", True)
        assert glance.status.state == "running"
        world.supervisor.stop("iris")
        seen.wait(lambda: seen.glances["iris"].status.state == "stopped")
        seen.wait(lambda: "stopped" in changes(seen.events))
        seen.wait(lambda: seen.state_of("stop iris") == "done")
        world.supervisor.remove("iris")
        seen.wait(lambda: "iris" not in seen.glances)


def test_a_stream_of_some_names_tells_of_no_others(world: World) -> None:
    world.serve(world.version())
    world.serve(world.version("churn"), "churn")
    with watching(world.supervisor, "churn") as seen:
        world.supervisor.stop("iris")
        world.supervisor.stop("churn")
        seen.wait(lambda: seen.glances["churn"].status.state == "stopped")
        assert set(seen.glances) == {"churn"}
        assert {event.name for event in seen.events} == {"churn"}


def test_a_worker_that_dies_is_told_with_how_and_how_long(world: World) -> None:
    status = world.serve(world.version())
    with watching(world.supervisor) as seen:
        os.kill(status.workers[0].pid, signal.SIGKILL)
        seen.wait(lambda: any(event.kind == "worker_died" for event in seen.events))
        event = next(event for event in seen.events if event.kind == "worker_died")
        assert event.severity == "warning"
        assert str(status.workers[0].pid) in event.text
        assert "SIGKILL" in event.text
        assert "replaced after" in event.text
    assert changes(world.supervisor.events("iris")) == ["deployed", "worker_died"]


def test_a_stream_ends_with_the_supervisor_and_the_next_one_tells_the_same(world: World) -> None:
    world.serve(world.version())
    until(lambda: world.supervisor.events("iris"))  # written down, by a thread
    with watching(world.supervisor) as seen:
        world.kill_supervisor()
        assert seen.ended.wait(10)
    with watching(world.supervisor) as again:
        until(lambda: again.glances["iris"].status.state == "running")
    assert world.supervisor.events("iris")[0].kind == "deployed"


def test_a_build_that_a_kernel_performs_is_told_to_all_and_to_those_who_come_later(world: World) -> None:
    step = Progress(step="export", state="started")
    activity = Activity(id="k1", name="iris", title="deploy iris", where="kernel", started_s=time.time(), steps=(step,))
    with watching(world.supervisor) as seen:
        world.supervisor.activity(activity)
        seen.wait(lambda: "deploy iris" in seen.activities)
        assert seen.activities["deploy iris"] == activity
    with watching(world.supervisor) as late:
        assert any(activity in (message.activities or ()) for message in late.messages)


# --- the calls


def test_a_view_has_everything_that_the_panel_shows(world: World) -> None:
    first, second = world.version(), world.version(c=0.01)
    world.serve(first)
    world.serve(second, history=(first,))
    view = world.supervisor.view("iris")
    assert [(line.number, line.role) for line in view.versions] == [(second, "champion"), (first, "")]
    assert view.rollback_to == first
    assert set(view.snippets) == {"curl", "python", "javascript"}
    assert changes(view.events) == ["deployed", "swapped"]
    assert {knob.name for knob in view.knobs} == {"batch_rows", "max_queue", "request_timeout_s", "spinning", "threads"}
    assert view.cores >= 1


def test_a_test_sends_a_row_of_the_sample_and_tells_whether_the_answer_is_as_verified(world: World) -> None:
    world.serve(world.version())
    probe = world.supervisor.test("iris", rows=2)
    assert (probe.status, probe.version) == (200, 1)
    assert len(probe.request["inputs"]) == len(probe.answer["predictions"]) == 2
    assert 0 < probe.seconds < 10
    world.supervisor.stop("iris")
    with pytest.raises(Exception, match="does not answer"):
        world.supervisor.test("iris")


def test_scaling_and_tuning_change_how_the_same_version_is_run(world: World) -> None:
    world.serve(world.version())
    assert len(world.supervisor.scale("iris", 2, quiet).workers) == 2
    status = world.supervisor.tune("iris", quiet, workers=1, settings={"batch_rows": 64})
    assert (len(status.workers), status.version) == (1, 1)
    knob = next(knob for knob in world.supervisor.view("iris").knobs if knob.name == "batch_rows")
    assert knob.value == 64
    assert changes(world.supervisor.events("iris")) == ["deployed", "scaled", "scaled"]
    for workers in (0, -1, MOST_WORKERS + 1):
        with pytest.raises(InvalidOption, match="not a number of workers"):
            world.supervisor.scale("iris", workers, quiet)
    for wrong in ({"hosts": 1.0}, {"batch_rows": -1.0}, {"max_queue": 0.0}, {"max_queue": 1.5}):
        with pytest.raises(InvalidOption):
            world.supervisor.tune("iris", quiet, settings=wrong)
    assert world.predict().status_code == 200


def test_rolling_back_and_promoting_need_no_kernel(world: World) -> None:
    first, second = world.version(), world.version(c=0.01)
    world.serve(first)
    with pytest.raises(UnknownVersion, match="no earlier version"):
        world.supervisor.rollback("iris", quiet)
    world.serve(second, history=(first,))
    assert world.supervisor.rollback("iris", quiet).version == first
    with pytest.raises(InvalidOption, match="already the one that serves"):
        world.supervisor.rollback("iris", quiet, first)
    assert world.supervisor.promote("iris", quiet, second).version == second
    assert world.store.desired("iris").history == (first,)
    with pytest.raises(InvalidOption, match="champion already"):
        world.supervisor.promote("iris", quiet, second)
    kinds = changes(world.supervisor.events("iris"))
    assert kinds == ["deployed", "swapped", "rolled_back", "promoted"]


def test_two_roll_backs_at_once_go_back_two_versions_or_say_why_not(world: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    numbers = [world.version(c=c) for c in (1.0, 0.1, 0.01)]
    world.serve(numbers[2], history=tuple(numbers[:2]))
    with ThreadPoolExecutor(2) as pool:
        found = {pool.submit(world.supervisor.rollback, "iris", quiet) for _ in range(2)}
        assert sorted(one.result().version for one in found) == numbers[:2]
    assert world.store.desired("iris").version == numbers[0]


def test_an_image_needs_an_engine_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.serve(world.version())
    with watching(world.supervisor) as seen:
        with pytest.raises(ShipFailed, match="not a container engine"):
            world.supervisor.containerize("iris", Wanted(engine="scissors"), quiet)
        seen.wait(lambda: seen.state_of("containerize iris") == "failed")


@pytest.mark.parametrize("name", ["nobody", "never-made"])
def test_an_unknown_deployment_is_unknown_to_every_call(world: World, name: str) -> None:
    world.serve(world.version())
    for call in (world.supervisor.view, world.supervisor.events, world.supervisor.test, world.supervisor.series):
        with pytest.raises(UnknownDeployment):
            call(name)


# --- what a page may ask for


def test_a_page_may_ask_for_what_it_shows_and_changes(world: World) -> None:
    world.serve(world.version())
    call = world.supervisor.page_call
    assert call("GET", "/glances")[0]["status"]["name"] == "iris"
    assert call("GET", "/deployments/iris/series?seconds=60&points=60")["name"] == "iris"
    assert call("POST", "/deployments/iris/test", {"rows": 1})["status"] == 200
    seen: list[Progress] = []
    assert call("POST", "/deployments/iris/restart", {}, seen.append)["state"] == "running"
    assert [step.state for step in seen] == ["started", "done"]
    with pytest.raises(InvalidOption, match="cannot be read"):
        call("POST", "/deployments/iris/scale", {"workers": "many"})
    with pytest.raises(InvalidOption, match="seconds=x"):
        call("GET", "/deployments/iris/events?seconds=x")


def test_a_page_may_ask_where_a_version_can_go_and_ship_it(world: World, tmp_path: Path) -> None:
    world.serve(world.version())
    call = world.supervisor.page_call
    offered = call("GET", "/deployments/iris/targets")
    assert (offered["version"], offered["image"]) == (1, "")
    compose = next(target for target in offered["targets"] if target["name"] == "compose")
    assert {option["name"]: option["default"] for option in compose["options"]}["alertmanager"] == "no"
    order = {"target": "compose", "folder": str(tmp_path / "iris"), "image": "registry.example.com/iris:v1"}
    with pytest.raises(InvalidOption, match="port of compose is 'many'"):
        call("POST", "/deployments/iris/ship", order | {"options": {"port": "many"}})
    assert not (tmp_path / "iris").exists()
    seen: list[Progress] = []
    shipped = call("POST", "/deployments/iris/ship", order | {"options": {"port": "8081"}}, seen.append)
    assert {step.step for step in seen} >= {"ship"}
    assert {str(path.relative_to(shipped["folder"])) for path in (tmp_path / "iris").rglob("*") if path.is_file()} == {
        *shipped["files"],
        ".shipped.json",
    }
    with pytest.raises(UnknownDeployment):
        call("GET", "/deployments/nobody/targets")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs"),
        ("POST", "/warm"),
        ("POST", "/shutdown"),
        ("POST", "/deployments"),
        ("POST", "/activities"),
        ("GET", "/live"),
        ("PUT", "/deployments/iris"),
        ("GET", "/deployments/../jobs"),
        ("GET", "/deployments/iris/view/"),
        ("POST", "/deployments/iris%2F..%2F..%2Fjobs/test"),
        ("GET", "/deployments/iris/logs\r\nx: y"),
        ("GET", "/deployments/iris/logs?lines=1\r\nx: y"),
    ],
)
def test_a_page_may_not_ask_for_anything_else(world: World, method: str, path: str) -> None:
    with pytest.raises(InvalidOption, match="cannot ask"):
        world.supervisor.page_call(method, path, {})


# --- what is measured


def test_points_tell_what_was_answered_and_what_it_took(world: World) -> None:
    world.serve(world.version())
    with watching(world.supervisor, "iris") as seen:
        begun = time.time()
        used = COLUMNS.index("cpu_cores")
        while not any(point.v[0] and point.v[used] for point in seen.points):
            assert world.predict().status_code == 200
            assert time.time() - begun < 30
        point = next(point for point in seen.points if point.v[0] and point.v[used])
        told = dict(zip(COLUMNS, point.v, strict=True))
        assert told["failed_per_s"] == 0
        assert 0 < (told["p50_s"] or 0) <= (told["p99_s"] or 0) < 5
        assert 10e6 < (told["memory_bytes"] or 0) < 1e9
        assert (told["cpu_cores"] or 0) > 0
        assert (told["disk_bytes"] or 0) > 0
        assert (told["disk_free_bytes"] or 0) > 0
        assert abs(point.t - begun) < 30
    series = world.supervisor.series("iris", 60, 60)
    assert series.columns == COLUMNS
    assert any(value for value in series.values[0])


def test_a_deployment_that_is_down_has_no_figures_rather_than_zeros(world: World) -> None:
    world.serve(world.version())
    until(lambda: any(value is not None for value in world.supervisor.series("iris", 30, 30).values[10]))
    world.supervisor.stop("iris")
    stopped = time.time()
    until(lambda: time.time() - stopped > 7)
    series = world.supervisor.series("iris", 30, 30)
    end = series.start_s + series.step_s * len(series.values[0])
    down = [i for i in range(len(series.values[0])) if stopped + 1 < series.start_s + i * series.step_s < end - 1]
    assert down
    for name in ("requests_per_s", "cpu_cores", "memory_bytes", "p99_s"):
        assert {series.values[COLUMNS.index(name)][i] for i in down} == {None}, name


def test_what_is_asked_for_in_points_that_cannot_be_made_is_refused(world: World) -> None:
    world.serve(world.version())
    for seconds, points in ((0, 10), (60, 0), (60, 1_000_000)):
        with pytest.raises(InvalidOption):
            world.supervisor.series("iris", seconds, points)
