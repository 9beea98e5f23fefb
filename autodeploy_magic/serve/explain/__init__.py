"""Why a version answers as it does: what each column of a row adds to the answer, beside rows of its own sample.

    players.py       the columns of a table as players that can be present or away
    game.py          what the model says with some of them present
    exact.py         Shapley values over all coalitions, for few columns
    permutation.py   over orders drawn by chance, for many
    shap.py          SHAP's own algorithms, where that package is installed
    explain.py       rows → explanations: which answer is explained, which algorithm, within which time
    main.py          the same in a clean process, for the notebook

An attribution is a Shapley value of the game in which absent columns are those of background rows: the numbers that
SHAP calls interventional. They add up: base value + attributions = the answer. The model is only asked for answers, so
every format, every framework and the person's own code around it are explained alike.

Source: Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017; Štrumbelj and Kononenko,
"Explaining prediction models and individual predictions with feature contributions", KAIS 41, 2014.
"""

from __future__ import annotations

from autodeploy_magic.serve.explain.explain import (
    MOST_ROWS,
    Ask,
    Explained,
    Explanation,
    explain,
    methods,
    places_of,
)

__all__ = ["MOST_ROWS", "Ask", "Explained", "Explanation", "explain", "methods", "places_of"]
