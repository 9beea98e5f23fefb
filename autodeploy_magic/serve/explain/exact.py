"""Shapley values over all coalitions: for few players."""

from __future__ import annotations

import math

import numpy as np

from autodeploy_magic.serve.explain.game import Game, Values

__all__ = ["MOST_PLAYERS", "exact"]

MOST_PLAYERS = 9
"""512 coalitions; permutations of as many players ask about half of them, and leave an error."""


def exact(game: Game) -> Values:
    """The attributions, shape (players,), without an error of estimation.

    φ_i = Σ_S |S|! (M - |S| - 1)! / M! · (v(S ∪ {i}) - v(S)) over the coalitions S without i, M being all players.
    """
    m = game.players
    numbers = np.arange(2**m)
    masks = (numbers[:, None] >> np.arange(m)) & 1 == 1
    values = game.values(masks)
    sizes = masks.sum(axis=1)
    weights = np.array([math.factorial(s) * math.factorial(m - s - 1) / math.factorial(m) for s in range(m)])
    found = np.zeros(m)
    for i in range(m):
        without = numbers[~masks[:, i]]
        found[i] = (weights[sizes[without]] * (values[without | (1 << i)] - values[without])).sum()
    return found
