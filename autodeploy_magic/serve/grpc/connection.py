"""One HTTP/2 connection: h2 reads and writes its frames; here are the calls on it, its windows and its limits.

Browsers cannot make these requests, since no page may send «te: trailers»; so neither Host nor Origin is looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hyperframe.frame import GoAwayFrame

from autodeploy_magic.errors import RequestRefused, UnsupportedContent
from autodeploy_magic.serve.grpc.calls import OPEN_BYTES, STALL_S, Call
from autodeploy_magic.serve.grpc.framing import ENCODINGS, Inbox, check_encoding, timeout_s
from autodeploy_magic.serve.grpc.http2 import CONNECTION_WINDOW, STREAM_WINDOW, Http2
from autodeploy_magic.serve.grpc.status import Trailers, refusal

if TYPE_CHECKING:
    from autodeploy_magic.serve.grpc.server import GrpcServer

__all__ = ["Connection"]

log = logging.getLogger(__name__)

GREETING_S = 10.0
"""How long a client may take to say that it speaks HTTP/2."""
IDLE_S = 300.0
"""How long a connection stays without a call; clients open another when they need it."""
SILENCE_S = 60.0
"""How long a client with a call may be silent before it is asked whether it is there."""
ANSWER_S = 20.0
"""How long it may take to answer that."""
LEAVING_S = 2.0
"""How long a client may take to see that the connection is about to close, and then to close it."""

WRITE_BYTES = 128 * 1024
"""What may wait for a slow client before no more is written to it, and nothing read from it."""

_HEADERS: Trailers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_NEXT_STREAM = 2**31 - 1
_LEAVING_PING = b"leaving!"
_ALIVE_PING = b"alive?!?"


class Connection(asyncio.Protocol):
    """Speaks with one client. Leaves in two steps, so that no call that is on its way is lost: it announces the end,
    waits until the client has seen that, and then closes once the last call is answered.
    """

    def __init__(self, server: GrpcServer) -> None:
        self._server = server
        self._h2 = Http2()
        self._calls: dict[int, Call] = {}
        self._transport: asyncio.Transport
        self._greeted = self._paused = self._broken = False
        self._credit = 0
        self._made = self._heard = self._idle_since = server.now()
        self._paused_at = self._asked_at = 0.0
        self._leaving_at: float | None = None
        self._last_stream: int | None = None  # of those that are answered, once no more are

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self) or not _speaks_h2(transport):
            self._broken = True
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_BYTES)
        self._h2.greet()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard = self._server.now()
        if self._broken:
            return
        try:
            for event in self._h2.receive_data(data):
                handle = self._told.get(type(event))
                if handle is not None and not self._broken:
                    handle(self, event)
        except ProtocolError as error:
            log.debug("a client does not speak HTTP/2 as it should: %s", error)
            self._break()
        except Exception:  # h2 reads what anybody may send
            log.exception("a connection could not be read")
            self._break()
        self._flush()

    def pause_writing(self) -> None:
        # What a client asks for and does not take would pile up here: pings, settings, answers.
        self._paused = True
        self._paused_at = self._server.now()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        self._transport.resume_reading()
        self._pump_all()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._broken = True
        for call in list(self._calls.values()):
            call.stop(None)
        self._server.gone(self)

    # What the server asks for.

    def leave(self) -> None:
        """Close once the calls are answered, those that the client has sent meanwhile too."""
        if self._leaving_at is not None or self._broken:
            return
        self._leaving_at = self._server.now()
        if self._greeted:
            self._announce()

    def stop_calls(self, error: RequestRefused) -> None:
        """Refuse the calls that are not answered yet, and leave."""
        self.leave()
        for call in list(self._calls.values()):
            call.stop(error)
        self._flush()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def tick(self) -> None:
        """Once a second: see that nobody keeps the connection who does not use it."""
        now = self._server.now()
        if self._broken:
            return
        if self._late(now):
            self._transport.abort()
            return
        for call in list(self._calls.values()):
            call.tick()
        if self._leaving_at is not None:
            if self._last_stream is None and now - self._leaving_at > LEAVING_S:
                self._accept_no_more()
        elif not self._calls:
            if now - self._idle_since > IDLE_S:
                self.leave()
        elif now - self._heard > SILENCE_S and self._asked_at <= self._heard:
            self._asked_at = now
            self._try(lambda: self._h2.ping(_ALIVE_PING))
        self._flush()

    # What a call asks for (`Link`).

    def credit(self, call: Call, size: int, *, more: bool) -> None:
        """Let the client send `size` bytes more; on this stream too where `more` of it is wanted."""
        self._give_back(size)
        if more and not call.half_closed:
            call.owed += size
            if call.owed > STREAM_WINDOW // 4:
                owed, call.owed = call.owed, 0
                self._try(lambda: self._h2.increment_flow_control_window(owed, call.stream_id))

    def pump(self, call: Call) -> None:
        """Send of the call's answer what the client's windows and its reading allow."""
        if not self._try(lambda: self._send(call)):
            call.stop(None)

    def reset(self, call: Call) -> None:
        """Break the stream off."""
        self._try(lambda: self._h2.reset_stream(call.stream_id, ErrorCodes.CANCEL))
        self._flush()

    def forget(self, call: Call) -> None:
        """The call is over."""
        if self._calls.pop(call.stream_id, None) is None:
            return
        self._server.ended(call.method)
        if not self._calls:
            self._idle_since = self._server.now()
            self._close_if_done()

    def _give_back(self, size: int) -> None:
        self._credit += size
        if self._credit > CONNECTION_WINDOW // 4:
            due, self._credit = self._credit, 0
            self._try(lambda: self._h2.increment_flow_control_window(due))

    def _send(self, call: Call) -> None:
        if self._paused:
            return
        h2, stream_id = self._h2, call.stream_id
        if not call.headed and call.out:
            call.headed = True
            h2.send_headers(stream_id, _HEADERS)
        unwritten = 0
        while call.out:
            size = min(h2.local_flow_control_window(stream_id), h2.max_outbound_frame_size)
            if size <= 0 or self._paused:
                self._flush()
                return
            piece, call.out = call.out[:size], call.out[size:]
            h2.send_data(stream_id, bytes(piece))
            call.moved()
            unwritten += size
            if unwritten >= WRITE_BYTES:
                unwritten = 0
                self._flush()  # which may pause
        if call.trailers is not None:
            found = call.trailers if call.headed else [*_HEADERS, *call.trailers]
            call.headed = True
            h2.send_headers(stream_id, found, end_stream=True)
            if not call.half_closed:
                h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)  # what it still sends is not needed
            call.done()
        self._flush()

    # What h2 tells.

    def _request(self, event: events.RequestReceived) -> None:
        stream_id = event.stream_id
        if self._last_stream is not None and stream_id > self._last_stream:
            self._try(lambda: self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM))
            return
        headers = dict(event.headers)
        if len(headers) != len(event.headers):
            headers = _joined(event.headers)
        status = _not_grpc(headers)
        if status:
            self._refuse(event, [(b":status", status)])
            return
        request_id = self._server.request_id()
        try:
            method = self._server.find(headers)
            encoding = check_encoding(headers.get(b"grpc-encoding", b"identity"))
            allowed = headers.get(b"grpc-timeout")
            seconds = None if allowed is None else timeout_s(allowed)
            self._server.begun(method)
        except RequestRefused as error:
            found = [*_HEADERS, *refusal(error, request_id)]
            if isinstance(error, UnsupportedContent):
                found.append((b"grpc-accept-encoding", b",".join(ENCODINGS)))
            self._refuse(event, found)
            return
        call = self._calls[stream_id] = Call(
            self,
            stream_id,
            method,
            request_id=request_id,
            headers=headers,
            inbox=Inbox(OPEN_BYTES if method.open else self._server.max_body, encoding),
            room=self._server.room,
            now=self._server.now,
        )
        call.begin(seconds)

    def _refuse(self, event: events.RequestReceived, headers: Trailers) -> None:
        """Answer a request from its head alone."""

        def answer() -> None:
            self._h2.send_headers(event.stream_id, headers, end_stream=True)
            if event.stream_ended is None:
                self._h2.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)

        self._try(answer)

    def _data(self, event: events.DataReceived) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.received(event.data, event.flow_controlled_length)
        else:
            self._give_back(event.flow_controlled_length)

    def _ended(self, event: events.StreamEnded) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.ended()

    def _was_reset(self, event: events.StreamReset) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.stop(None)

    def _window(self, event: events.WindowUpdated) -> None:
        if event.stream_id == 0:
            self._pump_all()
        elif event.stream_id in self._calls:
            self._continue(self._calls[event.stream_id])

    def _settings(self, _: events.RemoteSettingsChanged) -> None:
        if not self._greeted:
            self._greeted = True
            if self._leaving_at is not None:
                self._announce()
        self._pump_all()

    def _ping_answered(self, event: events.PingAckReceived) -> None:
        if event.ping_data == _LEAVING_PING and self._leaving_at is not None:
            self._accept_no_more()

    def _client_left(self, _: events.ConnectionTerminated) -> None:
        self._break()

    _told: ClassVar[dict[type[events.Event], Callable[[Connection, Any], None]]] = {
        events.RequestReceived: _request,
        events.DataReceived: _data,
        events.StreamEnded: _ended,
        events.StreamReset: _was_reset,
        events.WindowUpdated: _window,
        events.RemoteSettingsChanged: _settings,
        events.PingAckReceived: _ping_answered,
        events.ConnectionTerminated: _client_left,
    }
    """Events that mean something here; frames that are not known are ignored, as HTTP/2 wants it."""

    # The end.

    def _announce(self) -> None:
        self._go_away(_NEXT_STREAM)
        self._try(lambda: self._h2.ping(_LEAVING_PING))
        self._flush()

    def _accept_no_more(self) -> None:
        """The client has seen the end coming: what it has sent until now is answered, and nothing after."""
        if self._last_stream is None:
            self._last_stream = self._h2.highest_inbound_stream_id
            self._leaving_at = self._server.now()
            self._go_away(self._last_stream)
            self._close_if_done()

    def _close_if_done(self) -> None:
        # The client closes first, as it has nothing to wait for: if we did, what it still sends would come back as a
        # reset, and could take our last answer with it.
        if self._last_stream is not None and not self._calls:
            asyncio.get_running_loop().call_later(LEAVING_S, self._transport.close)

    def _go_away(self, last_stream: int) -> None:
        self._flush()
        # Past h2, for which a connection is closed as soon as it has said this.
        self._write(GoAwayFrame(0, last_stream_id=last_stream).serialize())

    def _break(self) -> None:
        self._flush()
        self._broken = True
        for call in list(self._calls.values()):
            call.stop(None)
        self._transport.close()

    def _late(self, now: float) -> bool:
        """Whether the client has had its time: to greet, to take what is written, to show that it is there."""
        if not self._greeted:
            return now - self._made > (GREETING_S if self._leaving_at is None else LEAVING_S)
        if self._paused:
            return now - self._paused_at > STALL_S
        return self._asked_at > self._heard and now - self._asked_at > ANSWER_S

    # Writing.

    def _continue(self, call: Call) -> None:
        if call.out or call.trailers is not None:
            self.pump(call)

    def _pump_all(self) -> None:
        for call in list(self._calls.values()):
            self._continue(call)

    def _try(self, send: Callable[[], None]) -> bool:
        """Send, unless the client has closed the stream or the connection in the same breath."""
        if self._broken:
            return False
        try:
            send()
        except ProtocolError as error:
            log.debug("not sent: %s", error)
            return False
        return True

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


def _speaks_h2(transport: asyncio.BaseTransport) -> bool:
    """Without TLS a client has to know; with TLS it has to have said so."""
    tls = transport.get_extra_info("ssl_object")
    return tls is None or tls.selected_alpn_protocol() == "h2"


def _not_grpc(headers: dict[bytes, bytes]) -> bytes:
    """The HTTP status of a request that is not gRPC's; empty where it is."""
    if headers.get(b":method") != b"POST":
        return b"405"
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip()
    if kind not in (b"application/grpc", b"application/grpc+proto"):
        return b"415"
    return b"" if headers.get(b"te") == b"trailers" else b"400"


def _joined(headers: Any) -> dict[bytes, bytes]:
    """Headers by name, those that came several times as one with a comma between."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b", " + value if name in found else value
    return found
