"""Traces: spans that a collector really receives, and requests that do not notice one that is not there."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import grpc
import httpx
import pytest
from grpcport import INFER, STREAM, Gate, request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from versions import X, write_version
from workers import TOKEN, WAIT_S, Started
from world import until

from autodeploy_magic import settings
from autodeploy_magic.errors import InvalidOption, MissingPackage
from autodeploy_magic.metrics.counters import counters
from autodeploy_magic.serve.trace import Tracing, _traces_url, tracing

BEARER = {"authorization": f"Bearer {TOKEN}"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
NOT_SAMPLED = f"00-{TRACE}-{PARENT}-00"
BODY = {"inputs": X[:2].tolist()}


class Collector:
    """An OTLP/HTTP collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.paths: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector._take(self.path, ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _take(self, path: str, found: ExportTraceServiceRequest) -> None:
        self.paths.add(path)
        for resource in found.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(WAIT_S)
        self._server.server_close()

    def servers(self) -> list[Span]:
        """The spans of requests, by their start."""
        found = [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def inside(self, span: Span) -> dict[str, Span]:
        return {child.name: child for child in self.spans if child.parent_span_id == span.span_id}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


Start = Callable[..., Started]


@pytest.fixture
def start(tmp_path: Path, classifier: Any) -> Iterator[Start]:
    """Starts a worker of the classifier, or of `folder`, that traces as the settings say."""
    started: list[Started] = []

    def begin(endpoint: str, *, folder: Path | None = None, grpc: Any = None, **more: Any) -> Started:
        if folder is None:
            folder = tmp_path / "version"
            write_version(folder, classifier, X)
        worker = Started(folder, tmp_path, drain_s=1.0, grpc=grpc, settings={"otlp_endpoint": endpoint, **more})
        started.append(worker)
        return worker

    yield begin
    for worker in started:
        worker.process.kill()
        worker.process.wait(WAIT_S)
        worker.listening.close()
        worker.channel.close()


def ask(worker: Started, headers: Mapping[str, str] | None = None, body: Any = BODY) -> httpx.Response:
    headers = BEARER | dict(headers or {})
    return httpx.post(f"{worker.url}/predict", json=body, headers=headers, timeout=WAIT_S)


def drained(worker: Started) -> None:
    worker.process.terminate()
    assert worker.end() == 0


def _recorded(worker: Started) -> dict[int, int]:
    found = counters(worker.metrics.with_suffix(".sqlite"))
    return found.versions[1].answers if found is not None and found.versions else {}


def attributes(span: Span) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def test_a_request_is_a_span_of_its_callers_trace(start: Start, collector: Collector) -> None:
    worker = start(collector.url)
    worker.serve()
    before = time.time_ns()
    good = ask(worker, {"traceparent": SAMPLED, "tracestate": "vendor=1", "user-agent": "a client"})
    bad = ask(worker, {"traceparent": SAMPLED}, {"inputs": "x"})
    path = f"{worker.url}/v2/models/iris/versions/1/infer"
    tensor = {"name": "inputs", "shape": [1, 4], "datatype": "FP64", "data": X[0].tolist()}
    assert httpx.post(path, json={"inputs": [tensor]}, headers=BEARER).status_code == 200
    assert httpx.get(f"{worker.url}/v2/models/iris", headers=BEARER).status_code == 200  # nothing that is recorded
    assert httpx.post(f"{worker.url}/predict", json=BODY).status_code == 401
    drained(worker)
    after = time.time_ns()
    assert collector.services == {"iris"}
    assert collector.paths == {"/v1/traces"}
    first, second, third = collector.servers()
    assert (first.trace_id.hex(), first.parent_span_id.hex(), first.trace_state) == (TRACE, PARENT, "vendor=1")
    assert (second.trace_id.hex(), second.parent_span_id.hex()) == (TRACE, PARENT)
    assert third.trace_id.hex() != TRACE
    assert third.parent_span_id == b""
    assert [span.name for span in (first, third)] == [
        "POST /predict",
        "POST /v2/models/{name}/versions/{version}/infer",
    ]
    assert before < first.start_time_unix_nano < first.end_time_unix_nano < after
    told = attributes(first)
    assert told.pop("autodeploy.run_seconds") * 1e9 < first.end_time_unix_nano - first.start_time_unix_nano
    assert told == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "url.path": "/predict",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": worker.listening.getsockname()[1],
        "user_agent.original": "a client",
        "http.response.status_code": 200,
        "http.request.body.size": len(good.request.content),
        "http.response.body.size": len(good.content),
        "autodeploy.deployment": "iris",
        "autodeploy.version": 1,
        "autodeploy.rows": 2,
        "autodeploy.request_id": good.json()["id"],
    }
    assert attributes(second)["http.response.status_code"] == bad.status_code == 422
    assert second.status.code == Status.STATUS_CODE_UNSET  # a mistake of the client's
    assert attributes(third)["url.path"] == "/v2/models/iris/versions/1/infer"


def test_the_callers_decision_counts_and_else_the_share(start: Start, collector: Collector) -> None:
    worker = start(collector.url, trace_share=0.0)
    worker.serve()
    for given in (NOT_SAMPLED, SAMPLED, "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"):
        assert ask(worker, {"traceparent": given}).status_code == 200
    assert ask(worker, {"traceparent": f"01-{TRACE}-{PARENT}-03-more"}).status_code == 200  # a later version of it
    drained(worker)
    assert [span.trace_id.hex() for span in collector.servers()] == [TRACE, TRACE]


def test_a_share_is_about_that_many(start: Start, collector: Collector) -> None:
    worker = start(collector.url, trace_share=0.5)
    worker.serve()
    with httpx.Client(headers=BEARER, timeout=WAIT_S) as client:
        for _ in range(200):
            assert client.post(f"{worker.url}/predict", json=BODY).status_code == 200
        assert client.post(f"{worker.url}/predict", json=BODY, headers={"traceparent": NOT_SAMPLED}).status_code == 200
    drained(worker)
    assert 60 < len(collector.servers()) < 140
    assert len({span.trace_id for span in collector.servers()}) == len(collector.servers())


def test_what_waited_and_what_ran_is_in_it(start: Start, collector: Collector, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    path = str(gate.path)

    def predict(model: Any, x: Any) -> Any:
        from pathlib import Path

        if Path(path).exists():
            Path(path).read_bytes()
        if (x == 666).any():
            raise ValueError
        return model.predict(x)

    from deployed import iris_model

    folder = tmp_path / "gated"
    write_version(folder, iris_model(), X, format="native", one_row_s=10.0, code={"predict": predict})
    worker = start(collector.url, folder=folder, request_timeout_s=20.0)
    worker.serve()
    gate.close()
    answers: list[int] = []

    def post() -> None:
        answers.append(ask(worker, {"traceparent": SAMPLED}).status_code)

    first = threading.Thread(target=post)
    first.start()
    gate.entered()
    second = threading.Thread(target=post)
    second.start()
    gone = httpx.Client(timeout=0.3, headers=BEARER)
    with pytest.raises(httpx.ReadTimeout):
        gone.post(f"{worker.url}/predict", json=BODY)
    gone.close()
    until(lambda: 499 in _recorded(worker))
    gate.open()
    for thread in (first, second):
        thread.join(WAIT_S)
    assert answers == [200, 200]
    assert ask(worker, body={"inputs": [[666.0] * 4]}).status_code == 500
    drained(worker)
    spans = {span.span_id: attributes(span) for span in collector.servers()}
    assert [told.get("http.response.status_code") for told in spans.values()].count(200) == 2
    (left,) = [told for told in spans.values() if "http.response.status_code" not in told]
    assert left["error.type"] == "client_gone"
    (failed,) = [span for span in collector.servers() if attributes(span).get("http.response.status_code") == 500]
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert attributes(failed)["error.type"] == "500"
    one, other = [span for span in collector.servers() if span.trace_id.hex() == TRACE]
    for span in (one, other):
        inside = collector.inside(span)
        queue, run = inside["queue"], inside["run"]
        times = [span.start_time_unix_nano, queue.start_time_unix_nano, queue.end_time_unix_nano]
        times += [run.start_time_unix_nano, run.end_time_unix_nano, span.end_time_unix_nano]
        assert times == sorted(times)
        assert {queue.trace_id, run.trace_id} == {span.trace_id}
    run, queue = collector.inside(one)["run"], collector.inside(other)["queue"]
    assert queue.end_time_unix_nano >= run.end_time_unix_nano  # the second waited for the first


def test_calls_over_grpc_are_spans_too(start: Start, collector: Collector) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        worker = start(collector.url, grpc=listening)
        worker.serve()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        token = ("authorization", f"Bearer {TOKEN}")
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary(INFER)
            call(request().SerializeToString(), metadata=[token, ("traceparent", SAMPLED)], timeout=WAIT_S)
            call(request().SerializeToString(), metadata=[token, ("traceparent", NOT_SAMPLED)], timeout=WAIT_S)
            with pytest.raises(grpc.RpcError):
                call(request(X[:2, :2]).SerializeToString(), metadata=[token], timeout=WAIT_S)
            stream = channel.stream_stream(STREAM)
            messages = iter([request().SerializeToString()] * 3)
            assert len(list(stream(messages, metadata=[token, ("traceparent", SAMPLED)], timeout=WAIT_S))) == 3
        drained(worker)
    spans = collector.servers()
    assert [span.trace_id.hex() == TRACE for span in spans] == [True, False, True, True, True]
    assert {span.parent_span_id.hex() for span in spans if span.trace_id.hex() == TRACE} == {PARENT}
    first = attributes(spans[0])
    assert spans[0].name == first["rpc.method"] == INFER.removeprefix("/")
    assert (first["rpc.system.name"], first["rpc.response.status_code"]) == ("grpc", "OK")
    assert (first["autodeploy.version"], first["autodeploy.rows"]) == (1, 2)
    assert attributes(spans[1])["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert spans[1].status.code == Status.STATUS_CODE_UNSET


def test_a_collector_that_is_gone_costs_no_request(start: Start, tmp_path: Path) -> None:
    with Collector() as gone:
        endpoint = gone.url
    worker = start(endpoint)
    worker.serve()
    with httpx.Client(headers=BEARER, timeout=WAIT_S) as client:
        for _ in range(3000):  # more than wait to be sent
            assert client.post(f"{worker.url}/predict", json=BODY).status_code == 200
    started = time.monotonic()
    drained(worker)
    assert time.monotonic() - started < WAIT_S / 2
    said = worker.log.read_text()
    assert "the last spans were not sent" in said or "Failed to export" in said
    assert said.count("opentelemetry") + said.count("Failed to export") < 5


def test_a_collector_that_never_answers_does_not_hold_up_the_end(start: Start) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = start(f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces")
        worker.serve()
        assert ask(worker).status_code == 200
        started = time.monotonic()
        drained(worker)
        assert time.monotonic() - started < WAIT_S / 2


def test_many_spans_all_arrive(start: Start, collector: Collector) -> None:
    worker = start(collector.url)
    worker.serve()
    with httpx.Client(headers=BEARER, timeout=WAIT_S) as client:
        ids = [client.post(f"{worker.url}/predict", json=BODY).json()["id"] for _ in range(1000)]
    drained(worker)
    assert [attributes(span)["autodeploy.request_id"] for span in collector.servers()] == ids


@pytest.mark.parametrize(
    ("chosen", "what"),
    [
        ({"endpoint": "localhost:4318"}, "AUTODEPLOY_OTLP_ENDPOINT is 'localhost:4318'"),
        ({"endpoint": "http://localhost:1", "trace_share": 2.0}, "AUTODEPLOY_TRACE_SHARE is 2"),
    ],
)
def test_settings_that_cannot_be_end_the_start(start: Start, chosen: dict[str, Any], what: str) -> None:
    error = start(**chosen).said()["error"]
    assert error["error"] == "InvalidOption"
    assert error["what"].startswith(what)


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        """As if the exporter were not installed: the rest of OpenTelemetry comes with BentoML."""

        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "opentelemetry.exporter":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent, *sys.meta_path])
    monkeypatch.setenv("AUTODEPLOY_OTLP_ENDPOINT", "http://localhost:4318")
    settings.reset()
    with pytest.raises(MissingPackage) as caught:
        tracing("iris", scheme="http")
    assert "AUTODEPLOY_OTLP_ENDPOINT" in caught.value.what
    assert caught.value.fix == "pip install 'autodeploy_magic[otel]'"


def test_nothing_is_sent_where_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTODEPLOY_OTLP_ENDPOINT", raising=False)
    settings.reset()
    assert tracing("iris", scheme="http") is None
    with pytest.raises(InvalidOption):
        settings.set_option("trace_share", "half")


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("https://o.example.org/v1/traces", "https://o.example.org/v1/traces"),
        ("https://o.example.org/api/otlp", "https://o.example.org/api/otlp"),
    ],
)
def test_otlps_path_is_added_where_there_is_none(endpoint: str, url: str) -> None:
    assert _traces_url(endpoint) == url


def test_what_goes_wrong_with_a_span_stays_with_it(caplog: pytest.LogCaptureFixture) -> None:
    sending = Tracing("iris", "http://127.0.0.1:9", 1.0)
    for _ in range(3):
        with sending.quietly():
            raise RuntimeError("a span that cannot be")
    assert caplog.text.count("RuntimeError: a span that cannot be") == 1
    sending.close()
