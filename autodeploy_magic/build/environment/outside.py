"""What a model reaches for while it answers that is not in its Bento: files of this machine, and other machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["outside_notes"]

_MOST = 5


def outside_notes(seen: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A line for the files, and one for the addresses, that `serve.clean.replay` saw a version reach for."""
    files, hosts = seen.get("reads", ()), seen.get("hosts", ())
    notes = []
    if files:
        notes.append(
            f"it reads {_some(files)} of this machine, which the Bento does not hold: load it at the top of the cell, "
            "and let the function use what it holds"
        )
    if hosts:
        notes.append(f"it asks {_some(hosts)} over the network: elsewhere it answers only where that can be reached")
    return tuple(notes)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")
