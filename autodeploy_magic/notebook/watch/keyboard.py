"""The terminal's side of a live screen: keys as they are pressed, a new size, a pause; and as it was in the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

__all__ = ["Keyboard"]


class Keyboard:
    """What a person does while they look. `wait` returns at once where something happened.

    `wake` may be called from any thread. Used as a context, in the main thread: it leaves the terminal as it was.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._keys = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._before: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._open = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        self._letters()
        for number in (signal.SIGWINCH, signal.SIGTSTP):
            self._handlers[number] = signal.signal(number, self._signalled)
        self._handlers[signal.SIGTERM] = signal.signal(signal.SIGTERM, _ended)
        return self

    def __exit__(self, *_: object) -> None:
        self._lines()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        with self._open:
            self._closed = True
            os.close(self._read)
            os.close(self._write)

    def wake(self) -> None:
        """Let `wait` return: there is news."""
        with self._open, contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            if not self._closed:
                os.write(self._write, b".")

    def wait(self, seconds: float) -> str:
        """Return the keys that were pressed since: at the latest after that time, at once where there is news.

        Ctrl-Z is "\\x1a".
        """
        sources = [self._read] if self._keys is None else [self._read, self._keys]
        ready, _, _ = select.select(sources, [], [], seconds)
        typed = ""
        if self._read in ready:
            typed += "\x1a" if b"z" in os.read(self._read, 4096) else ""
        if self._keys is not None and self._keys in ready:
            keys = os.read(self._keys, 64).decode("utf-8", "replace")
            typed += keys or "q"  # the terminal is gone
        return typed

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Give the terminal back, and stop as Ctrl-Z does; the body runs when the person has come back."""
        self._lines()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, ours)
        self._letters()
        yield

    def _letters(self) -> None:
        """Have each key as it is pressed, and not shown."""
        if self._keys is not None:
            self._before = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)

    def _lines(self) -> None:
        if self._keys is not None and self._before is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._write, b"z" if number == signal.SIGTSTP else b"w")


def _ended(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)
