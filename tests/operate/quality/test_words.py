"""Quality in a few words."""

from __future__ import annotations

import pytest

from autodeploy_magic.health import Figure, Quality
from autodeploy_magic.operate.quality.words import leading, words


def figure(metric: str, value: float, labels: int = 412, *, estimated: bool = False) -> Figure:
    return Figure(metric=metric, value=value, labels=labels, estimated=estimated)


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        (None, ""),
        (Quality(name="iris", answered=10), ""),
        (
            Quality(name="iris", labels=412, figures=(figure("accuracy", 0.95), figure("f1", 0.9314))),
            "F1 0.931, 412 labels",
        ),
        (Quality(name="iris", labels=1, figures=(figure("accuracy", 1.0, 1),)), "accuracy 1.000, 1 label"),
        (
            Quality(name="iris", labels=1240, figures=(figure("mae", 12.3456, 1240), figure("r2", 0.5, 1240))),
            "MAE 12.35, 1,240 labels",
        ),
        (
            Quality(name="iris", estimated=(figure("accuracy", 0.951, 0, estimated=True), figure("f1", 0.9, 0))),
            "accuracy ≈ 0.95 expected, no labels yet",
        ),
        (Quality(name="iris", labels=3), "3 labels"),  # which cannot be compared with the answers
    ],
)
def test_words(quality: Quality | None, said: str) -> None:
    assert words(quality) == said


def test_one_figure_leads() -> None:
    assert leading(()) is None
    assert leading((figure("precision", 0.5),)) is None
    found = leading((figure("accuracy", 0.5), figure("f1", 0.4)))
    assert found is not None
    assert found.metric == "f1"
