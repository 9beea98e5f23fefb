"""A call of the supervisor blocks; here it runs in a thread of its own, and the server's loop sees its messages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

from autodeploy_magic.contracts import Progress, Report
from autodeploy_magic.errors import AutodeployError, SupervisorFailed

__all__ = ["BEAT_S", "Call"]

log = logging.getLogger(__name__)

BEAT_S = 2.0
"""How long a page hears nothing of a call that is under way. What stands between them may cut a silent connection."""

Message = dict[str, Any]


class Call:
    """One call, begun at once. It is given a function to report progress with.

    Where nobody waits for it any more (`leave`), its thread ends with the next progress, or with the call: a change
    that the supervisor has begun is finished there in any case. The thread keeps no Jupyter Server from ending.
    """

    def __init__(self, perform: Callable[[Report], Any]) -> None:
        self._perform = perform
        self._loop = asyncio.get_running_loop()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._left = False
        threading.Thread(target=self._run, name="autodeploy-call", daemon=True).start()

    async def messages(self) -> AsyncGenerator[Message, None]:
        """{"progress"} as it comes, {"beat"} between, and at the end {"result"} or {"error"}."""
        while True:
            try:
                message = await asyncio.wait_for(self._said.get(), BEAT_S)
            except TimeoutError:
                message = {"beat": True}
            yield message
            if "result" in message or "error" in message:
                return

    async def end(self, within_s: float) -> Message | None:
        """The last of the messages, or None where it takes longer; then the call is left."""
        try:
            async with asyncio.timeout(within_s), contextlib.aclosing(self.messages()) as messages:
                return [message async for message in messages][-1]
        except TimeoutError:
            self.leave()
            return None

    def leave(self) -> None:
        """Nobody waits for it any more."""
        self._left = True

    def _run(self) -> None:
        try:
            message: Message = {"result": self._perform(self._report)}
        except _Left:
            return
        except AutodeployError as error:
            message = {"error": error.to_payload()}
        except Exception as error:  # a mistake of ours must reach the person, and not leave the page waiting
            log.exception("a call failed")
            failure = SupervisorFailed(
                f"the call failed: {type(error).__name__}: {error}",
                why="this is a mistake in autodeploy_magic; the Jupyter Server's log has the details",
                fix="try again, and please report it",
            )
            message = {"error": failure.to_payload()}
        self._say(message)

    def _report(self, progress: Progress) -> None:
        if self._left or not self._say({"progress": msgspec.to_builtins(progress)}):
            raise _Left

    def _say(self, message: Message) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._said.put_nowait, message)
        except RuntimeError:  # the server's loop is closed: it ends
            return False
        return True


class _Left(Exception):
    """Ends the thread of a call that nobody waits for."""
