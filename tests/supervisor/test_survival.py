"""Workers, zygotes and the supervisor are killed at any moment; what is left serves on, and is put right."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest
from versions import X
from world import WAIT_S, World, processes_of, until

from autodeploy_magic.contracts import Desired, decode
from autodeploy_magic.errors import SupervisorFailed
from autodeploy_magic.supervisor.client import connect
from autodeploy_magic.supervisor.records import Runtime
from autodeploy_magic.supervisor.workers.watch import create_time, wait_gone

pytestmark = pytest.mark.timeout(120)


def test_a_killed_worker_is_replaced_and_clients_wait(world: World) -> None:
    status = world.serve(world.version())
    psutil.Process(status.workers[0].pid).kill()
    assert world.predict().status_code == 200  # the connection waits in the queue of the supervisor's socket
    found = world.supervisor.status("iris")
    assert found.state == "running"
    assert found.workers[0].pid != status.workers[0].pid
    assert found.workers[0].generation == status.generation
    left = list((world.store.folder("iris") / "prometheus").iterdir())
    assert [entry.name for entry in left] == [str(found.workers[0].pid)]


def test_a_crash_loop_is_given_up_with_the_reason(world: World) -> None:
    status = world.serve(world.version())
    killed: set[int] = set()
    until(lambda: _kill_next(world, killed) or world.supervisor.status("iris").state == "failed", WAIT_S)
    found = world.supervisor.status("iris")
    assert (found.state, len(killed)) == ("failed", 5)
    assert "died 5 times" in found.reason
    assert "loading" in found.reason  # the last lines of the log
    with pytest.raises(httpx.ConnectError):  # refused, not left waiting
        httpx.get(f"{status.url}/livez", timeout=WAIT_S)
    assert world.supervisor.restart("iris", lambda _: None).url == status.url
    assert world.predict().status_code == 200


def _kill_next(world: World, killed: set[int]) -> bool:
    for worker in world.supervisor.status("iris").workers:
        if worker.pid not in killed:
            killed.add(worker.pid)
            psutil.Process(worker.pid).kill()
    return False


def test_a_killed_supervisor_is_replaced_and_takes_over(world: World) -> None:
    numbers = [world.version(), world.version()]
    status = world.serve(numbers[0], workers=2)
    with httpx.Client(timeout=WAIT_S) as client:
        world.predict(client=client)
        world.kill_supervisor()
        assert client.get(f"{status.url}/livez").status_code == 200
        assert httpx.get(f"{status.url}/livez").status_code == 200  # new connections too
    found = world.supervisor.status("iris")  # the client we had: the next call starts another
    assert found.workers == status.workers
    assert (found.state, found.generation, found.url) == ("running", status.generation, status.url)
    psutil.Process(status.workers[0].pid).kill()  # not its child, and yet it notices
    until(lambda: status.workers[0].pid not in [worker.pid for worker in world.supervisor.status("iris").workers])
    until(lambda: world.supervisor.status("iris").state == "running")
    swapped = world.serve(numbers[1], workers=2, fresh=True)
    assert (swapped.generation, swapped.url) == (status.generation + 1, status.url)
    assert world.predict().json()["version"] == 2
    until(lambda: create_time(status.workers[1].pid) is None)


def test_a_supervisor_killed_while_it_swaps_leaves_one_generation(world: World) -> None:
    numbers = [world.version(), world.version()]
    url = world.serve(numbers[0]).url
    stop = threading.Event()
    failed: list[str] = []

    def hammer() -> None:
        with httpx.Client(timeout=WAIT_S, headers=world.headers()) as client:
            while not stop.is_set():
                try:
                    answer = client.post(f"{url}/predict", json={"inputs": X[:1].tolist()})
                    if answer.status_code != 200:
                        failed.append(answer.text)
                except httpx.HTTPError as error:
                    failed.append(repr(error))

    client = threading.Thread(target=hammer)
    client.start()
    try:
        for i in range(1, 6):
            pid = world.pid()
            killer = threading.Timer(0.01 * i * i, os.kill, (pid, signal.SIGKILL))  # at several moments of the swap
            killer.start()
            with contextlib.suppress(SupervisorFailed):
                world.serve(numbers[i % 2])
            killer.join()
            assert wait_gone(pid, WAIT_S)
            world.supervisor.status("iris")
            until(lambda: world.supervisor.status("iris").state == "running")
            status = world.supervisor.status("iris")
            assert status.version == world.store.desired("iris").version
            until(lambda status=status: _workers(world) == {worker.pid for worker in status.workers})
    finally:
        stop.set()
        client.join(WAIT_S)
    assert failed == []


def _workers(world: World) -> set[int]:
    """Processes that listen for the deployment, or have it in their hands still."""
    return {int(path.stem.partition("-")[2]) for path in world.store.runtime_dir.glob("worker-*.sock")}


def test_after_a_reboot_it_is_started_again_on_its_port(world: World) -> None:
    status = world.serve(world.version())
    world.version("still")
    world.serve(1, "still")
    world.supervisor.stop("still")
    world.kill_supervisor()
    _kill_all(world)
    connect(world.store)
    until(lambda: world.supervisor.status("iris").state == "running")
    assert world.supervisor.status("iris").url == status.url
    assert world.predict().status_code == 200
    assert world.supervisor.status("still").state == "stopped"


def _kill_all(world: World) -> None:
    for process in processes_of(world.store.home):
        process.kill()
    until(lambda: processes_of(world.store.home) == [])


def test_a_worker_that_does_not_answer_is_not_taken_over(world: World) -> None:
    status = world.serve(world.version())
    pid = status.workers[0].pid
    world.kill_supervisor()
    os.kill(pid, signal.SIGSTOP)
    until(lambda: world.supervisor.status("iris").state == "running", 60)
    assert world.supervisor.status("iris").workers[0].pid != pid
    assert create_time(pid) is None
    assert world.predict().status_code == 200


def test_a_process_that_only_has_the_pid_is_left_alone(world: World) -> None:
    world.serve(world.version())
    world.kill_supervisor()
    _kill_all(world)
    file = world.store.runtime_file("iris")
    runtime = decode(Runtime, file.read_bytes())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        known = runtime.workers[0]
        worker = msgspec.structs.replace(known, pid=stranger.pid, create_time=known.create_time - 60)
        world.store.write_json(file, msgspec.structs.replace(runtime, workers=(worker,)))
        until(lambda: world.supervisor.status("iris").state == "running")
        assert stranger.poll() is None
        stranger.communicate(b"\n", timeout=WAIT_S)


def test_a_killed_zygote_is_replaced_when_it_is_needed(world: World) -> None:
    status = world.serve(world.version())
    zygote = psutil.Process(world.supervisor.ping()["zygotes"][sys.executable])
    zygote.kill()
    assert world.predict().status_code == 200
    psutil.Process(status.workers[0].pid).kill()  # an orphan now
    until(lambda: world.supervisor.status("iris").workers not in ((), status.workers))
    assert world.supervisor.ping()["zygotes"][sys.executable] != zygote.pid
    assert world.predict().status_code == 200


def test_a_client_that_is_killed_in_the_middle_leaves_no_half_of_a_swap(world: World) -> None:
    numbers = [world.version(), world.version()]
    world.serve(numbers[0])
    script = (
        "import sys; from autodeploy_magic.store import Store; from autodeploy_magic.supervisor.client import connect\n"
        "import msgspec; store = Store(); d = msgspec.structs.replace(store.desired('iris'), version=2)\n"
        "connect(store).serve(d, lambda p: print(p.state, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "started\n"
        client.kill()
    until(lambda: world.supervisor.status("iris").version == 2)
    assert world.predict().json()["version"] == 2
    assert world.store.desired("iris").version == 2


def test_a_supervisor_that_dies_in_the_middle_of_a_call_says_so(world: World) -> None:
    timer = threading.Timer(0.5, os.kill, (world.pid(), signal.SIGKILL))
    timer.start()
    with pytest.raises(SupervisorFailed) as failure:
        world.supervisor.runner(sys.executable).run("signal:sigwait", {})
    timer.join()
    assert "call again" in failure.value.fix
    assert world.supervisor.ping()["pid"] > 0


def test_a_python_that_is_gone_does_not_end_what_serves(world: World, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    desired = Desired(name="iris", version=world.version(), executable=str(python))
    status = world.supervisor.serve(desired, lambda _: None)
    python.unlink()
    world.kill_supervisor()
    assert world.supervisor.status("iris").workers == status.workers
    with pytest.raises(SupervisorFailed, match=str(python)):
        world.supervisor.restart("iris", lambda _: None)
    assert world.predict().status_code == 200
    os.kill(status.workers[0].pid, signal.SIGKILL)
    until(lambda: world.supervisor.status("iris").state == "failed")
    assert str(python) in world.supervisor.status("iris").reason


def test_a_damaged_record_is_one_deployments_trouble(world: World) -> None:
    world.serve(world.version())
    world.serve(world.version("other"), "other")
    world.kill_supervisor()
    (world.store.folder("other") / "deployment.json").write_bytes(b"{")
    found = {status.name: status for status in world.supervisor.list()}
    assert found["iris"].state == "running"
    assert found["other"].state == "failed"
    assert "deployment.json" in found["other"].reason
    assert world.predict().status_code == 200
    world.supervisor.remove("other")
    assert [status.name for status in world.supervisor.list()] == ["iris"]
    assert not world.store.folder("other").exists()
