"""What a deploy says about recording: which settings the deployment keeps, and whether they fit its columns."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autodeploy_magic import settings
from autodeploy_magic.errors import InvalidOption

if TYPE_CHECKING:
    from autodeploy_magic.contracts import Desired, Signature
    from autodeploy_magic.notebook.asked import Order

__all__ = ["check_columns", "recording_text", "settings_of", "typed"]

_OPTIONS = ("record", "record_share", "record_drop", "record_hash")


def typed(order: Order) -> dict[str, Any]:
    """The options about recording; None for one that was left out."""
    return {name: getattr(order, name) for name in _OPTIONS}


def settings_of(order: Order, before: Desired | None) -> dict[str, Any]:
    """The settings that the deployment keeps: what was typed, or set here, or as it was.

    Raises `InvalidOption`, also for a column to drop or to hash that the sample does not have.
    """
    kept = settings.travelling(None if before is None else before.settings, typed(order))
    if kept["record_drop"] or kept["record_hash"]:
        from autodeploy_magic.build.sample import read_sample

        check_columns(read_sample(order.sample).signature, kept)
    return kept


def check_columns(signature: Signature, kept: Mapping[str, Any]) -> None:
    """Refuse columns that requests do not have: what a typo names would be recorded as it is."""
    from autodeploy_magic.reservoir import named, names_of

    there = names_of(signature)
    for option in ("record_drop", "record_hash"):
        flag = f"--{option.replace('_', '-')}"
        for name in named(kept[option]):
            if name not in there:
                raise _no_column(flag, name, there)
    both = [name for name in named(kept["record_drop"]) if name in named(kept["record_hash"])]
    if both:
        raise InvalidOption(
            f"{both[0]} cannot be both dropped and hashed", fix="name it in --record-drop or in --record-hash"
        )


def recording_text(kept: Mapping[str, Any]) -> str:
    """ "all of a request, 10% of them; without ssn; email hashed; for 30 days, up to 67 MB"."""
    from autodeploy_magic.notebook.text import share_text, size_text
    from autodeploy_magic.reservoir import named

    known = {name: kept.get(name, knob.default) for name, knob in settings.KNOBS.items() if name.startswith("record")}
    share, each_second = float(known["record_share"]), int(known["record_requests"])
    if known["record"] == "off" or share <= 0 or each_second <= 0:
        return "nothing is recorded"
    parts = ["inputs, no answers" if known["record"] == "inputs" else "inputs and answers"]
    of = "" if share == 1 else f"{share_text(share)} of "
    parts[0] += f" of {of}at most {each_second} requests a second" if each_second else ""
    drop, hashed = named(str(known["record_drop"])), named(str(known["record_hash"]))
    parts += [f"without {', '.join(drop)}"] if drop else []
    parts += [f"{', '.join(hashed)} hashed"] if hashed else []
    days = float(known["record_days"])
    return "; ".join([*parts, f"kept for {days:g} days, up to {size_text(float(known['record_bytes']))}"])


def _no_column(flag: str, name: str, there: tuple[str, ...]) -> InvalidOption:
    if not there:
        return InvalidOption(
            f"{flag} names {name!r}, and these inputs have no columns",
            why="they are pictures, sequences or nested arrays",
            fix="leave it out, or record nothing: --record off",
        )
    close = difflib.get_close_matches(name, there, 1)
    return InvalidOption(
        f"{flag} names {name!r}, which is no column of the requests",
        why=f"did you mean {close[0]!r}?" if close else "a name that is not there would leave nothing out",
        fix=f"the columns are: {', '.join(there[:20])}{', …' if len(there) > 20 else ''}",
    )
