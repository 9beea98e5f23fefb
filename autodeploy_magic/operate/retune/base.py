"""What an optimiser is: it says whether a model is one for it, and makes candidates of it; the gate judges them.

An optimiser never sees the rows that the gate judges by. It is asked in a process of its own, niced and bounded in
memory and time: it may block, raise, or take all the memory there is, and nothing but its candidate is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from autodeploy_magic.retuning import Family

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion
    from autodeploy_magic.operate.retune.rows import Rows

__all__ = ["Given", "Holdings", "Made", "Offer", "Optimiser", "Rebuilt", "Replaced"]


@dataclass(frozen=True)
class Offer:
    """A candidate that an optimiser can make. `settings` (JSON) are what it is made with, and made again with.

    `title` is how it stands in the table: "int8, dynamic", "first 100 of 300 trees". `slow` says that it trains for
    more than some seconds: it is made after those that do not.
    """

    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False


@dataclass(frozen=True)
class Holdings:
    """What there is to make candidates with.

    `training` are labelled rows (traffic's training side, what the person gave), maybe none; `calibration` rows without
    labels, of the traffic or else of the sample, never none. `held_out` counts the labelled rows that the gate has, and
    nobody else. `task` is the version's. `batch_rows` are the sizes of the recorded requests, each with its share.
    """

    training: Rows
    calibration: Rows
    held_out: int
    task: str
    batch_rows: Sequence[tuple[int, float]] = ((1, 1.0),)
    goal: str = "auto"
    max_loss: float = 0.005


@dataclass(frozen=True)
class Given:
    """What one candidate is made with: the holdings, a seed, and a folder for its files.

    `within_s` is about how long making may take; after the limit the process is ended. `threads` is how many it has.
    """

    holdings: Holdings
    settings: Mapping[str, Any]
    folder: Path
    seed: int = 0
    within_s: float = 60.0
    threads: int = 1


@dataclass(frozen=True)
class Rebuilt:
    """A live object, in the place of the champion's: built, verified and packaged like one of the kernel's.

    `format` is as in `--format`. `note` says in a line what was done, with its figures ("3 epochs on 812 rows").
    `changed` are settings that making found ({"threshold": 0.31}).
    """

    model: Any
    format: str = "auto"
    note: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Replaced:
    """An ONNX file (within `Given.folder`) in the place of the champion's; signature and code around it stay."""

    file: Path
    note: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)


Made = Rebuilt | Replaced


class Optimiser:
    """One way to make a model faster, smaller or better. A file gives the class that `registry.OPTIMISERS` names."""

    name: ClassVar[str]
    family: ClassVar[Family]
    claims: ClassVar[str] = ""
    """What its candidates are better at, where that is not the task's metric: "log_loss" (a calibration), "f1"."""

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        """The candidates that it can make of this model, the most promising first; at most a handful, and quickly.

        Raises `NotApplicable` where it has none. Without the library of its framework it is not asked at all, for it
        looks at `champion.version.framework` first.
        """
        raise NotImplementedError

    def make(self, champion: Champion, given: Given) -> Made:
        """Make the one with `given.settings`. The champion's files are not touched; `champion.live()` is a fresh copy.

        May raise whatever a library raises: it stands in the table as the reason.
        """
        raise NotImplementedError
