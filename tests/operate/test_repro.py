"""An incident's request as a cell: the one that shows it, or none and why."""

from __future__ import annotations

import ast
from typing import Any

import msgspec
import pytest

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Incident
from autodeploy_magic.operate.repro import cell, request_of
from autodeploy_magic.reservoir import Recorded

T = 1_763_740_800.0
INCIDENT = Incident(
    id="i1",
    name="iris",
    rule="errors",
    metric="errors",
    severity="critical",
    text="12 % of the requests fail",
    opened_s=T,
    closed_s=T + 30,
)


def failed(request: str, at_s: float, **changes: Any) -> Recorded:
    return Recorded(request, at_s, 3, 500, 0.01, 1, (0,), [[1.0]], {}, error="ValueError: no", **changes)


def test_the_one_that_the_detector_named_is_it() -> None:
    named = msgspec.structs.replace(INCIDENT, request="r9")
    assert request_of(named, [failed("r1", T)]) == "r9"


def test_else_the_last_that_failed_in_its_time() -> None:
    recorded = [failed("later", T + 900), failed("in time", T + 2), failed("before", T - 10), failed("old", T - 900)]
    assert request_of(INCIDENT, recorded) == "in time"
    assert request_of(INCIDENT, recorded[2:]) == "before"


def test_where_there_is_none_it_is_said() -> None:
    with pytest.raises(InvalidOption, match="i1") as caught:
        request_of(INCIDENT, [failed("old", T - 900)])
    assert "logs iris" in caught.value.fix


def test_the_code_can_be_run_whatever_the_texts_hold() -> None:
    nasty = msgspec.structs.replace(INCIDENT, text="first line\nimport os; os.abort()\r\nlast")
    request = failed("r1", T)._replace(error='KeyError: \'\n"""\nimport os\'')
    code = cell(nasty, request)
    body = ast.parse(code).body
    assert [type(node).__name__ for node in body] == ["Import", "Assign", "Expr", "Expr"]
    assert 'recorded("r1")' in code


def test_one_whose_rows_were_not_read_shows_what_was_sent() -> None:
    code = cell(INCIDENT, failed("r1", T)._replace(inputs=None, body="{not json"))
    assert "sent.body" in code
    assert "predict" not in code


def test_one_with_columns_that_are_not_kept_is_shown_and_not_sent_through_the_model() -> None:
    code = cell(INCIDENT, failed("r1", T), ("ssn", "na\nme"))
    assert "# not kept as they were: ssn, na me" in code.splitlines()
    assert code.splitlines()[-1] == "sent.inputs"
    assert "model.predict" not in code
