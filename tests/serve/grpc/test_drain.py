"""Streams, and the end of a port: nothing that a client has begun is lost."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

import grpc
import pytest
from grpcport import BEARER, INFER, STREAM, WAIT_S, WATCH, Gate, Port, Raw, framed, request
from h2 import events
from versions import X

from autodeploy_magic.serve.grpc import connection
from autodeploy_magic.serve.grpc.server import serve_grpc
from autodeploy_magic.serve.grpc.status import Status

BODY = framed(request().SerializeToString())


def test_a_stream_is_read_no_faster_than_it_is_answered(waiting: Port, gate: Gate, raw: Callable[..., Raw]) -> None:
    client = raw(waiting)
    stream = client.begin(STREAM)
    client.data(stream, BODY)
    gate.entered()
    large = framed(request(X.repeat(20, axis=0)).SerializeToString())
    while client.h2.local_flow_control_window(stream) > len(large):
        for start in range(0, len(large), 16_384):
            client.data(stream, large[start : start + 16_384])
    left = client.h2.local_flow_control_window(stream)
    running = client.begin("/inference.GRPCInferenceService/ServerLive")  # others are not held up
    client.data(running, framed(b""), end=True)
    assert client.answer(running)[0]["grpc-status"] == "0"
    assert client.h2.local_flow_control_window(stream) == left
    gate.open()
    client.until(lambda event: isinstance(event, events.WindowUpdated) and event.stream_id == stream)
    client.h2.end_stream(stream)
    client.send()
    assert client.answer(stream)[0]["grpc-status"] == "0"


def test_a_drain_answers_what_is_under_way_and_moves_the_clients_on(
    waiting: Port, gate: Gate, raw: Callable[..., Raw]
) -> None:
    client, idle = raw(waiting), raw(waiting)
    stream = client.begin()
    client.data(stream, BODY, end=True)
    gate.entered()
    waiting.on_loop(waiting.server.stop_accepting)
    for each in (client, idle):
        announced = each.until(lambda event: isinstance(event, events.PingReceived))
        assert announced
    with socket.create_connection(("127.0.0.1", waiting.port), timeout=WAIT_S):
        for _ in range(3):
            waiting.on_loop(lambda: None)  # it has had its chance to accept
        waiting.listening.settimeout(WAIT_S)
        accepted, _ = waiting.listening.accept()  # the next worker, who holds the socket too, gets it
        accepted.close()
    assert len(waiting.server._connections) == 2
    drained = threading.Thread(target=lambda: waiting.on_loop(lambda: waiting.server.drain(WAIT_S)))
    drained.start()
    gate.open()
    headers, body = client.answer(stream)
    assert headers["grpc-status"] == "0"
    assert b"setosa" in body
    for each in (client, idle):
        each.socket.close()
    drained.join(WAIT_S)
    assert not drained.is_alive()


def test_a_client_that_never_stops_asking_loses_nothing_in_a_drain(iris: Port) -> None:
    """As in a swap: the next worker holds the same socket, and the old one drains under load."""
    stopped = threading.Event()
    failures: list[str] = []
    answered = [0, 0]

    def ask(slot: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(iris.address, options=options) as channel:
            infer = channel.unary_unary(INFER)
            while not stopped.is_set():
                try:
                    infer(request().SerializeToString(), metadata=BEARER, timeout=WAIT_S)
                    answered[slot] += 1
                except grpc.RpcError as error:
                    failures.append(f"{error.code()}: {error.details()}")

    threads = [threading.Thread(target=ask, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    workers = [iris.server]

    async def swap() -> None:
        inherited = socket.socket(fileno=os.dup(iris.listening.fileno()))
        workers.append(await serve_grpc(iris.front, inherited))
        await workers[-2].drain(WAIT_S)

    for _ in range(5):
        iris.on_loop(swap)
        count = sum(answered)
        iris.until(lambda count=count: sum(answered) > count + 20 or bool(failures))
    stopped.set()
    for thread in threads:
        thread.join(WAIT_S)
    iris.on_loop(lambda: workers[-1].drain(0.0))
    assert failures == []
    assert min(answered) > 20


def test_calls_that_do_not_end_are_refused_when_the_drain_is_over(
    waiting: Port, gate: Gate, raw: Callable[..., Raw]
) -> None:
    client = raw(waiting)
    unary, stream = client.begin(), client.begin(STREAM)
    client.data(unary, BODY, end=True)
    gate.entered()
    waiting.until(lambda: waiting.server.calls == 2)
    began = time.monotonic()
    waiting.on_loop(lambda: waiting.server.drain(0.2))
    assert 0.2 <= time.monotonic() - began < WAIT_S
    for each in (unary, stream):
        assert client.answer(each)[0]["grpc-status"] == str(int(Status.UNAVAILABLE))
    assert client.ended()
    gate.open()


def test_who_watches_is_told_of_the_end(iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris)
    known, unknown = client.begin(WATCH, authorization=""), client.begin(WATCH)
    client.data(known, framed(b""), end=True)
    client.data(unknown, framed(b"\x0a\1x"), end=True)
    iris.until(lambda: iris.server.calls == 2)
    client.until(lambda event: isinstance(event, events.DataReceived) and event.stream_id == known)
    client.until(lambda event: isinstance(event, events.DataReceived) and event.stream_id == unknown)
    iris.on_loop(iris.server.stop_accepting)
    headers, body = client.answer(known)
    assert headers["grpc-status"] == "0"
    assert body == framed(b"\x08\1") + framed(b"\x08\2")
    assert client.answer(unknown)[1] == framed(b"\x08\3")
    assert client.ended()


def test_a_connection_that_comes_during_the_drain_is_moved_on(iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris, greet=False)
    iris.until(lambda: len(iris.server._connections) == 1)
    iris.on_loop(iris.server.stop_accepting)
    client.h2.initiate_connection()
    stream = client.begin()
    client.data(stream, BODY, end=True)
    assert client.answer(stream)[0]["grpc-status"] == "0"  # it was on its way
    assert client.ended()
    assert client.last_streams == [2**31 - 1, stream]


@pytest.mark.parametrize("says_so", [True, False])
def test_a_client_that_goes_in_the_middle_leaves_nothing(
    waiting: Port, gate: Gate, raw: Callable[..., Raw], says_so: bool
) -> None:
    client = raw(waiting)
    running, queued, half = client.begin(), client.begin(), client.begin()
    client.data(running, BODY, end=True)
    gate.entered()
    client.data(queued, BODY, end=True)
    client.data(half, BODY[:30])
    lane = waiting.roads[0].lane
    waiting.until(lambda: lane.queued == 1)
    if says_so:
        client.h2.close_connection()
        client.send()
    else:
        client.socket.close()
    waiting.until(lambda: not waiting.server._connections)
    assert waiting.server.calls == 0
    waiting.until(lambda: lane.queued == 0)
    gate.open()


def test_a_client_that_does_not_listen_does_not_hold_up_a_drain(
    iris: Port, raw: Callable[..., Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LEAVING_S", 0.2)
    raw(iris)
    raw(iris, greet=False)
    iris.until(lambda: len(iris.server._connections) == 2)
    began = time.monotonic()
    iris.on_loop(lambda: iris.server.drain(WAIT_S))
    assert time.monotonic() - began < WAIT_S / 2
