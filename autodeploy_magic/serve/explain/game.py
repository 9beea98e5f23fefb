"""What the model says to a row of which some columns are away: the value of a coalition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.serve.explain.players import Masks, Players
from autodeploy_magic.wire import Batch

__all__ = ["Game", "Values"]

Values = NDArray[np.float64]

_ROWS = 512
"""Rows that the model is asked about at a time: other requests have their turn between two of these."""


class Game:
    """One row before a background. `score` asks the model about rows and returns one number for each."""

    def __init__(
        self,
        players: Players,
        row: list[NDArray[np.generic]],
        background: list[NDArray[np.generic]],
        score: Callable[[Batch], Values],
    ) -> None:
        self.players = len(players.names)
        self._players = players
        self._row = row
        self._background = background
        self._score = score
        self._known: dict[bytes, float] = {}

    def values(self, masks: Masks) -> Values:
        """The mean answer over the background for each coalition; `masks` has shape (coalitions, players).

        A coalition that was asked about before is not asked about again.
        """
        keys = [mask.tobytes() for mask in masks]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        wanted = masks[list(new.values())]
        count = len(self._background[0])
        step = max(1, _ROWS // count)
        means: list[float] = []
        for start in range(0, len(wanted), step):
            part = wanted[start : start + step]
            scores = self._score(self._players.mix(self._row, self._background, part))
            means += scores.reshape(len(part), count).mean(axis=1).tolist()
        self._known |= dict(zip(new, means, strict=True))
        return np.array([self._known[key] for key in keys])

    @property
    def everybody(self) -> Masks:
        """The coalition of all: the row itself. Shape (1, players)."""
        return np.ones((1, self.players), dtype=bool)

    @property
    def nobody(self) -> Masks:
        """The empty one: the background. Shape (1, players)."""
        return np.zeros((1, self.players), dtype=bool)
