"""One HTTP connection: uvicorn's httptools protocol, with a shorter way for the requests that we answer ourselves.

Those go from the parser to the front and back into the socket, with no ASGI scope, task or queue between. The Bento's
own app, and the supervisor's, are reached through uvicorn as ever. Both kinds may be pipelined on one connection and
are answered in turn. The limits that uvicorn lacks hold for both: a head's size, and the time a request may take to
arrive.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from autodeploy_magic.serve.http.cycle import Cycle
from autodeploy_magic.serve.http.sending import Sending
from autodeploy_magic.serve.protocols import Answer, Stream

if TYPE_CHECKING:
    from autodeploy_magic.serve.http.exchange import Exchange, Head
    from autodeploy_magic.serve.http.front import Front

__all__ = ["MAX_HEAD_BYTES", "REQUEST_TIMEOUT_S", "Connection"]

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 256
REMEMBERED_HEAD_BYTES = 4096
REQUEST_TIMEOUT_S = 60.0
"""From the connection, or from a request's first byte, to the last byte of its body. A slow client holds no worker."""

LINGER_S = 2.0

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Connection(HttpToolsProtocol):
    """One connection. A request that arrives whole in one read, as nearly all do, costs no timer."""

    cycle: Any  # uvicorn's or ours
    pipeline: Any

    _deadline: asyncio.TimerHandle | None = None
    _idle: asyncio.TimerHandle | None = None
    _quiet = False  # since the idle timer looked last
    _between = True  # whether the parser stands between two requests
    _arriving = True  # between a request's first byte and its last; a new connection counts as arriving
    _in_head = True
    _head_bytes = 0
    _body_came = False
    _advancing = False
    writes_paused = False
    _sending: Sending | None = None  # an answer that is streamed
    _date = b""
    _dated: object = None
    _lingers = False  # we have said our last, and let the client finish
    _requests = 0  # in this read
    _head: Head | None = None  # of the last one, if it may be remembered

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._front: Front | None = getattr(self.config, "front", None)
        self._answering: Cycle | None = None

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()
        self._idle = self.loop.call_later(self.timeout_keep_alive, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._idle is not None:
            self._idle.cancel()
        if self._answering is not None:
            self._answering.exchange.abandon()
        self._sending = None
        super().connection_lost(exc)
        if not self.connections:
            idle: asyncio.Event | None = getattr(self.config, "idle", None)
            if idle is not None:
                idle.set()

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            return
        self._quiet = False
        end = -1
        if self._front is not None and self._between and (self.cycle is None or self.cycle.response_complete):
            end = data.find(b"\r\n\r\n")
            head = self._front.heads.get(data[:end])
            if head is not None and head.length == len(data) - end - 4:
                self._answer_again(self._front.again(head), data[end + 4 :])
                return
        self._parse(data)
        head = self._head
        if head is not None and self._front is not None:
            self._head = None
            whole = self._between and self._requests == 1 and head.length == len(data) - end - 4
            if whole and 0 < end <= REMEMBERED_HEAD_BYTES:
                self._front.remember(data[:end], head)

    def _answer_again(self, exchange: Exchange, body: bytes) -> None:
        """Answer a request whose head is known, and which came whole."""
        if self._deadline is not None:
            self._disarm()
        self._arriving = False
        if exchange.answer is not None:
            self._write(exchange, exchange.answer)
            return
        exchange.finish(body, self._reply)
        if exchange.waits:
            cycle = Cycle(self, exchange, keep_alive=True, head_only=False)
            cycle.its_turn, cycle.more_body = True, False
            self.cycle = self._answering = cycle

    def _parse(self, data: bytes) -> None:
        self._head, self._requests = None, 0
        self._head_bytes += len(data)
        self._body_came = False
        super().data_received(data)
        if self._body_came:
            self._head_bytes = 0
        # What is neither body nor head is a chunk's extension or a trailer: the parser keeps those, however many.
        if self._arriving and self._head_bytes > MAX_HEAD_BYTES and not self._is_over:
            if self._in_head and self._sending is None:
                self.transport.write(_REFUSAL)
            self.transport.close()
        if not self._arriving:
            if self._deadline is not None:
                self._disarm()
        elif self._deadline is None:
            self._arm()

    def send_400_response(self, msg: str) -> None:
        """Called where the parsing has ended with an error. Somebody may have answered already."""
        if self._sending is not None:
            self.transport.close()  # in the middle of an answer there is no place for another
        elif not self._is_over:
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        """The client does not read its answers: nor do we read its requests."""
        self.writes_paused = True
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        self.writes_paused = False
        super().resume_writing()
        self.flow.resume_reading()
        if self._sending is not None:
            self._sending.go()

    # --- the parser's callbacks

    def on_message_begin(self) -> None:
        self._arriving = self._in_head = True
        self._between = False
        self._requests += 1
        self._head_bytes = 0
        if self._front is None:
            super().on_message_begin()
            return
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.headers) > MAX_HEADERS or self._is_head_too_large():
            if self._sending is None:
                self.transport.write(_REFUSAL)
            self.transport.close()
            raise ValueError("the head is too large")  # which ends the parsing
        if self._front is None:
            super().on_headers_complete()
            return
        parser = self.parser
        version = parser.get_http_version()
        exchange = self._front.open(parser.get_method().decode("ascii"), self.url, self.headers, http_version=version)
        if exchange is None:
            self._hand_to_app()
            return
        keep_alive = version != "1.0" and parser.should_keep_alive() and not parser.should_upgrade()
        before = self.cycle
        head_only = parser.get_method() == b"HEAD"
        if keep_alive and not head_only:
            self._head = exchange.head()
        chunked = version != "1.0"
        cycle = Cycle(self, exchange, keep_alive=keep_alive, head_only=head_only, chunked=chunked)
        self.cycle = cycle
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
            return
        self._begin(cycle)

    def on_body(self, body: bytes) -> None:
        self._body_came = True
        cycle = self.cycle
        if type(cycle) is not Cycle:
            super().on_body(body)
        elif not cycle.response_complete:
            cycle.receive(body)

    def on_message_complete(self) -> None:
        self._arriving = False
        self._between = True
        cycle = self.cycle
        if type(cycle) is not Cycle:
            super().on_message_complete()
        else:
            cycle.more_body = False
            if cycle.its_turn and not cycle.response_complete:
                cycle.finish()

    def on_response_complete(self) -> None:
        """Go on with the next pipelined request; where there is none, the connection is idle."""
        self.server_state.total_requests += 1
        if self._is_over or self._advancing:
            return
        if not self.writes_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._advance()

    # --- answering

    def _reply(self, exchange: Exchange, answer: Answer) -> None:
        """Write an answer of ours, and go on with what is behind it."""
        cycle, self._answering = self._answering, None
        if cycle is None:
            self._write(exchange, answer)
            return
        if type(answer) is Stream:
            self._answering = cycle
            self._stream(cycle, answer)
            return
        cycle.response_complete = True
        del cycle.exchange  # an idle connection keeps its last cycle, which must hold no version
        self._write(exchange, answer, keep_alive=cycle.keep_alive, head_only=cycle.head_only)
        self.on_response_complete()

    def _write(self, exchange: Exchange, answer: Answer, *, keep_alive: bool = True, head_only: bool = False) -> None:
        """Write an answer; the connection closes where the request, or our own end, asks for it."""
        assert self._front is not None
        if self._is_over:
            return
        close = not keep_alive or exchange.close or self._front.draining
        others = self._front.guard.cors(exchange.headers)
        if answer.headers or others:
            others = [*answer.headers, *others]
        head = b"%b%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b%b" % (
            _STATUS_LINES[answer.status],
            self._date_line(),
            answer.content_type.encode("latin-1"),
            len(answer.body),
            exchange.id.encode("ascii"),
            b"".join([b"%b: %b\r\n" % pair for pair in others]) if others else b"",
            b"connection: close\r\n\r\n" if close else b"\r\n",
        )
        self.transport.write(head if head_only else head + answer.body)
        if close:
            self._close_gently()

    def _stream(self, cycle: Cycle, answer: Stream) -> None:
        """Write the head of an answer, and from now on its parts."""
        assert self._front is not None
        if self._is_over:
            cycle.exchange.abandon()
            return
        exchange = cycle.exchange
        cycle.keep_alive = cycle.keep_alive and cycle.chunked and not exchange.close and not self._front.draining
        others = [*answer.headers, *self._front.guard.cors(exchange.headers)]
        head = b"%b%bcontent-type: %b\r\nx-request-id: %b\r\n%b%b%b\r\n" % (
            _STATUS_LINES[answer.status],
            self._date_line(),
            answer.content_type.encode("latin-1"),
            exchange.id.encode("ascii"),
            b"".join([b"%b: %b\r\n" % pair for pair in others]),
            b"transfer-encoding: chunked\r\n" if cycle.chunked else b"",
            b"" if cycle.keep_alive else b"connection: close\r\n",
        )
        self.transport.write(head)
        self._sending = Sending(self, cycle, answer.source)
        self._sending.go()

    def sent(self, cycle: Cycle) -> None:
        """A streamed answer has been written to its end."""
        assert self._front is not None
        self._sending = self._answering = None
        cycle.exchange.streamed()
        cycle.response_complete = True
        del cycle.exchange
        if not cycle.keep_alive or self._front.draining:
            self._close_gently()
        self.on_response_complete()

    def _begin(self, cycle: Cycle) -> None:
        """All before it is answered. A refusal that is certain from the head goes out now."""
        cycle.its_turn = True
        exchange = cycle.exchange
        waits = self.expect_100_continue and cycle.more_body and cycle is self.cycle
        if exchange.answer is not None:
            # A client that waits for leave to send its body may send it, or its next request: nobody could tell which.
            exchange.close |= waits
            self.refuse(cycle)
            return
        self._answering = cycle
        if waits:
            self.transport.write(_CONTINUE)

    @property
    def _is_over(self) -> bool:
        """Whether nothing more is said on this connection."""
        return self._lingers or self.transport.is_closing()

    def _is_head_too_large(self) -> bool:
        """Whether a head that came whole is larger than one that comes in parts may be."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers]) > MAX_HEAD_BYTES

    def _date_line(self) -> bytes:
        """The headers that every answer of this second has."""
        if self.server_state.default_headers is not self._dated:
            self._dated = self.server_state.default_headers
            self._date = b"".join([b"%b: %b\r\n" % pair for pair in self._dated])
        return self._date

    def _close_gently(self) -> None:
        """Close, and where a request is not read to its end, hear the rest out first: a client that still sends would
        find the connection reset, and its answer gone.
        """
        if self._between or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._lingers = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _hand_to_app(self) -> None:
        """Let uvicorn go on with a request whose head we have read."""
        url, headers, waits = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, waits
        self.headers.extend(headers)  # the scope holds this list
        super().on_headers_complete()

    def _advance(self) -> None:
        """Answer what is pipelined, one after the other, up to the first that has to wait for something."""
        self._advancing = True
        try:
            while self.pipeline and not self._is_over:
                following, app = self.pipeline.pop()
                if type(following) is not Cycle:
                    self._start_asgi_task(following, app)
                    return
                self._begin(following)
                if not following.response_complete and not following.more_body:
                    following.finish()
                if not following.response_complete:
                    return
        finally:
            self._advancing = False

    def refuse(self, cycle: Cycle) -> None:
        """Answer a request whose turn it is with its refusal."""
        assert cycle.exchange.answer is not None
        self._answering = cycle
        self._reply(cycle.exchange, cycle.exchange.answer)

    def finish(self, cycle: Cycle, body: bytes) -> None:
        """Answer a request whose turn it is."""
        self._answering = cycle
        cycle.exchange.finish(body, self._reply)

    # --- time

    def _check_idle(self) -> None:
        """Close a connection on which nothing came between two looks: a timer for each answer would cost more."""
        if self.transport.is_closing():
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        if self._quiet and self._between and not busy:
            self.transport.close()
            return
        self._quiet = True
        self._idle = self.loop.call_later(self.timeout_keep_alive, self._check_idle)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        # A request that is paused because what is before it is not answered yet is not the client's fault.
        if not self.transport.is_closing() and not self.flow.read_paused:
            self.transport.close()
