"""A version as somebody else's server runs it: below a path, with tokens that it knows by their digests."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic import settings
from autodeploy_magic.errors import ArtifactChanged, Unauthorized
from autodeploy_magic.serve.http.digested import Digested
from autodeploy_magic.serve.mailbox import KEPT, Mailbox, fresh_rows
from autodeploy_magic.serve.replica import Replica
from autodeploy_magic.wire.digests import token_digest

TOKEN = "the-token"
GOOD = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def settings_stay() -> Any:
    yield
    settings.reset()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_version(tmp_path / "model", LogisticRegression(max_iter=500).fit(X, NAMES[Y]), X)
    return tmp_path / "model"


def make(folder: Path, **options: bool | float | str) -> Replica:
    replica = Replica(folder, number=1, worker=7, threads=1, options=options)
    replica.digests = (token_digest(TOKEN.encode()),)
    return replica


@asynccontextmanager
async def running(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it at http://host/iris, within its lifespan."""
    orders: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()
    life = asyncio.create_task(replica({"type": "lifespan"}, orders.get, said.put))
    orders.put_nowait({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    transport = httpx.ASGITransport(replica, root_path="/iris")
    async with httpx.AsyncClient(transport=transport, base_url="http://models.example.org/iris") as client:
        yield client
    orders.put_nowait({"type": "lifespan.shutdown"})
    await life


def test_it_answers_below_its_path_and_asks_for_the_token(folder: Path) -> None:
    async def go() -> None:
        replica = make(folder, max_rows=5)
        async with running(replica) as client:
            answer = await client.post("/predict", json={"inputs": X[:2].tolist()}, headers=GOOD)
            assert answer.json()["predictions"] == ["setosa", "setosa"]
            for headers in ({}, {"authorization": "Bearer other"}, {"authorization": f"Basic {TOKEN}"}):
                assert (await client.post("/predict", json={"inputs": []}, headers=headers)).status_code == 401
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.get("/v2/models/iris", headers=GOOD)).json()["versions"] == ["1"]
            assert (await client.post("/predict", json={"inputs": X[:6].tolist()}, headers=GOOD)).status_code == 413
            assert (await client.get("/nothing", headers=GOOD)).status_code == 404
            replica.digests = (token_digest(b"another"),)
            assert (await client.post("/predict", json={"inputs": [[1, 2, 3, 4]]}, headers=GOOD)).status_code == 401

    asyncio.run(go())


def test_what_it_records_is_fetched_with_the_token(folder: Path) -> None:
    async def go() -> None:
        replica = make(folder)
        box, asked = Mailbox(), []

        async def pull(after: str) -> dict[str, Any]:
            asked.append(after)
            return box.pull(after)

        ended: list[list[Any]] = []
        replica.ended = lambda: ended.append(fresh_rows(replica.file, {}))
        async with running(replica) as client:
            assert (await client.get("/-/rows", headers=GOOD)).status_code == 503
            replica.pull = pull
            for _ in range(3):
                await client.post("/predict", json={"inputs": X[:2].tolist()}, headers=GOOD)
            assert (await client.get("/-/rows")).status_code == 401
            answer = await client.get("/-/rows?after=epoch:3", headers=GOOD)
            assert answer.json() == box.pull("")
            assert asked == ["epoch:3"]
        [rows] = ended
        assert sum(values[3] for table, _, values in rows if table == "rollups") == 3
        assert {values[1] for _, _, values in rows} == {7}
        assert not replica.file.parent.exists()

    asyncio.run(go())


def test_a_model_that_was_changed_does_not_start_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (folder / "model.onnx").write_bytes(b"something else")
    with pytest.raises(ArtifactChanged):
        make(folder)
    assert list(scratch.iterdir()) == []


def test_a_guard_without_digests_lets_nobody_in() -> None:
    guard = Digested()
    assert guard.asks
    for headers in ({}, {b"authorization": b"Bearer "}, {b"authorization": b"Bearer x"}):
        with pytest.raises(Unauthorized):
            guard.authorize(headers)
    guard.digests = (token_digest(b"x"), token_digest(b"y"))
    for given in (b"Bearer x", b"bearer  y "):
        guard.authorize({b"authorization": given})
    with pytest.raises(Unauthorized):
        guard.authorize({b"authorization": b"Bearer " + token_digest(b"x").encode()})


def test_rows_are_given_once_and_counted_where_they_were_given_up() -> None:
    box = Mailbox()
    rows = [("rollups", number, [number]) for number in (1, 2, 3)]
    box.push("a", {"worker": 1}, rows)
    box.push("a", {"worker": 1}, rows)  # its answer was lost on the way
    box.push("b", {"worker": 2}, [("rollups", 1, [10]), ("firsts", 1, [11])])
    first = box.pull("")
    assert first["rows"] == [["rollups", 1], ["rollups", 2], ["rollups", 3], ["rollups", 10], ["firsts", 11]]
    assert first["replicas"] == [{"worker": 1}, {"worker": 2}]
    assert box.pull(first["cursor"])["rows"] == []
    assert box.pull("another:3")["rows"] == first["rows"]
    assert box.pull("nonsense")["rows"] == first["rows"]
    box.push("a", {}, [("rollups", number, [number]) for number in range(4, KEPT + 9)])
    answer = box.pull(first["cursor"])
    assert answer["lost"] == 5
    assert answer["more"]
    assert len(box.pull(answer["cursor"])["rows"]) == len(answer["rows"])


def test_only_new_rows_of_a_file_are_brought(tmp_path: Path) -> None:
    assert fresh_rows(tmp_path / "none.sqlite", {}) == []
    file = tmp_path / "metrics.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE other (x)")
    assert fresh_rows(file, {}) == []
    connection.execute("CREATE TABLE rollups (x)")
    connection.execute("CREATE TABLE firsts (x)")
    connection.executemany("INSERT INTO rollups VALUES (?)", [(1,), (2,), (3,)])
    connection.commit()
    connection.close()
    assert fresh_rows(file, {"rollups": 1}) == [("rollups", 2, [2]), ("rollups", 3, [3])]
