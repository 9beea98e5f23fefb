"""Shapley values over orders drawn by chance: for many players."""

from __future__ import annotations

import numpy as np

from autodeploy_magic.serve.explain.game import Game, Values

__all__ = ["PAIRS", "permutation"]

PAIRS = 6
"""Orders that are drawn, each gone forwards and backwards: 12 contributions of each player, 12 · M questions."""


def permutation(game: Game, *, pairs: int = PAIRS, seed: int = 0) -> tuple[Values, Values]:
    """The attributions and their standard errors, each of shape (players,).

    Each order lets the players in one after the other; what the answer changes by is the newcomer's. An order and its
    reverse are drawn together, which takes the error of pairwise interactions out (antithetic sampling, as SHAP's
    PermutationExplainer does). The attributions of each order add up to the answer minus the base value; so do their
    means. The same seed draws the same orders.
    """
    random = np.random.default_rng(seed)
    m = game.players
    masks, orders = [], []
    for _ in range(pairs):
        order = random.permutation(m)
        for walked in (order, order[::-1]):
            present = np.zeros((m + 1, m), dtype=bool)
            for step, player in enumerate(walked, 1):
                present[step] = present[step - 1]
                present[step, player] = True
            masks.append(present)
            orders.append(walked)
    values = game.values(np.concatenate(masks)).reshape(2 * pairs, m + 1)
    gains = np.zeros((2 * pairs, m))
    for i, walked in enumerate(orders):
        gains[i, walked] = np.diff(values[i])
    both = gains.reshape(pairs, 2, m).mean(axis=1)  # an order and its reverse are not independent: one draw together
    errors = both.std(axis=0, ddof=1) / np.sqrt(pairs) if pairs > 1 else np.full(m, np.nan)
    return both.mean(axis=0), errors
