"""bentoml's own clients, which know of the service what its /schema.json says."""

from __future__ import annotations

import asyncio

import bentoml
import pytest
from bentoml.exceptions import BentoMLException
from deployed import PEOPLE, Deployed
from versions import X

from autodeploy_magic.wire import to_request


def test_sync_client(iris: Deployed) -> None:
    with bentoml.SyncHTTPClient(iris.url, token=iris.token, server_ready_timeout=60) as client:
        assert client.is_ready()
        answer = client.predict(inputs=X[:5].tolist(), outputs=["predictions", "probabilities"])
        assert answer["predictions"] == iris.model.predict(X[:5]).tolist()
        assert len(answer["probabilities"]) == 5
        assert client.predict(inputs=X[:1].tolist())["version"] == 1
        with pytest.raises(BentoMLException, match=r"inputs\[0\]"):
            client.predict(inputs=[[1, 2, 3]])


def test_async_client_with_a_table(people: Deployed) -> None:
    async def exchange() -> list[str]:
        async with bentoml.AsyncHTTPClient(people.url, token=people.token, server_ready_timeout=60) as client:
            assert await client.is_ready()
            return list((await client.predict(inputs=to_request(PEOPLE[:20])))["predictions"])

    assert asyncio.run(exchange()) == people.model.predict(PEOPLE[:20]).tolist()


def test_without_the_token(iris: Deployed) -> None:
    with pytest.raises(BentoMLException, match="Failed to fetch schema"):
        bentoml.SyncHTTPClient(iris.url, server_ready_timeout=60)
