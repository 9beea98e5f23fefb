"""One stream from the supervisor, for all the pages that watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import msgspec

from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.live import Message
from autodeploy_magic.server_extension.picture import Picture, only

__all__ = ["LOOK_S", "MOST_WAITING", "Feed", "Watcher"]

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""So often a supervisor is looked for where none is."""
MOST_WAITING = 2048
"""Messages that wait for one page: some twenty seconds of a hundred deployments. A page further behind begins anew."""


class Watcher:
    """One page's place in the feed: the messages that wait for it, as text, none of them if it has fallen behind."""

    def __init__(self, names: frozenset[str] | None, fell_behind: Callable[[], None]) -> None:
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._names = names
        self._fell_behind = fell_behind

    def offer(self, message: Message, text: bytes | None = None) -> None:
        """Put it into the queue where it is about what the page watches. `text` is the message, if it is at hand."""
        if self._names is not None:
            mine = only(message, self._names)
            if mine is None:
                return
            message, text = mine, text if mine is message else None
        try:
            self.waiting.put_nowait(text or msgspec.json.encode(message))
        except asyncio.QueueFull:
            self._fell_behind()


class Feed:
    """Reads the stream in a thread, from the first page that watches to the last one that goes.

    `open_stream` begins it, and raises `SupervisorFailed` where no supervisor runs. All methods are the loop's.
    """

    def __init__(self, open_stream: Callable[[], Iterator[Message]]) -> None:
        self._open_stream = open_stream
        self._watchers: set[Watcher] = set()
        self._picture = Picture()
        self._reader: _Reader | None = None

    @contextlib.contextmanager
    def watched(self, names: Iterable[str], fell_behind: Callable[[], None]) -> Generator[Watcher, None, None]:
        """Join: the full picture first, then what comes. No `names` are all. `fell_behind` is called at most once."""
        watcher = Watcher(frozenset(names) or None, lambda: self._drop(watcher, fell_behind))
        if self._reader is None:
            self._picture = Picture()
            self._reader = _Reader(self._open_stream, self._take, self._lose)
        for message in self._picture.messages():
            watcher.offer(message)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._leave(watcher)

    def _drop(self, watcher: Watcher, fell_behind: Callable[[], None]) -> None:
        if watcher in self._watchers:
            self._leave(watcher)
            fell_behind()

    def _leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers and self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _take(self, reader: _Reader, message: Message) -> None:
        if reader is self._reader:  # a thread that was told to stop may have something on its tongue
            self._tell(self._picture.take(message))

    def _lose(self, reader: _Reader) -> None:
        if reader is self._reader:
            self._tell([*self._picture.lose(), Message(beat=True)])

    def _tell(self, messages: list[Message]) -> None:
        for message in messages:
            text = msgspec.json.encode(message)
            for watcher in tuple(self._watchers):
                watcher.offer(message, text)


class _Reader:
    """The thread. A beat comes every two seconds, so within that it has ended once it is told to."""

    def __init__(
        self,
        open_stream: Callable[[], Iterator[Message]],
        take: Callable[[_Reader, Message], None],
        lose: Callable[[_Reader], None],
    ) -> None:
        self._open_stream = open_stream
        self._take = take
        self._lose = lose
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._heard = False
        threading.Thread(target=self._run, name="autodeploy-live", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._heard = False
            try:
                self._read()
            except AutodeployError as error:
                log.debug("no stream: %s", error)
            except Exception:  # a mistake of ours must not end the stream for good
                log.exception("the stream broke off")
            if not self._heard:  # one that broke off is given the time to come back
                self._post(self._lose, self)
            self._stopped.wait(LOOK_S)

    def _read(self) -> None:
        stream = self._open_stream()
        try:
            for message in stream:
                self._heard = True
                self._post(self._take, self, message)
                if self._stopped.is_set():
                    return
        finally:
            if isinstance(stream, Generator):
                stream.close()  # and with it its connection

    def _post(self, method: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(method, *arguments)
        except RuntimeError:  # the server's loop is closed: it ends
            self._stopped.set()
