"""The choice: by goal, "c0" where nothing is clearly better, and one honest sentence of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodeploy_magic.operate.retune.choose import choose, outcome, pareto
from autodeploy_magic.retuning import Contender, Figures, Layout, Order, Retune


def contender(key: str, family: Any = "smaller", state: Any = "passed", **figures: Any) -> Contender:
    found = {"metric": "accuracy", "value": 0.95, "cpu_s": 1e-3, "size_bytes": 1000, "labelled": 900, **figures}
    return Contender(id=key, optimiser="x", title=f"title {key}", family=family, state=state, figures=Figures(**found))


CHAMPION = contender("c0", "run", "champion")
FASTER = contender("c1", cpu_s=4e-4)
SMALLER = contender("c2", size_bytes=250, cpu_s=1.02e-3)
BETTER = contender("c3", "better", value=0.97)
SLOW_BUT_BETTER = contender("c4", "better", value=0.98, cpu_s=1.5e-3)
LAYOUT = Contender(
    id="c5",
    optimiser="layout",
    title="2 workers",
    family="run",
    state="passed",
    layout=Layout(workers=2),
    figures=Figures(p95_s=0.001),
)


@pytest.mark.parametrize(
    ("contenders", "goal", "wanted"),
    [
        ([CHAMPION], "auto", "c0"),
        ([CHAMPION, FASTER, SMALLER], "auto", "c1"),
        ([CHAMPION, FASTER, SMALLER], "size", "c2"),
        ([CHAMPION, FASTER, SMALLER], "latency", "c1"),
        ([CHAMPION, FASTER, SMALLER], "quality", "c0"),
        ([CHAMPION, FASTER, BETTER, SLOW_BUT_BETTER], "quality", "c4"),
        ([CHAMPION, FASTER, BETTER], "auto", "c3"),
        ([CHAMPION, SMALLER], "auto", "c2"),
        ([CHAMPION, SMALLER], "latency", "c0"),
        ([CHAMPION, contender("c1", cpu_s=9.5e-4)], "latency", "c0"),
        ([CHAMPION, contender("c1", cpu_s=1e-4, state="fell")], "latency", "c0"),
        ([CHAMPION, contender("c1", "better", value=0.94)], "quality", "c0"),
        ([CHAMPION, contender("c1", cpu_s=None, size_bytes=None, value=None)], "auto", "c0"),
        ([], "auto", "c0"),
    ],
)
def test_the_goal_decides(contenders: list[Contender], goal: Any, wanted: str) -> None:
    assert choose(contenders, goal) == wanted


def test_a_gain_within_a_request_s_own_cost_is_none() -> None:
    champion = contender("c0", "run", "champion", cpu_s=9e-6)
    assert choose([champion, contender("c1", cpu_s=3e-6)], "latency") == "c0"


def test_a_layout_is_chosen_by_the_replayed_trace() -> None:
    champion = contender("c0", "run", "champion", p95_s=0.004)
    assert choose([champion, LAYOUT, FASTER], "latency") == "c5"
    assert choose([CHAMPION, LAYOUT], "latency") == "c0"  # its own trace was not replayed


def test_of_errors_less_is_better() -> None:
    champion = contender("c0", "run", "champion", metric="mae", value=2.0)
    worse, better = (contender(key, "better", metric="mae", value=value) for key, value in (("c1", 2.5), ("c2", 1.5)))
    assert choose([champion, worse, better], "quality") == "c2"
    assert [one.front for one in pareto([champion, worse, better])] == [False, False, True]


def test_a_calibration_counts_where_nothing_is_more_right() -> None:
    champion = contender("c0", "run", "champion", metrics={"log_loss": 0.5})
    surer = contender("c1", "better", metrics={"log_loss": 0.4})
    assert choose([champion, surer], "quality") == "c1"
    assert choose([champion, surer, BETTER], "quality") == "c3"


def test_of_two_alike_the_one_that_brings_more_besides_is_taken() -> None:
    alike = [contender("c1", cpu_s=4e-4), contender("c2", cpu_s=4.05e-4, size_bytes=250)]
    assert choose([CHAMPION, *alike], "latency") == "c2"


def test_the_front_has_what_nothing_beats_in_everything() -> None:
    beaten = contender("c6", cpu_s=5e-4, value=0.94)
    fell = contender("c7", cpu_s=1e-5, state="fell")
    found = {one.id: one.front for one in pareto([CHAMPION, FASTER, SMALLER, BETTER, beaten, fell, LAYOUT])}
    assert found == {"c0": False, "c1": True, "c2": True, "c3": True, "c6": False, "c7": False, "c5": False}


MEASURED = st.tuples(st.sampled_from([0.9, 0.95, 0.99]), st.floats(1e-5, 1e-1), st.integers(1, 10**6))


@given(st.lists(st.tuples(st.sampled_from(["run", "smaller", "better"]), MEASURED), max_size=6))
def test_no_choice_loses_what_the_goal_asks_for(found: list[tuple[Any, tuple[float, float, int]]]) -> None:
    others = [
        contender(f"c{i}", family, value=value, cpu_s=cpu, size_bytes=size)
        for i, (family, (value, cpu, size)) in enumerate(found, 1)
    ]
    contenders = [CHAMPION, *others]
    by_id = {one.id: one.figures for one in contenders}
    start = CHAMPION.figures
    assert by_id[choose(contenders, "latency")].cpu_s <= start.cpu_s  # type: ignore[operator]
    assert by_id[choose(contenders, "size")].size_bytes <= start.size_bytes  # type: ignore[operator]
    assert by_id[choose(contenders, "quality")].value >= start.value  # type: ignore[operator]
    front = [one for one in pareto(contenders) if one.front]
    assert front
    assert min(one.figures.cpu_s or 1 for one in front) == min(one.figures.cpu_s or 1 for one in contenders)


def told(contenders: list[Contender], chosen: str, **order: Any) -> str:
    return outcome(
        Retune(id="r", name="iris", order=Order(**order), contenders=tuple(contenders), chosen=chosen, state="done")
    )


def test_the_outcome_says_it_in_figures() -> None:
    int8 = contender("c1", cpu_s=4e-4, size_bytes=250, value=0.948, low=0.93, high=0.96)
    assert told([CHAMPION, int8], "c1") == (
        "title c1: 2.5x less CPU per request, 4x smaller, accuracy 0.948 (0.93 to 0.96), the champion's 0.95"
        " (900 labels)"
    )
    fell = contender("c2", state="fell")
    assert told([CHAMPION, fell], "c0").startswith("the current one is best (accuracy 0.95): 1 candidate tried, none")
    assert "1 candidate 1 would do" in told([CHAMPION, FASTER], "c0", goal="size")
    assert told([CHAMPION], "c0") == "the current one stays"
    assert "none of 1 ways" in told([CHAMPION, contender("c1", state="skipped")], "c0")
    replayed = contender("c0", "run", "champion", p95_s=0.004)
    assert told([replayed, LAYOUT], "c5") == "2 workers: p95 1 ms where it was 4 ms"
    vector = contender("c1", metric="", value=None, cosine=0.9912, cpu_s=4e-4)
    assert "cosine 0.9912" in told([CHAMPION, vector], "c1")
    assert told([], "") == ""
