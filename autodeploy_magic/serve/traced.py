"""The front and its exchanges where traces are on. Where they are off, nothing of this is on a request's way.

A span is made once the answer is on its way.
"""

from __future__ import annotations

from collections.abc import Callable

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.http.exchange import CLIENT_GONE, Exchange, Reply
from autodeploy_magic.serve.http.front import Front, Observe, Origin
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.lane.source import Source
from autodeploy_magic.serve.protocols import Answer, Inference
from autodeploy_magic.serve.road import Lineup, Road
from autodeploy_magic.serve.trace import Attributes, Timed, Tracing

__all__ = ["TracedExchange", "TracedFront"]


class TracedExchange(Exchange):
    """A request over HTTP that may be traced."""

    _front: TracedFront
    _traced = False
    _run_s = 0.0
    _seen: tuple[int, int, float, Timed]

    def finish(self, body: bytes | bytearray, reply: Reply) -> None:
        assert self._route is not None
        self._traced = self._route.recorded and self._front.tracing.wants(self.headers)
        self._run_s = self._road.lane.run_s
        super().finish(body, reply)

    def _observe(self, status: int, bytes_out: int) -> None:
        if self._traced:
            run_s = self._road.lane.run_s - self._run_s if self._future is None else 0.0
            self._seen = status, bytes_out, run_s, Timed(self._started, self._future)
        super()._observe(status, bytes_out)
        if self._traced and status == CLIENT_GONE:
            self._tell()

    def _observe_stream(self, status: int, source: Source) -> None:
        super()._observe_stream(status, source)
        if self._traced:
            self._seen = status, source.bytes_out, source.run_s, Timed(self._started, self._future)
            self._tell()

    def _end(self, answer: Answer) -> None:
        super()._end(answer)
        if self._traced:  # its answer is on its way
            self._tell()

    def _tell(self) -> None:
        tracing, route = self._front.tracing, self._route
        assert route is not None
        status, bytes_out, run_s, timed = self._seen
        with tracing.quietly():
            more = _more(self._road, self.id, self._rows)
            more["http.request.body.size"] = self._size
            more["http.response.body.size"] = bytes_out
            if run_s > 0.0:
                more["autodeploy.run_seconds"] = run_s
            tracing.tell(tracing.http(route, self._found, self.headers, status), more, timed)


class TracedFront(Front):
    """A front whose requests are traced."""

    exchange = TracedExchange

    def __init__(self, lineup: Lineup, guard: Guard, *, observe: Observe | None, tracing: Tracing) -> None:
        super().__init__(lineup, guard, observe=observe)
        self.tracing = tracing

    async def infer(
        self, version: int | None, read: Callable[[Road], Inference], *, bytes_in: int, origin: Origin | None = None
    ) -> Answer:
        """As `Front` does, with a span of it."""
        if origin is None or not self.tracing.wants(origin.headers):
            return await super().infer(version, read, bytes_in=bytes_in, origin=origin)
        call = _Call(origin)
        try:
            return await super().infer(version, read, bytes_in=bytes_in, origin=call)
        except RequestRefused as error:
            from autodeploy_magic.serve.grpc.status import status_of

            call.code = status_of(error).name
            raise
        except BaseException:
            call.code = "CANCELLED"
            raise
        finally:
            if call.seen is not None:
                with self.tracing.quietly():
                    self.tracing.tell(self.tracing.grpc(call.path, call.headers, call.code), *call.seen)

    def _note(
        self,
        road: Road,
        status: int,
        started: float,
        rows: int,
        bytes_in: int,
        bytes_out: int,
        origin: Origin | None,
        waiting: object,
    ) -> None:
        if isinstance(origin, _Call):
            origin.seen = _more(road, origin.id, rows), Timed(started, waiting)
        super()._note(road, status, started, rows, bytes_in, bytes_out, origin, waiting)


class _Call:
    """A call over gRPC that is traced."""

    def __init__(self, origin: Origin) -> None:
        self.id = origin.id
        self.path = origin.path
        self.headers = origin.headers
        self.code = "OK"
        self.seen: tuple[Attributes, Timed] | None = None


def _more(road: Road, request_id: str, rows: int) -> Attributes:
    return {
        "autodeploy.version": road.version.number,
        "autodeploy.request_id": request_id,
        "autodeploy.rows": rows,
    }
