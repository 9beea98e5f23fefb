"""A predict that yields, over real sockets: items as they come, clients that are slow or go away, and the record."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from streaming import ENDLESS, EVENTS, FAILS, LARGE, STEPS, WAIT_S, Served, body, gate, items_of, stream_version

from autodeploy_magic import settings
from autodeploy_magic.errors import TimedOut
from autodeploy_magic.serve.bento import answer
from autodeploy_magic.serve.http.app import make_app
from autodeploy_magic.serve.lane.source import MOST_BYTES, Source
from autodeploy_magic.serve.lane.turns import Turns
from autodeploy_magic.serve.model import ServedModel

JSON = {"content-type": "application/json"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    settings.reset()
    with Served(tmp_path / "version") as found:
        yield found
    settings.reset()
    for thread in threading.enumerate():
        if thread.name == "stream":
            thread.join(WAIT_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "stream"]


def test_items_come_as_events_and_the_end_tells_of_them(served: Served) -> None:
    response = served.ask(body(3))
    assert (response.status, response.getheader("content-type")) == (200, "text/event-stream")
    assert response.getheader("transfer-encoding") == "chunked"
    assert response.getheader("cache-control") == "no-store"
    items, last, said = items_of(response.read())
    assert items == ["item 1", "item 2", "item 3"]
    assert last == "end"
    assert (said["id"], said["version"], said["items"]) == (response.getheader("x-request-id"), 1, 3)
    assert 0 < said["first_s"] <= said["seconds"]


def test_each_item_is_there_before_the_next_is_made(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(2, STEPS)))
        gate.steps.release()
        assert b"item 1" in _until(client, b'"item 1"}\n\n\r\n')
        assert gate.given == 1
        gate.steps.release()
        assert b"event: end" in _until(client, b"0\r\n\r\n")
    version, status, seconds, rows, _, bytes_out, first_s = served.ended()
    assert (version, status, rows) == (1, 200, 1)
    assert 0 < first_s < seconds
    assert bytes_out > 60


def test_without_the_header_the_items_are_one_answer(served: Served) -> None:
    response = served.ask(body(3), JSON)
    assert json.loads(response.read())["predictions"] == ["item 1", "item 2", "item 3"]
    assert response.getheader("content-length")
    for accept in ("*/*", "application/json, text/event-stream", "text/event-stream;q=0.5, application/json"):
        assert json.loads(served.ask(body(1), {**JSON, "accept": accept}).read())["predictions"] == ["item 1"]
    assert len(served.ended()) == 6  # no first item apart from the answer


def test_a_connection_goes_on_after_a_stream(served: Served) -> None:
    connection = served.client()
    for count in (2, 0, 1):
        connection.request("POST", "/predict", body(count), EVENTS)
        items, last, said = items_of(connection.getresponse().read())
        assert (len(items), last, said["items"]) == (count, "end", count)
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200


def test_pipelined_requests_are_answered_in_turn(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(2, STEPS)) + _request(body(1)) + b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        gate.steps.release(2)
        found = _until(client, b'{"status":"alive"}')
    assert found.count(b"HTTP/1.1 200 OK") == 3
    assert found.index(b'"item 2"') < found.index(b"event: end") < found.rindex(b"event: end")


def test_an_end_that_is_told_after_it_was_seen_is_no_second_end(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[Source] = []
    monkeypatch.setattr(Source, "start", lambda source, start=Source.start: (sources.append(source), start(source)))
    with served.connect() as client:
        client.sendall(_request(body(1)))
        _until(client, b"event: end")
        served.ended()
        client.sendall(_request(body(2, STEPS)))
        gate.steps.release()
        _until(client, b'"item 1"')
        served.loop.call_soon_threadsafe(sources[0]._heard)
        gate.steps.release()
        assert b'"item 2"' in _until(client, b"event: end")


def test_a_client_of_http_1_0_gets_no_chunks(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(2)).replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, found = _rest(client).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert items_of(found)[:2] == (["item 1", "item 2"], "end")


def test_a_client_that_asks_for_the_close_gets_it(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(1), b"connection: close\r\n"))
        found = _rest(client)
    assert b"connection: close\r\n" in found
    assert found.endswith(b"\r\n0\r\n\r\n")


def test_an_error_before_the_first_item_is_a_refusal(served: Served) -> None:
    response = served.ask(body(0, FAILS))
    assert (response.status, response.getheader("content-type")) == (500, "application/json")
    assert json.loads(response.read())["error"] == "ModelFailed"
    assert served.ask(b'{"inputs": "x"}').status == 422
    assert served.ask(b'{"inputs": [[1, 0, 0, 0]], "outputs": ["x"]}').status == 422


def test_an_error_in_the_middle_is_an_event(served: Served) -> None:
    response = served.ask(body(2, FAILS))
    found = response.read()
    assert b"secret" not in found
    items, last, said = items_of(found)
    assert (items, last, said["error"]) == (["item 1", "item 2"], "error", "ModelFailed")
    assert said["id"] == response.getheader("x-request-id")
    assert served.ended()[1] == 500


def test_a_client_that_goes_away_ends_the_generator(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(1, ENDLESS)))
        _until(client, b"data: ")
    assert gate.closed.acquire(timeout=WAIT_S)
    assert served.ended()[1] == 499
    assert served.ask(body(1)).status == 200


def test_one_that_goes_away_between_items_is_noticed_too(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(5, STEPS)))
        gate.steps.release()
        _until(client, b"item 1")
    assert served.ended()[1] == 499
    gate.steps.release()
    assert gate.closed.acquire(timeout=WAIT_S)
    assert gate.given <= 2


def test_a_slow_client_makes_the_generator_wait(served: Served) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(WAIT_S)
        client.connect(("127.0.0.1", served.port))
        client.sendall(_request(body(1, ENDLESS)))
        _until(client, b"data: ")
        given = _settled()
        assert given * len(LARGE) < 16 * MOST_BYTES  # what is buffered here and in the kernel
        assert served.ask(body(2)).status == 200  # others are answered meanwhile
        read = 0
        while read < 2 * given * len(LARGE):
            read += len(client.recv(1 << 20))
        assert gate.given > given


def test_a_client_that_reads_nothing_is_let_go(served: Served) -> None:
    served.front.timeout_s = 0.3
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(_request(body(1, ENDLESS)))
        assert gate.closed.acquire(timeout=WAIT_S)
        assert served.ended()[1] == 499


def test_the_time_limit_is_from_item_to_item(served: Served) -> None:
    served.front.timeout_s = 0.3
    response = served.ask(body(1, STEPS))
    assert (response.status, json.loads(response.read())["error"]) == (504, "TimedOut")
    gate.steps.release()
    with served.connect() as client:
        client.sendall(_request(body(9, STEPS)))
        for i in range(3):  # longer than the limit in all
            gate.steps.release()
            _until(client, f"item {i + 1}".encode())
            time.sleep(0.15)
        assert b'"error":"TimedOut"' in _until(client, b"0\r\n\r\n")
    gate.steps.release()
    assert served.seen[-1][1] == 504


def test_streams_advance_side_by_side_and_hold_up_nobody(served: Served) -> None:
    with served.connect() as one, served.connect() as other:
        for client in (one, other):
            client.sendall(_request(body(2, STEPS)))
        assert served.client().request("GET", "/livez") is None
        gate.steps.release(4)
        for client in (one, other):
            assert b'"items":2' in _until(client, b"0\r\n\r\n")
    assert {served.ended()[1], served.ended()[1]} == {200}


def test_more_than_may_wait_are_refused(served: Served) -> None:
    lane = served.road.lane
    lane._sources.at_once, lane._max_queue = 1, 1
    with served.connect() as one, served.connect() as two:
        one.sendall(_request(body(2, STEPS)))
        gate.steps.release()
        _until(one, b"item 1")
        two.sendall(_request(body(1)))
        _poll(lambda: lane.queued == 1)
        response = served.ask(body(1))
        assert (response.status, json.loads(response.read())["error"]) == (429, "Overloaded")
        assert response.getheader("retry-after")
        two.close()  # gives its place to the next
        _poll(lambda: lane.queued == 0)
        gate.steps.release()
        assert b"event: end" in _until(one, b"0\r\n\r\n")
    _poll(lambda: lane.running == 0)
    stats = lane.take_stats()
    assert (stats.overloaded, stats.cancelled, stats.executions) == (1, 1, 1)


def test_a_drain_waits_for_a_stream(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(2, STEPS)))
        gate.steps.release()
        _until(client, b"item 1")
        served.stop(WAIT_S)
        _poll(lambda: served.front.draining)
        gate.steps.release()
        found = _rest(client)
    assert b"item 2" in found
    assert b"event: end" in found
    assert found.endswith(b"0\r\n\r\n")


def test_a_lane_that_closes_ends_its_streams_with_the_reason(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(2, STEPS)))
        gate.steps.release()
        _until(client, b"item 1")
        served.loop.call_soon_threadsafe(served.road.lane.close)
        assert b'"error":"Unavailable"' in _until(client, b"0\r\n\r\n")
    gate.steps.release()


def test_bytes_that_are_no_request_do_not_get_into_an_answer(served: Served) -> None:
    with served.connect() as client:
        client.sendall(_request(body(2, STEPS)))
        gate.steps.release()
        _until(client, b"item 1")
        client.sendall(b"no request\r\n\r\n")
        assert b"400" not in _rest(client)
    assert served.ended()[1] == 499
    gate.steps.release()


def test_the_asgi_road_streams_too(tmp_path: Path) -> None:
    settings.reset()
    gate.__init__()  # type: ignore[misc]
    stream_version(tmp_path / "version")
    seen: list[tuple[Any, ...]] = []

    async def scenario() -> None:
        app = make_app(ServedModel.load(tmp_path / "version"), token=None, observe=lambda *values: seen.append(values))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            found = await client.post("/predict", content=body(2), headers=EVENTS)
            assert items_of(found.content)[:2] == (["item 1", "item 2"], "end")
            assert "content-length" not in found.headers
            assert (await client.post("/predict", content=body(2), headers=JSON)).json()["predictions"] == [
                "item 1",
                "item 2",
            ]
        await _asgi_client_that_goes_away(app)
        app.front.lineup.champion.close()

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))
    assert gate.closed.acquire(timeout=WAIT_S)
    assert [values[1] for values in seen] == [200, 200, 499]


async def _asgi_client_that_goes_away(app: Any) -> None:
    gone = asyncio.Event()
    received = iter([{"type": "http.request", "body": body(1, ENDLESS)}])
    parts = 0

    async def receive() -> Any:
        message = next(received, None)
        if message is None:
            await gone.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(_: Any) -> None:
        nonlocal parts
        parts += 1
        if parts > 3:
            gone.set()

    headers = [(name.encode(), value.encode()) for name, value in {**EVENTS, "host": "localhost"}.items()]
    await app({"type": "http", "method": "POST", "path": "/predict", "headers": headers}, receive, send)


def test_bentoml_s_own_road_gives_the_items_as_one_answer(tmp_path: Path) -> None:
    stream_version(tmp_path / "version")
    found = answer(ServedModel.load(tmp_path / "version"), [[2.0, 0.0, 0.0, 0.0]], None, None)  # type: ignore[arg-type]
    assert found["predictions"] == ["item 1", "item 2"]


def test_other_protocols_get_one_answer(served: Served) -> None:
    rows = [[2.0, 0.0, 0.0, 0.0]]
    for path, sent in (("/v1/models/iris:predict", {"instances": rows}), ("/invocations", {"inputs": rows})):
        found = json.loads(_post(served, path, sent))
        assert found["predictions"] == ["item 1", "item 2"]
    tensor = {"name": "inputs", "datatype": "FP64", "shape": [1, 4], "data": rows}
    found = json.loads(_post(served, "/v2/models/iris/infer", {"inputs": [tensor]}))
    assert found["outputs"][0]["data"] == ["item 1", "item 2"]


def test_a_collected_answer_that_does_not_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODEPLOY_REQUEST_TIMEOUT_S", "0.2")
    settings.reset()
    gate.__init__()  # type: ignore[misc]
    stream_version(tmp_path / "version")
    model = ServedModel.load(tmp_path / "version")
    with pytest.raises(TimedOut, match="had not ended after"):
        model.predict([[1.0, ENDLESS, 0.0, 0.0]])
    assert gate.closed.acquire(timeout=WAIT_S)


def test_the_documents_tell_of_the_events(served: Served) -> None:
    connection = served.client()
    connection.request("GET", "/docs.json")
    document = json.loads(connection.getresponse().read())
    assert "text/event-stream" in document["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    connection.request("GET", "/signature")
    assert json.loads(connection.getresponse().read())["streams"] is True


def test_turns_are_taken_in_the_order_of_asking() -> None:
    turns, order, ready = Turns(), [], threading.Semaphore(0)

    def take(number: int) -> None:
        ready.release()
        with turns:
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    with turns:
        for number, thread in enumerate(threads):
            thread.start()
            ready.acquire()
            _poll(lambda number=number: len(turns._waiting) == number + 1)
    for thread in threads:
        thread.join(WAIT_S)
    assert order == [0, 1, 2, 3]


def _request(given: bytes, more: bytes = b"") -> bytes:
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n"
    return head + b"content-type: application/json\r\n" + more + b"content-length: %d\r\n\r\n%b" % (len(given), given)


def _post(served: Served, path: str, given: Any) -> bytes:
    connection = served.client()
    connection.request("POST", path, json.dumps(given), JSON)
    response = connection.getresponse()
    found = response.read()
    assert response.status == 200, found
    return found


def _until(client: socket.socket, wanted: bytes) -> bytes:
    found = b""
    while wanted not in found:
        part = client.recv(65536)
        assert part, found[-500:]
        found += part
    return found


def _rest(client: socket.socket) -> bytes:
    found = b""
    while part := client.recv(65536):
        found += part
    return found


def _poll(holds: Any) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


def _settled() -> int:
    """How many items were made when no more came for a while."""
    given = -1
    while given != gate.given:
        given = gate.given
        time.sleep(0.25)
    return given
