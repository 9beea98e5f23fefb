"""Serving, swapping and stopping through a real supervisor, over real HTTP."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cloudpickle
import httpx
import msgspec
import psutil
import pytest
from versions import X
from world import WAIT_S, World, until

from autodeploy_magic.contracts import Progress, encode
from autodeploy_magic.errors import (
    InvalidOption,
    PortTaken,
    StartFailed,
    StoreFailed,
    UnknownDeployment,
    UnknownVersion,
)
from autodeploy_magic.store import file_sha256
from autodeploy_magic.supervisor.workers.watch import create_time

pytestmark = pytest.mark.timeout(120)


def test_a_first_deployment_answers_and_tells_its_steps(world: World) -> None:
    seen: list[Progress] = []
    status = world.serve(world.version(), seen=seen)
    assert (status.state, status.version, status.generation, len(status.workers)) == ("running", 1, 1, 1)
    assert [(event.step, event.state) for event in seen] == [("start", "started"), ("start", "done")]
    answer = world.predict()
    assert answer.json()["predictions"] == ["setosa"] * 3
    assert httpx.post(f"{status.url}/predict", json={"inputs": X[:1].tolist()}).status_code == 401
    assert world.supervisor.list() == [world.supervisor.status("iris")]
    assert world.store.desired("iris").port == httpx.URL(status.url).port
    assert "loading" in world.supervisor.logs("iris", 50)


@pytest.mark.parametrize("fresh", [True, False], ids=["new workers", "in place"])
def test_swaps_under_load_lose_nothing(world: World, fresh: bool) -> None:
    numbers = [world.version(c=1.0), world.version(c=0.01)]
    url = world.serve(numbers[0]).url
    stop = threading.Event()
    latest: list[int] = []

    def hammer() -> tuple[set[int], list[str]]:
        versions: set[int] = set()
        failed: list[str] = []
        with httpx.Client(timeout=WAIT_S, headers=world.headers()) as client:
            while not stop.is_set():
                try:
                    answer = client.post(f"{url}/predict", json={"inputs": X[:1].tolist()})
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                    continue
                if answer.status_code == 200:
                    latest.append(answer.json()["version"])
                    versions.add(latest[-1])
                else:
                    failed.append(answer.text)
        return versions, failed

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(hammer) for _ in range(8)]
        statuses = []
        for i in range(1, 11):
            statuses.append(world.serve(numbers[i % 2], fresh=fresh))
            until(lambda: latest[-8:] == [statuses[-1].version] * 8)  # all of them are answered by the new one
        stop.set()
        results = [client.result(WAIT_S) for client in clients]
    assert [failed for _, failed in results] == [[]] * 8
    assert set().union(*(versions for versions, _ in results)) == {1, 2}
    assert {status.url for status in statuses} == {url}
    assert [status.generation for status in statuses] == (list(range(2, 12)) if fresh else [1] * 10)
    assert len({status.workers[0].pid for status in statuses}) == (10 if fresh else 1)
    assert [status.version for status in statuses] == [2, 1] * 5


def test_several_workers_share_the_port(world: World) -> None:
    status = world.serve(world.version(), workers=3)
    assert len({worker.pid for worker in status.workers}) == 3
    assert {psutil.Process(worker.pid).ppid() for worker in status.workers} == set(
        world.supervisor.ping()["zygotes"].values()
    )
    assert world.predict().status_code == 200


ENDS_ITSELF = "import os; os._exit(3)"
SEGFAULTS = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
HANGS = "import time; time.sleep(60)"


@pytest.mark.parametrize(("how", "says"), [(ENDS_ITSELF, "exit code 3"), (SEGFAULTS, "SIGSEGV")])
def test_a_version_that_crashes_at_start_leaves_the_old_one(world: World, how: str, says: str) -> None:
    before = world.serve(world.version())
    desired = world.store.desired("iris")
    seen: list[Progress] = []
    number = world.version(preprocess=lambda x: x)
    _break(world, number, how)
    with pytest.raises(StartFailed) as failure:
        world.serve(number, seen=seen)
    assert says in str(failure.value)
    assert "version 2, generation 2: loading" in failure.value.why
    assert seen[-1].state == "failed"
    assert world.supervisor.status("iris") == before
    assert world.store.desired("iris") == desired
    assert world.predict().json()["version"] == 1


def test_a_first_version_that_crashes_leaves_no_deployment(world: World) -> None:
    number = world.version(preprocess=lambda x: x)
    _break(world, number, ENDS_ITSELF)
    with pytest.raises(StartFailed):
        world.serve(number)
    with pytest.raises(UnknownDeployment):
        world.supervisor.status("iris")
    assert world.supervisor.list() == []


def _break(world: World, number: int, body: str) -> None:
    """Exchange the preprocess of a version for one that does `body`, hash and all."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(f"def preprocess(x):\n    {body}\n    return x", scope)
    folder = world.store.version_folder("iris", number)
    (folder / "code.pkl").write_bytes(cloudpickle.dumps({"preprocess": scope["preprocess"]}))
    version = world.store.version("iris", number)
    artifacts = tuple(
        msgspec.structs.replace(item, sha256=file_sha256(folder / item.path)) for item in version.artifacts
    )
    (folder / "version.json").write_bytes(encode(msgspec.structs.replace(version, artifacts=artifacts)))


def test_an_unknown_version_or_name_changes_nothing(world: World) -> None:
    with pytest.raises(UnknownVersion):
        world.serve(9)
    world.serve(world.version())
    with pytest.raises(UnknownVersion):
        world.serve(9)
    with pytest.raises(UnknownDeployment, match="irsi"):
        world.supervisor.stop("irsi")
    assert world.predict().status_code == 200


def test_a_taken_port_is_refused_with_who_has_it(world: World) -> None:
    number = world.version()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as failure:
            world.serve(number, port=port)
    assert str(os.getpid()) in failure.value.why
    assert str(port) in failure.value.what
    assert world.serve(number, port=port).url.endswith(f":{port}")


def test_the_host_must_be_an_address(world: World) -> None:
    with pytest.raises(InvalidOption, match="localhost"):
        world.serve(world.version(), host="localhost")


def test_another_port_moves_the_deployment(world: World) -> None:
    number = world.version()
    first = world.serve(number)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    second = world.serve(number, port=port)
    assert second.url.endswith(f":{port}")
    assert world.predict().status_code == 200
    until(lambda: _refused(first.url))


def test_stop_and_start_keep_the_url(world: World) -> None:
    first = world.serve(world.version())
    with httpx.Client(timeout=WAIT_S) as client:  # an idle connection must not hold it up
        world.predict(client=client)
        stopped = world.supervisor.stop("iris")
    assert (stopped.state, stopped.workers) == ("stopped", ())
    assert _refused(first.url)
    assert world.supervisor.stop("iris").state == "stopped"
    started = world.supervisor.start("iris", lambda _: None)
    assert (started.state, started.url) == ("running", first.url)
    assert world.supervisor.start("iris", lambda _: None) == started  # it runs already
    restarted = world.supervisor.restart("iris", lambda _: None)
    assert restarted.workers[0].pid != started.workers[0].pid
    assert world.predict().status_code == 200


def test_rm_leaves_nothing(world: World) -> None:
    status = world.serve(world.version(), workers=2)
    world.supervisor.remove("iris")
    assert not world.store.folder("iris").exists()
    assert [create_time(worker.pid) for worker in status.workers] == [None, None]
    assert _refused(status.url)
    assert world.supervisor.list() == []
    with pytest.raises(UnknownDeployment):
        world.supervisor.remove("iris")
    assert world.serve(world.version()).state == "running"  # the name is free again


def test_changes_of_one_deployment_wait_for_each_other_and_others_do_not(world: World) -> None:
    numbers = {name: [world.version(name), world.version(name)] for name in ("one", "two")}
    with ThreadPoolExecutor(8) as pool:
        wanted = [(name, number) for name, found in numbers.items() for number in found * 2]
        jobs = [pool.submit(world.serve, number, name, fresh=True) for name, number in wanted]
        generations = sorted(job.result(WAIT_S).generation for job in jobs)
    assert generations == [1, 1, 2, 2, 3, 3, 4, 4]
    for name in numbers:
        status = world.supervisor.status(name)
        assert len(status.workers) == 1
        assert world.predict(name).json()["version"] == status.version == world.store.desired(name).version


def test_a_full_disk_keeps_the_old_one_serving(world: World) -> None:
    numbers = [world.version(), world.version()]
    status = world.serve(numbers[0])
    record = world.store.runtime_file("iris")
    record.unlink()
    record.mkdir()  # what cannot be replaced by a file stands for what has no room
    with pytest.raises(StoreFailed):
        world.serve(numbers[1], fresh=True)
    assert world.predict().json()["version"] == 1
    assert world.store.desired("iris").version == 1
    psutil.Process(status.workers[0].pid).kill()  # a replacement serves though it cannot be written down
    until(lambda: world.supervisor.status("iris").workers not in ((), status.workers))
    found = world.supervisor.status("iris")
    assert found.state == "degraded"
    assert str(record) in found.reason
    assert world.predict().status_code == 200
    record.rmdir()
    assert world.serve(numbers[1]).state == "running"


def _refused(url: str) -> bool:
    try:
        httpx.get(f"{url}/livez", timeout=WAIT_S)
    except httpx.ConnectError:
        return True
    return False


def test_a_worker_that_hangs_at_start_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = world.serve(world.version())
    world.supervisor.shutdown()
    monkeypatch.setenv("AUTODEPLOY_START_TIMEOUT_S", "1.5")  # for the supervisor that starts next
    until(lambda: not world.store.supervisor_file.exists())
    number = world.version(preprocess=lambda x: x)
    _break(world, number, HANGS)
    with pytest.raises(StartFailed, match="not ready within"):
        world.serve(number)
    assert world.supervisor.status("iris").workers == before.workers
