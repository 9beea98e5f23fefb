"""A version as somebody else's server runs it: below a path, with tokens that it knows by their digests."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic import settings
from autodeploy_magic.contracts import Version, decode
from autodeploy_magic.errors import ArtifactChanged, Unauthorized
from autodeploy_magic.reservoir import Recorded, recent, recent_labelled
from autodeploy_magic.serve.http.digested import Digested
from autodeploy_magic.serve.mailbox import KEPT, Mailbox, fresh_rows
from autodeploy_magic.serve.redact import Redaction, record_key
from autodeploy_magic.serve.replica import Replica
from autodeploy_magic.supervisor.workers.remote_requests import RemoteRequests
from autodeploy_magic.supervisor.workers.remote_use import WAIT_S, RemoteUse
from autodeploy_magic.wire.digests import token_digest

TOKEN = "the-token"
SECRET = "the-keeper's"
KEEPS = {"authorization": f"Bearer {SECRET}"}
GOOD = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def settings_stay() -> Any:
    yield
    settings.reset()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_version(tmp_path / "model", LogisticRegression(max_iter=500).fit(X, NAMES[Y]), X)
    return tmp_path / "model"


def make(folder: Path, *, records: bool = False, **options: bool | float | str) -> Replica:
    replica = Replica(folder, number=1, worker=7, threads=1, options=options, records=records)
    replica.digests = (token_digest(TOKEN.encode()),)
    replica.keeper = token_digest(SECRET.encode())
    return replica


def version_of(folder: Path) -> Version:
    return decode(Version, (folder / "version.json").read_bytes(), source="version.json")


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


@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
def test_what_its_process_takes_is_measured_there_and_goes_with_the_rows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodeploy_magic.serve.usage.EVERY_S", 0.0)
    replica = make(folder)
    assert replica.used() == []  # before there is nothing to compare with
    used, began = time.process_time(), time.time()
    while time.process_time() - used < 0.4 or int(time.time()) == int(began):
        sum(range(1000))
    before = int(time.time())
    [row] = replica.used()
    assert row.cpu_s == pytest.approx(time.process_time() - used, abs=0.15)
    assert before - 1 <= row.second <= int(time.time()) - 1  # a second may begin in between
    resident = psutil.Process().memory_info().rss
    assert resident / 2 < row.rss_bytes < 2 * resident + 500e6  # and of what it started
    assert 10e6 < row.memory_bytes <= row.rss_bytes
    assert replica.used() == [row]  # a second that is told of already
    box = Mailbox()
    box.push("a", {"replica": "a", "used": [list(one) for one in replica.used()]}, [])
    later = msgspec.json.decode(msgspec.json.encode(box.pull("")["replicas"]))
    [summed] = RemoteUse().take(later, time.time() + WAIT_S)
    assert (summed.second, summed.memory_bytes) == (row.second, row.memory_bytes)
    replica._versions.close()
    shutil.rmtree(replica.file.parent)


async def collect(replica: Replica, box: Mailbox, count: int) -> str:
    """End the replica's second, and bring the `count` records to the mailbox; the key that it is told."""
    replica._record()
    async with asyncio.timeout(5.0):
        while replica.outbox.count < count:  # noqa: ASYNC110 - by another thread
            await asyncio.sleep(0.01)
    more, key = True, ""
    while more:
        more, key = replica.outbox.bring(
            lambda epoch, items: box.push_items("a", epoch, replica.unrecorded, items), 10_000
        )
    return key


def fetched(box: Mailbox, after: str = "", key: str = "") -> Any:
    """As the supervisor gets it."""
    answer = box.pull_items(after, 1_000_000, key)
    items = [(kind, msgspec.Raw(data)) for kind, data in answer["items"]]
    return msgspec.json.decode(msgspec.json.encode({**answer, "items": items}))


def test_what_is_recorded_of_requests_is_fetched_by_the_keeper_and_nothing_is_on_its_disk(
    folder: Path, tmp_path: Path
) -> None:
    async def go() -> None:
        replica, box = make(folder, records=True), Mailbox()
        asked: list[tuple[str, int, str]] = []

        async def pull_items(after: str, most: int, key: str) -> dict[str, Any]:
            asked.append((after, most, key))
            return box.pull_items(after, most, key)

        async with running(replica) as client:
            assert (await client.get("/-/recorded", headers=KEEPS)).status_code == 503
            replica.pull_items = pull_items
            answer = await client.post("/predict", json={"inputs": X[:2].tolist()}, headers=GOOD)
            await collect(replica, box, 1)
            given = {"id": answer.json()["id"], "labels": ["setosa", "virginica"]}
            told = await client.post("/feedback", json=given, headers=GOOD)
            assert told.json() == {"new": 2, "changed": 0, "same": 0, "unmatched": 2}
            replica.outbox.bring(lambda epoch, items: box.push_items("a", epoch, 0, items), 10_000)
            for headers in ({}, GOOD):  # clients have the token, and are not to read what others asked
                assert (await client.get("/-/recorded", headers=headers)).status_code == 401
            headers = {**KEEPS, "autodeploy-record-key": "ab"}
            got = await client.get("/-/recorded?after=e%3A3&most=5000", headers=headers)
            assert [kind for kind, _ in got.json()["items"]] == ["request", "label", "label"]
            assert asked == [("e:3", 5000, "ab")]
            replica.keeper = ""
            assert (await client.get("/-/recorded", headers=KEEPS)).status_code == 401
            assert [file.name for file in replica.file.parent.glob("requests*")] == []
            requests = RemoteRequests(tmp_path / "requests.sqlite", {})
            for _ in range(2):  # the answer may be lost on the way, or come twice
                assert requests.write(got.json()) == 0
        [found] = recent(tmp_path / "requests.sqlite", 10)
        assert (found.id, found.inputs) == (answer.json()["id"], [pytest.approx(row) for row in X[:2].tolist()])
        assert found.outputs["predictions"] == ["setosa", "setosa"]
        labelled = recent_labelled(tmp_path / "requests.sqlite", version_of(folder).signature, 10)
        assert {(one.row, one.label) for one in labelled} == {(0, "setosa"), (1, "virginica")}

    asyncio.run(go())


@pytest.mark.parametrize(
    ("records", "options", "count"),
    [
        (True, {}, 3),
        (True, {"record": "off"}, 0),
        (True, {"record_requests": 0}, 0),
        (True, {"record_share": 0.0}, 0),
        (False, {}, 0),
    ],
)
def test_what_is_kept_is_as_the_settings_have_it(
    folder: Path, records: bool, options: dict[str, Any], count: int
) -> None:
    async def go() -> None:
        replica, box = make(folder, records=records, **options), Mailbox()
        async with running(replica) as client:
            for _ in range(3):
                await client.post("/predict", json={"inputs": X[:1].tolist()}, headers=GOOD)
            told = await client.post("/feedback", json={"id": "x", "labels": ["y"]}, headers=GOOD)
            assert told.status_code == (200 if records else 404)
            await collect(replica, box, count + int(records))
        kinds = [kind for kind, _ in fetched(box)["items"]]
        assert (kinds.count("request"), kinds.count("label")) == (count, int(records))

    asyncio.run(go())


def test_hashes_are_made_with_the_key_of_the_deployment_and_wait_for_it(folder: Path, tmp_path: Path) -> None:
    hidden = {"record_hash": "0", "record_drop": "1", "record": "inputs"}
    file = tmp_path / "requests.sqlite"
    key = record_key(file)

    async def go() -> Any:
        replica, box = make(folder, records=True, **hidden), Mailbox()
        async with running(replica) as client:
            await client.post("/predict", json={"inputs": X[:1].tolist()}, headers=GOOD)
            assert await collect(replica, box, 0) == ""
            assert fetched(box, key=key.hex())["items"] == []
            replica.record_key = bytes.fromhex(await collect(replica, box, 0))
            replica._record()
            await client.post("/predict", json={"inputs": X[:1].tolist()}, headers=GOOD)
            await collect(replica, box, 1)
        return fetched(box)

    RemoteRequests(file, hidden).write(asyncio.run(go()))
    [found] = recent(file, 10)
    settings.reset()
    for name, value in hidden.items():
        settings.set_option(name, value)
    whole = Recorded(found.id, found.at_s, 1, 200, found.seconds, 1, (0,), X[:1].tolist(), {"predictions": ["setosa"]})
    here = Redaction.from_settings(file)  # of a worker on this machine
    assert here is not None
    expected = here.cleaned(whole, version_of(folder).signature)
    assert found.inputs == expected.inputs
    assert found.inputs[0][1] == "[dropped]"
    assert found.outputs == {}


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
