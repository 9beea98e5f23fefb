"""A trace against a URL: each request at its own time, failures as the longest, whatever the server does."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.operate.retune.replaying import main
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.operate.retune.search.search import Outcome

SIGNATURE = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(2,)),))
TABLE = Signature(container="dataframe", columns=(Column(name="a", dtype="float64"), Column(name="b", dtype="str")))


class Server(http.server.ThreadingHTTPServer):
    """Answers as it is told, and keeps what it was asked."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, status: Callable[[int], int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.asked: list[tuple[float, dict[str, Any], str]] = []
        self.connections = 0
        self.lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.asked.append((time.monotonic(), body, self.headers.get("authorization", "")))
            status = self.server.status(len(self.server.asked))
        if status < 0:
            self.close_connection = True
            return
        self.send_response(status)
        if status == 206:  # a stream
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n")
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving(status: Callable[[int], int] = lambda _: 200, kind: type[Server] = Server) -> Iterator[Server]:
    with kind(status) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def replay(server: Server | int, folder: Path, trace: list[list[float]], **more: Any) -> Outcome:
    rows = more.pop("rows", Rows(SIGNATURE, [[float(i), 0.0] for i in range(7)], 7))
    rows.write(folder / "rows.json.gz")
    port = server if isinstance(server, int) else server.server_address[1]
    spec = {
        "url": f"http://127.0.0.1:{port}",
        "token": "secret",
        "trace": trace,
        "rows": str(folder / "rows.json.gz"),
        "signature": msgspec.to_builtins(rows.signature),
        "limit_s": 2.0,
        "within_s": 10.0,
        **more,
    }
    return msgspec.convert(msgspec.json.decode(msgspec.json.encode(main(spec))), Outcome)


def test_requests_have_the_recorded_rows_and_come_at_their_times(tmp_path: Path) -> None:
    trace = [[0.0, 1], [0.2, 9], [0.4, 2]]
    with serving() as server:
        found = replay(server, tmp_path, trace)
    assert (found.requests, found.failed) == (3, 0)
    warm, asked = server.asked[:-3], server.asked[-3:]
    assert len(warm) == 3
    assert [len(body["inputs"]) for _, body, _ in asked] == [1, 9, 2]
    assert {token for *_, token in server.asked} == {"Bearer secret"}
    assert asked[2][0] - asked[0][0] >= 0.35
    assert all(row[0] in range(7) for _, body, _ in asked for row in body["inputs"])
    assert server.connections <= 3  # they are kept


def test_a_table_goes_by_columns(tmp_path: Path) -> None:
    with serving() as server:
        found = replay(server, tmp_path, [[0.0, 3]], rows=Rows(TABLE, {"a": [1.0, 2.0], "b": ["x", None]}, 2))
    assert found.failed == 0
    assert {len(values) for values in server.asked[-1][1]["inputs"].values()} == {3}


def test_what_is_refused_or_broken_off_counts_as_the_longest(tmp_path: Path) -> None:
    told = {4: 429, 5: -1, 6: 200}
    with serving(lambda number: told.get(number, 200)) as server:
        found = replay(server, tmp_path, [[0.0, 1], [0.1, 1], [0.2, 1]])
    assert (found.requests, found.failed) == (3, 2)
    assert found.p95_s == found.limit_s == 2.0
    assert "1 × status 429" in found.worst
    assert found.cost_s > 2.0


def test_streamed_answers_are_read_to_their_end(tmp_path: Path) -> None:
    with serving(lambda _: 206) as server:
        found = replay(server, tmp_path, [[0.0, 1], [0.05, 1]])
    assert (found.requests, found.failed) == (2, 0)


def test_nobody_there_and_no_answer_ever_end_in_time(tmp_path: Path) -> None:
    with serving() as server:
        port = server.server_address[1]
    found = replay(port, tmp_path, [[0.0, 1], [0.1, 1]])
    assert (found.requests, found.failed) == (2, 2)
    assert "ConnectionRefused" in found.worst
    held = threading.Event()

    class Silent(Server):
        def finish_request(self, request: Any, client_address: Any) -> None:
            held.wait(30)

    with serving(kind=Silent) as server:
        found = replay(server, tmp_path, [[i / 10, 1] for i in range(4)], limit_s=0.3, within_s=2.0)
        held.set()
    assert (found.requests, found.failed, found.unanswered, found.p50_s) == (
        4,
        4,
        4,
        0.3,
    )  # all were sent, though none was answered


def test_a_trace_that_is_longer_than_the_time_is_cut(tmp_path: Path) -> None:
    with serving() as server:
        found = replay(server, tmp_path, [[i / 10, 1] for i in range(100)], within_s=0.5)
    assert 1 <= found.requests < 20
