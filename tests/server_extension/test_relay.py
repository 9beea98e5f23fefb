"""autodeploy/api: calls of the supervisor, over the real one where nothing has to be timed."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from world import World

from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import StartFailed
from autodeploy_magic.server_extension import calls
from autodeploy_magic.server_extension.relay import MAX_BODY_BYTES
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect


def lines(answer: Any) -> list[dict[str, Any]]:
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


@pytest.mark.parametrize("who", ["program", "page", "cookie"])
async def test_what_there_is_can_be_looked_at(ask: Any, world: World, who: str) -> None:
    await asyncio.to_thread(world.serve, world.version())
    answer = await ask("api/glances", who=who)
    assert answer.code == 200
    ((glance,),) = (line["result"] for line in lines(answer))
    assert glance["status"]["name"] == "iris"
    assert glance["status"]["state"] == "running"


async def test_progress_comes_before_the_result(ask: Any, world: World) -> None:
    await asyncio.to_thread(world.serve, world.version())
    before = world.supervisor.status("iris").workers
    *steps, last = lines(await ask("api/deployments/iris/restart", method="POST", body=b"{}"))
    assert [step["progress"]["state"] for step in steps if "progress" in step].count("done") >= 1
    assert last["result"]["state"] == "running"
    after = world.supervisor.status("iris").workers
    assert {worker.pid for worker in after}.isdisjoint(worker.pid for worker in before)


async def test_an_error_of_the_supervisor_is_the_last_line(ask: Any, world: World) -> None:
    answer = await ask("api/deployments/iris/restart", method="POST", body=b"")
    assert answer.code == 200
    error = lines(answer)[-1]["error"]
    assert error["error"] == "UnknownDeployment"
    assert "iris" in error["what"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "jobs"),
        ("POST", "shutdown"),
        ("POST", "warm"),
        ("POST", "deployments"),
        ("POST", "activities"),
        ("GET", "live"),
        ("GET", "secrets"),
        ("POST", "deployments/iris/nonsense"),
        ("DELETE", "deployments/iris/restart"),
        ("GET", "deployments/iris/../../jobs"),
        ("GET", ""),
    ],
)
async def test_what_a_page_may_not_ask_is_refused(ask: Any, world: World, method: str, path: str) -> None:
    answer = await ask(f"api/{path}", method=method, body=b"{}" if method == "POST" else None)
    assert lines(answer)[-1]["error"]["error"] == "InvalidOption"
    assert world.supervisor.ping()


@pytest.mark.parametrize("name", ["Iris", "..", "a%2Fb", "%69ris", "x" * 41])
async def test_what_is_no_name_is_not_passed_on(ask: Any, stand_in: Any, name: str) -> None:
    answer = await ask(f"api/deployments/{name}/stop", method="POST", body=b"")
    assert answer.code == 400
    assert lines(answer)[-1]["error"]["error"] == "InvalidName"
    assert stand_in.calls == []


async def test_other_methods_are_not_there(ask: Any, stand_in: Any) -> None:
    answer = await ask("api/deployments/iris", method="PUT", body=b"")
    assert answer.code == 405
    assert lines(answer)[-1]["error"]["error"] == "MethodNotAllowed"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "InvalidOption"),
        (b"[1]", 400, "InvalidOption"),
        (b"\xff", 400, "InvalidOption"),
        (b'{"a":"' + b"x" * MAX_BODY_BYTES + b'"}', 413, "BodyTooLarge"),
    ],
)
async def test_a_body_that_is_no_call(ask: Any, stand_in: Any, body: bytes, status: int, kind: str) -> None:
    answer = await ask("api/deployments/iris/scale", method="POST", body=body)
    assert answer.code == status
    assert lines(answer)[-1]["error"]["error"] == kind
    assert stand_in.calls == []


async def test_a_body_of_no_declared_length_is_bounded_too(ask: Any, stand_in: Any) -> None:
    async def produce(write: Any) -> None:
        for _ in range(8):
            await write(b" " * (MAX_BODY_BYTES // 4))

    answer = await ask("api/deployments/iris/scale", method="POST", body_producer=produce)
    assert answer.code == 413
    assert stand_in.calls == []


async def test_the_call_arrives_as_it_was_sent_without_what_is_jupyters(ask: Any, stand_in: Any) -> None:
    for result in ("series", "scaled"):
        stand_in.steps.put(result)
    query = "seconds=300&token=&no_track_activity=1&points=100"
    (line,) = lines(await ask(f"api/deployments/iris/series?{query}"))
    assert line == {"result": "series"}
    (line,) = lines(await ask("api/deployments/iris/scale", method="POST", body=b'{"workers": 2}'))
    assert line == {"result": "scaled"}
    assert stand_in.calls == [
        ("GET", "/deployments/iris/series?seconds=300&points=100", None),
        ("POST", "/deployments/iris/scale", {"workers": 2}),
    ]


async def test_each_line_comes_when_it_is_said_and_beats_between(
    ask: Any, stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "BEAT_S", 0.05)
    came: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def chunk(data: bytes) -> None:
        for line in data.splitlines():
            came.put_nowait(json.loads(line))

    asking = asyncio.ensure_future(ask("api/deployments/iris/start", method="POST", body=b"", streaming_callback=chunk))
    assert await asyncio.wait_for(came.get(), 10) == {"beat": True}
    stand_in.steps.put(Progress(step="start", state="started"))
    while (line := await asyncio.wait_for(came.get(), 10)) == {"beat": True}:
        pass
    assert line["progress"]["step"] == "start"
    assert not asking.done()
    stand_in.steps.put(StartFailed("the worker did not start", why="it said no", fix="try again"))
    await asking
    while (line := came.get_nowait()) == {"beat": True}:
        pass
    assert line["error"]["why"] == "it said no"


async def test_a_mistake_of_ours_reaches_the_person(ask: Any, stand_in: Any) -> None:
    stand_in.steps.put(ZeroDivisionError("oh"))
    (line,) = lines(await ask("api/deployments/iris/start", method="POST", body=b""))
    assert "ZeroDivisionError: oh" in line["error"]["what"]


async def test_a_page_that_goes_leaves_the_change_to_the_supervisor_and_no_thread_behind(
    browser: Any, jp_http_port: int, jp_base_url: str, stand_in: Any
) -> None:
    headers = await browser.headers("program")
    reader, writer = await asyncio.open_connection("127.0.0.1", jp_http_port)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(
        f"POST {jp_base_url}autodeploy/api/deployments/iris/start HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: 0\r\n{head}\r\n".encode()
    )
    stand_in.steps.put(Progress(step="one", state="started"))
    assert b"200" in await asyncio.wait_for(reader.readline(), 10)
    await asyncio.wait_for(reader.readuntil(b'"one"'), 10)
    writer.close()
    await writer.wait_closed()
    (thread,) = stand_in.threads
    while thread.is_alive():
        stand_in.steps.put(Progress(step="two", state="started"))  # it hears of nothing else
        await asyncio.sleep(0.02)


# --- where no supervisor runs


async def test_looking_starts_no_supervisor(ask: Any, home: Path) -> None:
    (line,) = lines(await ask("api/glances"))
    assert line["error"]["error"] == "SupervisorFailed"
    assert "no supervisor runs" in line["error"]["what"]
    assert line["error"]["fix"]
    assert not Store(home).supervisor_file.exists()


async def test_changing_what_is_not_there_starts_none_either(ask: Any, home: Path) -> None:
    for method, path in (("POST", "deployments/iris/start"), ("DELETE", "deployments/iris")):
        (line,) = lines(await ask(f"api/{path}", method=method, body=b"" if method == "POST" else None))
        assert line["error"]["error"] == "SupervisorFailed"
    assert not Store(home).supervisor_file.exists()


async def test_changing_a_deployment_that_exists_brings_its_supervisor_back(ask: Any, world: World) -> None:
    await asyncio.to_thread(world.serve, world.version())
    await asyncio.to_thread(world.kill_supervisor)
    *_, line = lines(await ask("api/deployments/iris/stop", method="POST", body=b""))
    assert line["result"]["state"] == "stopped"
    assert connect(world.store, start=False).status("iris").state == "stopped"


async def test_a_state_folder_that_cannot_be_used_is_told(ask: Any, home: Path) -> None:
    await asyncio.to_thread(home.write_text, "no folder")
    (line,) = lines(await ask("api/glances"))
    assert line["error"]["what"]
    await asyncio.to_thread(home.unlink)


# --- what keeps a server awake


async def test_a_page_left_open_does_not_keep_the_server_awake(ask: Any, stand_in: Any, jp_serverapp: Any) -> None:
    settings = jp_serverapp.web_app.settings
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    await ask("api/hello")
    settings["api_last_activity"] = long_ago
    for _ in range(2):
        stand_in.steps.put("done")
    await ask("api/glances")
    assert settings["api_last_activity"] == long_ago
    await ask("api/deployments/iris/stop", method="POST", body=b"")
    assert settings["api_last_activity"] > long_ago
