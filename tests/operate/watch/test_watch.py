"""The watch goes on whatever becomes of its parts: what fails is shown, and the rest is as if nothing were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest
from metered import rollup
from seconds import DESIRED, STATUS, VERSION

from autodeploy_magic import registry
from autodeploy_magic.health import Finding
from autodeploy_magic.metrics import INSERT, open_for_writing
from autodeploy_magic.operate.detect.base import Moment, Reference
from autodeploy_magic.operate.watch.watch import Seen, Watch, Watched
from autodeploy_magic.store import Store

T = 1_763_740_800


class Raises:
    """A detector that is broken while `broken` is true."""

    broken = True

    def __init__(self, name: str) -> None:
        self.name = name

    def see(self, moment: Moment) -> Iterable[Finding]:
        if self.broken:
            raise ZeroDivisionError("a detector of somebody else's")
        return ()


class Finds:
    """A detector that finds something wherever requests failed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def see(self, moment: Moment) -> Iterable[Finding]:
        if moment.answers is not None and moment.answers.failed:
            yield Finding(rule="errors", detector="finds", metric="errors", severity="critical", text="some failed")


class CannotBeMade:
    """A detector that cannot even begin."""

    def __init__(self, name: str) -> None:
        raise RuntimeError("no licence")


@pytest.fixture
def watch(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    here = {kind.__name__: f"{__name__}:{kind.__name__}" for kind in (Raises, CannotBeMade, Finds)}
    kinds = {f"{__name__}:{kind.__name__}": kind for kind in (Raises, CannotBeMade, Finds)}
    monkeypatch.setattr(registry, "table", lambda name: here if name == "detectors" else {})
    monkeypatch.setattr(registry, "load", lambda reference: kinds[reference])
    store.save_desired(DESIRED)
    watch = Watch(store)
    yield watch
    watch.close().result(10)


def watched(store: Store, **changes: Any) -> Watched:
    given = Watched(
        desired=DESIRED,
        status=STATUS,
        version=VERSION,
        metrics=store.metrics_file("iris"),
        requests=store.requests_file("iris"),
        reference=lambda: Reference({}, {}),
    )
    return given._replace(**changes)


def look(watch: Watch, t: int, *those: Watched) -> dict[str, Seen]:
    return watch.look(t, those).result(10)[0]


def fail(store: Store, second: int) -> None:
    with closing(open_for_writing(store.metrics_file("iris"))) as connection:
        connection.execute(INSERT, rollup(second, [0.01, 0.01], statuses=[500, 200]))


def test_a_detector_that_raises_is_shown_and_the_others_go_on(watch: Watch, store: Store) -> None:
    look(watch, T, watched(store))
    fail(store, T + 1)
    seen = look(watch, T + 1, watched(store))["iris"]
    assert seen.faults == {
        "detector Raises": "ZeroDivisionError: a detector of somebody else's",
        "detector CannotBeMade": "RuntimeError: no licence",
    }
    assert [alert.rule for alert in seen.changed] == ["errors"]
    assert seen.alerts[0].state == "firing"


def test_one_that_works_again_is_no_fault_any_more(watch: Watch, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "detector Raises" in look(watch, T, watched(store))["iris"].faults
    monkeypatch.setattr(Raises, "broken", False)
    assert "detector Raises" not in look(watch, T + 1, watched(store))["iris"].faults


def test_a_file_that_cannot_be_read_is_a_fault_and_no_second_of_zeros(watch: Watch, store: Store) -> None:
    look(watch, T, watched(store))
    store.metrics_file("iris").write_bytes(b"this is no database, though it is long enough to look like one" * 100)
    seen = look(watch, T + 1, watched(store))["iris"]
    assert "metrics" in seen.faults
    assert seen.moment.answers is None


def test_the_alerts_of_one_that_is_stopped_end(watch: Watch, store: Store) -> None:
    look(watch, T, watched(store))
    fail(store, T + 1)
    assert look(watch, T + 1, watched(store))["iris"].alerts[0].state == "firing"
    ended = watch.look(T + 2, ()).result(10)[1]
    assert [(alert.rule, alert.state) for alert in ended] == [("errors", "resolved")]
    assert [alert.state for alert in watch.alerts.of("iris")] == ["resolved"]


def test_another_under_the_same_name_begins_anew(watch: Watch, store: Store) -> None:
    look(watch, T, watched(store))
    fail(store, T + 1)
    assert look(watch, T + 1, watched(store))["iris"].alerts
    store.remove("iris")
    store.save_desired(DESIRED)
    assert look(watch, T + 2, watched(store))["iris"].alerts == ()
