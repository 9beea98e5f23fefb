"""What a panel asks over its comm, answered by the real supervisor; and the live stream, to those who watch."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from world import World, until

from autodeploy_magic.notebook import relay as relays
from autodeploy_magic.notebook.relay import Relay
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = pytest.mark.timeout(120)


class Panel:
    """A panel's end of the comm: asks, and keeps what it is told."""

    def __init__(self, store: Store, name: str = "iris") -> None:
        self.told: list[dict[str, Any]] = []
        self.relay = Relay(lambda: name, store, lambda told: self.told.append(json.loads(json.dumps(told))))

    def ask(self, method: str, path: str, body: Any = None, *, call: str = "1") -> None:
        self.relay.receive({"id": call, "call": {"method": method, "path": path, "body": body}})

    def answer(self, call: str = "1") -> dict[str, Any]:
        """Wait for what ends a call."""
        until(lambda: self.ended(call))
        return self.ended(call)[0]

    def ended(self, call: str) -> list[dict[str, Any]]:
        return [told for told in self.told if told.get("id") == call and {"result", "error"} & set(told)]

    @property
    def live(self) -> list[dict[str, Any]]:
        return [told["live"] for told in list(self.told) if "live" in told]

    def until(self, condition: Callable[[dict[str, Any]], object]) -> None:
        """Wait for a live message."""
        until(lambda: any(condition(message) for message in self.live))


@pytest.fixture
def panel(world: World) -> Panel:
    """A panel of iris, which serves."""
    if not world.store.exists("iris"):
        world.serve(world.version())
    return Panel(world.store)


def threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


# --- calls


def test_a_call_is_answered_with_json_values(panel: Panel) -> None:
    panel.ask("GET", "/deployments/iris/series?seconds=60&points=60")
    result = panel.answer()["result"]
    assert (result["name"], result["step_s"], len(result["values"])) == ("iris", 1.0, len(result["columns"]))


def test_an_error_comes_as_its_payload(panel: Panel) -> None:
    panel.ask("GET", "/deployments/iriss/view")
    error = panel.answer()["error"]
    assert error["error"] == "UnknownDeployment"
    assert "iriss" in error["what"]
    assert error["fix"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/shutdown"), ("POST", "/jobs"), ("POST", "/deployments")])
def test_what_no_page_may_ask_is_refused(panel: Panel, method: str, path: str) -> None:
    panel.ask(method, path, {})
    assert panel.answer()["error"]["error"] == "InvalidOption"


@pytest.mark.parametrize(
    ("content", "call"),
    [
        (None, None),
        ([], None),
        ("watch", None),
        ({}, None),
        ({"id": 1}, None),
        ({"id": "7"}, "7"),
        ({"id": "7", "call": "GET /glances"}, "7"),
        ({"id": "7", "call": {"method": "PATCH", "path": "/glances"}}, "7"),
        ({"id": "7", "call": {"method": "GET"}}, "7"),
        ({"watch": "yes"}, None),
        ({"watch": True, "view": 3}, None),
    ],
)
def test_a_message_of_another_shape_gets_an_error_back(panel: Panel, content: Any, call: str | None) -> None:
    panel.relay.receive(content)
    (told,) = panel.told
    assert told["id"] == call
    assert told["error"]["what"] == "the panel's message cannot be read"
    assert threads("autodeploy-live") == 0


def test_calls_run_beside_each_other_and_are_answered_as_they_end(panel: Panel) -> None:
    panel.ask("POST", "/deployments/iris/restart", call="slow")
    panel.ask("GET", "/deployments/iris", call="quick")
    assert not [told for told in panel.told if told["id"] == "slow" and "result" in told]  # the main thread goes on
    panel.answer("slow")
    panel.answer("quick")
    ended = [told["id"] for told in panel.told if "result" in told]
    assert ended == ["quick", "slow"]
    progress = [told["progress"]["state"] for told in panel.told if "progress" in told]
    assert {"started", "done"} <= set(progress)


def test_a_call_that_takes_long_is_said_to_be_under_way(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "BEAT_S", 0.005)
    panel.ask("POST", "/deployments/iris/restart")
    panel.answer()
    beats = [told for told in panel.told if "beat" in told]
    assert beats
    assert set(map(str, beats)) == {str({"id": "1", "beat": True})}
    until(lambda: threads("autodeploy-beat") == 0)


def test_too_many_calls_are_refused_at_once(world: World, panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "MOST_CALLS", 1)
    panel = Panel(world.store)
    panel.ask("POST", "/deployments/iris/restart", call="first")
    panel.ask("GET", "/deployments/iris", call="second")
    assert "under way" in panel.ended("second")[0]["error"]["what"]
    assert "result" in panel.answer("first")
    until(lambda: threads("autodeploy-call") == 0)
    panel.ask("GET", "/deployments/iris", call="third")
    assert "result" in panel.answer("third")


def test_a_closed_panel_is_told_nothing(panel: Panel) -> None:
    panel.ask("POST", "/deployments/iris/restart")
    panel.relay.close()
    before = len(panel.told)
    panel.relay.receive({"watch": True})
    until(lambda: threads("autodeploy-call") == 0)
    assert len(panel.told) == before
    assert threads("autodeploy-live") == 0


def test_a_comm_that_fails_ends_nothing_else(world: World, panel: Panel) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("the kernel is on its way out")

    broken = Relay(lambda: "iris", world.store, fail)
    broken.receive({"watch": True})
    panel.relay.receive({"watch": True})
    panel.until(lambda message: "activities" in message)
    broken.close()
    panel.relay.close()
    until(lambda: threads("autodeploy-live") == 0)


def test_looking_starts_no_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODEPLOY_HOME", str(tmp_path / "home"))
    panel = Panel(Store(tmp_path / "home"))
    panel.ask("GET", "/deployments/iris/view")
    assert panel.answer()["error"]["error"] == "SupervisorFailed"
    panel.relay.receive({"watch": True})
    panel.until(lambda message: message == {"glances": []})
    panel.relay.close()
    until(lambda: threads("autodeploy-live") == 0)
    assert not Store(tmp_path / "home").supervisor_file.exists()


# --- the live stream


def test_who_watches_is_told_the_whole_picture_and_then_what_changes(world: World, panel: Panel) -> None:
    panel.relay.receive({"watch": True})
    panel.until(lambda message: "activities" in message)
    assert [next(iter(message)) for message in panel.live[:3]] == ["hello", "glances", "activities"]
    world.supervisor.restart("iris", lambda progress: None)
    panel.until(lambda message: message.get("event", {}).get("name") == "iris")
    panel.until(lambda message: message.get("activity", {}).get("state") == "done")
    panel.relay.close()
    until(lambda: threads("autodeploy-live") == 0)


def test_who_joins_is_told_the_whole_picture_and_of_its_own_deployment_alone(world: World, panel: Panel) -> None:
    world.serve(world.version("churn", format="native"), "churn")
    other = Panel(world.store, "churn")
    panel.relay.receive({"watch": True})
    panel.until(lambda message: "activities" in message)
    other.relay.receive({"watch": True})
    other.until(lambda message: "activities" in message)
    assert threads("autodeploy-live") == 1
    world.supervisor.stop("churn")
    other.until(lambda message: message.get("event", {}).get("kind") == "stopped")
    world.supervisor.remove("churn")
    other.until(lambda message: message.get("gone") == ["churn"])
    assert not any("gone" in message or "event" in message for message in panel.live)
    names = {glance["status"]["name"] for message in other.live for glance in message.get("glances", [])}
    assert names == {"churn"}
    other.relay.close()
    panel.relay.close()
    until(lambda: threads("autodeploy-live") == 0)


def test_a_deployment_that_is_not_there_is_told_as_such(world: World, panel: Panel) -> None:
    nobody = Panel(world.store, "nobody")
    nobody.relay.receive({"watch": True})
    nobody.until(lambda message: "activities" in message)
    assert [list(message.get("glances", "-")) for message in nobody.live[:2]] == [["-"], []]
    nobody.relay.close()
    until(lambda: threads("autodeploy-live") == 0)


def test_it_outlives_the_supervisor_and_starts_none(world: World, panel: Panel) -> None:
    panel.relay.receive({"watch": True})
    panel.until(lambda message: "activities" in message)
    world.kill_supervisor()
    panel.until(lambda message: message == {"glances": []})
    before = len(panel.live)
    until(lambda: panel.live[before:].count({"glances": []}) >= 2)  # it has looked again, and told so
    connect(world.store)
    until(lambda: any("hello" in message for message in panel.live[before:]))
    until(lambda: any(message.get("glances") for message in panel.live[before:]))
    panel.relay.close()
    until(lambda: threads("autodeploy-live") == 0)
