"""A deployment whose workers are replicas elsewhere: against a dashboard that was recorded, and a port that answers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from dashboards import Recorded, recorded
from recordings import SIGNATURE
from recordings import recorded as request
from sklearn.linear_model import LogisticRegression
from versions import X, Y, write_version

from autodeploy_magic.address import address_of, url_of
from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption, StartFailed
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.reservoir import Label, recent, recent_labelled
from autodeploy_magic.serve import outbox
from autodeploy_magic.serve.mailbox import Mailbox
from autodeploy_magic.serve.outbox import Outbox
from autodeploy_magic.serve.redact import record_key
from autodeploy_magic.ship.ray.words import standing
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.workers.remote import RemoteGeneration, RemoteLaunch
from autodeploy_magic.supervisor.workers.remote_requests import MOST_BYTES, RemoteRequests
from autodeploy_magic.supervisor.workers.remote_rows import RemoteRows, fetch_rows
from autodeploy_magic.wire.digests import token_digest

WAIT_S = 20.0


class Proxy:
    """Where Ray's proxy would be: it answers for the replicas' rows alone."""

    def __init__(self) -> None:
        self.box = Mailbox()
        self.asked: list[tuple[str, str]] = []
        self.keys: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.asked.append((self.path, self.headers["authorization"]))
                if "/-/recorded?" in self.path:
                    body = proxy.recorded(self.path, self.headers.get("autodeploy-record-key", ""))
                else:
                    body = json.dumps(proxy.box.pull(self.path.partition("after=")[2])).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def recorded(self, path: str, key: str) -> bytes:
        """As a replica answers; see its tests."""
        self.keys.append(key)
        query = dict(parse_qsl(urlsplit(path).query))
        answer = self.box.pull_items(query.get("after", ""), int(query["most"]), key)
        items = [(kind, msgspec.Raw(data)) for kind, data in answer["items"]]
        return msgspec.json.encode({**answer, "items": items})

    def record(self, out: Outbox, replica: str = "a") -> None:
        """Bring what a replica recorded."""
        while out.bring(lambda epoch, items: self.box.push_items(replica, epoch, out.lost, items), 10_000)[0]:
            pass

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


@pytest.fixture
def cluster(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    with Recorded(token="the-cluster's") as server:
        monkeypatch.setenv("RAY_AUTH_TOKEN", server.token)
        server.state = recorded("theirs")
        server.state["http_options"]["port"] = proxy.port
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "home")
    for c in (1.0, 0.1):
        with store.building("iris"), store.staging("iris") as staging:
            number = store.next_number("iris")
            model = LogisticRegression(C=c, max_iter=500).fit(X, Y)
            store.commit(write_version(staging, model, X, number=number), staging)
    return store


def row(requests: int, worker: int = 1) -> list[Any]:
    counts = [requests, requests, 0, 0, 10, 10, 0]
    return [1_700_000_000, worker, 1, *counts, 0.5, 0.0, '{"-300":1}', '{"200":1}', 1, 0.0, 0.1, '{"1":1}', 0, 1]


class Watched:
    """A generation, and what it told."""

    def __init__(self, store: Store, desired: Desired, number: int = 1) -> None:
        self.changes = 0
        self.notes: list[str] = []
        launch = RemoteLaunch(store, desired, store.version("iris", desired.version), number)
        self.generation = RemoteGeneration(launch, self._changed, self._note)

    def _changed(self) -> None:
        self.changes += 1

    def _note(self, kind: str, text: str, _: str) -> None:
        self.notes.append(f"{kind}: {text}")


async def until(true: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - what others do, in threads of their own
            await asyncio.sleep(0.02)


def test_it_runs_is_watched_and_taken_away(cluster: Recorded, proxy: Proxy, store: Store) -> None:
    async def go() -> None:
        desired = Desired(name="iris", version=1, executable="", target="ray", address=cluster.address)
        watched = Watched(store, desired)
        generation = watched.generation
        found = await generation.start(lambda _: None)
        assert found.url == f"http://127.0.0.1:{proxy.port}/iris"
        [worker] = generation.workers
        assert worker.state.boot_id.startswith("ray:")
        generation.serve()
        took = [1_700_000_000, 1.0, 1, 0.75, 90_000_000, 120_000_000, 5, 9, -1, -1, None, None]
        proxy.box.push("a", {"replica": "a", "used": [took]}, [("rollups", 1, row(5))])
        recorded_there = Outbox()
        recorded_there.write([request("r1", at_s=time.time())])
        proxy.record(recorded_there)
        await until(lambda: proxy.box.pull("")["cursor"] == RemoteRows(store.metrics_file("iris")).cursor())
        await until(lambda: len(recent(store.requests_file("iris"), 10)) == 1)
        used: list[Resources] = []
        await until(lambda: used.extend(generation.take_used()) or used)
        assert [one[:6] for one in used] == [(1_700_000_000, 1.0, 1, 0.75, 90_000_000, 120_000_000)]
        config = cluster.state["applications"]["iris"]["deployed_app_config"]["deployments"][0]["user_config"]
        assert config["keeper"] in {token_digest(given.removeprefix("Bearer ").encode()) for _, given in proxy.asked}
        path, token = proxy.asked[0]
        assert path.startswith("/iris/-/rows?after=")
        assert token == f"Bearer {store.token('iris')}"
        with pytest.raises(InvalidOption, match="is a replica in a Ray cluster"):
            await generation.replace(worker.pid)
        new = store.rotate_token("iris")
        await until(lambda: _digests(cluster) == [token_digest(new.encode())])
        deployment = cluster.state["applications"]["iris"]["deployments"]["model"]
        deployment["replicas"] = []
        cluster.state["applications"]["iris"] |= {"status": "UNHEALTHY", "message": "replicas keep dying"}
        await until(lambda: generation.gap == "replicas keep dying")
        assert generation.workers == []
        assert any(note.startswith("worker_died: replica ") for note in watched.notes)
        await generation.hang_up()
        assert list(cluster.state["applications"]) == ["theirs"]

    asyncio.run(go())


def test_a_supervisor_that_starts_anew_declares_the_very_same(cluster: Recorded, store: Store) -> None:
    async def go() -> None:
        desired = Desired(name="iris", version=1, executable="", target="ray", address=cluster.address, workers=2)
        await Watched(store, desired).generation.start(lambda _: None)
        await Watched(store, desired, 2).generation.start(lambda _: None)
        assert cluster.put[0] == cluster.put[1]
        other = Watched(store, Desired(name="iris", version=2, executable="", target="ray", address=cluster.address))
        await other.generation.start(lambda _: None)
        assert standing(cluster.state, "iris").version == 2

    asyncio.run(go())


def test_one_that_was_replaced_is_left_and_one_elsewhere_that_is_gone_is_noted(cluster: Recorded, store: Store) -> None:
    async def go() -> None:
        desired = Desired(name="iris", version=1, executable="", target="ray", address=cluster.address)
        watched = Watched(store, desired)
        await watched.generation.start(lambda _: None)
        watched.generation.superseded = True
        await watched.generation.drain()
        assert watched.generation.accepts_no_more.is_set()
        assert "iris" in cluster.state["applications"]
        again = Watched(store, desired)
        await again.generation.start(lambda _: None)
        cluster.token = "changed meanwhile"
        await again.generation.drain()
        assert any("it may still be in the cluster" in note for note in again.notes)

    asyncio.run(go())


def test_what_does_not_start_says_what_ray_said(cluster: Recorded, store: Store) -> None:
    cluster.outcome = ("DEPLOY_FAILED", recorded("failed")["applications"]["iris"]["message"])
    desired = Desired(name="iris", version=1, executable="", target="ray", address=cluster.address)
    with pytest.raises(StartFailed, match="does not run in the Ray cluster") as raised:
        asyncio.run(Watched(store, desired).generation.start(lambda _: None))
    assert "no-such-thing is not installed" in raised.value.why
    assert list(cluster.state["applications"]) == ["theirs"]


def test_rows_are_written_once_whoever_fetches_them(proxy: Proxy, tmp_path: Path) -> None:
    rows = RemoteRows(tmp_path / "metrics.sqlite")
    url = f"http://127.0.0.1:{proxy.port}/iris"
    assert rows.cursor() == ""
    first = [1_700_000_000, 1, 1, 0.25, '{"-300":1}']
    proxy.box.push("a", {}, [("rollups", 1, row(5)), ("firsts", 1, first), ("newer", 1, [1])])
    for _ in range(2):
        rows.write(fetch_rows(url, "t", rows.cursor()))
        rows = RemoteRows(tmp_path / "metrics.sqlite")  # as another supervisor
    proxy.box.push("a", {}, [("rollups", 2, row(6, worker=2))])
    rows.write(fetch_rows(url, "t", rows.cursor()))
    with sqlite3.connect(tmp_path / "metrics.sqlite") as connection:
        assert connection.execute("SELECT sum(requests), count(*) FROM rollups").fetchone() == (11, 2)
        assert connection.execute("SELECT requests FROM totals").fetchone() == (11,)
        assert connection.execute("SELECT count(*) FROM firsts").fetchone() == (1,)
    connection.close()
    proxy.box = Mailbox()  # its node died
    proxy.box.push("a", {}, [("rollups", 3, row(7))])
    rows.write(fetch_rows(url, "t", rows.cursor()))
    assert rows.cursor() == proxy.box.pull("")["cursor"]
    with pytest.raises(OSError, match="Connection"):
        fetch_rows("http://127.0.0.1:1/iris", "t", "")


def test_requests_and_labels_are_written_once_and_those_given_up_are_counted(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, url, one, other = tmp_path / "requests.sqlite", f"http://127.0.0.1:{proxy.port}/iris", Outbox(), Outbox()
    requests = RemoteRequests(file, {})
    assert requests.fetch(url) == 0
    assert not file.exists()  # nothing was recorded
    now = time.time()
    whole = {
        "r1": request("r1", at_s=now - 60),
        "r2": request("r2", at_s=now - 50, status=500, error="it failed", body="{}"),
    }
    one.write(list(whole.values()))
    other.add([Label("r1", 0, "newer"), Label("r1", 1, 2**70)], now - 20)
    one.add([Label("r1", 0, "older")], now - 30)
    proxy.record(other, "b")
    proxy.record(one)
    first = proxy.box.pull_items("", MOST_BYTES, "")["cursor"]
    for _ in range(2):
        assert requests.fetch(url) == 0
        assert requests.cursor() == first
        requests = RemoteRequests(file, {})  # as another supervisor
    assert {each.id: each for each in recent(file, 10)} == whole
    labelled = {(each.row, each.label) for each in recent_labelled(file, SIGNATURE, 10)}
    assert labelled == {(0, "newer"), (1, float(2**70))}
    monkeypatch.setattr(outbox, "MOST_BYTES", 0)
    one.write([request("too much")])
    proxy.record(one)
    assert requests.fetch(url) == 1
    proxy.box = Mailbox()  # its node died; it has to be told again
    assert requests.fetch(url) == 0
    one.lost += 2
    proxy.record(one)
    assert requests.fetch(url) == 2
    assert requests.lost() == 3
    assert all(key == "" for key in proxy.keys)
    [given] = {given for path, given in proxy.asked if "/-/recorded?" in path}
    assert token_digest(given.removeprefix("Bearer ").encode()) == requests.keeper()
    assert record_key(file).hex() not in given
    assert RemoteRequests(file, {"record_hash": "age"}).fetch(url) == 0
    assert proxy.keys[-1] == record_key(file).hex()


def test_what_is_fetched_stays_within_the_limits_of_the_deployment(proxy: Proxy, tmp_path: Path) -> None:
    file, url, one = tmp_path / "requests.sqlite", f"http://127.0.0.1:{proxy.port}/iris", Outbox()
    one.write([request(f"old{i}", at_s=time.time() - 5 * 86400.0) for i in range(3)])
    one.write([request("new", at_s=time.time())])
    proxy.record(one)
    RemoteRequests(file, {"record_days": 4.0}).fetch(url)
    assert [each.id for each in recent(file, 10)] == ["new"]


def test_a_replica_that_records_nothing_of_requests_is_said_once(
    cluster: Recorded, proxy: Proxy, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        desired = Desired(name="iris", version=1, executable="", target="ray", address=cluster.address)
        watched = Watched(store, desired)
        await watched.generation.start(lambda _: None)
        proxy.recorded = lambda *_: b"no JSON"  # type: ignore[method-assign]
        for requests in (5, 6):
            proxy.box.push("a", {}, [("rollups", requests, row(requests))])
            watched.generation._fetch()
            assert RemoteRows(store.metrics_file("iris")).cursor() == proxy.box.pull("")["cursor"]
        await watched.generation.hang_up()

    asyncio.run(go())
    assert caplog.text.count("what was recorded of requests is not here yet") == 1


def test_its_address_has_a_path() -> None:
    desired = Desired(name="iris", version=1, executable="", target="ray", url="http://head.example:8000/iris")
    assert url_of(desired) == "http://head.example:8000/iris"
    address = address_of(desired)
    assert (address.host, address.port, address.path) == ("head.example", 8000, "/iris")
    assert address.authority == "head.example:8000"
    assert url_of(Desired(name="iris", version=1, executable="", target="ray", port=4000)) == ""


def _digests(cluster: Recorded) -> list[str]:
    config = cluster.state["applications"]["iris"]["deployed_app_config"]
    digests: list[str] = config["deployments"][0]["user_config"]["digests"]
    return digests
