"""A predict that yields, as it is verified: its items as a list, and one that does not end."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from autodeploy_magic.build import BuildRequest, live
from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.build.live import live_answers
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.errors import BadSample

TEXTS = ["one two", "three"]


def words(texts: Any) -> Iterator[str]:
    for text in texts:
        yield from text.split()


def answers(model: Any = len, **code: Callable[..., Any]) -> live.Answers:
    exporter = exporter_of(model)
    assert exporter is not None
    return live_answers(BuildRequest("demo", model, TEXTS, code=code), exporter, TEXTS, read_sample(TEXTS))


def test_a_generator_is_drained() -> None:
    for found in (answers(words), answers(predict=lambda model, x: words(x))):
        assert found.final == found.plain == {"predictions": ["one", "two", "three"]}
        assert found.streams == {"predictions"}
    assert answers(predict=lambda model, x: list(words(x))).streams == frozenset()


def test_a_postprocess_is_given_each_item_or_all_where_it_yields_itself() -> None:
    def pairs(items: Iterator[str]) -> Iterator[str]:
        for item in items:
            yield item
            yield item

    each = answers(predict=lambda model, x: words(x), postprocess=str.upper)
    assert (each.raw["predictions"], each.plain["predictions"]) == (["one", "two", "three"], ["ONE", "TWO", "THREE"])
    twice = answers(predict=lambda model, x: words(x), postprocess=pairs)
    assert twice.plain["predictions"] == ["one", "one", "two", "two", "three", "three"]
    late = answers(predict=lambda model, x: x, postprocess=words)
    assert (late.plain["predictions"], late.streams) == (["one", "two", "three"], {"predictions"})


def test_one_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def forever(model: Any, x: Any) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    monkeypatch.setattr(live, "STREAM_ITEMS", 50)
    with pytest.raises(BadSample, match="predict had not ended after 50 items"):
        answers(predict=forever)
    monkeypatch.setattr(live, "STREAM_ITEMS", 10**9)
    monkeypatch.setattr(live, "STREAM_S", 0.05)
    before = time.monotonic()
    with pytest.raises(BadSample, match="had not ended"):
        answers(predict=forever)
    assert time.monotonic() - before < 5
    assert closed == [True, True]


def test_an_async_generator_and_one_that_fails_are_said() -> None:
    async def later(model: Any, x: Any) -> AsyncIterator[int]:
        yield 1

    def fails(model: Any, x: Any) -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with pytest.raises(BadSample, match="async generator"):
        answers(predict=later)
    with pytest.raises(BadSample, match="predict cannot answer the sample") as caught:
        answers(predict=fails)
    assert "no more" in caught.value.why


def test_a_version_of_it_says_that_it_streams(make: Callable[..., Any]) -> None:
    def shout(model: Any, x: Any) -> Iterator[str]:
        for text in x:
            for word in text.split():
                yield word.upper()

    built = make(len, TEXTS, code={"predict": shout}, dry_run=True)
    (output,) = built.version.outputs
    assert (output.streams, output.per_row, output.container) == (True, False, "list")
    assert built.version.format == "native"
