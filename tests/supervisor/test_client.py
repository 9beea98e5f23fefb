"""Finding the supervisor, starting it, and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import psutil
import pytest
from world import WAIT_S, World, processes_of, until

from autodeploy_magic.contracts import decode
from autodeploy_magic.errors import SupervisorFailed
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect
from autodeploy_magic.supervisor.records import SupervisorInfo
from autodeploy_magic.supervisor.workers.watch import wait_gone

pytestmark = pytest.mark.timeout(120)


def info(store: Store) -> SupervisorInfo:
    return decode(SupervisorInfo, store.supervisor_file.read_bytes())


def test_two_that_start_at_once_get_the_same_one(store: Store, world: World) -> None:
    world.supervisor.shutdown()
    until(lambda: not store.supervisor_file.exists())
    script = (
        "from autodeploy_magic.store import Store; from autodeploy_magic.supervisor.client import connect\n"
        "print(connect(Store()).ping()['pid'])"
    )
    clients = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    pids = {int(client.communicate(timeout=WAIT_S)[0]) for client in clients}
    assert pids == {world.pid()}
    assert [p.pid for p in processes_of(store.home) if "autodeploy_magic.supervisor" in p.cmdline()] == [world.pid()]


def test_it_is_detached_and_private(world: World) -> None:
    process = psutil.Process(world.pid())
    assert os.getsid(process.pid) not in (os.getsid(0), 0)
    assert process.ppid() != os.getpid()
    assert process.memory_info().rss < 90e6
    found = info(world.store)
    assert os.stat(world.store.supervisor_file).st_mode & 0o777 == 0o600
    assert os.stat(found.socket).st_mode & 0o777 == 0o600
    assert os.stat(world.store.runtime_dir).st_mode & 0o777 == 0o700
    with httpx.Client(transport=httpx.HTTPTransport(uds=found.socket)) as stranger:
        assert stranger.get("http://supervisor/ping").status_code == 401
        wrong = {"authorization": "Bearer wrong"}
        assert stranger.post("http://supervisor/shutdown", headers=wrong).status_code == 401


def test_a_file_of_one_that_is_gone_does_not_mislead(world: World) -> None:
    world.kill_supervisor()
    assert world.store.supervisor_file.exists()
    with pytest.raises(SupervisorFailed, match="no supervisor runs"):
        connect(world.store, start=False)
    assert connect(world.store).ping()["pid"] == info(world.store).pid


def test_a_damaged_file_does_not_mislead(world: World) -> None:
    world.kill_supervisor()
    world.store.supervisor_file.write_bytes(b"{")
    assert connect(world.store).ping()["pid"] == info(world.store).pid


def test_a_client_follows_to_the_next_supervisor(world: World) -> None:
    world.kill_supervisor()
    other = connect(world.store)
    assert world.supervisor.ping() == other.ping()  # on the same path, with another token


def test_one_whose_socket_was_removed_is_replaced(world: World) -> None:
    before = info(world.store)
    status = world.serve(world.version())
    os.unlink(before.socket)
    assert world.supervisor.status("iris").workers == status.workers
    assert wait_gone(before.pid, 0)


def test_an_older_release_hands_over(world: World) -> None:
    status = world.serve(world.version())
    before = info(world.store)
    world.store.write_json(world.store.supervisor_file, msgspec.structs.replace(before, version="0.0.1", api=0))
    with pytest.warns(UserWarning, match=r"of release 0\.0\.1"):
        client = connect(world.store)
    assert client.ping()["pid"] != before.pid
    assert client.status("iris").workers == status.workers


def test_a_newer_release_is_left_alone(world: World) -> None:
    before = info(world.store)
    world.store.write_json(world.store.supervisor_file, msgspec.structs.replace(before, version="99.0", api=99))
    with pytest.raises(SupervisorFailed, match=r"99\.0"):
        connect(world.store)
    assert not wait_gone(before.pid, 0)
    world.store.write_json(world.store.supervisor_file, before)


def test_one_that_cannot_start_says_why(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODEPLOY_IDLE_S", "never")
    monkeypatch.setattr("autodeploy_magic.supervisor.launch._chosen_settings", dict)
    with pytest.raises(Exception, match="AUTODEPLOY_IDLE_S is 'never'"):
        connect(store)
    until(lambda: processes_of(store.home) == [])


def test_it_ends_when_nothing_runs_and_nobody_asks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODEPLOY_IDLE_S", "1")
    world = World(store, connect(store))
    world.supervisor.warm(sys.executable)
    world.serve(world.version())
    pid = world.pid()
    assert not wait_gone(pid, 3)  # a deployment runs: it stays
    world.supervisor.stop("iris")
    assert wait_gone(pid, WAIT_S)
    until(lambda: processes_of(store.home) == [])
    assert not store.supervisor_file.exists()
    world.supervisor.start("iris", lambda _: None)  # the client that was kept starts the next one
    assert world.predict().status_code == 200
    world.supervisor.shutdown(stop_deployments=True)
    until(lambda: processes_of(store.home) == [])


def test_sigterm_and_shutdown_leave_deployments_serving(world: World) -> None:
    status = world.serve(world.version())
    for _ in range(2):
        pid = world.pid()
        os.kill(pid, signal.SIGTERM)
        assert wait_gone(pid, WAIT_S)
        assert httpx.get(f"{status.url}/livez").status_code == 200
        assert world.supervisor.status("iris").workers == status.workers
    world.supervisor.shutdown()
    until(lambda: not world.store.supervisor_file.exists())
    assert httpx.get(f"{status.url}/livez").status_code == 200


def test_the_shutdown_of_all_stays_so(world: World) -> None:
    world.serve(world.version())
    world.supervisor.shutdown(stop_deployments=True)
    until(lambda: not world.store.supervisor_file.exists())
    assert world.store.desired("iris").state == "stopped"
    assert world.supervisor.status("iris").state == "stopped"


def test_settings_of_the_kernel_hold_in_the_supervisor(store: Store) -> None:
    from autodeploy_magic import settings

    settings.set_option("drain_s", 0.25)
    client = connect(store)
    try:
        assert psutil.Process(client.ping()["pid"]).environ()["AUTODEPLOY_DRAIN_S"] == "0.25"
    finally:
        settings.reset()
        client.shutdown()
        until(lambda: processes_of(store.home) == [])


def test_importing_the_client_costs_nothing() -> None:
    code = (
        "import sys, autodeploy_magic.supervisor.client; print([m for m in "
        "('httpx','psutil','uvicorn','starlette','bentoml','numpy','filelock') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=WAIT_S)
    assert output.stdout == "[]\n"


def test_a_client_is_safe_in_several_threads(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ThreadPoolExecutor(8) as pool:
            pids = {found["pid"] for found in pool.map(lambda _: world.supervisor.ping(), range(64))}
    assert pids == {json.loads(world.store.supervisor_file.read_text())["pid"]}
