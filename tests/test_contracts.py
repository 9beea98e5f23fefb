"""The records: what is written is what is read, and a record of another release is upgraded or refused by name."""

from __future__ import annotations

import inspect
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodeploy_magic import contracts
from autodeploy_magic.contracts import Column, Desired, Record, Signature, Version, decode, encode
from autodeploy_magic.errors import UnreadableRecord

RECORDS = sorted(
    (
        kind
        for kind in vars(contracts).values()
        if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
    ),
    key=lambda kind: kind.__name__,
)
TEXT = st.text(st.characters(codec="utf-8"))
COLUMNS = st.builds(
    Column,
    name=TEXT,
    dtype=st.sampled_from(["float64", "int32", "bool", "str", "datetime64[ns]"]),
    shape=st.lists(st.integers(-1, 9), max_size=3).map(tuple),
    nullable=st.booleans(),
    categories=st.none() | st.lists(TEXT, max_size=3).map(tuple),
    minimum=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    maximum=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
SIGNATURES = st.builds(
    Signature,
    container=st.sampled_from(["dataframe", "ndarray", "list", "dict"]),
    columns=st.lists(COLUMNS, max_size=4).map(tuple),
)


@given(SIGNATURES)
def test_what_is_written_is_what_is_read(signature: Signature) -> None:
    assert decode(Signature, encode(signature)) == signature


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_record_is_frozen_takes_names_alone_and_is_explained(kind: type[Record]) -> None:
    assert kind.__struct_config__.frozen
    assert {parameter.kind for parameter in inspect.signature(kind).parameters.values()} == {
        inspect.Parameter.KEYWORD_ONLY
    }
    assert kind.__doc__


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_units_stand_in_the_names_of_numbers(kind: type[Record]) -> None:
    # The knobs' own names carry the units of `settings`.
    allowed = {"settings", "minimum", "maximum", "agreement", "max_difference", "share", "seconds"}
    allowed |= {"since", "create_time", "certificate_until"}  # seconds since the epoch
    floats = [field.name for field in msgspec.structs.fields(kind) if "float" in str(field.type)]
    assert [name for name in floats if not name.endswith("_s") and name not in allowed] == []


def test_a_field_that_a_newer_writer_added_is_ignored() -> None:
    raw = json.loads(encode(Desired(name="iris", version=1, executable="/usr/bin/python3")))
    assert decode(Desired, json.dumps(raw | {"new_thing": [1, 2]}).encode()).name == "iris"


def test_a_record_of_a_newer_release_is_refused_by_name_with_the_way_out() -> None:
    raw = json.loads(encode(Desired(name="iris", version=1, executable="python3"))) | {"schema": contracts.SCHEMA + 1}
    with pytest.raises(UnreadableRecord) as caught:
        decode(Desired, json.dumps(raw).encode(), source="deployment.json of iris")
    assert "deployment.json of iris" in caught.value.what
    assert "newer release" in caught.value.why
    assert "upgrade" in caught.value.fix


def test_a_record_of_an_older_release_is_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "SCHEMA", 3)
    monkeypatch.setitem(contracts.UPGRADES, 1, lambda raw: {**raw, "version": raw["number"]})
    monkeypatch.setitem(contracts.UPGRADES, 2, lambda raw: {**raw, "version": raw["version"] * 10})
    old = {"schema": 1, "name": "iris", "number": 4, "executable": "python3"}
    got = decode(Desired, json.dumps(old).encode())
    assert (got.version, got.schema) == (40, 3)


def test_every_older_schema_has_its_recipe() -> None:
    assert sorted(contracts.UPGRADES) == list(range(1, contracts.SCHEMA))


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"null",
        b'{"schema": 1}',
        b'{"schema": "1", "name": "iris"}',
        b'{"schema": 0, "name": "iris", "version": 1, "executable": "p"}',
        b'{"schema": -1, "name": "iris", "version": 1, "executable": "p"}',
        b'{"schema": true, "name": "iris", "version": "one", "executable": "p"}',
        b'{"schema": 1, "name": "iris", "version": "one", "executable": "p"}',
    ],
)
def test_damaged_bytes_are_refused_by_name(damaged: bytes) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        decode(Desired, damaged, source="deployment.json of iris")
    assert "deployment.json of iris" in caught.value.what
    assert caught.value.fix


@given(st.binary(max_size=60))
def test_no_bytes_at_all_get_past_as_another_error(data: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode(Version, data)


def test_a_record_is_written_for_people_too() -> None:
    text = encode(Column(name="petal length", dtype="float64")).decode()
    assert '\n  "name": "petal length"' in text
