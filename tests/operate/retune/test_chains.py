"""Which candidates get a second change."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.operate.retune.chains import MOST, chains
from autodeploy_magic.retuning import Contender, Figures, Layout


def contender(key: str, optimiser: str, state: Any = "passed", *, cpu: float = 1.0, family: Any = "smaller") -> Any:
    figures = Figures(cpu_s=cpu)
    return Contender(
        id=key, optimiser=optimiser, title=key, family=family, state=state, figures=figures, settings={"k": 1}
    )


def test_a_pruned_network_is_quantised_though_the_whole_one_lost_too_much() -> None:
    (both,) = chains([contender("c1", "torch_prune"), contender("c2", "onnx_static", "fell")])
    assert (both.base, both.optimiser, both.settings) == ("c1", "onnx_static", {"k": 1})
    assert both.title == "c1, then c2"


def test_a_better_forest_loses_trees_where_the_champion_may() -> None:
    better = contender("c1", "sklearn_refit", family="better")
    (both,) = chains([better, contender("c2", "onnx_trees")])
    assert (both.base, both.family) == ("c1", "better")
    assert chains([better, contender("c2", "onnx_trees", "fell")]) == []


def test_the_cheapest_come_first_and_nothing_is_changed_twice_alike() -> None:
    first = [contender(f"c{i}", "torch_prune", cpu=float(9 - i)) for i in range(5)]
    found = chains([*first, contender("c8", "onnx_dynamic")])
    assert [one.base for one in found] == ["c4", "c3", "c2"]
    assert len(found) == MOST
    assert chains([contender("c1", "onnx_trees")]) == []
    assert chains([contender("c1", "onnx_dynamic"), contender("c2", "onnx_static")]) == []


def test_what_fell_and_other_layouts_are_no_base() -> None:
    layout = Contender(id="c3", optimiser="layout", title="", family="run", state="passed", layout=Layout(workers=2))
    assert chains([contender("c1", "torch_prune", "fell"), layout, contender("c2", "onnx_dynamic")]) == []
