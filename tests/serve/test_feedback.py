"""POST /feedback: labels on disk when it answers, and clear refusals."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

import httpx
import pytest
from versions import X, write_version

from autodeploy_magic.reservoir import recent_labelled
from autodeploy_magic.serve.http.app import App
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.road import Lineup, Road
from autodeploy_magic.serve.sampling import Sampling

TOKEN = "a-token-of-the-test"
AUTH = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def folder(tmp_path: Path, classifier: Any) -> Path:
    write_version(tmp_path / "iris", classifier, X)
    return tmp_path


@pytest.fixture
def app(folder: Path) -> App:
    road = Road(ServedModel.load(folder / "iris"), requests=folder / "requests.sqlite")
    return App(Front(Lineup(road, loaded={1: road}), Guard(tokens=[TOKEN])))


def send(app: App, path: str, content: Any, headers: dict[str, str] = AUTH) -> httpx.Response:
    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            if isinstance(content, bytes):
                return await client.post(path, content=content, headers={"content-type": "application/json"})
            return await client.post(path, json=content)

    return asyncio.run(exchange())


def test_labels_meet_the_request_that_they_came_before(app: App, folder: Path) -> None:
    sampling = app.front.sampling = Sampling(folder / "requests.sqlite", each_second=20)
    answer = send(app, "/predict", {"inputs": X[:3].tolist()}).json()
    given = {"id": answer["id"], "labels": ["setosa", None, "virginica"]}
    assert send(app, "/feedback", given).json() == {"new": 2, "changed": 0, "same": 0, "unmatched": 2}
    sampling.start()
    sampling.close()
    several = {"feedback": [{**given, "labels": ["setosa", "setosa", "setosa"]}, {"id": "other", "labels": [1]}]}
    assert send(app, "/feedback", several).json() == {"new": 2, "changed": 1, "same": 1, "unmatched": 1}
    signature = ServedModel.load(folder / "iris").version.signature
    found = recent_labelled(folder / "requests.sqlite", signature, 10)
    assert {(each.row, each.label, each.before) for each in found} == {
        (0, "setosa", None),
        (1, "setosa", None),
        (2, "setosa", "virginica"),
    }


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 422, "body"),
        (b"no json", 422, "body"),
        (b"[" * 100_000, 422, "body"),
        ([1], 422, "body"),
        ({}, 422, "body"),
        ({"id": "a"}, 422, "body"),
        ({"labels": [1]}, 422, "body"),
        ({"id": "a", "labels": [1], "feedback": []}, 422, "body"),
        ({"id": None, "feedback": []}, 422, "body"),
        ({"id": "a", "labels": 1}, 422, "body"),
        ({"id": 5, "labels": [1]}, 422, "body"),
        ({"id": "a", "labels": [1], "more": 1}, 422, "body"),
        ({"id": "", "labels": [1]}, 422, "id"),
        ({"id": "a" * 201, "labels": [1]}, 422, "id"),
        ({"id": "a", "labels": [1, {"b": 1}]}, 422, "labels[1]"),
        ({"feedback": [{"id": "a", "labels": [[[1]]]}]}, 422, "feedback[0].labels[0]"),
        ({"id": "a", "labels": [1] * 10_001}, 413, "labels"),
        ({"feedback": [{"id": "a", "labels": [1] * 6000}] * 2}, 413, "feedback"),
    ],
)
def test_what_is_no_feedback_is_refused_and_nothing_is_written(
    app: App, folder: Path, body: Any, status: int, field: str
) -> None:
    answer = send(app, "/feedback", body)
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert answer.json()["fix"]
    assert not (folder / "requests.sqlite").exists()


@pytest.mark.parametrize("label", [0, -1.5, "é", False, [1, "two", None], 10**30])
def test_scalars_and_lists_of_them_are_labels(app: App, label: Any) -> None:
    assert send(app, "/feedback", {"id": "a", "labels": [label]}).json()["new"] == 1
    assert send(app, "/feedback", {"id": "a", "labels": [label]}).json()["same"] == 1


def test_it_needs_the_token(app: App) -> None:
    assert send(app, "/feedback", {"id": "a", "labels": [1]}, headers={}).status_code == 401


def test_a_full_disk_is_told_and_nothing_is_lost(app: App, folder: Path) -> None:
    assert send(app, "/feedback", {"id": "a", "labels": [1]}).json()["new"] == 1
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    try:
        answer = send(app, "/feedback", {"id": "b", "labels": ["x" * 100] * 3000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (answer.status_code, answer.json()["error"]) == (503, "Unavailable")
    assert "none of them was" in answer.json()["message"]
    assert send(app, "/feedback", {"id": "a", "labels": [1]}).json()["same"] == 1
    assert send(app, "/feedback", {"id": "b", "labels": [2]}).json()["new"] == 1


def test_where_nothing_is_recorded_it_is_not_offered(folder: Path) -> None:
    road = Road(ServedModel.load(folder / "iris"))
    app = App(Front(Lineup(road, loaded={1: road}), Guard(tokens=[TOKEN])))
    assert send(app, "/feedback", {"id": "a", "labels": [1]}).status_code == 404


def test_the_document_describes_it(app: App) -> None:
    async def document() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=AUTH) as client:
            return (await client.get("/docs.json")).json()

    found = asyncio.run(document())
    operation = found["paths"]["/feedback"]["post"]
    assert set(operation["responses"]) == {"200", "401", "413", "415", "421", "422", "431", "503", "504"}
    assert found["components"]["schemas"]["FeedbackAnswer"]["required"] == ["new", "changed", "same", "unmatched"]
