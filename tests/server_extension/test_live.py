"""The WebSocket autodeploy/live."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import msgspec
import pytest
from standin import StandIn, beginning
from tornado.httpclient import HTTPClientError
from tornado.websocket import WebSocketClientConnection
from world import World, until

from autodeploy_magic.live import Event, Message
from autodeploy_magic.server_extension import feed
from autodeploy_magic.server_extension.backend import Backend
from autodeploy_magic.server_extension.live import TRY_AGAIN
from autodeploy_magic.supervisor.client import connect


async def heard(socket: WebSocketClientConnection) -> Message:
    text = await asyncio.wait_for(socket.read_message(), 15)
    assert isinstance(text, str), f"closed: {socket.close_code} {socket.close_reason}"
    return msgspec.json.decode(text, type=Message)


async def first(socket: WebSocketClientConnection, field: str) -> Any:
    """The next message of that kind; those between are let pass."""
    while (found := getattr(await heard(socket), field)) is None:
        pass
    return found


async def threads_end() -> None:
    await asyncio.to_thread(until, lambda: "autodeploy-live" not in {thread.name for thread in threading.enumerate()})


async def test_one_message_a_frame(jp_ws_fetch: Any, stand_in: StandIn) -> None:
    stand_in.say(*beginning("iris"))
    socket = await jp_ws_fetch("autodeploy", "live")
    assert [await heard(socket) for _ in range(3)] == beginning("iris")
    late = await jp_ws_fetch("autodeploy", "live", params={"names": "iris"})
    assert [await heard(late) for _ in range(3)] == beginning("iris")
    await socket.write_message("what a page says is not listened to")
    socket.close()
    late.close()
    await stand_in.ended()
    assert stand_in.streams == 1


async def test_names_are_checked(jp_ws_fetch: Any, stand_in: StandIn) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("autodeploy", "live", params={"names": "iris,../x"})
    assert refused.value.code == 400
    assert stand_in.streams == 0


async def test_a_slow_page_is_sent_away_to_begin_anew(
    jp_ws_fetch: Any, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_WAITING", 100)
    stand_in.say(*beginning("iris"))
    slow = await jp_ws_fetch("autodeploy", "live")
    quick = await jp_ws_fetch("autodeploy", "live")
    event = Message(event=Event(id=1, name="iris", at_s=1.0, kind="failed", text="x" * 100_000))
    count = 600
    for _ in range(count):
        stand_in.say(event)
        assert await first(quick, "event") is not None
    told = 0
    while await asyncio.wait_for(slow.read_message(), 15) is not None:
        told += 1
    assert told < count
    assert slow.close_code in (TRY_AGAIN, None)  # None: it was cut off, having not even read that
    again = await jp_ws_fetch("autodeploy", "live")
    assert [await heard(again) for _ in range(3)] == beginning("iris")
    again.close()
    quick.close()
    await stand_in.ended()


# --- over the real supervisor


async def test_no_supervisor_runs_and_none_is_started(jp_ws_fetch: Any, jp_serverapp: Any, store: Any) -> None:
    socket = await jp_ws_fetch("autodeploy", "live")
    assert await heard(socket) == Message(glances=())
    assert await heard(socket) == Message(beat=True)
    assert not store.supervisor_file.exists()
    assert jp_serverapp.web_app.settings[Backend.SETTING].store.home == store.home
    socket.close()
    await threads_end()


async def test_points_arrive_and_deployments_come_and_go(jp_ws_fetch: Any, ask: Any, world: World) -> None:
    socket = await jp_ws_fetch("autodeploy", "live")
    assert (await heard(socket)).hello is not None
    assert await first(socket, "glances") == ()
    await asyncio.to_thread(world.serve, world.version())
    while not any(glance.status.state == "running" for glance in await first(socket, "glances")):
        pass
    await asyncio.to_thread(world.predict)
    while not (await first(socket, "point")).v[0]:
        pass
    last = (await ask("api/deployments/iris", method="DELETE")).body.splitlines()[-1]
    assert json.loads(last) == {"result": None}
    assert await first(socket, "gone") == ("iris",)
    socket.close()
    await threads_end()


async def test_the_supervisor_is_killed_while_a_page_watches(jp_ws_fetch: Any, world: World) -> None:
    await asyncio.to_thread(world.serve, world.version())
    socket = await jp_ws_fetch("autodeploy", "live")
    assert [glance.status.name for glance in await first(socket, "glances")] == ["iris"]
    await asyncio.to_thread(world.kill_supervisor)
    while await first(socket, "glances") != ():  # what changed meanwhile comes first, if anything did
        pass
    supervisor = await asyncio.to_thread(connect, world.store)
    assert (await first(socket, "hello")).release
    (glance,) = await first(socket, "glances")
    assert glance.status.name == "iris"
    assert supervisor.status("iris").url
    socket.close()
    await threads_end()
