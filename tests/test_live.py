"""The records of what is shown live, held to the golden file that the TypeScript tests read too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autodeploy_magic.errors import UnknownDeployment, from_payload
from autodeploy_magic.health import Health, Unlabelled
from autodeploy_magic.live import COLUMNS, Message, Probe, Series, View
from autodeploy_magic.retuning import Retune
from autodeploy_magic.shipping import Offer, Shipped

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "live.json").read_text("utf-8"))


@pytest.mark.parametrize("message", GOLDEN["messages"], ids=lambda message: next(iter(message)))
def test_every_message_is_read_and_written_as_the_golden_file_has_it(message: dict[str, Any]) -> None:
    read = msgspec.convert(message, Message)
    assert [name for name in Message.__struct_fields__ if getattr(read, name) is not None] == list(message)
    assert _covers(msgspec.to_builtins(read), message)


def test_the_golden_file_has_every_kind_of_message() -> None:
    assert {next(iter(message)) for message in GOLDEN["messages"]} == set(Message.__struct_fields__)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("view", View),
        ("series", Series),
        ("probe", Probe),
        ("health", Health),
        ("unlabelled", list[Unlabelled]),
        ("offer", Offer),
        ("shipped", Shipped),
    ],
)
def test_the_answers_of_the_calls_are_those_of_the_golden_file(key: str, kind: Any) -> None:
    assert _covers(msgspec.to_builtins(msgspec.convert(GOLDEN[key], kind)), GOLDEN[key])


def test_the_re_tunes_of_the_golden_file_have_every_field_and_most_states() -> None:
    """A page reads each field by its name: none may be left out."""
    ended = GOLDEN["view"]["retunes"][0]
    running = next(message["retune"] for message in GOLDEN["messages"] if "retune" in message)
    for golden in (ended, running):
        assert json.loads(msgspec.json.encode(msgspec.convert(golden, Retune))) == golden
    states = {one["state"] for golden in (ended, running) for one in golden["contenders"]}
    assert states == {"champion", "passed", "fell", "failed", "skipped", "measuring", "waiting"}
    assert [golden["state"] for golden in (ended, running)] == ["done", "running"]


def test_columns_are_of_one_length_and_order() -> None:
    series = msgspec.convert(GOLDEN["series"], Series)
    assert series.columns == COLUMNS == tuple(GOLDEN["messages"][0]["hello"]["columns"])
    assert {len(values) for values in series.values} == {3}


def test_an_error_is_raised_as_what_it_is() -> None:
    error = from_payload(GOLDEN["error"])
    assert isinstance(error, UnknownDeployment)
    assert error.why == "did you mean iris?"


def test_a_point_stays_below_a_kilobyte() -> None:
    point = next(message for message in GOLDEN["messages"] if "point" in message)
    assert len(msgspec.json.encode(point)) <= 1024


def _covers(written: Any, golden: Any) -> bool:
    """Whether all of the golden value is in what was written; defaults may be added."""
    if isinstance(golden, dict):
        return isinstance(written, dict) and all(
            key in written and _covers(written[key], golden[key]) for key in golden
        )
    if isinstance(golden, list):
        return len(written) == len(golden) and all(map(_covers, written, golden))
    return bool(written == golden)
