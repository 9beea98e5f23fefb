"""What is desired after a roll-back, a promotion and a tuning, from the records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Desired, Traffic, Version, encode
from autodeploy_magic.errors import InvalidOption, UnknownVersion
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.journal import told
from autodeploy_magic.supervisor.moves import MOST_WORKERS, Tuning, previous, promoted, rolled_back, sloed, tuned


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Versions 1, 2 and 3 of iris."""
    store = Store(tmp_path_factory.mktemp("moves"))
    model = LogisticRegression(max_iter=500).fit(X, NAMES[Y])
    for number in (1, 2, 3):
        with store.building("iris"), store.staging("iris") as staging:
            made = write_version(Path(staging), model, X, format="onnx", number=number, code={})
            version: Version = msgspec.structs.replace(made, deployment="iris")
            (staging / "version.json").write_bytes(encode(version))
            store.commit(version, staging)
    return store


def desired(**more: Any) -> Desired:
    return Desired(**{"name": "iris", "version": 3, "executable": "python", "history": (1, 2), **more})


def test_going_back_goes_further_each_time(three: Store) -> None:
    back = rolled_back(three, desired(), None)
    assert (back.version, back.history) == (2, (1,))
    again = rolled_back(three, back, None)
    assert (again.version, again.history) == (1, ())
    with pytest.raises(UnknownVersion, match="no earlier version"):
        rolled_back(three, again, None)


def test_going_back_skips_versions_that_were_removed(three: Store) -> None:
    assert previous(three, desired(history=(1, 7))) == 1
    assert previous(three, desired(history=(7, 8))) is None


def test_a_version_that_is_named_is_gone_to_whether_or_not_it_served_before(three: Store) -> None:
    assert rolled_back(three, desired(), 1).history == ()
    assert rolled_back(three, desired(history=()), 1).history == (3,)
    with pytest.raises(InvalidOption, match="already the one that serves"):
        rolled_back(three, desired(), 3)
    with pytest.raises(UnknownVersion):
        rolled_back(three, desired(), 9)


def test_the_challenger_is_promoted_where_there_is_one(three: Store) -> None:
    made = promoted(three, desired(traffic=Traffic(canary=2, share=0.1, loaded=(1,))), None)
    assert (made.version, made.history, made.traffic) == (2, (1, 2, 3), Traffic(loaded=(1,)))
    with pytest.raises(InvalidOption, match="a canary and a shadow"):
        promoted(three, desired(traffic=Traffic(canary=2, share=0.1, shadow=1)), None)
    with pytest.raises(InvalidOption, match="neither"):
        promoted(three, desired(), None)
    with pytest.raises(InvalidOption, match="champion already"):
        promoted(three, desired(), 3)


def test_a_change_of_a_stopped_deployment_makes_it_run(three: Store) -> None:
    stopped = desired(state="stopped")
    assert {made.state for made in (rolled_back(three, stopped, None), tuned(stopped, Tuning(workers=2)))} == {
        "running"
    }


def test_tuning_changes_what_is_given_and_nothing_else() -> None:
    before = desired(workers=2, settings={"batch_rows": 256, "hosts": "example.org"})
    after = tuned(before, Tuning(settings={"batch_rows": 0.0, "request_timeout_s": 2.5}))
    assert after.workers == 2
    assert after.settings == {"batch_rows": 0, "hosts": "example.org", "request_timeout_s": 2.5}
    assert isinstance(after.settings["batch_rows"], int)


def test_what_is_on_or_off_is_tuned_by_a_number() -> None:
    after = tuned(desired(), Tuning(settings={"spinning": 1.0}))
    assert after.settings == {"spinning": True}
    assert tuned(after, Tuning(settings={"spinning": 0.0})).settings == {"spinning": False}


@pytest.mark.parametrize(
    "tuning",
    [
        Tuning(workers=0),
        Tuning(workers=MOST_WORKERS + 1),
        Tuning(settings={"hosts": 1.0}),
        Tuning(settings={"no_such": 1.0}),
        Tuning(settings={"max_queue": 0.0}),
        Tuning(settings={"batch_rows": -1.0}),
        Tuning(settings={"batch_rows": 2.5}),
        Tuning(settings={"spinning": 0.5}),
        Tuning(settings={"spinning": float("nan")}),
        Tuning(settings={"request_timeout_s": float("nan")}),
        Tuning(settings={"request_timeout_s": float("inf")}),
    ],
)
def test_what_cannot_be_is_refused_by_name(tuning: Tuning) -> None:
    with pytest.raises(InvalidOption) as caught:
        tuned(desired(), tuning)
    assert caught.value.fix


def test_another_slo_line_is_kept_in_its_usual_form_and_changes_nothing_else() -> None:
    before = desired(slo="errors<1%", state="stopped")
    after = sloed(before, "P99 <= 50ms;errors<.1%")
    assert after == msgspec.structs.replace(before, slo="p99<50ms, errors<0.1%")
    assert [sloed(after, text).slo for text in ("off", "learn", "")] == ["off", "", ""]
    assert told(before, after, fresh=False) == ("slo", "p99<50ms, errors<0.1%")
    assert told(after, sloed(after, ""), fresh=False) == ("slo", "learned")
    with pytest.raises(InvalidOption, match="50 of what"):
        sloed(before, "p99<50")
