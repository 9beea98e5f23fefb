"""`%deploy slo`, `--slo` and the knob: what is kept, what is shown, and what is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from sklearn.tree import DecisionTreeClassifier
from versions import X, Y
from world import World, until

import autodeploy_magic as ad
from autodeploy_magic import settings, verbs
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import ObjectiveState
from autodeploy_magic.notebook.objectives import ShownSlo
from autodeploy_magic.store import Store

STATES = (
    ObjectiveState(
        text="p99<50ms",
        metric="p99",
        state="broken",
        limit=0.05,
        value=0.088,
        burn_fast=22.4,
        burn_slow=1.26,
        budget_left=0.25,
    ),
    ObjectiveState(text="memory<500MB", metric="memory", state="met", limit=5e8, value=2.1e8, learned=True),
    ObjectiveState(text="f1>0.9", metric="f1", state="unknown", limit=0.9),
)


def test_it_is_shown_with_its_numbers() -> None:
    shown = ShownSlo("iris", "p99<50ms, memory<500MB, f1>0.9", "broken", STATES)
    head, names, p99, memory, f1, *notes = shown.text().splitlines()
    assert head == "iris: p99<50ms, memory<500MB, f1>0.9: broken"
    assert names.split() == ["objective", "now", "burn", "1", "h", "burn", "3", "d", "budget", "left"]
    assert p99.split() == ["p99<50ms", "✗", "broken", "88", "ms", "22×", "1.3×", "25", "%"]
    assert memory.split() == ["memory<500MB", "✓", "kept", "210", "MB", "learned"]
    assert f1.split() == ["f1>0.9", "·", "unknown", "–"]
    assert "last hour and three days" in notes[0]
    assert '%deploy slo iris "p99<50ms, errors<0.1%"' in notes[-1]
    html = str(shown.html())
    assert '<span class="bad">✗ broken</span>' in html
    assert "p99&lt;50ms" in html


def test_nothing_promised_and_nothing_known_yet_are_told_apart() -> None:
    assert "promises nothing" in ShownSlo("iris", "off", "unset", ()).text()
    assert "learned from its first minutes: nothing is known yet" in ShownSlo("iris", "", "unset", ()).text()


def test_it_is_typed_as_a_verb() -> None:
    parser = verbs.parser(verbs.VERBS["slo"], "magic", "%deploy slo")
    words = verbs.split('slo iris "p99<50ms, errors<0.1%"')[1:]
    assert verbs.parse(parser, words) == {"name": "iris", "text": "p99<50ms, errors<0.1%"}
    assert verbs.parse(parser, ["iris"]) == {"name": "iris", "text": None}


@pytest.fixture(scope="module")
def model() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y)


@pytest.fixture(autouse=True)
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("AUTODEPLOY_HOME", str(world.store.home))
    settings.reset()
    return world.store


def test_a_line_that_is_wrong_is_refused_before_anything_runs(ipython_shell: InteractiveShell, model: Any) -> None:
    ipython_shell.user_ns["X"] = X
    with pytest.raises(InvalidOption, match="50 of what"):
        ipython_shell.run_cell_magic("deploy", "wrong --sample X --slo p99<50", "ran = True")
    assert "ran" not in ipython_shell.user_ns
    with pytest.raises(InvalidOption, match="promised twice"):
        ad.deploy(model, "wrong", X, slo="p99<50ms, p99<20ms", quiet=True)
    assert "wrong" not in Store().names()


def test_it_is_kept_from_deploy_to_deploy_and_changed_without_touching_a_worker(
    model: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTODEPLOY_SLO", "errors<1%")
    dep = ad.deploy(model, "iris", X, quiet=True)
    assert world.store.desired("iris").slo == "errors<1%"
    workers = [worker.pid for worker in dep.status.workers]
    monkeypatch.delenv("AUTODEPLOY_SLO")

    assert dep.slo("P99 <= 800 ms; errors<1%, memory<4GB").slo == "p99<800ms, errors<1%, memory<4GB"
    ad.deploy(model, "iris", X, quiet=True)
    assert world.store.desired("iris").slo == "p99<800ms, errors<1%, memory<4GB"
    ad.deploy(model, "iris", X, slo="p99<900ms, errors<1%", quiet=True)
    assert world.store.desired("iris").slo == "p99<900ms, errors<1%"
    with pytest.raises(InvalidOption, match="called errs"):
        dep.slo("errs<1%")
    with pytest.raises(InvalidOption, match="--slo is for the whole deployment"):
        ad.deploy(model, "iris", X, slo="errors<1%", canary="10%", quiet=True)

    def answered() -> bool:
        dep.predict(X[:2])
        return dep.slo().state == "met"

    until(answered)
    assert [one.text for one in dep.slo().objectives] == ["p99<900ms", "errors<1%"]
    assert [worker.pid for worker in dep.status.workers] == workers

    def told() -> list[tuple[str, str]]:
        """What was done; the watch may have seen something besides."""
        return [(one.kind, one.text) for one in world.supervisor.events("iris") if one.kind in ("deployed", "slo")]

    until(lambda: len(told()) >= 3)
    assert told() == [
        ("deployed", ""),
        ("slo", "p99<800ms, errors<1%, memory<4GB"),
        ("slo", "p99<900ms, errors<1%"),
    ]
    dep.stop()
    assert dep.slo("off").objectives == ()
    assert dep.status.state == "stopped"
    assert dep.slo("learn").slo == ""
    until(lambda: told()[-1] == ("slo", "learned"))
