"""The versions of a worker: prepared aside, committed in one assignment, and let go of when nobody needs them."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Traffic
from autodeploy_magic.serve.control import Control
from autodeploy_magic.serve.http.app import App
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.http.mount import LazyBento
from autodeploy_magic.serve.lineup.orders import Commit, Place, Prepare
from autodeploy_magic.serve.lineup.versions import Versions

WAIT_S = 30.0


class Worker:
    """The parts of a worker that change versions, in this process: front, versions, control socket."""

    def __init__(self, folder: Path) -> None:
        self.versions = Versions()
        self.front = Front(self.versions.start(place(folder, 1), [], Traffic()), Guard(tokens=()))
        self.versions.attend(self.front)
        self.control = folder / "w.sock"
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(App(self.front)), base_url="http://localhost", timeout=WAIT_S
        )

    async def ask(self) -> int:
        """Which version answers."""
        answer = await self.http.post("/predict", json={"inputs": X[:1].tolist()})
        assert answer.status_code == 200
        return int(answer.json()["version"])


class Talk:
    """A supervisor's end of a conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def order(self, order: Prepare | Commit) -> dict[str, Any]:
        self.writer.write(msgspec.json.encode(order) + b"\n")
        async with asyncio.timeout(WAIT_S):
            return dict(msgspec.json.decode(await self.reader.readline()))


@asynccontextmanager
async def talk(worker: Worker) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_unix_connection(worker.control)
    assert b'"version":' in await reader.readline()
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


def place(folder: Path, number: int, bento: str = "") -> Place:
    return Place(number, str(folder / str(number)), bento)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, c in ((1, 1.0), (2, 0.1), (3, 0.01)):
        model = LogisticRegression(C=c, max_iter=1000).fit(X, NAMES[Y])
        write_version(tmp_path / str(number), model, X, number=number)
    return tmp_path


def with_worker(folder: Path, scenario: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        worker = Worker(folder)
        listening = socket.create_server(("127.0.0.1", 0))
        control = Control(worker.control, [listening], worker.versions.describe, worker.versions.change)
        try:
            await scenario(worker)
        finally:
            control.close()
            await worker.http.aclose()
            worker.versions.close()
            listening.close()

    asyncio.run(run())


async def until(condition: Callable[[], object], tick: Callable[[], None] = lambda: None) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            tick()
            await asyncio.sleep(0.01)


def test_prepared_is_not_served_and_committed_is(folder: Path) -> None:
    async def scenario(worker: Worker) -> None:
        async with talk(worker) as supervisor:
            assert "done" in await supervisor.order(Prepare(2, (place(folder, 1), place(folder, 2))))
            assert await worker.ask() == 1
            assert (await supervisor.order(Commit(2, Traffic())))["done"]["version"] == 2
            assert await worker.ask() == 2
        assert worker.versions.champion == 2
        assert set(worker.front.lineup.loaded) == {2}

    with_worker(folder, scenario)


def test_prepared_is_dropped_with_its_connection(folder: Path) -> None:
    async def scenario(worker: Worker) -> None:
        async with talk(worker) as supervisor:
            await supervisor.order(Prepare(2, (place(folder, 2),)))
        async with talk(worker) as supervisor:
            answer = await supervisor.order(Commit(2, Traffic()))
            assert "v2 is not loaded here" in answer["error"]["what"]
        assert await worker.ask() == 1

    with_worker(folder, scenario)


def test_what_cannot_be_loaded_changes_nothing(folder: Path) -> None:
    (folder / "2" / "model.onnx").write_bytes(b"other")
    native = LogisticRegression(max_iter=1000).fit(X, NAMES[Y])
    write_version(folder / "4", native, X, format="native", number=4)

    async def scenario(worker: Worker) -> None:
        async with talk(worker) as supervisor:
            answer = await supervisor.order(Prepare(2, (place(folder, 2),)))
            assert answer["error"]["error"] == "ArtifactChanged"
            answer = await supervisor.order(Prepare(4, (place(folder, 4),)))
            assert "v4 runs Python code" in answer["error"]["what"]
            answer = await supervisor.order(Prepare(5, (place(folder, 5),)))
            assert "FileNotFoundError" in answer["error"]["why"]
            supervisor.writer.write(b'{"order": "dance"}\n')
            assert b"error" in await supervisor.reader.readline()
        assert await worker.ask() == 1

    with_worker(folder, scenario)


def test_traffic_becomes_the_lineup(folder: Path) -> None:
    traffic = Traffic(canary=2, share=0.25, shadow=3)

    async def scenario(worker: Worker) -> None:
        async with talk(worker) as supervisor:
            await supervisor.order(Prepare(1, tuple(place(folder, number) for number in (1, 2, 3))))
            answer = await supervisor.order(Commit(1, traffic))
        assert msgspec.convert(answer["done"]["traffic"], Traffic) == traffic
        lineup = worker.front.lineup
        assert lineup.canary is not None
        assert (lineup.canary.version.number, lineup.share) == (2, 0.25)
        assert set(lineup.loaded) == {1, 2, 3}
        before = lineup.shadow
        async with talk(worker) as supervisor:  # the canary ends, and the shadow goes on comparing as it did
            await supervisor.order(Prepare(1, (place(folder, 1), place(folder, 3))))
            await supervisor.order(Commit(1, Traffic(shadow=3)))
        assert worker.front.lineup.shadow is before
        assert worker.front.lineup.canary is None

    with_worker(folder, scenario)


def test_what_was_replaced_goes_when_its_last_request_is_answered(folder: Path) -> None:
    async def scenario(worker: Worker) -> None:
        road = worker.front.lineup.champion
        model = weakref.ref(road.served._runner)
        begun = worker.front.open(
            "POST", b"/predict", [(b"host", b"localhost"), (b"content-type", b"application/json")]
        )
        assert begun is not None
        async with talk(worker) as supervisor:
            await supervisor.order(Prepare(2, (place(folder, 2),)))
            await supervisor.order(Commit(2, Traffic()))
        worker.versions.tick()
        answers: list[Any] = []
        body = msgspec.json.encode({"inputs": X[:1].tolist()})
        begun.finish(body, lambda _, answer: answers.append(answer))  # its body came after the swap
        await until(lambda: answers, worker.versions.tick)
        assert answers[0].status == 200
        assert msgspec.json.decode(answers[0].body)["version"] == 1
        del begun, road
        gc.disable()  # it goes by itself, and not when the collector happens to come by
        try:
            await until(lambda: model() is None, worker.versions.tick)
        finally:
            gc.enable()

    with_worker(folder, scenario)


def test_a_version_that_is_swapped_back_to_need_not_be_loaded_again(folder: Path) -> None:
    async def scenario(worker: Worker) -> None:
        first = worker.front.lineup.champion
        for number in (2, 1):
            async with talk(worker) as supervisor:
                await supervisor.order(Prepare(number, (place(folder, number),)))
                await supervisor.order(Commit(number, Traffic()))
        assert worker.front.lineup.champion is first
        worker.versions.tick()
        assert await worker.ask() == 1

    with_worker(folder, scenario)


def test_a_bento_that_is_loaded_keeps_its_process(folder: Path) -> None:
    async def scenario(worker: Worker) -> None:
        mount = LazyBento(folder / "nowhere")
        worker.versions._mount = mount
        async with talk(worker) as supervisor:
            assert "done" in await supervisor.order(Prepare(2, (place(folder, 2, "bento"),)))
            waiting = asyncio.create_task(mount.startup())  # a request for the Bento's app, in the middle of the swap
            await asyncio.sleep(0)
            assert mount._starting is None
            await supervisor.order(Commit(2, Traffic()))
            with pytest.raises(Exception, match="did not start"):  # there is none, and it is the new one
                await waiting
            assert mount._path == Path("bento")
            answer = await supervisor.order(Prepare(3, (place(folder, 3, "bento"),)))
            assert "has been loaded here" in answer["error"]["what"]
            # Traffic beside the same champion is nothing to a Bento.
            assert "done" in await supervisor.order(Prepare(2, (place(folder, 2), place(folder, 3))))

    with_worker(folder, scenario)


def test_a_bento_that_was_held_for_nothing_starts_after_all(folder: Path) -> None:
    async def scenario(worker: Worker) -> None:
        mount = worker.versions._mount = LazyBento(folder / "nowhere")
        async with talk(worker) as supervisor:
            await supervisor.order(Prepare(2, (place(folder, 2),)))
            waiting = asyncio.create_task(mount.startup())
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(Exception, match="did not start"):
                await waiting

    with_worker(folder, scenario)
