"""What a channel has to be, and what the channels have in common: deadlines, targets, HTTP.

    class Channel:
        groups: bool                                      whether a few seconds are waited for what belongs together
        def targets(self, facts: Facts) -> list[str]      where a deployment's messages go to; [] for nowhere
        def label(self, target: str) -> str               which one it is, in words that hold no secret
        def deliver(self, target: str, message: Message, facts: Facts, deadline: Deadline) -> None

`deliver` blocks, in a thread that belongs to the target alone, and raises `Undelivered`. A target is what is kept in
the settings of a deployment: an address, or "file:/path" of a file that holds it, so that the address itself, which
lets everybody post who knows it, is not kept there.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from autodeploy_magic.operate.alert.message import Message

__all__ = ["Channel", "Deadline", "Facts", "Undelivered", "listed", "resolved"]


class Facts(NamedTuple):
    """What a channel may know of the deployment: its settings, its URL, the file its workers log to."""

    name: str
    settings: Mapping[str, Any]
    url: str = ""
    log_file: Path | None = None


class Undelivered(Exception):
    """A message did not arrive, and why. `again`: it may the next time; `after_s`: how long to wait before that."""

    def __init__(self, why: str, *, again: bool = True, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.again = again
        self.after_s = after_s


class Deadline:
    """The time that one delivery has. When it is over, what is under way is cut off, however it keeps itself busy."""

    def __init__(self, within_s: float) -> None:
        self._until = time.monotonic() + within_s
        self._within_s = within_s
        self._lock = threading.Lock()
        self._cuts: list[Callable[[], None]] = []
        self._over = False

    @property
    def left_s(self) -> float:
        """Raises `Undelivered` where nothing is left."""
        left = self._until - time.monotonic()
        if self._over or left <= 0:
            raise Undelivered(f"no answer within {self._within_s:g} s")
        return left

    @property
    def passed(self) -> bool:
        return self._over or time.monotonic() >= self._until

    @contextlib.contextmanager
    def cutting(self, cut: Callable[[], None]) -> Iterator[None]:
        """Have `cut` called, in another thread, where the deadline passes while the body runs."""
        with self._lock:
            self._cuts.append(cut)
            over = self._over
        if over:
            cut()
        timer = threading.Timer(max(0.0, self._until - time.monotonic()), cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            with self._lock:
                self._cuts.remove(cut)

    def end(self) -> None:
        """It is over now."""
        with self._lock:
            self._over = True
            cuts = list(self._cuts)
        for cut in cuts:
            cut()


class Channel(Protocol):
    """See the module."""

    groups: bool

    def targets(self, facts: Facts) -> list[str]: ...

    def label(self, target: str) -> str: ...

    def deliver(self, target: str, message: Message, facts: Facts, deadline: Deadline) -> None: ...


def listed(value: Any) -> list[str]:
    """The parts of a setting that commas separate."""
    return list(dict.fromkeys(part for part in (part.strip() for part in str(value or "").split(",")) if part))


def resolved(target: str) -> str:
    """The address that a target is, or that stands in the file it names. Raises `Undelivered`."""
    if not target.startswith("file:"):
        return target
    path = Path(target.removeprefix("file:"))
    try:
        with path.open("r", encoding="utf-8") as stream:
            text = stream.readline(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Undelivered(f"{path} cannot be read: {error}", again=False) from error
    if not text:
        raise Undelivered(f"{path} is empty", again=False)
    return text
