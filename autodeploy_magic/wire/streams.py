"""Answers that come item by item: what a generator is, taken whole or one after the other."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["close", "is_async_stream", "is_stream", "postprocessed", "taken"]


def is_stream(value: Any) -> bool:
    """Whether `value` is a generator, or anything else that gives its items one after the other and once only."""
    return hasattr(type(value), "__next__")


def is_async_stream(value: Any) -> bool:
    """Whether it is what an `async def` with a yield gives, which nothing here runs."""
    return hasattr(type(value), "__anext__")


def taken(stream: Iterator[Any], *, most: int, within_s: float) -> tuple[list[Any], bool]:
    """Its items, and whether those are all: it is closed after `most` of them, or after the first that came too late.

    A generator that never gives the next one cannot be interrupted.
    """
    until = time.monotonic() + within_s
    items: list[Any] = []
    for item in stream:
        if len(items) == most or time.monotonic() > until:
            close(stream)
            return items, False
        items.append(item)
    return items, True


def close(stream: Iterator[Any]) -> None:
    """Let a generator end where it stands; other iterators have nothing to end."""
    end = getattr(stream, "close", None)
    if callable(end):
        end()


def postprocessed(postprocess: Callable[[Any], Any], answer: Any) -> Any:
    """What a postprocess makes of an answer: of a stream's items each as it comes.

    One that yields itself is given the whole stream.
    """
    if not is_stream(answer) or inspect.isgeneratorfunction(postprocess):
        return postprocess(answer)
    return _each(postprocess, answer)


def _each(postprocess: Callable[[Any], Any], stream: Iterator[Any]) -> Iterator[Any]:
    try:
        for item in stream:
            yield postprocess(item)
    finally:
        close(stream)
