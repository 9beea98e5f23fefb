"""Tables over `POST /predict`, as clients of Arrow and Parquet send and read them."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc
from versions import X, write_version

from autodeploy_magic import settings
from autodeploy_magic.serve.http.app import App, make_app
from autodeploy_magic.serve.model import ServedModel

STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
PARQUET = "application/vnd.apache.parquet"
TABLE = pa.table([pa.array(column) for column in X.T], names=["sl", "sw", "pl", "pw"])


@pytest.fixture
def app(version_folder: Path) -> App:
    return make_app(ServedModel.load(version_folder), token=None)


def post(app: App, body: bytes, kind: str, query: str = "", accept: str | None = None) -> httpx.Response:
    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        headers = {"content-type": kind} | ({} if accept is None else {"accept": accept})
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(f"/predict{query}", content=body, headers=headers)

    return asyncio.run(exchange())


def written(table: pa.Table, kind: str) -> bytes:
    sink = io.BytesIO()
    if kind == PARQUET:
        pq.write_table(table, sink)
    else:
        with (ipc.new_stream if kind == STREAM else ipc.new_file)(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def read(response: httpx.Response) -> pa.Table:
    kind = response.headers["content-type"]
    if kind == PARQUET:
        return pq.read_table(io.BytesIO(response.content))
    return (ipc.open_stream if kind == STREAM else ipc.open_file)(response.content).read_all()


@pytest.mark.parametrize("accept", [None, STREAM, FILE, PARQUET])
@pytest.mark.parametrize("kind", [STREAM, FILE, PARQUET])
def test_any_form_in_any_form_out(app: App, classifier: Any, kind: str, accept: str | None) -> None:
    body = written(TABLE, kind)
    response = post(app, body, kind, "?outputs=predictions,probabilities", accept)
    assert response.status_code == 200, response.text
    labels, probabilities = classifier.predict(X), classifier.predict_proba(X)
    if accept is None:
        answer = response.json()
        assert answer["predictions"] == labels.tolist()
        np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
        return
    assert response.headers["content-type"] == accept
    table = read(response)
    assert table.column_names == ["predictions", "probabilities"]
    assert table["predictions"].to_pylist() == labels.tolist()
    assert table.schema.field("predictions").type == pa.string()
    assert table.schema.field("probabilities").type == pa.list_(pa.float64(), 3)
    np.testing.assert_allclose(table["probabilities"].to_pylist(), probabilities, atol=1e-5)
    assert table.schema.metadata[b"id"].decode() == response.headers["x-request-id"]
    assert table.schema.metadata[b"version"] == b"1"


def test_a_table_may_answer_json(app: App, classifier: Any) -> None:
    response = post(app, b'{"inputs": [[5.1, 3.5, 1.4, 0.2]]}', "application/json", accept=STREAM)
    assert read(response)["predictions"].to_pylist() == classifier.predict([[5.1, 3.5, 1.4, 0.2]]).tolist()


def test_frames_of_polars_and_pandas(app: App, classifier: Any) -> None:
    wanted = classifier.predict(X).tolist()
    sink = io.BytesIO()
    pl.DataFrame(X).write_ipc(sink, compression="zstd")
    response = post(app, sink.getvalue(), FILE, accept=FILE)
    assert pl.read_ipc(io.BytesIO(response.content))["predictions"].to_list() == wanted
    sink = io.BytesIO()
    pd.DataFrame(X, columns=list("abcd")).sample(frac=1, random_state=0).sort_index().to_parquet(sink)
    response = post(app, sink.getvalue(), "application/x-parquet; charset=binary", accept=PARQUET)
    assert pd.read_parquet(io.BytesIO(response.content))["predictions"].tolist() == wanted


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("", "application/json"),
        (f"{STREAM};q=0.5, application/json", "application/json"),
        (f"application/json;q=0.1, {STREAM}", STREAM),
        (f"{PARQUET}, */*", PARQUET),
        (f"text/html, {FILE.upper()} ; version=1", FILE),
        (f"{STREAM};q=0, */*;q=0.1", "application/json"),
        (f"{STREAM};q=x, application/json;q=0.2", "application/json"),
    ],
)
def test_what_the_client_likes_best(app: App, accept: str, kind: str) -> None:
    response = post(app, written(TABLE, STREAM), STREAM, accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)


@pytest.mark.parametrize("accept", ["text/html", f"{STREAM};q=0", "image/*", ",", "application/json;q=nan"])
def test_a_form_that_it_cannot_have(app: App, accept: str) -> None:
    response = post(app, written(TABLE, STREAM), STREAM, accept=accept)
    assert response.status_code == 406
    assert response.json()["error"] == "NotAcceptable"
    assert STREAM in response.json()["fix"]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("?outputs=", 200, None),
        ("?other=1", 200, None),
        ("?outputs=%70redictions", 200, None),
        ("?outputs=predictions&outputs=probabilities", 200, None),
        ("?outputs=nothing", 422, "outputs[0]"),
        ("?outputs=predictions,nothing", 422, "outputs[1]"),
        ("?outputs=%ff", 422, "outputs"),
        ("?" + "a=1&" * 200, 422, "outputs"),
    ],
)
def test_outputs_are_asked_for_in_the_query(app: App, query: str, status: int, field: str | None) -> None:
    response = post(app, written(TABLE, STREAM), STREAM, query)
    assert (response.status_code, response.json().get("field")) == (status, field)


@pytest.mark.parametrize("kind", [STREAM, FILE, PARQUET])
def test_what_is_refused(app: App, kind: str) -> None:
    body = written(TABLE, kind)
    for wrong, field in (
        (b"", "body"),
        (body[:-1], "body"),
        (body + b"x", "body"),
        (b'{"inputs": [[1, 2, 3, 4]]}', "body"),
        (written(TABLE.drop_columns("pw"), kind), "inputs"),
        (written(TABLE.set_column(1, "sw", pa.array(["x"] * 150)), kind), "inputs[0][1]"),
        (written(TABLE.slice(0, 0), kind), "inputs"),
    ):
        response = post(app, wrong, kind, accept=STREAM)
        if wrong == body[:-1] and kind == STREAM:
            continue  # its end mark is not needed
        assert (response.status_code, response.json()["field"]) == (422, field), response.text
        assert "arrow/" not in response.text.lower().replace(STREAM, "").replace(FILE, "")  # no place in Arrow's source
    too_many = pa.table({name: np.zeros(10_001) for name in TABLE.column_names})
    assert post(app, written(too_many, kind), kind).status_code == 413


def test_what_would_unpack_to_too_much(version_folder: Path) -> None:
    settings.set_option("max_body_bytes", 10_000)
    try:
        app = make_app(ServedModel.load(version_folder), token=None)
    finally:
        settings.reset()
    sink = io.BytesIO()
    table = pa.table({name: np.zeros(5000) for name in TABLE.column_names})
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    assert len(sink.getvalue()) < 10_000
    response = post(app, sink.getvalue(), STREAM)
    assert response.status_code == 413
    assert "AUTODEPLOY_MAX_BODY_BYTES" in response.json()["fix"]


def test_without_pyarrow(tmp_path: Path, classifier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_version(tmp_path, classifier, X)
    app = make_app(ServedModel.load(tmp_path), token=None)
    body = written(TABLE, STREAM)
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # which is how Python says that it is not there
    response = post(app, body, STREAM)
    assert response.status_code == 415
    assert "pip install 'autodeploy_magic[arrow]'" in response.json()["fix"]
    rows = b'{"inputs": [[5.1, 3.5, 1.4, 0.2]]}'
    assert post(app, rows, "application/json").status_code == 200
    response = post(app, rows, "application/json", accept=STREAM)
    assert response.status_code == 406
    assert "pip install 'autodeploy_magic[arrow]'" in response.json()["fix"]


ANSWERS: dict[str, tuple[Any, Any]] = {
    "records": (lambda y: [{"label": str(v), "n": i} for i, v in enumerate(y)], [{"label": "setosa", "n": 0}]),
    "frame": (lambda y: pd.DataFrame({"label": y, "when": pd.Timestamp("2026-01-01")}), None),
    "series": (lambda y: pd.Series(y).astype("category"), ["setosa"]),
    "texts and numbers": (lambda y: [1 if i % 2 else str(v) for i, v in enumerate(y)], ['"setosa"']),
    "nothing": (lambda y: [None for _ in y], [None]),
    "nullable": (lambda y: pd.Series([None] * len(y), dtype="Int64"), [None]),
    "days": (lambda y: np.array(["2026-01-01"] * len(y), dtype="datetime64[D]"), None),
    "pictures": (lambda y: np.zeros((len(y), 2, 3), dtype=np.uint8), [[[0, 0, 0], [0, 0, 0]]]),
    "gaps": (lambda y: np.full(len(y), np.nan, dtype=np.float32), None),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("kind", [STREAM, PARQUET])
def test_whatever_a_postprocess_answers(tmp_path: Path, classifier: Any, name: str, kind: str) -> None:
    postprocess, wanted = ANSWERS[name]
    write_version(tmp_path, classifier, X, code={"postprocess": postprocess})
    app = make_app(ServedModel.load(tmp_path), token=None)
    response = post(app, written(TABLE.slice(0, 2), STREAM), STREAM, accept=kind)
    assert response.status_code == 200, response.text
    found = read(response)["predictions"].to_pylist()
    assert len(found) == 2
    if wanted is not None:
        assert found[:1] == wanted
    plain = post(app, written(TABLE.slice(0, 2), STREAM), STREAM).json()["predictions"]
    assert len(plain) == 2


def test_an_answer_that_is_no_column(tmp_path: Path, classifier: Any) -> None:
    write_version(tmp_path, classifier, X, code={"postprocess": lambda y: {"count": len(y)}})
    app = make_app(ServedModel.load(tmp_path), token=None)
    response = post(app, written(TABLE, STREAM), STREAM, accept=STREAM)
    assert response.status_code == 406
    assert post(app, written(TABLE, STREAM), STREAM).json()["predictions"] == {"count": 150}


def test_a_preprocess_may_write_into_its_rows(tmp_path: Path, classifier: Any) -> None:
    def preprocess(x: Any) -> Any:
        x *= 1
        return x

    write_version(tmp_path, classifier, X, code={"preprocess": preprocess})
    app = make_app(ServedModel.load(tmp_path), token=None)
    lists = pa.table({"rows": pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 4)})
    for table in (TABLE, lists):
        response = post(app, written(table, STREAM), STREAM)
        assert response.json()["predictions"] == classifier.predict(X).tolist()
