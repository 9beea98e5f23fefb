"""Findings become alerts: told once when they begin and once when they are over, whatever they do in between."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodeploy_magic import store as store_module
from autodeploy_magic.contracts import Desired
from autodeploy_magic.health import Alert, Finding, Severity
from autodeploy_magic.operate.alert.alerts import AGAIN_S, DAY_S, HOLD_S, MOST, QUIET_S, STANDS_S, Alerts
from autodeploy_magic.store import Store

T = 1_760_000_000.0


def finding(rule: str = "latency", severity: Severity = "warning", value: float = 0.1) -> Finding:
    return Finding(
        rule=rule, detector="slo", metric="p99", severity=severity, text=f"{rule} is {value:g}", value=value, limit=0.05
    )


@pytest.fixture
def alerts(store: Store) -> Alerts:
    store.save_desired(Desired(name="iris", version=1, executable="python"))
    return Alerts(store)


def run(alerts: Alerts, t: float, *findings: Finding) -> list[tuple[str, str]]:
    return [(alert.rule, alert.state) for alert in alerts.update(t, "iris", findings)]


def test_it_is_told_when_it_begins_and_when_it_is_over(alerts: Alerts) -> None:
    assert run(alerts, T, finding()) == [("latency", "firing")]
    assert run(alerts, T + 1, finding(value=0.2)) == []
    now = alerts.of("iris")[0]
    assert (now.value, now.text, now.since_s, now.times) == (0.2, "latency is 0.2", T, 1)
    assert run(alerts, T + 2) == []  # a detector may miss a second
    assert run(alerts, T + 1 + HOLD_S) == [("latency", "resolved")]
    over = alerts.of("iris")[0]
    assert (over.state, over.until_s, over.id) == ("resolved", T + 1, now.id)
    assert run(alerts, T + 1000) == []


def test_what_gets_worse_is_told_again_and_what_gets_better_is_not(alerts: Alerts) -> None:
    run(alerts, T, finding())
    assert run(alerts, T + 1, finding(severity="critical")) == [("latency", "firing")]
    assert run(alerts, T + 2, finding()) == []
    assert run(alerts, T + 3, finding(severity="critical")) == []
    [over] = alerts.update(T + 60, "iris", ())
    assert (over.state, over.severity) == ("resolved", "critical")


def test_what_comes_back_is_the_same_alert_and_told_only_once_it_stays(alerts: Alerts) -> None:
    run(alerts, T, finding())
    run(alerts, T + HOLD_S)
    first = alerts.of("iris")[0]
    back = T + 100
    assert run(alerts, back, finding()) == []
    again = alerts.of("iris")[0]
    assert (again.id, again.times, again.since_s, again.state) == (first.id, 2, back, "firing")
    assert run(alerts, back + STANDS_S - 1, finding()) == []
    assert run(alerts, back + STANDS_S, finding()) == [("latency", "firing")]
    gone = back + STANDS_S
    assert run(alerts, gone + HOLD_S) == []  # over, and not told before it has stayed away
    assert alerts.of("iris")[0].state == "resolved"
    assert run(alerts, gone + QUIET_S) == [("latency", "resolved")]
    later = gone + AGAIN_S + 1
    assert run(alerts, later, finding()) == [("latency", "firing")]
    new, old = alerts.of("iris")
    assert (new.id != first.id, new.times, old.id, old.times) == (True, 1, first.id, 2)


def test_a_short_return_that_nobody_was_told_of_needs_no_end(alerts: Alerts) -> None:
    run(alerts, T, finding())
    run(alerts, T + HOLD_S)
    assert run(alerts, T + 50, finding()) == []
    assert [run(alerts, T + 50 + s) for s in range(1, 1000, 10)] == [[]] * 100
    assert run(alerts, T + 1100, finding(severity="critical")) == [("latency", "firing")]  # worse than ever told


def test_a_silence_holds_back_what_begins_and_never_what_is_over(alerts: Alerts) -> None:
    run(alerts, T, finding("latency"))
    alerts.silence("iris", "", T + 1000)
    assert alerts.of("iris")[0].silenced_until_s == T + 1000
    assert run(alerts, T + 1, finding("latency"), finding("errors", "critical")) == []
    assert run(alerts, T + 30, finding("errors", "critical")) == [("latency", "resolved")]
    assert run(alerts, T + 999, finding("errors", "critical")) == []
    assert run(alerts, T + 1000, finding("errors", "critical")) == [("errors", "firing")]


def test_a_silence_of_a_family_is_one_of_its_members(alerts: Alerts) -> None:
    alerts.silence("iris", "drift", T + 100)
    assert run(alerts, T, finding("drift:a"), finding("latency")) == [("latency", "firing")]
    alerts.silence("iris", "drift", 0.0)
    assert run(alerts, T + 1, finding("drift:a"), finding("latency")) == [("drift:a", "firing")]


def test_a_new_supervisor_goes_on_where_the_last_one_was(alerts: Alerts, store: Store) -> None:
    run(alerts, T, finding("latency"), finding("errors"))
    alerts.silence("iris", "errors", T + 5000)
    before = {alert.rule: alert.id for alert in alerts.of("iris")}
    next_one = Alerts(store)
    assert {alert.rule: alert.id for alert in next_one.of("iris")} == before
    assert run(next_one, T + 100) == []  # its detectors know nothing yet
    assert run(next_one, T + 110, finding("latency")) == []
    assert run(next_one, T + 160, finding("latency")) == [("errors", "resolved")]
    assert run(Alerts(store), T + 170, finding("errors"), finding("latency")) == []


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"alerts": [{}]}', b"\xff"])
def test_a_damaged_file_is_begun_anew_and_said(alerts: Alerts, store: Store, damage: bytes) -> None:
    run(alerts, T, finding())
    store.alerts_file("iris").write_bytes(damage)
    fresh = Alerts(store)
    assert fresh.of("iris") == ()
    assert "begun anew" in fresh.problem("iris")
    assert run(fresh, T + 1, finding()) == [("latency", "firing")]
    assert fresh.problem("iris") == ""
    assert Alerts(store).of("iris") == fresh.of("iris")


def test_a_full_disk_is_said_once_and_loses_nothing(
    alerts: Alerts, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store_module.tempfile, "mkstemp", full)
        assert run(alerts, T, finding()) == [("latency", "firing")]
        assert run(alerts, T + 1, finding(), finding("errors")) == [("errors", "firing")]
        assert run(alerts, T + 90, finding()) == [("errors", "resolved")]
        assert "in memory alone" in alerts.problem("iris")
    assert len([record for record in caplog.records if "in memory alone" in record.message]) == 1
    assert not store.alerts_file("iris").exists()
    run(alerts, T + 200, finding())
    assert alerts.problem("iris") == ""
    assert {alert.rule for alert in Alerts(store).of("iris")} == {"latency", "errors"}


def test_it_writes_only_where_something_changes(alerts: Alerts, store: Store) -> None:
    run(alerts, T, finding())
    before = store.alerts_file("iris").stat()
    for second in range(1, 50):
        run(alerts, T + second, finding(value=second))
    assert store.alerts_file("iris").stat().st_mtime_ns == before.st_mtime_ns
    assert alerts.of("iris")[0].value == 49


def test_there_are_never_more_than_so_many(alerts: Alerts) -> None:
    assert len(run(alerts, T, *(finding(f"drift:{i}") for i in range(MOST + 50)))) == MOST
    assert len(alerts.of("iris")) == MOST
    run(alerts, T + 10)
    run(alerts, T + 11, *(finding(f"values:{i}") for i in range(30)))
    assert len(alerts.of("iris")) == MOST
    run(alerts, T + 30)
    run(alerts, T + DAY_S + 60)
    assert alerts.of("iris") == ()


def test_a_stopped_deployment_ends_its_alerts_and_a_removed_one_forgets_them(alerts: Alerts, store: Store) -> None:
    run(alerts, T, finding())
    assert [(alert.rule, alert.state) for alert in alerts.end(T + 5, "iris")] == [("latency", "resolved")]
    assert alerts.end(T + 6, "iris") == []
    run(alerts, T + 9000, finding())
    store.remove("iris")
    alerts.forget("iris")
    assert alerts.of("iris") == ()
    alerts.update(T + 9001, "iris", [finding()])
    assert not store.folder("iris").exists()


def test_what_was_done_is_noted(alerts: Alerts) -> None:
    run(alerts, T, finding())
    alerts.did("iris", "latency", "i1")
    run(alerts, T + 1, finding())
    assert alerts.of("iris")[0].incident == "i1"


class Nowhere(Store):
    """A store that keeps nothing: what is tested is what is told."""

    def __init__(self) -> None:
        pass

    exists: Callable[[str], bool] = staticmethod(lambda name: False)  # type: ignore[assignment]

    def alerts_file(self, name: str):  # type: ignore[no-untyped-def]
        from pathlib import Path

        return Path("/nonexistent/alerts.json")


SEVERITIES: list[Severity | None] = [None, "info", "warning", "critical"]
STEPS = st.lists(
    st.tuples(st.sampled_from(SEVERITIES), st.sampled_from([1, 3, 6, 20, 61, 120, 301, 700, 1801])), max_size=80
)


def played(steps: list[tuple[Severity | None, int]]) -> list[tuple[float, Alert]]:
    """Everything that was told, second by second where that is short, until long after the end."""
    alerts, t, told = Alerts(Nowhere()), T, []
    for severity, seconds in [*steps, (None, 4000)]:
        for _ in range(0, seconds, max(1, seconds // 20)):
            found = [finding(severity=severity)] if severity else []
            told += [(t, alert) for alert in alerts.update(t, "iris", found)]
            t += max(1, seconds // 20)
    return told


@settings(max_examples=60, deadline=None, derandomize=True)
@given(STEPS)
def test_whoever_is_told_that_it_fires_is_told_once_that_it_is_over(steps: list[tuple[Severity | None, int]]) -> None:
    told = played(steps)
    fires: dict[str, bool] = {}
    for _, alert in told:
        if alert.state == "resolved":
            assert fires[alert.id]
        fires[alert.id] = alert.state == "firing"
    assert not any(fires.values())
    assert bool(told) == any(severity for severity, _ in steps)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(STEPS)
def test_there_is_no_storm(steps: list[tuple[Severity | None, int]]) -> None:
    at = [t for t, _ in played(steps)]
    assert max((sum(1 for other in at if t <= other < t + 3600) for t in at), default=0) <= 24


@pytest.mark.parametrize("period", [2, 7, 12, 70, 130, 310, 400])
def test_a_rule_that_flickers_makes_some_messages_an_hour(period: int) -> None:
    alerts, told = Alerts(Nowhere()), 0
    for second in range(2 * 3600):
        on = (second // period) % 2 == 0
        told += len(alerts.update(T + second, "iris", [finding()] if on else []))
    assert 1 <= told <= 24
    assert alerts.of("iris")[0].times >= (1 if period < HOLD_S else 9)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(STEPS, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2000)), max_size=5))
def test_a_silence_loses_no_end(steps: list[tuple[Severity | None, int]], silences: list[tuple[int, int]]) -> None:
    alerts, t, open_ = Alerts(Nowhere()), T, False
    wanted = dict(silences)
    for number, (severity, seconds) in enumerate([*steps, (None, 10), (None, 400), (None, 4000)]):
        if number in wanted:
            alerts.silence("iris", "", t + wanted[number])
        for alert in alerts.update(t, "iris", [finding(severity=severity)] if severity else []):
            if alert.state == "firing":
                assert t >= alert.silenced_until_s
            else:
                assert open_
            open_ = alert.state == "firing"
        t += seconds
    assert not open_
