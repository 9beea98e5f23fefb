"""autodeploy/proxy to real deployments: what comes through is what the port itself answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from certificates import certificate, new_key, write
from versions import NAMES, X, Y
from world import WAIT_S, World

BODY = json.dumps({"inputs": X[:3].tolist(), "outputs": ["predictions", "probabilities"]}).encode()
JSON = {"Content-Type": "application/json"}


async def served(world: World, **more: Any) -> str:
    """Serve iris; its URL."""
    status = await asyncio.to_thread(world.serve, world.version(), **more)
    return status.url


async def direct(world: World, method: str, path: str, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=WAIT_S, headers=world.headers(), verify=more.pop("verify", True)) as client:
        return await client.request(method, f"{world.supervisor.status('iris').url}{path}", **more)


@pytest.mark.parametrize("who", ["program", "page"])
async def test_predictions_are_those_of_the_port(ask: Any, world: World, who: str) -> None:
    await served(world)
    expected = (await direct(world, "POST", "/predict", content=BODY, headers=JSON)).json()
    answer = await ask("proxy/iris/predict", who=who, method="POST", body=BODY, headers=JSON)
    assert answer.code == 200
    found = json.loads(answer.body)
    assert found.pop("id") != expected.pop("id")
    assert found == expected
    assert found["predictions"] == list(NAMES[Y[:3]])
    for path in ("docs.json", "signature", "v2/models/iris", "readyz"):
        assert (
            json.loads((await ask(f"proxy/iris/{path}", who=who)).body or b"null")
            == (await direct(world, "GET", f"/{path}")).json()
        )


async def test_with_nothing_but_the_cookie_the_deployment_asks_for_its_token(ask: Any, world: World) -> None:
    await served(world)
    assert (await ask("proxy/iris/signature", who="cookie")).code == 401
    answer = await ask("proxy/iris/predict", who="cookie", method="POST", body=BODY, headers=JSON | world.headers())
    assert answer.code == 200
    page = await ask("proxy/iris/", who="cookie", headers={"Accept": "text/html"})
    assert page.code == 200
    assert b"<!doctype html>" in page.body


async def test_one_that_asks_for_no_token(ask: Any, world: World) -> None:
    await served(world, auth=False)
    origin = {"Origin": "null"}
    for who in ("program", "page"):
        assert (await ask("proxy/iris/predict", who=who, method="POST", body=BODY, headers=JSON)).code == 200
    assert (await ask("proxy/iris/predict", who="cookie", method="POST", body=BODY, headers=JSON)).code == 403
    assert (await ask("proxy/iris/predict", method="POST", body=BODY, headers=JSON | origin)).code in (403, 404)
    assert (await ask("proxy/iris/signature", who="cookie")).code == 200


async def test_one_with_a_certificate_of_its_own(ask: Any, world: World) -> None:
    url = await served(world, tls="auto")
    assert url.startswith("https://")
    answer = await ask("proxy/iris/predict", method="POST", body=BODY, headers=JSON)
    assert json.loads(answer.body)["predictions"] == list(NAMES[Y[:3]])
    write(world.store.tls_folder("iris") / "certificate.pem", certificate(new_key(), ["127.0.0.1"]))  # somebody else's
    answer = await ask("proxy/iris/predict", method="POST", body=BODY, headers=JSON)
    assert answer.code == 503
    assert "CERTIFICATE_VERIFY_FAILED" in json.loads(answer.body)["why"]


async def test_refusals_come_through(ask: Any, world: World) -> None:
    await served(world, settings={"max_body_bytes": 100_000})
    for body, code in ((b"{", 422), (b'{"inputs": "' + b"x" * 3_000_000 + b'"}', 413)):
        answer = await ask("proxy/iris/predict", method="POST", body=body, headers=JSON)
        assert answer.code == code
        assert json.loads(answer.body)["error"] == {422: "InvalidInputs", 413: "BodyTooLarge"}[code]
