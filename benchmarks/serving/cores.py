"""Which cores the server and the clients run on: apart, so that neither is measured at the other's expense."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["ANYWHERE", "Cores", "apart", "on"]


@dataclass(frozen=True)
class Cores:
    """The cores of the server and of the clients; empty sets leave it to the system. `words` tells people."""

    server: frozenset[int]
    client: frozenset[int]
    words: str


ANYWHERE = Cores(frozenset(), frozenset(), "server and clients on any core")


def apart() -> Cores:
    """The first core for the server and the last for the clients, as far as this process may use them."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(frozenset(), frozenset(), "this system pins no process to a core: server and clients on any")
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) == 1:
        return Cores(frozenset(), frozenset(), "ONE core for server and clients: CPU times hold, rates do not")
    first, last = allowed[0], allowed[-1]
    return Cores(frozenset([first]), frozenset([last]), f"server on core {first}, clients on core {last}")


@contextmanager
def on(cores: frozenset[int]) -> Iterator[None]:
    """Start processes (and threads) on these cores while this lasts: they inherit them from the calling thread."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
