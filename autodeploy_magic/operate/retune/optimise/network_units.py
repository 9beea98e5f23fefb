"""How many neurons of a layer stay, and whether a network with fewer of them is worth to be made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Offer

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.base import Holdings

__all__ = ["OWN", "WARMTH", "check_rows", "prune_offers", "units_left"]

WARMTH = 2.0
"""The temperature at which the whole network's answers are shown (G. Hinton et al.: Distilling the Knowledge in a
Neural Network, 2015, use 1 to 20, and the less the smaller the network is)."""
OWN = 0.5
"""How much labels count beside the whole network's answers."""

_FEWEST_ROWS = 64
_LEAST_WORK = 20_000
"""Multiplications of a row below which a model takes no longer than asking it does (a run of ONNX: 10 us)."""
_GAIN = 0.8
_SHARES = ((0.5, "half"), (0.75, "a quarter"))
_LANES = 8
"""Numbers that an AVX register holds, and the block in which onnxruntime keeps the channels of convolutions."""


def units_left(units: int, share: float) -> int:
    """How many of a layer's units stay where a `share` goes: whole registers of them where there are so many."""
    wanted = units * (1 - share)
    if wanted >= _LANES:
        return min(units, round(wanted / _LANES) * _LANES)
    return max(2, min(units, round(wanted))) if units > 1 else units


def check_rows(holdings: Holdings) -> None:
    """Raise `NotApplicable` where there are too few rows to train what is left."""
    count = holdings.training.count + holdings.calibration.count
    if count < _FEWEST_ROWS:
        raise NotApplicable(f"{count} rows to train what is left with, and {_FEWEST_ROWS} are needed")


def prune_offers(whole: int, layers: int, work_with: Callable[[float], int]) -> list[Offer]:
    """The candidates of a network of `whole` multiplications a row, of which `layers` can be made smaller.

    `work_with` says how many are left where a share of their units goes. Raises `NotApplicable`.
    """
    if whole < _LEAST_WORK:
        raise NotApplicable(f"it takes {whole:,} multiplications a row: with fewer of them it is no faster")
    offers = []
    for share, words in _SHARES:
        left = work_with(share) / whole
        if left <= _GAIN:
            title = f"{words} of the neurons, trained on ({left:.0%} of the work)"
            offers.append(Offer(title, {"share": share}, slow=True))
    if not offers:
        raise NotApplicable(
            f"only {layers} of its layers can be made smaller, and they hold little of its work",
            why="layers whose outputs are added to others', or are read in several places, must keep their sizes",
        )
    return offers
