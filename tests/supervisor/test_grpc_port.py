"""The port for gRPC: opened besides, kept, handed on, and closed again."""

from __future__ import annotations

import socket
import threading
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from tritonclient import grpc as triton
from versions import X
from world import WAIT_S, World, until

from autodeploy_magic.errors import PortTaken
from autodeploy_magic.supervisor.client import connect

pytestmark = pytest.mark.timeout(120)


def client(world: World) -> Any:
    return triton.InferenceServerClient(world.supervisor.status("iris").grpc_url)


def ask(world: World, session: Any) -> int:
    """Which version answers."""
    tensor = triton.InferInput("inputs", [1, 4], "FP64")
    tensor.set_data_from_numpy(np.asarray(X[:1], dtype=np.float64))
    answer = session.infer("iris", [tensor], headers=world.headers(), client_timeout=WAIT_S)
    return int(answer.get_response().model_version)


def refused(url: str) -> bool:
    host, _, port = url.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def test_both_ports_answer_and_stay(world: World) -> None:
    numbers = [world.version(c=c) for c in (1.0, 0.1)]
    status = world.serve(numbers[0], grpc=True, workers=2)
    desired = world.store.desired("iris")
    assert status.grpc_url == f"127.0.0.1:{desired.grpc_port}"
    assert desired.grpc_port != desired.port
    with client(world) as session:
        assert ask(world, session) == numbers[0]
        assert world.predict().json()["version"] == numbers[0]
        swapped = world.serve(numbers[1], grpc=True, workers=2)  # inside the workers: the connection stays
        assert (swapped.generation, swapped.grpc_url) == (1, status.grpc_url)
        assert ask(world, session) == numbers[1]
        renewed = world.serve(numbers[0], grpc=True, workers=2, fresh=True)
        assert (renewed.generation, renewed.grpc_url) == (2, status.grpc_url)
        assert ask(world, session) == numbers[0]


def test_it_is_handed_to_the_next_supervisor_and_worker(world: World) -> None:
    number = world.version()
    status = world.serve(number, grpc=True)
    world.kill_supervisor()
    with client(world) as session:
        assert ask(world, session) == number
        found = connect(world.store).status("iris")
        assert (found.workers, found.grpc_url, found.state) == (status.workers, status.grpc_url, "running")
        psutil.Process(status.workers[0].pid).kill()
        until(lambda: world.supervisor.status("iris").workers not in ((), status.workers))
    with client(world) as session:
        assert ask(world, session) == number


def test_stop_closes_both_and_start_opens_the_same(world: World) -> None:
    number = world.version()
    status = world.serve(number, grpc=True)
    with client(world) as session:
        assert ask(world, session) == number
        world.supervisor.stop("iris")
    assert refused(status.grpc_url)
    assert world.supervisor.start("iris", lambda _: None).grpc_url == status.grpc_url
    with client(world) as session:
        assert ask(world, session) == number


def test_without_it_there_is_none(world: World) -> None:
    number = world.version()
    opened = world.serve(number, grpc=True)
    closed = world.serve(number)
    assert (closed.grpc_url, closed.url) == ("", opened.url)
    until(lambda: refused(opened.grpc_url))
    assert world.predict().status_code == 200


def test_a_taken_port_leaves_all_as_it_was(world: World) -> None:
    number = world.version()
    before = world.serve(number)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken):
        world.serve(number, grpc=True, grpc_port=other.getsockname()[1])
    assert world.supervisor.status("iris") == before
    assert world.predict().status_code == 200


def test_swaps_by_new_workers_lose_no_call(world: World) -> None:
    numbers = [world.version(c=c) for c in (1.0, 0.1)]
    world.serve(numbers[0], grpc=True)
    stop = threading.Event()
    seen: list[int] = []
    failed: list[str] = []

    def calls() -> None:
        with client(world) as session:
            while not stop.is_set():
                try:
                    seen.append(ask(world, session))
                except triton.InferenceServerException as error:
                    failed.append(str(error))

    threads = [threading.Thread(target=calls) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(1, 7):
        world.serve(numbers[i % 2], grpc=True, fresh=i % 3 != 0)
        until(lambda i=i: seen[-4:] == [numbers[i % 2]] * 4)
    stop.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert failed == []
    assert set(seen) == set(numbers)


def test_a_canary_gets_its_share_of_calls(world: World) -> None:
    numbers = [world.version(c=c) for c in (1.0, 0.1)]
    world.serve(numbers[0], grpc=True)
    world.supervisor.steer("iris", lambda _: None, canary=numbers[1], share=0.5)
    with client(world) as session:
        found = [ask(world, session) for _ in range(200)]
    assert abs(found.count(numbers[1]) - 100) < 36  # five standard deviations
    assert msgspec.to_builtins(world.store.desired("iris"))["traffic"]["canary"] == numbers[1]
