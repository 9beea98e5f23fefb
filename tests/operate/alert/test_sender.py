"""Every channel on its own: one that is slow, broken or dead delays none of the others, and nothing is left running."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from receivers import BRISK, Deaf, Receiver, alert, desired

from autodeploy_magic import registry
from autodeploy_magic.operate.alert.channels.base import Deadline, Facts, Undelivered
from autodeploy_magic.operate.alert.line import Line, Pace
from autodeploy_magic.operate.alert.message import LISTED, Message, compose
from autodeploy_magic.operate.alert.sender import Sender
from autodeploy_magic.store import Store

Receivers = Callable[..., Receiver]


@pytest.fixture
def sender(stack: contextlib.ExitStack) -> Sender:
    made = Sender(pace=BRISK)
    stack.callback(made.close, 0.5)
    return made


def wait(what: Callable[[], bool]) -> None:
    """Until it is so; for what has no event of its own."""
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_a_dead_channel_delays_none_of_the_others(
    sender: Sender, receiver: Receivers, deaf: Callable[..., Deaf], tmp_path: Path
) -> None:
    good, dead, out = receiver(), deaf(), tmp_path / "out"
    settings = {
        "alert_webhook": f"{dead.url},{good.url}",
        "alert_slack": dead.url,
        "alert_email": "a@example.org",
        "alert_smtp": f"smtp://127.0.0.1:{dead.port}",
        "alert_command": f"touch '{out}'",
    }
    began = time.monotonic()
    for i in range(20):
        sender.send(desired(**settings), [alert(f"rule{i}")])
    assert time.monotonic() - began < 2.0  # nobody waits for a network
    got: set[str] = set()
    while len(got) < 20:
        got |= {one["rule"] for one in json.loads(good.got.get(timeout=10).body)["alerts"]}
    wait(out.exists)
    assert dead.reached.wait(10)
    began = time.monotonic()
    sender.close(0.3)
    assert time.monotonic() - began < 8
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("alerts ")]


def test_what_fails_is_tried_again_and_its_fault_ends_when_it_arrives(sender: Sender, receiver: Receivers) -> None:
    there = receiver(500, 503, 200)
    sender.send(desired(alert_webhook=there.url), [alert()])
    bodies = [json.loads(there.got.get(timeout=10).body) for _ in range(3)]
    assert len({body["id"] for body in bodies}) == 1
    wait(lambda: sender.faults() == {})


def test_what_does_not_arrive_is_given_up_counted_and_shown(sender: Sender, receiver: Receivers) -> None:
    there = receiver(500)
    sender.send(desired(alert_slack=there.url), [alert()])
    wait(lambda: "given up" in sender.faults().get("channel slack 127.0.0.1", ""))
    assert sender.faults("iris")["channel slack 127.0.0.1"] == (
        "127.0.0.1 answered 500 Internal Server Error: said (1 message given up)"
    )
    assert sender.faults("other") == {}
    assert there.got.qsize() == BRISK.tries


def test_what_cannot_arrive_is_not_tried_again(sender: Sender, receiver: Receivers) -> None:
    there = receiver(404)
    sender.send(desired(alert_webhook=there.url), [alert()])
    wait(lambda: "1 message given up" in str(sender.faults()))
    assert there.got.qsize() == 1


def test_only_what_is_severe_enough_is_sent_and_everything_is_logged(
    stack: contextlib.ExitStack, receiver: Receivers, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    there, sender = receiver(), Sender(store, BRISK)
    stack.callback(sender.close, 1.0)
    log_file = store.log_file("iris")
    log_file.parent.mkdir(parents=True, exist_ok=True)
    wanted = desired(alert_webhook=there.url, alert_severity="critical")
    sender.send(wanted, [alert("a", "warning"), alert("b", "info")])
    sender.send(wanted, [alert("c", "critical")])
    assert [one["rule"] for one in json.loads(there.got.get(timeout=10).body)["alerts"]] == ["c"]
    sender.close(5.0)
    assert [word in log_file.read_text() for word in ("a is", "b is", "c is")] == [True] * 3
    sender.send(wanted, [alert("d", "critical")])  # after its end: nothing
    assert there.got.empty()


def test_a_channel_of_another_package_that_raises_is_shown_and_the_rest_goes_on(
    stack: contextlib.ExitStack, receiver: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bad:
        groups = True

        def targets(self, facts: Facts) -> list[str]:
            return ["there"]

        def label(self, target: str) -> str:
            return target

        def deliver(self, *_: Any) -> None:
            raise ZeroDivisionError("bad channel")

    there = receiver()
    table = {"bad": "x:Bad", "gone": "no_such_module:Channel", **registry.CHANNELS}
    monkeypatch.setattr(registry, "table", lambda name: table)
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda reference: Bad if reference == "x:Bad" else load(reference))
    sender = Sender(pace=BRISK)
    stack.callback(sender.close, 1.0)
    sender.send(desired(alert_webhook=there.url), [alert()])
    assert there.got.get(timeout=10).body
    wait(lambda: "channel bad" in sender.faults())
    assert "ZeroDivisionError: bad channel" in sender.faults()["channel bad"]
    assert "ModuleNotFoundError" in sender.faults()["channel gone"]


def test_a_test_message_says_of_each_channel_whether_it_arrived(
    sender: Sender, receiver: Receivers, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = receiver(), receiver(403)
    found = sender.test(desired(alert_webhook=good.url, alert_slack=bad.url, alert_command="false"))
    assert found == {
        "log": "",
        "webhook 127.0.0.1": "",
        "slack 127.0.0.1": "127.0.0.1 answered 403 Forbidden: said",
        "command": "false ended with exit code 1",
    }
    assert json.loads(good.got.get(timeout=10).body)["test"] is True
    assert sender.faults() == {}


# --- a line: grouping, limits


class Steps:
    """A channel that keeps what it is given; `failing` raises first."""

    def __init__(self, *, groups: bool = True) -> None:
        self.groups = groups
        self.got: list[Message] = []
        self.came = threading.Semaphore(0)
        self.hold = threading.Event()
        self.hold.set()

    def targets(self, facts: Facts) -> list[str]:
        return ["there"]

    def label(self, target: str) -> str:
        return ""

    def deliver(self, target: str, message: Message, facts: Facts, deadline: Deadline) -> None:
        self.got.append(message)
        self.came.release()
        if not self.hold.wait(10):
            raise Undelivered("held")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


FACTS = Facts("iris", {})


def test_what_is_told_within_some_seconds_is_one_message_with_the_latest_of_each() -> None:
    channel = Steps()
    line = Line(channel, "there", "steps", Pace(wait_s=0.2, interval_s=0.2))
    line.put(FACTS, [alert("drift:a"), alert("drift:b")])
    line.put(FACTS, [alert("drift:c"), alert("latency")])
    line.put(FACTS, [alert("latency", state="resolved", until_s=1_760_000_009.0)])
    assert channel.came.acquire(timeout=10)
    line.close(time.monotonic() + 5)
    assert line.join()
    [message] = channel.got
    assert [(one.rule, one.state) for one in message.alerts] == [
        ("drift:a", "firing"),
        ("drift:b", "firing"),
        ("drift:c", "firing"),
        ("latency", "resolved"),
    ]
    assert message.lines[0].startswith("drift: 3 (a, b, c); first: warning: drift:a is too much")
    assert message.title == "iris: drift:a is too much and 1 more"


def test_a_storm_becomes_one_digest_when_the_hour_is_full() -> None:
    channel, clock = Steps(), Clock()
    line = Line(channel, "there", "steps", Pace(wait_s=0.0, interval_s=0.0, per_hour=3), clock)
    for i in range(3):
        line.put(FACTS, [alert(f"r{i}")])
        assert channel.came.acquire(timeout=10)
    for i in range(3, 15):
        line.put(FACTS, [alert(f"r{i}")])
    assert not channel.came.acquire(timeout=0.1)
    clock.now += 3601
    line.put(FACTS, [])
    assert channel.came.acquire(timeout=10)
    line.close(clock.now + 5)
    assert line.join()
    assert len(channel.got) == 4
    assert len(channel.got[-1].alerts) == channel.got[-1].held == 12
    assert "12 of these were held back" in channel.got[-1].body


def test_what_is_critical_does_not_wait_for_the_hour() -> None:
    channel, clock = Steps(), Clock()
    line = Line(channel, "there", "steps", Pace(wait_s=0.0, interval_s=600.0, per_hour=1), clock)
    line.put(FACTS, [alert("a")])
    assert channel.came.acquire(timeout=10)
    line.put(FACTS, [alert("b")])
    assert not channel.came.acquire(timeout=0.1)
    line.put(FACTS, [alert("c", "critical")], {"c": "scaled 1 → 2 workers"})
    assert channel.came.acquire(timeout=10)
    line.close(clock.now + 5)
    assert line.join()
    assert [one.rule for one in channel.got[1].alerts] == ["c", "b"]
    assert "done:    scaled 1 → 2 workers" in channel.got[1].body


def test_the_end_delivers_what_waits() -> None:
    channel = Steps()
    line = Line(channel, "there", "steps", Pace(wait_s=600.0))
    line.put(FACTS, [alert()])
    assert channel.got == []
    line.close(time.monotonic() + 5)
    assert line.join()
    assert [one.rule for one in channel.got[0].alerts] == ["latency"]
    line.put(FACTS, [alert("late")])
    assert line.idle


def test_a_thread_ends_when_there_is_nothing_to_do() -> None:
    channel = Steps()
    line = Line(channel, "there", "steps", Pace(wait_s=0.0, interval_s=0.0))
    for _ in range(3):
        line.put(FACTS, [alert()])
        assert channel.came.acquire(timeout=10)
        wait(lambda: line.idle)
    assert not [thread for thread in threading.enumerate() if thread.name == "alerts steps"]


def test_what_follows_from_a_stuck_worker_is_listed_under_it() -> None:
    stuck = alert("workers:stuck", "critical", detector="workers", metric="workers", text="worker 12 hangs")
    told = compose(
        "iris",
        [alert("latency", "critical"), alert("errors", metric="errors"), stuck, alert("drift:a", metric="drift")],
    )
    assert told.severity == "critical"
    assert [line.partition(" (since")[0] for line in told.lines] == [
        "critical: worker 12 hangs",
        "warning: drift:a is too much",
        "  with it: critical: latency is too much",
        "  with it: warning: errors is too much",
    ]


def test_a_message_of_very_many_lists_some_and_counts_the_rest() -> None:
    told = compose("iris", [alert(f"r{i}") for i in range(200)])
    assert len(told.alerts) == 200
    assert len(told.plain()["alerts"]) == LISTED
    assert told.plain()["more"] == 200 - LISTED
    assert f"… and {200 - LISTED} more" in told.lines[-1]
    assert len(told.title) <= 200
