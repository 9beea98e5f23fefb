"""The port: what hostile and broken clients may do to it, its limits, its drain, TLS."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpcport import BEARER, INFER, STREAM, WAIT_S, WATCH, Port, Raw, asks, framed, request
from h2 import events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from tritonclient.grpc import InferenceServerClient
from versions import X, write_version

from autodeploy_magic import settings
from autodeploy_magic.serve.grpc import calls, connection, server
from autodeploy_magic.serve.grpc.status import Status

BODY = framed(request().SerializeToString())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of time that a test can wait for."""
    monkeypatch.setattr(server, "_TICK_S", 0.02)
    for module, name in (
        (connection, "GREETING_S"),
        (connection, "SILENCE_S"),
        (connection, "ANSWER_S"),
        (connection, "STALL_S"),
        (calls, "ARRIVE_S"),
        (calls, "STALL_S"),
    ):
        monkeypatch.setattr(module, name, 0.3)


@pytest.fixture
def small() -> Iterator[None]:
    """Bodies of 100 kB."""
    settings.set_option("max_body_bytes", 100_000)
    yield
    settings.reset()


# --- bytes that are no gRPC ---


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        bytes(1000),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9 * 1000),
    ],
    ids=["http1", "tls", "zeros", "frames-of-ff", "empty-frames"],
)
def test_garbage_is_hung_up_on(iris: Port, raw: Callable[..., Raw], data: bytes) -> None:
    client = raw(iris, greet=False)
    client.socket.settimeout(5)  # at once, not when the time to greet is over
    with contextlib.suppress(ConnectionError):
        client.socket.sendall(data)
        while client.socket.recv(4096):
            pass
    assert asks(iris)


def test_random_frames_end_no_more_than_their_connection(iris: Port, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(7)
    kinds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 250]
    with caplog.at_level(logging.ERROR):
        for _ in range(300):
            with socket.create_connection(("127.0.0.1", iris.port), timeout=WAIT_S) as client:
                data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
                for _ in range(chance.randrange(1, 6)):
                    body = chance.randbytes(chance.choice([0, 4, 5, 8, 40]))
                    stream = chance.choice([0, 1, 1, 3, 2, 2**31 - 1])
                    kind, flags = chance.choice(kinds), chance.choice([0, 1, 4, 5, 8, 0x20, 0xFF])
                    data += len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
                with contextlib.suppress(ConnectionError):
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass
    assert [record.message for record in caplog.records] == []
    iris.until(lambda: not iris.server._connections)
    assert asks(iris)
    assert iris.server.calls == 0


def test_a_frame_that_is_not_known_is_ignored(iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris)
    client.socket.sendall(b"\0\0\1\xfa\0\0\0\0\0x")
    stream = client.begin()
    client.data(stream, BODY, end=True)
    assert client.answer(stream)[0]["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({":method": "GET"}, "405"),
        ({"content_type": "application/json"}, "415"),
        ({"content_type": ""}, "415"),
        ({"te": ""}, "400"),
    ],
    ids=["method", "json", "no-type", "browser"],
)
def test_a_request_that_is_not_grpcs_is_refused(
    iris: Port, raw: Callable[..., Raw], headers: dict[str, str], status: str
) -> None:
    client = raw(iris)
    stream = client.begin(end=True, **headers)
    assert client.answer(stream)[0][":status"] == status


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, Status.UNIMPLEMENTED),
        (BODY[:-1], {}, Status.UNIMPLEMENTED),
        (BODY + BODY, {}, Status.UNIMPLEMENTED),
        (framed(b"x", b"\1"), {}, Status.INVALID_ARGUMENT),
        (BODY, {"grpc_timeout": "soon"}, Status.INVALID_ARGUMENT),
        (BODY, {"grpc_timeout": "0m"}, Status.DEADLINE_EXCEEDED),
        (BODY, {"grpc_encoding": "zstd"}, Status.UNIMPLEMENTED),
        (BODY, {"content_type": "application/grpc+proto"}, Status.OK),
        (BODY, {"grpc_timeout": "99999999H"}, Status.OK),
    ],
    ids=["no-message", "cut", "two", "flag", "timeout", "no-time", "encoding", "proto", "years"],
)
def test_a_call_is_taken_as_grpc_says(
    iris: Port, raw: Callable[..., Raw], body: bytes, headers: dict[str, str], status: Status
) -> None:
    client = raw(iris)
    stream = client.begin(**headers)
    client.data(stream, body, end=True)
    found = client.answer(stream)[0]
    assert found["grpc-status"] == str(int(status))
    if "grpc_encoding" in headers:
        assert found["grpc-accept-encoding"] == "identity,gzip,deflate"


# --- sizes ---


def test_a_message_up_to_the_limit_is_read_and_a_larger_one_is_not(
    serve: Any, tmp_path: Path, classifier: Any, small: None
) -> None:
    write_version(tmp_path / "version", classifier, X)
    port = serve(tmp_path / "version")
    rows = X.repeat(20, axis=0)
    with grpc.insecure_channel(port.address) as channel:
        infer = channel.unary_unary(INFER)
        assert len(request(rows).SerializeToString()) < 100_000
        assert b"setosa" in infer(request(rows).SerializeToString(), metadata=BEARER, timeout=WAIT_S)
        with pytest.raises(grpc.RpcError) as caught:
            infer(request(X.repeat(22, axis=0)).SerializeToString(), metadata=BEARER, timeout=WAIT_S)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "100000 bytes" in caught.value.details()
        # The connection stays good.
        assert b"setosa" in infer(request().SerializeToString(), metadata=BEARER, timeout=WAIT_S)
        # What is compressed counts unpacked.
        body = request(X.repeat(22, axis=0)).SerializeToString()
        with pytest.raises(grpc.RpcError) as caught:
            infer(body, metadata=BEARER, timeout=WAIT_S, compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_body_of_the_default_limit_arrives(serve: Any, tmp_path: Path, classifier: Any) -> None:
    """16 MiB, many times the windows."""
    code = {"predict": lambda model, x: [float(x.sum())] * len(x)}
    write_version(tmp_path / "version", classifier, X, format="native", code=code)
    settings.set_option("max_rows", 10**6)
    try:
        port = serve(tmp_path / "version")
    finally:
        settings.reset()
    rows = X.repeat(3000, axis=0)
    with grpc.insecure_channel(port.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        body = request(rows).SerializeToString()
        assert len(body) > 14_000_000
        assert channel.unary_unary(INFER)(body, metadata=BEARER, timeout=60)


def test_nothing_of_a_body_is_read_without_a_token(iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris)
    stream = client.begin(authorization="Bearer other")
    assert client.answer(stream)[0]["grpc-status"] == str(int(Status.UNAUTHENTICATED))
    reset = client.until(lambda event: isinstance(event, events.StreamReset))
    assert reset.error_code == ErrorCodes.NO_ERROR  # what it still has to send is not needed


def test_who_has_no_token_takes_no_room(iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris)
    for path in ("/inference.GRPCInferenceService/ServerLive", WATCH):
        stream = client.begin(path, authorization="")
        client.data(stream, framed(b"") if path == WATCH else b"\0\0\1\0\0")
        client.data(stream, bytes(calls.OPEN_BYTES))
        headers, _ = client.answer(stream)
        assert headers["grpc-status"] == str(int(Status.RESOURCE_EXHAUSTED))


def test_what_many_send_at_once_is_bounded(
    serve: Any, tmp_path: Path, classifier: Any, small: None, raw: Callable[..., Raw]
) -> None:
    write_version(tmp_path / "version", classifier, X)
    port = serve(tmp_path / "version")
    client = raw(port)
    streams = [client.begin() for _ in range(server.BODIES + 2)]
    for stream in streams:
        for part in range(0, 99_000, 11_000):
            head = b"\0" + (99_000).to_bytes(4, "big") if not part else b""
            with contextlib.suppress(Exception):  # the stream may be refused meanwhile
                client.data(stream, head + bytes(11_000 - (part == 88_000)))
    refused, _ = client.answer(streams[-1])
    assert refused["grpc-status"] == str(int(Status.UNAVAILABLE))
    client.socket.close()
    port.until(lambda: not port.server._connections)
    assert port.server.room.take(server.BODIES * 100_000)  # all was given back
    port.server.room.give_back(server.BODIES * 100_000)
    assert asks(port)


def test_connections_and_calls_are_counted(
    iris: Port, raw: Callable[..., Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    monkeypatch.setattr(server, "CALLS", 3)
    monkeypatch.setattr(server, "OPEN_CALLS", 2)
    first, second = raw(iris), raw(iris)
    third = raw(iris, greet=False)
    assert third.ended()
    for path, most in ((STREAM, 3), (WATCH, 2)):
        before = iris.server.calls
        for _ in range(most):
            first.begin(path)
        iris.until(lambda before=before, most=most: iris.server.calls == before + most)
        more = second.begin(path)
        assert second.answer(more)[0]["grpc-status"] == str(int(Status.UNAVAILABLE))
    first.socket.close()
    iris.until(lambda: iris.server.calls == 0)
    assert asks(iris)


def test_a_connection_has_a_hundred_calls(iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris)
    assert client.h2.remote_settings.max_concurrent_streams == 100
    assert client.h2.remote_settings.max_header_list_size == 65536
    for _ in range(100):
        client.begin(WATCH)
    client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 200
    client.h2.remote_settings.acknowledge()
    client.begin(WATCH)
    assert client.ended()
    iris.until(lambda: iris.server.calls == 0)


def test_refusals_do_not_grow_a_connection(iris: Port, raw: Callable[..., Raw]) -> None:
    """What differs each time (the message, the id) stays out of the header table, whatever its size may be."""
    client = raw(iris)
    client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**24})
    client.send()
    client.until(lambda event: isinstance(event, events.SettingsAcknowledged))
    for i in range(50):
        stream = client.begin(f"/inference.GRPCInferenceService/Method{i}", end=True)
        assert client.answer(stream)[0]["grpc-status"] == str(int(Status.UNIMPLEMENTED))
    (ours,) = iris.server._connections
    assert len(ours._h2.encoder.header_table.dynamic_entries) < 10


@pytest.mark.parametrize("frames", [[(1, 0, 16_384), *[(9, 0, 16_384)] * 4], [(1, 0, 65_537)]], ids=["many", "one"])
def test_a_head_without_end_is_hung_up_on(
    iris: Port, raw: Callable[..., Raw], frames: list[tuple[int, int, int]]
) -> None:
    client = raw(iris)
    with contextlib.suppress(ConnectionError):
        for kind, flags, size in frames:
            client.socket.sendall(size.to_bytes(3, "big") + bytes([kind, flags]) + b"\0\0\0\1" + bytes(size))
    assert client.ended()
    assert asks(iris)


def test_headers_that_unpack_to_more_than_they_may_are_hung_up_on(iris: Port, raw: Callable[..., Raw]) -> None:
    """A small block can name one long header, once sent, many times."""
    client = raw(iris)
    block = b"\x40\x01x" + b"\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 2000  # x: y…, then 2000 times the same
    client.socket.sendall(len(block).to_bytes(3, "big") + b"\1\4\0\0\0\1" + block)
    assert client.ended()
    assert asks(iris)


def test_questions_whose_answers_are_not_taken_are_not_read(iris: Port, raw: Callable[..., Raw]) -> None:
    iris.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)  # what the system holds back is small
    client = raw(iris, buffer_bytes=16_384)
    ping = (b"\0\0\x08\6\0\0\0\0\0" + b"12345678") * 1024
    client.socket.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        for _ in range(300):
            client.socket.sendall(ping)
    (ours,) = iris.server._connections
    assert iris.on_loop(ours._transport.get_write_buffer_size) < 2_000_000


# --- time ---


def test_a_connection_that_says_nothing_is_closed(impatient: None, iris: Port, raw: Callable[..., Raw]) -> None:
    assert raw(iris, greet=False).ended()
    half = raw(iris, greet=False)
    half.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r")
    assert half.ended()


def test_a_request_that_does_not_arrive_is_given_up(impatient: None, iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris)
    never = client.begin()
    half = client.begin()
    client.data(half, BODY[:20])
    for stream in (never, half):
        assert client.answer(stream)[0]["grpc-status"] == str(int(Status.DEADLINE_EXCEEDED))
    partly = client.begin(STREAM)
    client.data(partly, BODY + BODY[:20])
    assert client.answer(partly)[0]["grpc-status"] == str(int(Status.DEADLINE_EXCEEDED))
    assert iris.server.calls == 0


def test_an_answer_that_is_not_taken_is_given_up(
    impatient: None, serve: Any, tmp_path: Path, classifier: Any, raw: Callable[..., Raw]
) -> None:
    code = {"predict": lambda model, x: x.repeat(20_000, axis=1)}
    write_version(tmp_path / "version", classifier, X, format="native", code=code)
    port = serve(tmp_path / "version")
    client = raw(port)
    client.takes = False
    stream = client.begin()
    client.data(stream, BODY, end=True)
    reset = client.until(lambda event: isinstance(event, events.StreamReset))
    assert reset.stream_id == stream
    assert port.server.calls == 0


def test_a_client_that_vanished_during_a_call_is_missed(impatient: None, iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris)
    client.data(client.begin(WATCH), framed(b""))
    client.until(lambda event: isinstance(event, events.DataReceived))
    client.socket.settimeout(WAIT_S)
    while client.socket.recv(4096):  # and answers no ping
        pass
    iris.until(lambda: iris.server.calls == 0)
    assert asks(iris)


def test_a_client_that_is_there_may_wait_long(impatient: None, iris: Port, raw: Callable[..., Raw]) -> None:
    client = raw(iris)
    client.begin(WATCH)
    for _ in range(3):
        client.events.clear()
        client.until(lambda event: isinstance(event, events.PingReceived))  # which h2 answers
    assert iris.server.calls == 1


def test_a_connection_without_calls_is_asked_to_go(
    impatient: None, iris: Port, raw: Callable[..., Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.2)
    with InferenceServerClient(iris.address) as client:
        assert client.is_server_live()
        iris.until(lambda: not iris.server._connections)
        assert client.is_server_live()  # it opens another
