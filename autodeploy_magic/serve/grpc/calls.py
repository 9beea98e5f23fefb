"""One call: the messages of its request in, its answer out, and whatever may end it before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError

from autodeploy_magic.errors import (
    BodyTooLarge,
    InvalidInputs,
    ModelFailed,
    Overloaded,
    RequestRefused,
    TimedOut,
    UnsupportedContent,
)
from autodeploy_magic.serve.grpc.framing import Inbox, framed
from autodeploy_magic.serve.grpc.messages import Message, Rpc
from autodeploy_magic.serve.grpc.status import Status, Trailers, refusal, trailers
from autodeploy_magic.serve.owner import log_of

__all__ = [
    "ARRIVE_S",
    "OPEN_BYTES",
    "STALL_S",
    "Call",
    "Link",
    "Method",
    "Room",
    "StreamHandler",
    "UnaryHandler",
    "parse",
]

log = logging.getLogger(__name__)

ARRIVE_S = 60.0
"""How long a message may take to arrive, as on the HTTP port."""
STALL_S = 60.0
"""How long a client may take none of its answer's bytes."""

OPEN_BYTES = 4096
"""The most that a call without a token may send: the room for bodies is for those who have one."""

_OK = trailers(Status.OK)
_NOTHING = memoryview(b"")
_LONGEST_S = 86_400.0
_MISTAKE = "a call of %s could not be answered"


@dataclass(frozen=True, slots=True)
class Method:
    """What answers an `Rpc`: one message with another, or a stream. `open` needs no token."""

    rpc: Rpc
    unary: UnaryHandler | None = None
    stream: StreamHandler | None = None
    open: bool = False


class Room:
    """How many bytes of requests a worker holds at once: one connection may carry a hundred of them."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> bool:
        """Whether there is room for `size` bytes more, which are then taken."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """Let `size` bytes go."""
        self._left += size


class Link(Protocol):
    """What a call needs of its connection."""

    def credit(self, call: Call, size: int, *, more: bool) -> None:
        """Let the client send `size` bytes more; on this stream too where `more` of it is wanted."""

    def pump(self, call: Call) -> None:
        """Send of `call.out` and `call.trailers` what can be sent now; the rest follows as the client takes it."""

    def reset(self, call: Call) -> None:
        """Break the stream off."""

    def forget(self, call: Call) -> None:
        """The call is over."""


class Call:
    """A call from its headers to its trailers.

    `out` is what waits to be sent, and `trailers` come after it. `headed` says that the answer's headers are sent,
    `half_closed` that the client's side is complete; `owed` is what the connection keeps of the stream's window. `id`
    names the request to people, `size` is how many bytes its last message had. `headers` are what the client sent.
    """

    __slots__ = (
        "_arriving_since",
        "_counted",
        "_decided",
        "_ended",
        "_held",
        "_inbox",
        "_link",
        "_message",
        "_more",
        "_moved_at",
        "_now",
        "_room",
        "_sent",
        "_task",
        "_timer",
        "half_closed",
        "headed",
        "headers",
        "id",
        "method",
        "out",
        "owed",
        "size",
        "stream_id",
        "trailers",
    )

    def __init__(
        self,
        link: Link,
        stream_id: int,
        method: Method,
        *,
        request_id: str,
        headers: Mapping[bytes, bytes],
        inbox: Inbox,
        room: Room,
        now: Callable[[], float],
    ) -> None:
        self.stream_id = stream_id
        self.method = method
        self.id = request_id
        self.headers = headers
        self.size = self.owed = 0
        self.out = _NOTHING
        self.trailers: Trailers | None = None
        self.headed = self.half_closed = False
        self._link = link
        self._inbox = inbox
        self._room = room
        self._now = now
        self._counted = self._held = 0  # bytes: taken of the room, and not credited yet
        self._decided = self._ended = False  # what the answer is; that it is sent
        self._message: bytes | None = None
        self._arriving_since: float | None = now()
        self._moved_at = 0.0
        self._more: asyncio.Future[None] | None = None
        self._sent: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def path(self) -> str:
        """The method that is called."""
        return self.method.rpc.path

    def begin(self, timeout_s: float | None) -> None:
        """Start the client's clock, and a stream's handler."""
        loop = asyncio.get_running_loop()
        if timeout_s is not None:
            self._timer = loop.call_later(min(timeout_s, _LONGEST_S), self._expire)
        if self.method.stream is not None:
            self._arriving_since = None
            self._task = loop.create_task(self._stream())

    # What arrives.

    def received(self, data: bytes, size: int) -> None:
        """Bytes of the request came; `size` is what they cost of the windows."""
        if self._decided:
            self._link.credit(self, size, more=False)
        elif self.method.open and self._counted + len(data) > OPEN_BYTES:
            self._link.credit(self, size, more=False)
            self.stop(BodyTooLarge(f"more than {OPEN_BYTES} bytes are not read here", fix="send one small message"))
        elif not self._room.take(len(data)):
            self._link.credit(self, size, more=False)
            self.stop(
                Overloaded(
                    "this worker holds as many bytes of requests as it may", fix="send it again later", retry_after_s=1
                )
            )
        else:
            self._counted += len(data)
            self._inbox.feed(data)
            if self.method.stream is not None:
                self._received_of_many(size)
            else:
                self._received_of_one(size)

    def ended(self) -> None:
        """The client has sent all that it will."""
        self.half_closed = True
        if self._decided:
            return
        self._arriving_since = None
        if self.method.stream is not None:
            self._wake()
        elif self._message is None:
            self.stop(
                UnsupportedContent("the method takes one message, and none came whole", fix="send the message whole")
            )
        else:
            self._task = asyncio.get_running_loop().create_task(self._answer(self._message))
            self._message = None

    def stop(self, error: RequestRefused | None) -> None:
        """End the call now: with the answer that it is refused, or (None) with no answer, as its client has gone."""
        if self._ended:
            return
        if error is None:
            self._end()
        else:
            self._refuse(error)
        if self._task is not None:
            self._task.cancel()

    def tick(self) -> None:
        """Once a second: end the call where its client does not do its part."""
        now = self._now()
        if self._arriving_since is not None and now - self._arriving_since > ARRIVE_S:
            self.stop(TimedOut(f"the request did not arrive within {ARRIVE_S:g} s", fix="send it faster, or in parts"))
        elif self.out and now - self._moved_at > STALL_S:
            self.stop(TimedOut("the answer was not taken"))

    # What handlers of streams do.

    async def receive(self) -> bytes | None:
        """The stream's next message; None where the client has ended it. Raises `RequestRefused`."""
        waiting = len(self._inbox)
        self._room.give_back(self._counted - waiting)
        self._counted = waiting
        while True:
            message = self._inbox.take()
            if message is not None:
                self.size = len(message)
                self._arriving_since = self._now() if len(self._inbox) else None
                return message
            if self.half_closed:
                if len(self._inbox):
                    raise InvalidInputs("the stream ends within a message", fix="send it whole")
                return None
            held, self._held = self._held, 0
            self._more = asyncio.get_running_loop().create_future()
            self._link.credit(self, held, more=True)
            await self._more

    async def send(self, message: bytes) -> None:
        """Send a message of a stream, and wait until it is on its way."""
        self._put(message)
        if self.out:
            self._sent = asyncio.get_running_loop().create_future()
            await self._sent

    # What the connection tells.

    def moved(self) -> None:
        """Bytes of `out` were sent."""
        self._moved_at = self._now()
        if not self.out and self._sent is not None and not self._sent.done():
            self._sent.set_result(None)

    def done(self) -> None:
        """All is sent, the trailers too."""
        self._end()

    def _received_of_one(self, size: int) -> None:
        self._link.credit(self, size, more=True)
        try:
            message = self._inbox.take()
        except RequestRefused as error:
            self.stop(error)
            return
        if message is not None and self._message is None:
            self._message = message
        if self._message is not None and len(self._inbox):
            self.stop(UnsupportedContent("the method takes one message", fix="send one message in a call"))

    def _received_of_many(self, size: int) -> None:
        if self._arriving_since is None:
            self._arriving_since = self._now()
        if self._more is not None and not self._more.done():
            self._link.credit(self, size, more=True)
            self._wake()
        else:
            self._held += size  # nobody reads now, so the client may not send more than the window holds

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def _expire(self) -> None:
        self.stop(TimedOut("the call was not answered within the time that the client gave it"))

    # How the answer comes about.

    async def _answer(self, body: bytes) -> None:
        self.size = len(body)
        try:
            assert self.method.unary is not None
            self._reply(await self.method.unary(parse(self.method.rpc, body), self))
        except RequestRefused as error:
            self._refuse(error)
        except Exception:  # a mistake of ours must be one call's failure, and be found in the log
            log.exception(_MISTAKE, self.method.rpc.path)
            self._refuse(_failed())

    async def _stream(self) -> None:
        try:
            assert self.method.stream is not None
            await self.method.stream(self)
        except RequestRefused as error:
            self._refuse(error)
        except Exception:  # as in `_answer`
            log.exception(_MISTAKE, self.method.rpc.path)
            self._refuse(_failed())
        else:
            self._decide(_OK)

    def _reply(self, body: bytes) -> None:
        if not self._decided:
            self._decided = True
            self.trailers = _OK
            self._put(body)

    def _refuse(self, error: RequestRefused) -> None:
        if self._decided or self.out:  # an answer that is under way cannot be made another
            self._link.reset(self)
            self._end()
        else:
            self._decide(refusal(error, self.id))

    def _decide(self, found: Trailers) -> None:
        if not self._decided:
            self._decided = True
            self._arriving_since = None
            self.trailers = found
            self._link.pump(self)

    def _put(self, body: bytes) -> None:
        self.out = memoryview(framed(body))
        self._moved_at = self._now()
        self._link.pump(self)

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = self._decided = True
        self.out = _NOTHING
        if self._timer is not None:
            self._timer.cancel()
        self._room.give_back(self._counted)
        self._counted = 0
        self._link.credit(self, self._held, more=False)
        self._link.forget(self)


def _failed() -> ModelFailed:
    return ModelFailed("the server failed on this request", fix=f"the owner can read why in {log_of()}")


def parse(rpc: Rpc, body: bytes) -> Message:
    """Read the message that a method takes. Raises `InvalidInputs`."""
    try:
        return rpc.takes.FromString(body)
    except DecodeError as error:
        name = rpc.takes.DESCRIPTOR.full_name
        raise InvalidInputs(f"the message is not a {name}", fix="see the protocol for its fields") from error


UnaryHandler = Callable[[Message, Call], Awaitable[bytes]]
"""Answers a request's message with the answer's bytes. Raises `RequestRefused`."""
StreamHandler = Callable[[Call], Awaitable[None]]
"""Receives and sends until the stream is answered. Raises `RequestRefused`."""
