"""The verb `alerts`: what it shows, what it asks of the supervisor, and what it refuses."""

from __future__ import annotations

import time
from typing import Any

import pytest

from autodeploy_magic import verbs
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Alert, Health
from autodeploy_magic.notebook.alerts import ShownAlerts, ShownTest, alerts_of


def alert(rule: str, **more: Any) -> Alert:
    given = {"severity": "warning", "text": f"{rule} is <too> much", "since_s": time.time() - 125}
    return Alert(**{"id": rule, "name": "iris", "rule": rule, "detector": "slo", "metric": "p99", **given, **more})


class Asked:
    """What a supervisor answers, and what it was asked."""

    def __init__(self, *alerts: Alert, **faults: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._health = Health(
            name="iris", alerts=alerts, faults={name.replace("_", " "): why for name, why in faults.items()}
        )

    def health(self, name: str) -> Health:
        self.calls.append(("health", name))
        return self._health

    def silence(self, name: str, rule: str, seconds: float) -> Health:
        self.calls.append(("silence", name, rule, seconds))
        return self._health

    def try_alerts(self, name: str) -> dict[str, str]:
        return {"log": "", "slack x": "x answered 404"}


def shown(asked: Asked, silence: str | None = None, period: str = "1h", unsilence: str | None = None) -> ShownAlerts:
    found = alerts_of(asked, "iris", silence, period, unsilence, test=False)  # type: ignore[arg-type]
    assert isinstance(found, ShownAlerts)
    return found


def test_it_lists_what_fires_what_is_silenced_and_what_is_over() -> None:
    asked = Asked(
        alert("latency", severity="critical", times=3),
        alert("drift:a", silenced_until_s=time.time() + 3600),
        alert("errors", state="resolved", until_s=time.time() - 61, drill=True),
        channel_slack="x answered 500",
        detector_rate="KeyError",
    )
    found = shown(asked)
    head, _, *rows = found.text().splitlines()
    assert head == "iris: 1 firing, 1 silenced, 1 over within a day"
    assert rows[0].startswith("critical  latency  latency is <too> much (3 times)  2 min ago")
    assert "silenced" in rows[1]
    assert "silent until " in rows[1]
    assert "over" in rows[2]
    assert "(drill)" in rows[2]
    assert "after 64 s" in rows[2]
    assert rows[3:] == ["channel slack: x answered 500"]
    assert "&lt;too&gt;" in found.html()


def test_nothing_wrong_is_said() -> None:
    assert shown(Asked()).text() == "iris: nothing is wrong"
    assert "nothing is wrong" in shown(Asked()).html()


def test_a_rule_a_family_or_all_is_silenced_for_a_period() -> None:
    for typed, rule in (("drift:a", "drift:a"), ("drift", "drift"), ("all", "")):
        asked = Asked(alert("drift:a"))
        found = shown(asked, typed, "2h")
        assert asked.calls[-1] == ("silence", "iris", rule, 7200.0)
        assert "nobody is told of" in found.text()
    asked = Asked()
    shown(asked, unsilence="all")
    assert asked.calls == [("silence", "iris", "", 0.0)]


def test_what_cannot_be_silenced_is_refused() -> None:
    with pytest.raises(InvalidOption, match="no alert 'latenzy'") as caught:
        shown(Asked(alert("latency")), "latenzy")
    assert "latency" in caught.value.why
    with pytest.raises(InvalidOption, match="--for soon is not a period"):
        shown(Asked(alert("latency")), "latency", "soon")
    with pytest.raises(InvalidOption, match="do not go together"):
        shown(Asked(), "all", unsilence="all")


def test_a_test_says_which_channels_arrived() -> None:
    found = alerts_of(Asked(), "iris", None, "1h", None, test=True)  # type: ignore[arg-type]
    assert isinstance(found, ShownTest)
    assert found.text().splitlines() == [
        "iris: the test message arrived by 1 of 2 channels",
        "log: arrived",
        "slack x: x answered 404",
    ]
    assert "alert_slack" in ShownTest("iris", {"log": ""}).text()
    assert "x answered 404" in found.html()


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("iris", {}),
        ("iris --silence drift --for 2h", {"silence": "drift", "for_": "2h"}),
        ("iris --silence", {"silence": "all"}),
        ("iris --unsilence", {"unsilence": "all"}),
        ("iris --test", {"test": True}),
    ],
)
def test_how_it_is_typed(typed: str, wanted: dict[str, object]) -> None:
    parser = verbs.parser(verbs.VERBS["alerts"], "magic", "%deploy alerts")
    default = {"name": "iris", "silence": None, "for_": "1h", "unsilence": None, "test": False}
    assert verbs.parse(parser, typed.split()) == {**default, **wanted}
