"""Spans of what was answered, sent to an OpenTelemetry collector over OTLP/HTTP by a thread of their own.

A caller's W3C trace context is honoured: the span is a child of its span, and there is none where it did not sample.
Where no collector takes them, spans are dropped and requests go on. `serve.traced` says where spans come from.

Source: w3.org/TR/trace-context; OpenTelemetry's semantic conventions for HTTP and RPC server spans.
"""

from __future__ import annotations

import logging
import random
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from autodeploy_magic import __version__, settings
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.registry import need
from autodeploy_magic.serve.http.exchange import CLIENT_GONE, Found
from autodeploy_magic.serve.lane.batching import Waiting
from autodeploy_magic.serve.lane.pool import SWITCH_S
from autodeploy_magic.serve.protocols import Route

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ["Answered", "Attributes", "Timed", "Tracing", "tracing"]

log = logging.getLogger(__name__)

FEATURE = "sending traces (AUTODEPLOY_OTLP_ENDPOINT)"
EXPORT_S = 5.0
"""How long a batch of spans is tried to be sent."""
SEND_EVERY_S = 1.0
CLOSE_S = 3.0
"""How long the end of a worker waits for its last spans to be sent."""
COMPLAIN_EVERY_S = 60.0

_TRACEPARENT = re.compile(
    rb"(?:00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
    rb"|(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?)"
)
_SERVER_FAULTS = {"DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE"}
"""Status codes of gRPC that are the server's errors, by the conventions."""

Attributes = dict[str, str | int | float]


def tracing(deployment: str, *, scheme: str) -> Tracing | None:
    """What sends traces as the settings have it; None where they are off.

    Raises `InvalidOption` for settings that cannot be, `MissingPackage` where the extra `otel` is not installed.
    """
    endpoint, share = str(settings.get("otlp_endpoint")).strip(), float(settings.get("trace_share"))
    if not endpoint:
        return None
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
        raise InvalidOption(
            f"AUTODEPLOY_OTLP_ENDPOINT is {endpoint!r}, which is not the address of a collector",
            why="traces are sent over OTLP/HTTP",
            fix="give it a URL: AUTODEPLOY_OTLP_ENDPOINT=http://localhost:4318",
        )
    if not 0.0 <= share <= 1.0:
        raise InvalidOption(
            f"AUTODEPLOY_TRACE_SHARE is {share:g}", why="it is a share of the requests", fix="give it from 0 to 1"
        )
    return Tracing(deployment, endpoint, share, scheme=scheme)


class Tracing:
    """Makes spans and sends them. `endpoint` is the collector's address, with or without OTLP's own path.

    `share` is how many requests are traced of those whose caller has not decided it. `scheme` is what the port speaks.
    """

    def __init__(self, deployment: str, endpoint: str, share: float, *, scheme: str = "http") -> None:
        exporters = need("opentelemetry.exporter.otlp.proto.http.trace_exporter", FEATURE)
        need("opentelemetry.sdk.trace", FEATURE)
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        exporter = exporters.OTLPSpanExporter(endpoint=_traces_url(endpoint), timeout=EXPORT_S)
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # `wants` has decided
            resource=Resource.create({"service.name": deployment, "service.namespace": "autodeploy_magic"}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_S * 1000))
        self._tracer = self._provider.get_tracer("autodeploy_magic", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._deployment = deployment
        self._scheme = scheme
        self._share = share
        self._templates: dict[tuple[str, bool], str] = {}
        self._failed = False
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))  # spans are written by Python, beside the loop
        _complain_seldom()

    def wants(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request is to be traced: as its caller has decided, else by chance."""
        given = headers.get(b"traceparent")
        match = _TRACEPARENT.fullmatch(given) if given is not None else None
        if match is None:
            return random.random() < self._share
        return bool(int(match[1] or match[2], 16) & 1)

    def http(self, route: Route, found: Found, headers: Mapping[bytes, bytes], status: int) -> Answered:
        """What is known of a request over HTTP that was answered."""
        versioned = route.version_at is not None and found.params[route.version_at] is not None
        template = self._templates.get((route.path, versioned))
        if template is None:
            template = self._templates[route.path, versioned] = _template(route, versioned=versioned)
        attributes: Attributes = {
            "http.request.method": route.method,
            "http.route": template,
            "url.path": found.path,
            "url.scheme": self._scheme,
            **_server(headers.get(b"host", b"")),
        }
        if b"user-agent" in headers:
            attributes["user_agent.original"] = headers[b"user-agent"].decode("latin-1")
        if status == CLIENT_GONE:
            attributes["error.type"] = "client_gone"  # it was sent no status
        else:
            attributes["http.response.status_code"] = status
        fault = str(status) if status >= 500 else ""
        return Answered(f"{route.method} {template}", attributes, headers, fault)

    def grpc(self, path: str, headers: Mapping[bytes, bytes], code: str) -> Answered:
        """What is known of a call over gRPC that was answered."""
        method = path.removeprefix("/")
        attributes: Attributes = {
            "rpc.system.name": "grpc",
            "rpc.method": method,
            "rpc.response.status_code": code,
            **_server(headers.get(b":authority", b"")),
        }
        return Answered(method, attributes, headers, code if code in _SERVER_FAULTS else "")

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Let nothing that fails within be a request's failure; the first of it is in the log."""
        try:
            yield
        except Exception:  # whatever it is
            if not self._failed:
                self._failed = True
                log.exception("a span could not be made; of others that cannot, nothing is said")

    def tell(self, answered: Answered, more: Attributes, timed: Timed) -> None:
        """Make the span of what was answered, and hand it to the thread that sends it."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        attributes = {**answered.attributes, "autodeploy.deployment": self._deployment, **more}
        if answered.fault:
            attributes["error.type"] = answered.fault
        start = self._tracer.start_span
        span = start(
            answered.name,
            context=self._parent(answered.headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=timed.at(timed.started),
        )
        inside = set_span_in_context(span)
        for name, begin, end in timed.parts:
            start(name, context=inside, start_time=timed.at(begin)).end(timed.at(end))
        if answered.fault:
            span.set_status(Status(StatusCode.ERROR))
        span.end(timed.at(timed.ended))

    def close(self) -> None:
        """Send what is left, for as long as `CLOSE_S`."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(CLOSE_S)
        if ending.is_alive():
            log.warning("the last spans were not sent: the collector did not take them within %g s", CLOSE_S)

    def _parent(self, headers: Mapping[bytes, bytes]) -> Context:
        from opentelemetry.context import Context

        names = (b"traceparent", b"tracestate")
        carrier = {name.decode(): headers[name].decode("latin-1") for name in names if name in headers}
        return self._propagator.extract(carrier, context=Context())


class Answered:
    """The name of a span, what it says of its protocol, and where its parent is named. `fault`: a server's error."""

    __slots__ = ("attributes", "fault", "headers", "name")

    def __init__(self, name: str, attributes: Attributes, headers: Mapping[bytes, bytes], fault: str) -> None:
        self.name = name
        self.attributes = attributes
        self.headers = headers
        self.fault = fault


class Timed:
    """When a request began and ended, by `time.perf_counter`; made at its end. `parts` are known times within it."""

    __slots__ = ("_now_ns", "ended", "parts", "started")

    def __init__(self, started: float, waiting: object) -> None:
        self.started = started
        self.ended = time.perf_counter()
        self._now_ns = time.time_ns()
        self.parts: list[tuple[str, float, float]] = []
        if isinstance(waiting, Waiting) and waiting.ran is not None:
            began, done = waiting.ran
            self.parts = [("queue", waiting.since, began), ("run", began, done)]

    def at(self, moment: float) -> int:
        """A moment in nanoseconds since the epoch."""
        return self._now_ns - round((self.ended - moment) * 1e9)


def _template(route: Route, *, versioned: bool) -> str:
    """The route's path with names for what varies in it."""
    paths = route.operation().paths if route.operation is not None else ()
    fitting = [path for path in paths if ("{version}" in path) == versioned]
    return (fitting or paths or [route.path])[0]


@lru_cache(maxsize=64)
def _server(authority: bytes) -> Attributes:
    try:
        parts = urlsplit(f"//{authority.decode('latin-1')}")
        found: Attributes = {"server.address": parts.hostname} if parts.hostname else {}
        return {**found, "server.port": parts.port} if parts.port is not None else found
    except ValueError:
        return {}


def _traces_url(endpoint: str) -> str:
    """OTLP's path for traces is added where the address has none."""
    return endpoint if urlsplit(endpoint).path.strip("/") else f"{endpoint.rstrip('/')}/v1/traces"


def _complain_seldom() -> None:
    """Let the log hear of a collector that does not answer, and not with each batch."""
    heard = {"at": -COMPLAIN_EVERY_S}

    def passes(record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry."):
            return True
        now = time.monotonic()
        if record.levelno < logging.ERROR or now - heard["at"] < COMPLAIN_EVERY_S:
            return False
        heard["at"] = now
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(passes)
