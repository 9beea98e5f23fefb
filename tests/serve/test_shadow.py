"""A shadow beside its champion: what differs is counted right, and nothing it does gets in the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from records import make_version
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Traffic
from autodeploy_magic.metrics import ComparisonRow
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.lineup import shadow
from autodeploy_magic.serve.lineup.agreement import apart_by
from autodeploy_magic.serve.lineup.orders import Place
from autodeploy_magic.serve.lineup.shadow import Comparing
from autodeploy_magic.serve.lineup.versions import Versions

WAIT_S = 30.0
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]


class Pair:
    """A front whose champion is v1 and whose shadow is v2."""

    def __init__(self, folder: Path, **code: Callable[..., Any]) -> None:
        strong, weak = (LogisticRegression(C=c, max_iter=1000).fit(X, NAMES[Y]) for c in (1.0, 0.0001))
        self.rows: list[ComparisonRow] = []
        self.labels = strong.predict(X), weak.predict(X)
        self.probabilities = strong.predict_proba(X), weak.predict_proba(X)
        write_version(folder / "1", strong, X, number=1)
        write_version(folder / "2", weak, X, number=2, code=code)
        versions = Versions(compare=self.rows.extend, worker=7)
        places = [Place(number, str(folder / str(number))) for number in (1, 2)]
        self.front = Front(versions.start(places[0], places[1:], Traffic(shadow=2)), Guard(tokens=()))
        versions.attend(self.front)
        self.versions = versions
        found = self.front.lineup.shadow
        assert isinstance(found, Comparing)
        self.shadow = found

    def ask(self, body: dict[str, Any], path: bytes = b"/predict") -> dict[str, Any]:
        answers: list[Any] = []
        exchange = self.front.open("POST", path, HEADERS)
        assert exchange is not None
        exchange.finish(msgspec.json.encode(body), lambda _, answer: answers.append(answer))
        assert answers[0].status == 200
        return dict(msgspec.json.decode(answers[0].body))

    def total(self, name: str) -> Any:
        self.shadow.tick()
        return sum(getattr(row, name) for row in self.rows)

    def until(self, name: str, value: int) -> None:
        end = time.monotonic() + WAIT_S
        while self.total(name) < value:
            assert time.monotonic() < end, (name, self.rows)
            time.sleep(0.005)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    made: list[Pair] = []

    def make(**code: Callable[..., Any]) -> Pair:
        made.append(Pair(tmp_path, **code))
        return made[-1]

    yield make
    for one in made:
        one.versions.close()


def test_the_rows_that_differ_are_counted(pair: Callable[..., Pair]) -> None:
    both = pair()
    for i in range(len(X)):
        assert both.ask({"inputs": X[i : i + 1].tolist()})["version"] == 1
    both.until("requests", len(X))
    differing = int((both.labels[0] != both.labels[1]).sum())
    assert differing > 0
    assert (both.total("rows"), both.total("differing")) == (len(X), differing)
    assert (both.total("failed"), both.total("dropped"), both.total("difference")) == (0, 0, 0.0)
    row = both.rows[0]
    assert (row.worker, row.champion, row.challenger) == (7, 1, 2)
    for name in ("champion_latency", "challenger_latency"):
        counted = [sum(msgspec.json.decode(getattr(row, name), type=dict[int, int]).values()) for row in both.rows]
        assert sum(counted) == len(X)


def test_probabilities_tell_how_far_apart_they_are(pair: Callable[..., Pair]) -> None:
    both = pair()
    both.ask({"inputs": X.tolist(), "outputs": ["predictions", "probabilities"]})
    both.until("requests", 1)
    expected = np.abs(both.probabilities[0] - both.probabilities[1]).max(axis=1).sum()
    assert both.total("difference") == pytest.approx(expected, rel=1e-4)
    assert both.total("differing") == int((both.labels[0] != both.labels[1]).sum())


def test_a_request_that_names_the_champion_is_compared_too(pair: Callable[..., Pair]) -> None:
    both = pair()
    tensor = {"name": "inputs", "shape": [150, 4], "datatype": "FP64", "data": X.ravel().tolist()}
    answer = both.ask({"inputs": [tensor]}, b"/v2/models/iris/versions/1/infer")
    assert answer["model_version"] == "1"
    both.until("requests", 1)
    assert (both.total("failed"), both.total("rows")) == (0, 150)


def test_a_shadow_that_raises_is_counted_as_failed(pair: Callable[..., Pair]) -> None:
    def preprocess(x: Any) -> Any:
        if len(x) == 1:
            raise ValueError("mine")
        return x

    both = pair(preprocess=preprocess)
    for _ in range(5):
        both.ask({"inputs": X[:1].tolist()})
    both.ask({"inputs": X[:3].tolist()})
    both.until("requests", 6)
    assert (both.total("failed"), both.total("rows")) == (5, 3)


def test_a_shadow_that_hangs_drops_copies_and_holds_up_nobody(pair: Callable[..., Pair]) -> None:
    def preprocess(x: Any) -> Any:
        import threading

        if len(x) == 1:
            threading._test_release.wait()  # type: ignore[attr-defined]
        return x

    # What travels with a version is pickled: it finds its way back to this test through a module.
    release = threading._test_release = threading.Event()  # type: ignore[attr-defined]
    try:
        both = pair(preprocess=preprocess)
        for _ in range(shadow.QUEUE + 50):
            assert both.ask({"inputs": X[:1].tolist()})["predictions"] == ["setosa"]
        assert both.total("dropped") in (49, 50)  # one is in the thread's hands, perhaps
        started = time.monotonic()
        both.shadow.close()
        assert time.monotonic() - started < 5
    finally:
        release.set()
        del threading._test_release  # type: ignore[attr-defined]
    assert both.total("dropped") >= shadow.QUEUE + 49


def test_bodies_that_wait_are_bounded_too(pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "QUEUE_BYTES", 10)
    both = pair()
    both.ask({"inputs": X[:1].tolist()})
    assert both.total("dropped") == 1


# --- what counts as another answer

CLASSES = make_version()
NUMBERS = msgspec.structs.replace(CLASSES, task="regression")


@pytest.mark.parametrize(
    ("version", "champion", "challenger", "expected"),
    [
        (CLASSES, {"predictions": np.array([1, 2, 3])}, {"predictions": np.array([1, 2, 4])}, (1, 0.0)),
        (CLASSES, {"predictions": np.array(["a", "b"])}, {"predictions": np.array(["a", "c"])}, (1, 0.0)),
        (CLASSES, {"predictions": ["a", "b"]}, {"predictions": ["b", "b"]}, (1, 0.0)),
        (NUMBERS, {"predictions": np.array([1.0, 100.0])}, {"predictions": np.array([1.5, 100.001])}, (1, 0.501)),
        (NUMBERS, {"predictions": np.array([np.nan, 1.0])}, {"predictions": np.array([np.nan, np.nan])}, (1, 0.0)),
        (NUMBERS, {"predictions": np.array([np.inf])}, {"predictions": np.array([np.inf])}, (0, 0.0)),
        (NUMBERS, {"predictions": np.ones((2, 3))}, {"predictions": np.ones((2, 2))}, (2, 0.0)),
        (NUMBERS, {"predictions": pd.Series([1.0, 2.0])}, {"predictions": pd.Series([1.0, 4.0])}, (1, 2.0)),
        (NUMBERS, {"predictions": np.array([[1.0, 2.0], [3.0, 4.0]])}, {"predictions": np.zeros((2, 2))}, (2, 6.0)),
        (NUMBERS, {"predictions": [{"a": 1.0}, {"a": 2.0}]}, {"predictions": [{"a": 1.0}, {"b": 2.0}]}, (1, 0.0)),
        (NUMBERS, {"predictions": {"mean": 1.0}}, {"predictions": {"mean": 1.00000001}}, (0, 0.0)),
        (NUMBERS, {"predictions": "one answer"}, {"predictions": "another"}, (2, 0.0)),
        (NUMBERS, {"other": 1}, {"predictions": 1}, (2, 0.0)),
        (CLASSES, {"probabilities": np.array([[0.9, 0.1]])}, {"probabilities": np.array([[0.8, 0.2]])}, (1, 0.1)),
        (
            CLASSES,
            {"probabilities": np.array([[0.9, 0.1]])},
            {"probabilities": np.array([[0.9001, 0.0999]])},
            (0, 1e-4),
        ),
    ],
)
def test_two_answers(version: Any, champion: Any, challenger: Any, expected: tuple[int, float]) -> None:
    value = next(iter(champion.values()))
    rows = len(value) if hasattr(value, "__len__") and not isinstance(value, str | dict) else 2
    differing, difference = apart_by(version, rows, champion, challenger)
    assert differing == expected[0]
    assert difference == pytest.approx(expected[1], abs=1e-9)
