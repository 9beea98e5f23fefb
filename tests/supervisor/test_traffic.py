"""Canary, shadow, loaded versions and swaps inside the workers, through a real supervisor and over real HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from load import Load
from versions import X
from world import WAIT_S, World, until

from autodeploy_magic.contracts import Traffic, encode
from autodeploy_magic.errors import ArtifactChanged, InvalidOption, StoreFailed, SupervisorFailed, UnknownVersion
from autodeploy_magic.metrics import by_version, comparison, totals
from autodeploy_magic.supervisor.client import connect
from autodeploy_magic.supervisor.workers.watch import wait_gone

pytestmark = pytest.mark.timeout(180)


def steer(world: World, **change: Any) -> Any:
    return world.supervisor.steer("iris", lambda _: None, **change)


@contextmanager
def session(world: World) -> Iterator[httpx.Client]:
    url = world.supervisor.status("iris").url
    with httpx.Client(base_url=url, timeout=WAIT_S, headers=world.headers()) as client:
        yield client


def ask(client: httpx.Client, count: int = 1) -> Counter[int]:
    """Which versions answered `count` requests."""
    answers = [client.post("/predict", json={"inputs": X[i % 150 : i % 150 + 1].tolist()}) for i in range(count)]
    assert {answer.status_code for answer in answers} == {200}
    return Counter(answer.json()["version"] for answer in answers)


def pids(world: World) -> list[int]:
    return [worker.pid for worker in world.supervisor.status("iris").workers]


# --- swaps inside the workers


def test_a_swap_inside_the_workers_keeps_processes_and_connections(world: World) -> None:
    numbers = [world.version(c=c) for c in (1.0, 0.1, 0.01)]
    status = world.serve(numbers[0], workers=2)
    with Load(status.url, world.headers()) as load:
        for number in [*numbers[1:], *numbers]:
            swapped = world.serve(number, workers=2)
            assert (swapped.version, swapped.generation) == (number, 1)
            assert {worker.version for worker in swapped.workers} == {number}
            until(lambda number=number: load.answered_by(number))
    assert load.failed == []
    assert set(load.versions) == set(numbers)
    assert pids(world) == [worker.pid for worker in status.workers]
    assert world.store.desired("iris").version == numbers[-1]


@pytest.mark.parametrize("what", ["code", "native", "settings", "port"])
def test_what_cannot_be_taken_in_place_gets_new_workers(world: World, what: str) -> None:
    status = world.serve(world.version())
    more: dict[str, Any] = {"settings": {"max_rows": 5}} if what == "settings" else {}
    if what == "port":
        more["port"] = httpx.URL(status.url).port + 1
    code = {"preprocess": lambda x: x} if what == "code" else {}
    number = world.version(c=0.1, format="native" if what == "native" else "onnx", **code)
    swapped = world.serve(number, **more)
    assert (swapped.version, swapped.generation) == (number, 2)
    assert swapped.workers[0].pid != status.workers[0].pid
    assert world.predict().json()["version"] == number


def test_another_signature_gets_new_workers(world: World) -> None:
    status = world.serve(world.version())
    number = world.version(c=0.1)
    folder = world.store.version_folder("iris", number)
    version = world.store.version("iris", number)
    columns = tuple(msgspec.structs.replace(column, nullable=True) for column in version.signature.columns)
    signature = msgspec.structs.replace(version.signature, columns=columns)
    (folder / "version.json").write_bytes(encode(msgspec.structs.replace(version, signature=signature)))
    assert world.serve(number).generation == status.generation + 1
    assert "it is of another kind than the version that serves" in world.store.supervisor_log.read_text()


def test_a_damaged_version_leaves_the_old_one_everywhere(world: World) -> None:
    status = world.serve(world.version(), workers=2)
    number = world.version(c=0.1)
    (world.store.version_folder("iris", number) / "model.onnx").write_bytes(b"other")
    with Load(status.url, world.headers()) as load, pytest.raises(ArtifactChanged):
        world.serve(number, workers=2)
    assert load.failed == []
    assert set(load.versions) == {status.version}
    assert world.supervisor.status("iris") == status
    assert world.store.desired("iris").version == status.version


def test_what_cannot_be_written_down_is_not_swapped_to(world: World) -> None:
    numbers = [world.version(), world.version(c=0.1)]
    status = world.serve(numbers[0], workers=2)
    record = world.store.folder("iris") / "deployment.json"
    kept = record.read_bytes()
    record.unlink()
    record.mkdir()  # what cannot be replaced by a file stands for what has no room
    with pytest.raises(StoreFailed):
        world.serve(numbers[1], workers=2)
    record.rmdir()
    record.write_bytes(kept)
    assert world.supervisor.status("iris") == status
    with session(world) as client:
        assert set(ask(client, 10)) == {numbers[0]}
    assert world.serve(numbers[1], workers=2).generation == status.generation


def test_restart_replaces_the_workers_with_all_versions(world: World) -> None:
    numbers = [world.version(), world.version(c=0.1)]
    status = world.serve(numbers[0])
    steer(world, canary=numbers[1], share=0.5)
    restarted = world.supervisor.restart("iris", lambda _: None)
    assert restarted.workers[0].pid != status.workers[0].pid
    assert restarted.traffic.canary == numbers[1]
    with session(world) as client:
        assert set(ask(client, 40)) == set(numbers)


# --- canary


def test_a_canary_gets_its_share_and_nothing_is_lost(world: World) -> None:
    numbers = [world.version(), world.version(c=0.01)]
    status = world.serve(numbers[0], workers=2)
    with Load(status.url, world.headers()) as load:
        changed = steer(world, canary=numbers[1], share=0.25)
        with session(world) as client:
            found = ask(client, 1000)
        steer(world, canary=0, share=0.0)
        until(lambda: load.answered_by(numbers[0]))
    assert load.failed == []
    assert (changed.version, changed.traffic.canary, changed.traffic.share) == (numbers[0], numbers[1], 0.25)
    # Of a binomial distribution with n = 1000, p = 0.25: five standard deviations to both sides.
    assert abs(found[numbers[1]] - 250) < 69
    assert pids(world) == [worker.pid for worker in status.workers]
    until(lambda: numbers[1] in by_version(world.store.metrics_file("iris"), 0))
    seen = by_version(world.store.metrics_file("iris"), 0)[numbers[1]]
    assert seen.failed == 0
    assert seen.p50_s is not None
    assert totals(world.store.metrics_file("iris"))[numbers[1]].executions > 0  # its own lane's


def test_a_canary_survives_a_worker_a_restart_and_the_supervisor(world: World) -> None:
    numbers = [world.version(), world.version(c=0.01)]
    status = world.serve(numbers[0])
    steer(world, canary=numbers[1], share=0.5)

    def both() -> bool:
        with session(world) as client:
            return set(ask(client, 40)) == set(numbers)

    assert both()
    psutil.Process(status.workers[0].pid).kill()
    until(lambda: world.supervisor.status("iris").state == "running" and pids(world) != [status.workers[0].pid])
    assert both()
    replaced = pids(world)
    world.kill_supervisor()
    with httpx.Client(base_url=status.url, timeout=WAIT_S, headers=world.headers()) as client:
        assert set(ask(client, 40)) == set(numbers)
    found = world.supervisor.status("iris")
    assert ([worker.pid for worker in found.workers], found.state) == (replaced, "running")
    assert (found.traffic.canary, found.traffic.share) == (numbers[1], 0.5)
    world.supervisor.stop("iris")
    assert world.supervisor.status("iris").traffic.canary == numbers[1]
    world.supervisor.start("iris", lambda _: None)
    assert both()


def test_traffic_of_a_stopped_deployment_holds_from_its_start(world: World) -> None:
    numbers = [world.version(), world.version(c=0.01)]
    world.serve(numbers[0])
    world.supervisor.stop("iris")
    assert steer(world, canary=numbers[1], share=1.0).state == "stopped"
    with pytest.raises(UnknownVersion):
        steer(world, canary=9, share=1.0)
    world.supervisor.start("iris", lambda _: None)
    with session(world) as client:
        assert set(ask(client, 10)) == {numbers[1]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"canary": 1, "share": 0.1}, "is the champion"),
        ({"shadow": 1}, "is the champion"),
        ({"canary": 2, "share": 0.1, "shadow": 2}, "canary and shadow at once"),
        ({"canary": 2}, "cannot get 0 of the requests"),
        ({"canary": 2, "share": 1.5}, r"cannot get 1\.5 of the requests"),
        ({"loaded": [2, 3, 4, 5, 6]}, "more than the 4"),
    ],
)
def test_traffic_that_makes_no_sense_is_refused(world: World, change: dict[str, Any], told: str) -> None:
    for _ in range(6):
        world.version()
    before = world.serve(1)
    with pytest.raises(InvalidOption, match=told):
        steer(world, **change)
    assert world.supervisor.status("iris") == before


def test_a_canary_must_take_the_champions_requests(world: World) -> None:
    world.serve(world.version())
    number = world.version()
    folder = world.store.version_folder("iris", number)
    version = world.store.version("iris", number)
    columns = tuple(msgspec.structs.replace(column, shape=(3,)) for column in version.signature.columns)
    signature = msgspec.structs.replace(version.signature, columns=columns)
    (folder / "version.json").write_bytes(encode(msgspec.structs.replace(version, signature=signature)))
    for change in ({"canary": number, "share": 0.1}, {"shadow": number}):
        with pytest.raises(InvalidOption, match="cannot be a") as failure:
            steer(world, **change)
        assert "inputs is float64[4] for v1 and float64[3] for v2" in failure.value.why


def test_versions_with_python_code_share_a_process_only_where_they_get_along(world: World) -> None:
    numbers = [world.version(format="native"), world.version(c=0.1, format="native"), world.version(c=0.01)]
    world.serve(numbers[0])
    changed = steer(world, canary=numbers[1], share=0.5)  # made with the same packages
    assert changed.generation == 2  # in workers of its own: a pickle is tried before it serves
    with session(world) as client:
        assert set(ask(client, 40)) == set(numbers[:2])
    steer(world, canary=0)
    folder = world.store.version_folder("iris", numbers[1])
    version = world.store.version("iris", numbers[1])
    environment = msgspec.structs.replace(version.environment, requirements=("other==1.0",))
    (folder / "version.json").write_bytes(encode(msgspec.structs.replace(version, environment=environment)))
    before = world.supervisor.status("iris")
    with pytest.raises(InvalidOption, match="side by side") as failure:
        steer(world, canary=numbers[1], share=0.5)
    assert "other==1.0" in failure.value.why
    assert world.supervisor.status("iris") == before
    assert steer(world, canary=numbers[2], share=0.5).generation == before.generation  # ONNX gets along with any


def test_a_canary_that_cannot_be_loaded_changes_nothing(world: World) -> None:
    numbers = [world.version(), world.version(c=0.1)]
    before = world.serve(numbers[0])
    model = world.store.version_folder("iris", numbers[1]) / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(b"other")
    with pytest.raises(ArtifactChanged):
        steer(world, canary=numbers[1], share=0.5)
    assert world.supervisor.status("iris") == before
    assert world.store.desired("iris").traffic == Traffic()
    model.write_bytes(good)
    assert steer(world, canary=numbers[1], share=0.5).state == "running"


def test_a_replacement_serves_the_champion_though_the_canary_is_damaged(world: World) -> None:
    numbers = [world.version(), world.version(c=0.1)]
    status = world.serve(numbers[0])
    steer(world, canary=numbers[1], share=0.5)
    (world.store.version_folder("iris", numbers[1]) / "model.onnx").write_bytes(b"other")
    psutil.Process(status.workers[0].pid).kill()
    until(lambda: world.supervisor.status("iris").state == "degraded" and pids(world) != [])
    assert f"v{numbers[1]} is not loaded" in world.supervisor.status("iris").reason
    with session(world) as client:
        assert set(ask(client, 20)) == {numbers[0]}
    assert steer(world, canary=0).state == "running"


# --- loaded versions


def test_a_loaded_version_answers_by_name(world: World) -> None:
    numbers = [world.version(c=c) for c in (1.0, 0.1, 0.01)]
    world.serve(numbers[0], workers=2)
    body = {"inputs": [{"name": "inputs", "shape": [1, 4], "datatype": "FP64", "data": X[:1].ravel().tolist()}]}
    with session(world) as client:
        named = f"/v2/models/iris/versions/{numbers[1]}/infer"
        assert client.post(named, json=body).status_code == 404
        steer(world, loaded=[numbers[1]])
        answers = [client.post(named, json=body) for _ in range(10)]
        assert {answer.json()["model_version"] for answer in answers} == {str(numbers[1])}
        assert set(ask(client, 10)) == {numbers[0]}
        steer(world, loaded=[])
        assert client.post(named, json=body).status_code == 404


def load_by_protocol(client: httpx.Client, *numbers: int) -> httpx.Response:
    config = json.dumps({"version_policy": {"specific": {"versions": numbers}}})
    return client.post("/v2/repository/models/iris/load", json={"parameters": {"config": config}})


def index(client: httpx.Client) -> dict[str, str]:
    return {item["version"]: item["state"] for item in client.post("/v2/repository/index", json={}).json()}


@pytest.mark.parametrize("format", ["onnx", "native"])
def test_a_client_of_the_repository_protocol_loads_versions_in_all_workers(world: World, format: str) -> None:
    numbers = [world.version(), world.version(c=0.1, format=format), world.version(c=0.01)]
    world.serve(numbers[0], workers=2)
    with session(world) as client:
        assert index(client) == {"1": "READY", "2": "UNAVAILABLE", "3": "UNAVAILABLE"}
        answer = load_by_protocol(client, numbers[0], numbers[1])
        assert answer.status_code == 200, answer.text
    for _ in range(20):  # on new connections: either worker may get it
        with session(world) as client:
            assert index(client) == {"1": "READY", "2": "READY", "3": "UNAVAILABLE"}
    assert world.store.desired("iris").traffic.loaded == (numbers[1],)
    with session(world) as client:
        assert client.post("/v2/repository/models/iris/unload", json={}).status_code == 200
        assert index(client) == {"1": "READY", "2": "UNAVAILABLE", "3": "UNAVAILABLE"}
    assert world.store.desired("iris").traffic.loaded == ()


def test_what_the_repository_protocol_cannot_have_it_is_told(world: World) -> None:
    for _ in range(7):
        world.version()
    world.serve(1)
    with session(world) as client:
        assert load_by_protocol(client, 1, 9).status_code == 404
        refused = load_by_protocol(client, *range(1, 7))
        assert refused.status_code == 422
        assert "more than the 4" in refused.json()["error"]
        world.kill_supervisor()
        gone = load_by_protocol(client, 1, 2)
        assert gone.status_code == 503
        assert "the supervisor of this deployment does not answer" in gone.json()["error"]
        assert set(ask(client, 5)) == {1}


# --- what becomes of it


def test_a_new_champion_can_be_the_canary_and_back(world: World) -> None:
    numbers = [world.version(), world.version(c=0.1)]
    status = world.serve(numbers[0])
    steer(world, canary=numbers[1], share=0.1)
    with Load(status.url, world.headers()) as load:
        promoted = world.serve(numbers[1])
        until(lambda: load.answered_by(numbers[1]))
        assert (promoted.version, promoted.traffic.versions) == (numbers[1], ())
        world.serve(numbers[0])
        until(lambda: load.answered_by(numbers[0]))
    assert load.failed == []
    assert pids(world) == [worker.pid for worker in status.workers]


def test_a_native_canary_that_is_loaded_is_promoted_in_place(world: World) -> None:
    numbers = [world.version(), world.version(c=0.1, format="native")]
    world.serve(numbers[0])
    steered = steer(world, canary=numbers[1], share=0.1)
    promoted = world.serve(numbers[1])
    assert (promoted.generation, promoted.version) == (steered.generation, numbers[1])


def test_a_loaded_version_that_cannot_stay_is_left_out_of_a_swap(world: World) -> None:
    numbers = [world.version(), world.version(format="native"), world.version(c=0.1, format="native")]
    folder = world.store.version_folder("iris", numbers[2])
    version = world.store.version("iris", numbers[2])
    environment = msgspec.structs.replace(version.environment, requirements=("other==1.0",))
    (folder / "version.json").write_bytes(encode(msgspec.structs.replace(version, environment=environment)))
    world.serve(numbers[0])
    steer(world, loaded=[numbers[1]])
    swapped = world.serve(numbers[2], traffic=Traffic(loaded=(numbers[1],)))
    assert (swapped.version, swapped.traffic.loaded) == (numbers[2], ())


def test_trim_keeps_what_something_is_given_to(world: World) -> None:
    numbers = [world.version() for _ in range(6)]
    world.serve(numbers[3])
    steer(world, canary=numbers[0], share=0.1, shadow=numbers[1], loaded=[numbers[2]])
    with world.store.building("iris"):
        assert world.store.trim("iris", keep=0) == numbers[4:]
    assert [version.number for version in world.store.versions("iris")] == numbers[:4]


def test_a_version_that_was_taken_away_does_not_keep_the_rest_from_being_taken_over(world: World) -> None:
    numbers = [world.version(), world.version(c=0.1)]
    status = world.serve(numbers[0])
    steer(world, canary=numbers[1], share=0.5)
    world.kill_supervisor()
    shutil.rmtree(world.store.version_folder("iris", numbers[1]))
    connect(world.store)
    until(lambda: world.supervisor.status("iris").traffic.canary == 0)
    until(lambda: world.supervisor.status("iris").state == "running")
    with httpx.Client(base_url=status.url, timeout=WAIT_S, headers=world.headers()) as client:
        assert set(ask(client, 20)) == {numbers[0]}


# --- shadow


def test_a_shadow_is_compared_and_heard_by_nobody(world: World) -> None:
    numbers = [world.version(), world.version(c=0.0001)]
    status = world.serve(numbers[0])
    with session(world) as client:
        expected = [client.post("/predict", json={"inputs": X.tolist()}).json()["predictions"]]
        steer(world, canary=numbers[1], share=1.0)
        expected.append(client.post("/predict", json={"inputs": X.tolist()}).json()["predictions"])
        steer(world, canary=0, share=0.0, shadow=numbers[1])
        for _ in range(3):
            answer = client.post("/predict", json={"inputs": X.tolist()}).json()
            assert (answer["version"], answer["predictions"]) == (numbers[0], expected[0])
    differing = sum(a != b for a, b in zip(*expected, strict=True))
    assert differing > 0
    file = world.store.metrics_file("iris")
    until(lambda: (found := comparison(file, numbers[0], numbers[1], 0)) is not None and found.requests == 3)
    found = comparison(file, numbers[0], numbers[1], 0)
    assert found is not None
    assert (found.rows, found.differing, found.failed, found.dropped) == (450, 3 * differing, 0, 0)
    assert found.champion_p50_s is not None
    assert found.challenger_p50_s is not None
    assert pids(world) == [worker.pid for worker in status.workers]


@pytest.mark.parametrize("how", ["raise ValueError('mine')", "import threading; threading.Event().wait()"])
def test_a_shadow_that_fails_or_hangs_touches_no_answer(world: World, how: str) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(f"def preprocess(x):\n    if len(x) == 1:\n        {how}\n    return x", scope)  # its sample has more rows
    numbers = [world.version(), world.version(preprocess=scope["preprocess"])]
    world.serve(numbers[0])
    status = steer(world, shadow=numbers[1])
    with session(world) as client:
        assert ask(client, 400) == {numbers[0]: 400}
    file = world.store.metrics_file("iris")

    def counted() -> bool:
        found = comparison(file, numbers[0], numbers[1], 0)
        if found is None or "raise" not in how:
            return found is not None and found.dropped > 0
        return found.failed > 0 and found.failed + found.dropped == 400

    until(counted)
    assert pids(world) == [worker.pid for worker in status.workers]
    steer(world, shadow=0)
    with session(world) as client:
        assert ask(client, 10) == {numbers[0]: 10}


# --- killed in the middle


def test_the_supervisor_is_killed_in_the_middle_of_swaps_inside_the_workers(world: World) -> None:
    numbers = [world.version(), world.version(c=0.1)]
    url = world.serve(numbers[0], workers=2).url
    with Load(url, world.headers()) as load:
        for i in range(1, 7):
            pid = world.pid()
            killer = threading.Timer(0.004 * i, os.kill, (pid, signal.SIGKILL))
            killer.start()
            with contextlib.suppress(SupervisorFailed):
                world.serve(numbers[i % 2], workers=2)
            killer.join()
            assert wait_gone(pid, WAIT_S)
            connect(world.store)
            until(lambda: world.supervisor.status("iris").state == "running")
            wanted = world.store.desired("iris").version
            until(lambda wanted=wanted: load.answered_by(wanted))
            found = world.supervisor.status("iris")
            assert {worker.version for worker in found.workers} == {found.version} == {wanted}
    assert load.failed == []
