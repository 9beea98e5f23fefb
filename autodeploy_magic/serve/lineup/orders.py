"""What the supervisor orders of a worker over its control socket; see `serve.control` and `serve.lineup.versions`."""

from __future__ import annotations

from typing import Literal

import msgspec

from autodeploy_magic.contracts import Traffic

__all__ = ["Commit", "Disturb", "Order", "Place", "Prepare"]


class Place(msgspec.Struct, frozen=True):
    """Where a version lies. `bento_path` is "" for one without a Bento."""

    number: int
    folder: str
    bento_path: str = ""


class Prepare(msgspec.Struct, frozen=True, tag_field="order", tag="prepare"):
    """Load those of `versions` that are not there yet. `champion` is the one that is to be it."""

    champion: int
    versions: tuple[Place, ...]


class Commit(msgspec.Struct, frozen=True, tag_field="order", tag="commit"):
    """Serve `champion`, with what `traffic` gives to others. All of them are loaded or prepared."""

    champion: int
    traffic: Traffic


class Disturb(msgspec.Struct, frozen=True, tag_field="order", tag="disturb"):
    """Cause a fault in this process on purpose, for `seconds`, or until the conversation ends; see `serve.faults`.

    `amount` is by how many seconds each run of the model takes longer ("slow"), the share of runs that fail
    ("errors"), or how many bytes a second are taken and never given back ("leak"), `most_bytes` in all.
    """

    kind: Literal["slow", "errors", "leak"]
    seconds: float
    amount: float
    most_bytes: int = 0


Order = Prepare | Commit | Disturb
