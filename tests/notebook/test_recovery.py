"""Incidents and the recovery switch, as they are shown and asked for; what is done about them is tested elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from autodeploy_magic import registry
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Health, Incident
from autodeploy_magic.notebook.recovery import check_mode, incidents_of, recovery_of
from autodeploy_magic.policy import POLICY


def incident(**more: Any) -> Incident:
    given: dict[str, Any] = {
        "id": "4f2a",
        "name": "iris",
        "rule": "slo:p99",
        "metric": "p99",
        "severity": "critical",
        "text": "p99 88 ms > 50 ms for 30 s",
        "opened_s": 1_800_000_000.0,
    }
    return Incident(**(given | more))


SCALED = incident(
    action="scale_up",
    did="scaled 1 → 2 workers",
    result="p99 3.4 ms after 6 s",
    outcome="helped",
    before={"p99": 0.088, "workers": 1.0, "memory": 2e8},
    after={"p99": 0.0034, "workers": 2.0, "memory": 2.1e8},
    undo=True,
)
SUGGESTED = incident(
    id="77aa", action="retune", would="train again on newer data", outcome="suggested", why="it drifts"
)


class Asked:
    """Stands where the supervisor does, and writes down what it was asked."""

    def __init__(self, *incidents: Incident, mode: Any = "act") -> None:
        self.health_now = Health(
            name="iris", recovery=mode, incidents=incidents, faults={"action trim": "no", "detector drift": "x"}
        )
        self.calls: list[tuple[str, ...]] = []

    def health(self, name: str) -> Health:
        return self.health_now

    def act(self, name: str, incident: str, report: Any) -> None:
        self.calls.append(("act", incident))

    def undo(self, name: str, incident: str, report: Any) -> None:
        self.calls.append(("undo", incident))

    def set_recovery(self, name: str, mode: str, report: Any) -> None:
        self.calls.append(("recovery", mode))


def shown(asked: Asked, act: str | None = None, undo: str | None = None) -> str:
    return incidents_of(asked, "iris", act, undo, lambda _: None).text()  # type: ignore[arg-type]


def test_an_incident_reads_from_metric_to_result() -> None:
    text = shown(Asked(SUGGESTED, SCALED))
    line = next(line for line in text.splitlines() if "4f2a" in line)
    assert "p99 88 ms > 50 ms for 30 s" in line
    assert "slo:p99 → scaled 1 → 2 workers" in line
    assert "p99 88.0 ms → 3.4 ms, workers 1 → 2" in line
    assert "helped; p99 3.4 ms after 6 s" in line
    assert "train again on newer data" in text
    assert "%deploy incidents iris --act 77aa" in text
    assert "%deploy incidents iris --undo 4f2a" in text
    html = str(incidents_of(Asked(SCALED), "iris", None, None, lambda _: None).html())  # type: ignore[arg-type]
    assert "scaled 1 → 2 workers" in html
    assert "nothing had to be done yet" in shown(Asked())


def test_one_is_acted_on_or_taken_back() -> None:
    asked = Asked(SCALED)
    shown(asked, act="77aa")
    shown(asked, undo="4f2a")
    assert asked.calls == [("act", "77aa"), ("undo", "4f2a")]
    with pytest.raises(InvalidOption, match="one too many"):
        shown(asked, act="1", undo="2")


@pytest.mark.parametrize(("mode", "words"), [("off", "nothing"), ("suggest", "suggests it"), ("act", "does it")])
def test_the_switch_says_what_would_be_done(mode: str, words: str) -> None:
    asked = Asked(mode=mode)
    found = recovery_of(asked, "iris", mode, lambda _: None)  # type: ignore[arg-type]
    assert asked.calls == [("recovery", mode)]
    line = next(line for line in found.text().splitlines() if "end_worker" in line)
    assert words in line
    assert "action trim: no" in found.text()
    assert "detector drift" not in found.text()
    assert "end_worker" in str(found.html())


def test_only_its_words_are_taken() -> None:
    asked = Asked()
    with pytest.raises(InvalidOption, match="recovery cannot be 'on'"):
        recovery_of(asked, "iris", "on", lambda _: None)  # type: ignore[arg-type]
    assert asked.calls == []
    check_mode("suggest")


def test_every_action_of_the_table_is_there_and_every_action_is_in_the_table() -> None:
    assert {step.action for rule in POLICY.values() for step in rule.steps} == set(registry.ACTIONS)
    for name, reference in registry.ACTIONS.items():
        assert registry.load(reference).name == name
