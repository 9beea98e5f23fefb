"""Threads beside the kernel's main thread, which runs the person's cells."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

__all__ = ["in_thread"]


def in_thread(name: str, target: Callable[[], None]) -> threading.Thread:
    """Run `target` in a thread that ends with the process.

    It runs in the context of the caller: what it sends to the browser belongs to the message that is answered now, and
    not to the cell that happens to run then.
    """
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(target,), name=name, daemon=True)
    thread.start()
    return thread
