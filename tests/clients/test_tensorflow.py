"""What clients of TensorFlow Serving send, written from its documentation: rows, columns, base64, signatures."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from deployed import PEOPLE, TEXTS, Deployed
from versions import X

from autodeploy_magic.wire import to_request

ROWS = PEOPLE[:6]


def ask(deployed: Deployed, body: Any, path: str = "") -> httpx.Response:
    with deployed.client() as client:
        return client.post(f"/v1/models/{deployed.name}{path}:predict", json=body)


def b64(text: str) -> dict[str, str]:
    return {"b64": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        ({"instances": X[:4].tolist()}, "predictions"),
        ({"signature_name": "serving_default", "instances": X[:4].tolist()}, "predictions"),
        ({"signature_name": "", "instances": [{"inputs": row} for row in X[:4].tolist()]}, "predictions"),
        ({"inputs": X[:4].tolist()}, "outputs"),
        ({"inputs": {"inputs": X[:4].tolist()}}, "outputs"),
    ],
)
@pytest.mark.parametrize("path", ["", "/versions/1"])
def test_an_array(iris: Deployed, body: Any, answered: str, path: str) -> None:
    assert ask(iris, body, path).json() == {answered: iris.model.predict(X[:4]).tolist()}


def test_each_output_is_a_signature(iris: Deployed) -> None:
    with iris.client() as client:
        metadata = client.get("/v1/models/iris/metadata").json()
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "probabilities"}
    assert signatures["serving_default"]["inputs"]["inputs"]["dtype"] == "DT_DOUBLE"
    assert list(signatures["probabilities"]["outputs"]) == ["probabilities"]
    found = ask(iris, {"signature_name": "probabilities", "instances": X[:4].tolist()}).json()["predictions"]
    assert found == pytest.approx(iris.model.predict_proba(X[:4]), abs=1e-5)
    refused = ask(iris, {"signature_name": "logits", "instances": X[:4].tolist()})
    assert refused.status_code == 422
    assert "predictions, probabilities, serving_default" in refused.json()["error"]


def test_a_table_by_row_and_by_column(people: Deployed) -> None:
    wanted = people.model.predict(ROWS).tolist()
    records = to_request(ROWS)
    assert ask(people, {"instances": records}).json() == {"predictions": wanted}
    assert ask(people, {"instances": [list(row.values()) for row in records]}).json() == {"predictions": wanted}
    columns = {name: to_request(ROWS[name]) for name in ROWS}
    assert ask(people, {"inputs": columns}).json() == {"outputs": wanted}


def test_a_table_in_the_shape_that_the_metadata_says(people: Deployed) -> None:
    """A column's shape is [-1, 1]: whoever goes by it puts each value in brackets."""
    with people.client() as client:
        signatures = client.get("/v1/models/people/metadata").json()["metadata"]["signature_def"]["signature_def"]
    sizes = [size["size"] for size in signatures["serving_default"]["inputs"]["age"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "1"]
    wanted = people.model.predict(ROWS).tolist()
    columns = {name: [[value] for value in to_request(ROWS[name])] for name in ROWS}
    assert ask(people, {"inputs": columns}).json() == {"outputs": wanted}
    records = [{name: [value] for name, value in row.items()} for row in to_request(ROWS)]
    assert ask(people, {"instances": records}).json() == {"predictions": wanted}


@pytest.mark.parametrize(
    "body",
    [
        {"instances": TEXTS},
        {"instances": [b64(text) for text in TEXTS]},
        {"instances": [{"inputs": b64(text)} for text in TEXTS]},
        {"inputs": [b64(text) for text in TEXTS]},
        {"inputs": {"inputs": [b64(text) for text in TEXTS]}},
    ],
)
def test_texts_may_be_base64(mood: Deployed, body: Any) -> None:
    (found,) = ask(mood, body).json().values()
    assert found == mood.model.predict(TEXTS).tolist()


def test_base64_in_a_table(people: Deployed) -> None:
    rows = ROWS[ROWS.city.notna()]
    records = [{**row, "city": b64(row["city"])} for row in to_request(rows)]
    assert ask(people, {"instances": records}).json() == {"predictions": people.model.predict(rows).tolist()}


@pytest.mark.parametrize("text", ["%", "ä", base64.b64encode(b"\xff\xfe").decode(), 7, None])
def test_what_is_no_base64_of_a_text(mood: Deployed, text: Any) -> None:
    answer = ask(mood, {"instances": [{"b64": text}]})
    assert answer.status_code == 422
    assert "base64" in answer.json()["error"]


def test_status(iris: Deployed) -> None:
    with iris.client() as client:
        for path in ("/v1/models/iris", "/v1/models/iris/versions/1"):
            (status,) = client.get(path).json()["model_version_status"]
            assert (status["version"], status["state"]) == ("1", "AVAILABLE")
        for path in ("/v1/models/other", "/v1/models/iris/versions/99", "/v1/models/iris/versions/x"):
            refused = client.get(path)
            assert refused.status_code == 404
            assert "Servable not found" in refused.json()["error"]
        assert client.get("/v1/models/iris:predict").headers["allow"] == "POST"


def test_a_request_without_a_content_type(iris: Deployed) -> None:
    """TensorFlow Serving does not look at it, and old clients send none."""
    body = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
    with iris.client() as client:
        assert client.post("/v1/models/iris:predict", content=body).json() == {"predictions": ["setosa"]}
