"""What MLflow's scoring server and SageMaker's containers are sent, as their documentations have it."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
import requests
from deployed import PEOPLE, TEXTS, Deployed
from versions import X

from autodeploy_magic.wire import to_request

ROWS = PEOPLE[PEOPLE.city.notna()][:6]
TABLE = pd.DataFrame(X[:3], columns=["a", "b", "c", "d"])
JSON = "application/json"


def invoke(deployed: Deployed, data: Any, content_type: str) -> requests.Response:
    return requests.post(
        f"{deployed.url}/invocations",
        data=data if isinstance(data, str | bytes) else json.dumps(data),
        headers={**deployed.headers, "Content-Type": content_type},
        timeout=20,
    )


def split(table: pd.DataFrame) -> dict[str, Any]:
    """As mlflow.pyfunc writes it: index, columns and data."""
    rows = [list(row.values()) for row in to_request(table)]
    return {"index": table.index.tolist(), "columns": list(table.columns), "data": rows}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ({"dataframe_split": split(TABLE)}, JSON),
        ({"dataframe_split": {"data": TABLE.to_numpy().tolist()}, "params": {"temperature": 0.1}}, JSON),
        ({"dataframe_records": TABLE.to_dict("records")}, JSON),
        ({"instances": X[:3].tolist()}, "application/json; charset=utf-8"),
        ({"inputs": X[:3].tolist()}, "Application/JSON"),
        ({"inputs": {"inputs": X[:3].tolist()}}, JSON),
        (split(TABLE), "application/json; format=pandas-split"),
        (TABLE.to_dict("records"), "application/json; format=pandas-records"),
        (TABLE.to_csv(index=False), "text/csv"),
        (TABLE.to_csv(index=False, header=False), "text/csv; charset=utf-8"),
        (
            "\ufeff" + TABLE.to_csv(index=False, header=False, lineterminator="\r\n"),
            'text/csv;charset="UTF-8";header=absent',
        ),
    ],
)
def test_an_array(iris: Deployed, body: Any, content_type: str) -> None:
    body = body.encode() if isinstance(body, str) else body
    answer = invoke(iris, body, content_type)
    assert answer.json() == {"predictions": iris.model.predict(X[:3]).tolist()}


SHUFFLED = ROWS[list(reversed(ROWS.columns))]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ({"dataframe_split": split(ROWS)}, JSON),
        ({"dataframe_split": split(SHUFFLED)}, JSON),
        ({"dataframe_records": to_request(ROWS)}, JSON),
        ({"inputs": {name: to_request(ROWS[name]) for name in ROWS}}, JSON),
        ({"instances": to_request(ROWS)}, JSON),
        (split(SHUFFLED), "application/json; format=pandas-split"),
        (to_request(SHUFFLED), "application/json; format=pandas-records"),
        (ROWS.to_csv(index=False), "text/csv"),
        (SHUFFLED.to_csv(index=False), "text/csv; charset=utf-8"),
        (ROWS.to_csv(index=False, header=False), "text/csv"),
    ],
)
def test_a_table(people: Deployed, body: Any, content_type: str) -> None:
    assert invoke(people, body, content_type).json() == {"predictions": people.model.predict(ROWS).tolist()}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ({"inputs": TEXTS}, JSON),
        ({"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}}, JSON),
        ({"dataframe_records": [{"text": text} for text in TEXTS]}, JSON),
        ("\n".join(TEXTS), "text/csv"),
        (pd.DataFrame({"inputs": TEXTS}).to_csv(index=False), "text/csv"),
    ],
)
def test_texts(mood: Deployed, body: Any, content_type: str) -> None:
    assert invoke(mood, body, content_type).json() == {"predictions": mood.model.predict(TEXTS).tolist()}


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        ({"inputs": [], "instances": []}, JSON, 422, "in 2 ways"),
        ({"inputs": [], "params": {}}, JSON, 422, "inputs is empty"),
        ({"params": {}}, JSON, 422, "in 0 ways"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, JSON, 422, "data[0] has 2 values"),
        ({"dataframe_records": [{"a": 1}, {"b": 1}]}, JSON, 422, "inputs[0]"),
        ("age,city\n1", "text/csv", 422, "inputs[0]"),
        (ROWS.to_csv(index=False).encode("utf-16"), "text/csv", 422, "not CSV in UTF-8"),
        ("café", "text/csv; charset=latin-1", 415, "'latin-1'"),
        ("1,2", "text/plain", 415, "text/csv"),
    ],
)
def test_what_is_refused(people: Deployed, body: Any, content_type: str, status: int, words: str) -> None:
    answer = invoke(people, body.encode() if isinstance(body, str) else body, content_type)
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert found["error_code"] == "INVALID_PARAMETER_VALUE"
    assert words in found["message"]


def test_an_array_of_the_wrong_width_is_no_row(mood: Deployed) -> None:
    """A comma in a text makes two cells of it, and neither alone is what was meant."""
    answer = invoke(mood, "good day, sir", "text/csv")
    assert (answer.status_code, "inputs[0]" in answer.json()["message"]) == (422, True)


@pytest.mark.parametrize("path", ["ping", "health"])
def test_health_needs_no_token(iris: Deployed, path: str) -> None:
    assert requests.get(f"{iris.url}/{path}", timeout=20).status_code == 200
