"""The outer app: what it answers, and each thing it refuses, over ASGI as a server would call it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from versions import X, write_version

from autodeploy_magic import settings
from autodeploy_magic.serve.http.app import App, make_app
from autodeploy_magic.serve.model import ServedModel

TOKEN = "a-token-of-the-test"
AUTH = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def app(version_folder: Path) -> App:
    return make_app(ServedModel.load(version_folder), token=TOKEN)


def send(app: App, method: str, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=AUTH if headers is None else headers, **body)

    return asyncio.run(exchange())


def post(app: App, **body: Any) -> httpx.Response:
    return send(app, "POST", "/predict", **body)


def test_predict(app: App, classifier: Any) -> None:
    response = post(app, json={"inputs": X[:3].tolist(), "outputs": ["predictions", "probabilities"]})
    assert response.status_code == 200
    answer = response.json()
    assert answer["predictions"] == classifier.predict(X[:3]).tolist()
    assert len(answer["probabilities"][0]) == 3
    assert answer["version"] == 1
    assert answer["id"] == response.headers["x-request-id"]


def test_many_rows_are_answered_off_the_loop(app: App, classifier: Any) -> None:
    assert post(app, json={"inputs": X.tolist()}).json()["predictions"] == classifier.predict(X).tolist()


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": f"Basic {TOKEN}"}],
)
@pytest.mark.parametrize("path", ["/predict", "/docs.json", "/metrics", "/nothing"])
def test_no_token_no_answer(app: App, headers: dict[str, str], path: str) -> None:
    response = send(app, "POST", path, headers=headers, json={"inputs": X[:1].tolist()})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


def test_health_needs_no_token(app: App) -> None:
    for path, word in (("/livez", "alive"), ("/readyz", "ready"), ("/healthz", "ready")):
        assert send(app, "GET", path, headers={}).json() == {"status": word}
    app.front.draining = True
    assert send(app, "GET", "/livez", headers={}).status_code == 200
    assert send(app, "GET", "/readyz", headers={}).status_code == 503


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"content": b'{"inputs": [[1, 2', "headers": {"content-type": "application/json"}}, 422, "body"),
        ({"content": b"\xff\xfe", "headers": {"content-type": "application/json"}}, 422, "body"),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 422, "body"),
        ({"content": b"", "headers": {"content-type": "application/json"}}, 422, "body"),
        ({"json": [[1, 2, 3, 4]]}, 422, "body"),
        ({"json": {"instances": [[1, 2, 3, 4]]}}, 422, "body"),
        ({"json": {"inputs": [[1, 2, 3, 4]], "extra": 1}}, 422, "body"),
        ({"json": {"inputs": [[1, 2, 3, 4]], "outputs": "probabilities"}}, 422, "body"),
        ({"json": {"inputs": [[1, 2, 3]]}}, 422, "inputs[0]"),
        ({"json": {"inputs": [[1, 2, 3, None]]}}, 422, "inputs[0][3]"),
        ({"json": {"inputs": [[1, 2, 3, 4]] * 10_001}}, 413, "inputs"),
        ({"data": {"inputs": "1"}}, 415, None),
        ({"content": b"x", "headers": {"content-type": "application/x-python-pickle"}}, 415, None),
        ({"content": b'{"inputs": [[1,2,3,4]]}', "headers": {}}, 415, None),
    ],
)
def test_what_is_refused(app: App, body: dict[str, Any], status: int, field: str | None) -> None:
    body = {**body, "headers": {**AUTH, **body.get("headers", {})}}
    response = post(app, **body)
    assert response.status_code == status, response.text
    answer = response.json()
    assert answer.get("field") == field
    assert answer["fix"]


def test_a_body_over_the_limit_is_refused_before_it_is_read(version_folder: Path) -> None:
    settings.set_option("max_body_bytes", 100)
    try:
        app = make_app(ServedModel.load(version_folder), token=TOKEN)
    finally:
        settings.reset()
    assert post(app, json={"inputs": X.tolist()}).status_code == 413

    async def chunks() -> Any:
        for _ in range(20):
            yield b"[1, 2, 3, 4], "

    response = post(app, content=chunks(), headers={**AUTH, "content-type": "application/json"})
    assert response.status_code == 413
    assert response.headers["connection"] == "close"


def test_paths_and_methods(app: App) -> None:
    assert send(app, "GET", "/predict").status_code == 405
    assert send(app, "GET", "/nothing").status_code == 404
    assert send(app, "POST", "/livez").status_code == 405


def test_a_model_that_raises_is_a_500_without_internals(tmp_path: Path, classifier: Any) -> None:
    def postprocess(y: Any) -> Any:
        if len(y) == 1:
            raise ValueError("/home/ann/secret")
        return y

    write_version(tmp_path, classifier, X, code={"postprocess": postprocess})
    response = post(make_app(ServedModel.load(tmp_path), token=TOKEN), json={"inputs": X[:1].tolist()})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["error"] == "ModelFailed"


def test_the_page_tells_nothing_without_the_token(app: App) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = send(app, "GET", "/", headers=browser)
    assert page.status_code == 200
    assert "iris" not in page.text
    assert "http" not in page.text.replace("<!doctype html>", "").split("<script")[0]  # no outside assets
    nonce = page.text.split('nonce="')[1].split('"')[0]
    assert f"script-src 'nonce-{nonce}'" in page.headers["content-security-policy"]
    assert nonce != send(app, "GET", "/", headers=browser).text.split('nonce="')[1].split('"')[0]
    assert send(app, "GET", "/", headers={}).json() == {"status": "alive"}
    assert send(app, "GET", "/signature", headers={}).status_code == 401
    about = send(app, "GET", "/signature").json()
    assert about["deployment"] == "iris"
    assert about["signature"]["columns"][0]["shape"] == [4]
    assert post(app, json={"inputs": about["sample"]}).status_code == 200


def test_draining_closes_connections(app: App) -> None:
    assert "connection" not in post(app, json={"inputs": X[:1].tolist()}).headers
    app.front.draining = True
    assert post(app, json={"inputs": X[:1].tolist()}).headers["connection"] == "close"


def test_every_answer_is_observed(version_folder: Path) -> None:
    seen: list[tuple[Any, ...]] = []
    app = make_app(ServedModel.load(version_folder), token=TOKEN, observe=lambda *answer: seen.append(answer))
    post(app, json={"inputs": X[:3].tolist()})
    post(app, json={"inputs": [[1]]})
    assert [(version, status, rows) for version, status, _, rows, _, _ in seen] == [(1, 200, 3), (1, 422, 0)]
    _, _, seconds, _, bytes_in, bytes_out = seen[0]
    assert seconds > 0
    assert bytes_in > 40
    assert bytes_out > 50
