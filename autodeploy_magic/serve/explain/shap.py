"""SHAP's own algorithms on the same game. Importing it takes seconds and 0.3 GB: no worker does it unasked."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from autodeploy_magic.registry import need
from autodeploy_magic.serve.explain.game import Game, Values

__all__ = ["installed", "shapley"]

_EXACT_PLAYERS = 11


def installed() -> bool:
    """Whether the package is there, without importing it."""
    return importlib.util.find_spec("shap") is not None


def shapley(game: Game) -> tuple[Values, str]:
    """The attributions, shape (players,), and the name of SHAP's algorithm that found them.

    SHAP sees coalitions as rows of ones and zeros, and a background of zeros: so it never sees the columns' values, and
    text, dates and categories are explained as numbers are. Raises `MissingPackage` or `BrokenPackage`.
    """
    shap = need("shap", "explaining with SHAP")
    masker = shap.maskers.Independent(game.nobody.astype(float), max_samples=1)

    def value(masks: Any) -> Values:
        return game.values(np.asarray(masks) > 0.5)

    if game.players <= _EXACT_PLAYERS:
        found = shap.explainers.ExactExplainer(value, masker)(game.everybody.astype(float), silent=True)
        return np.asarray(found.values[0], dtype=float), "SHAP, exact"
    explainer = shap.explainers.PermutationExplainer(value, masker, seed=0)
    found = explainer(game.everybody.astype(float), max_evals=12 * (2 * game.players + 1), silent=True)
    return np.asarray(found.values[0], dtype=float), "SHAP, permutations"
