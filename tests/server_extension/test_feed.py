"""The one stream and those who watch it, without a server around."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from standin import StandIn, activity, beginning, glance
from world import until

from autodeploy_magic.live import Event, Hello, Message, Point
from autodeploy_magic.server_extension import feed as feed_module
from autodeploy_magic.server_extension.feed import MOST_WAITING, Feed, Watcher
from autodeploy_magic.server_extension.picture import Picture, only

POINT = Message(point=Point(name="iris", t=1, v=(None,)))


def take_all(picture: Picture, *messages: Message) -> list[Message]:
    return [told for message in messages for told in picture.take(message)]


# --- the picture


def test_a_late_one_gets_what_holds_now() -> None:
    picture = Picture()
    take_all(
        picture, *beginning("iris", "churn"), POINT, Message(event=Event(id=1, name="iris", at_s=0, kind="scaled"))
    )
    take_all(
        picture,
        Message(glances=(glance("iris", "stopped"),)),
        Message(glances=(glance("wine"),)),
        Message(gone=("churn",)),
        Message(activity=activity("iris")),
        Message(activity=activity("wine")),
        Message(activity=activity("iris", "done")),
    )
    hello, glances, activities = picture.messages()
    assert hello.hello == Hello(now_s=1.0, release="1")
    assert glances.glances == (glance("iris", "stopped"), glance("wine"))
    assert activities.activities == (activity("wine"),)


def test_all_is_passed_on_as_it_comes() -> None:
    messages = [*beginning("iris"), POINT, Message(beat=True), Message(activity=activity("iris", "failed"))]
    assert take_all(Picture(), *messages) == messages


def test_one_who_comes_while_a_stream_begins_misses_nothing() -> None:
    hello, glances, activities = beginning("iris")
    picture = Picture()
    seen = []
    for at in range(4):
        late = [*picture.messages()]
        for message in [hello, glances, activities][at:]:
            late += take_all(picture, message) if at == 0 else [message]
        seen.append(late)
        if at < 3 and at:
            picture.take([hello, glances, activities][at])
    for late in seen:
        assert next(message.hello for message in late if message.hello)
        assert next(message.glances for message in late if message.glances) == glances.glances


def test_no_supervisor_is_told_once() -> None:
    picture = Picture()
    assert picture.messages() == []
    assert picture.lose() == [Message(glances=())]
    assert picture.lose() == []
    assert picture.messages() == [Message(glances=())]


def test_the_next_supervisor_says_what_is_gone() -> None:
    picture = Picture()
    take_all(picture, *beginning("iris", "churn"), Message(activity=activity("iris")))
    assert picture.lose() == [Message(glances=())]
    assert picture.messages() == [Message(glances=())]
    told = take_all(picture, *beginning("iris"))
    assert told == [beginning()[0], Message(gone=("churn",)), *beginning("iris")[1:]]
    assert picture.messages()[2] == Message(activities=())


def test_a_page_may_watch_some() -> None:
    mine = frozenset({"iris"})
    assert only(POINT, mine) == POINT
    assert only(Message(activity=activity("churn")), mine) is None
    assert only(Message(glances=(glance("iris"), glance("churn"))), mine) == Message(glances=(glance("iris"),))
    assert only(Message(glances=(glance("churn"),)), mine) is None
    assert only(Message(glances=()), mine) == Message(glances=())
    assert only(Message(gone=("churn", "iris")), mine) == Message(gone=("iris",))
    assert only(Message(gone=("churn",)), mine) is None
    assert only(Message(activities=(activity("churn"),)), mine) == Message(activities=())
    assert only(Message(beat=True), mine) == Message(beat=True)


# --- the feed


async def heard(watcher: Watcher) -> Message:
    return msgspec.json.decode(await asyncio.wait_for(watcher.waiting.get(), 10), type=Message)


def never() -> None:
    raise AssertionError("it keeps up")


async def test_there_is_one_stream_from_the_first_page_to_the_last() -> None:
    stand_in = StandIn()
    feed = Feed(stand_in.live)
    stand_in.say(*beginning("iris"))
    with feed.watched((), never) as first:
        assert [await heard(first) for _ in range(3)] == beginning("iris")
        with feed.watched((), never) as second:
            assert [await heard(second) for _ in range(3)] == beginning("iris")
            stand_in.say(POINT)
            assert await heard(first) == POINT
            assert await heard(second) == POINT
        assert stand_in.streams == 1
    await stand_in.ended()
    while not stand_in.says.empty():
        stand_in.says.get_nowait()
    stand_in.say(*beginning("wine"))
    with feed.watched((), never) as third:
        assert [await heard(third) for _ in range(3)] == beginning("wine")  # and nothing of before
    assert stand_in.streams == 2
    await stand_in.ended()


async def test_a_page_that_comes_before_the_last_thread_has_ended_hears_its_own_stream_only() -> None:
    streams = [StandIn(), StandIn()]
    opened = iter(streams)
    feed = Feed(lambda: next(opened).live())
    with feed.watched((), never):
        await asyncio.to_thread(until, lambda: streams[0].streams)
    with feed.watched((), never) as watcher:
        streams[0].say(*beginning("wine"))
        await streams[0].ended()
        streams[1].say(*beginning("iris"))
        assert [await heard(watcher) for _ in range(3)] == beginning("iris")
    await streams[1].ended()


async def test_names_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn()
    feed = Feed(stand_in.live)
    stand_in.say(*beginning("iris", "churn"))
    with feed.watched((), never) as everything, feed.watched(("churn",), never) as some:
        stand_in.say(POINT, Message(activity=activity("churn")))
        assert [await heard(everything) for _ in range(5)][3] == POINT
        told = [await heard(some) for _ in range(4)]
        assert told[1] == Message(glances=(glance("churn"),))
        assert told[3] == Message(activity=activity("churn"))
    await stand_in.ended()


async def test_without_a_supervisor_it_is_looked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LOOK_S", 0.05)
    stand_in = StandIn()
    stand_in.absent = True
    feed = Feed(stand_in.live)
    with feed.watched((), never) as watcher:
        assert await heard(watcher) == Message(glances=())
        for _ in range(3):
            assert await heard(watcher) == Message(beat=True)
        with feed.watched((), never) as late:
            assert await heard(late) == Message(glances=())
        stand_in.say(*beginning("iris"))
        stand_in.absent = False
        while (message := await heard(watcher)) == Message(beat=True):
            pass
        assert message.hello is not None
        assert await heard(watcher) == beginning("iris")[1]
    await stand_in.ended()


async def test_a_supervisor_that_comes_back_at_once_was_never_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LOOK_S", 0.05)
    stand_in = StandIn()
    feed = Feed(stand_in.live)
    stand_in.say(*beginning("iris", "churn"), None, *beginning("iris"))
    with feed.watched((), never) as watcher:
        told = [await heard(watcher) for _ in range(7)]
        assert told == [*beginning("iris", "churn"), beginning()[0], Message(gone=("churn",)), *beginning("iris")[1:]]
    await stand_in.ended()


async def test_a_supervisor_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LOOK_S", 0.05)
    stand_in = StandIn()
    feed = Feed(stand_in.live)
    stand_in.say(*beginning("iris"))
    with feed.watched((), never) as watcher:
        for _ in range(3):
            await heard(watcher)
        stand_in.absent = True
        stand_in.say(None)
        assert await heard(watcher) == Message(glances=())
    await stand_in.ended()


async def test_a_stream_that_cannot_be_read_is_begun_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed_module, "LOOK_S", 0.05)
    opened = []

    def open_stream() -> Any:
        opened.append(1)
        raise msgspec.DecodeError("no JSON")

    with Feed(open_stream).watched((), never) as watcher:
        assert await heard(watcher) == Message(glances=())
        await asyncio.to_thread(until, lambda: len(opened) >= 3)
    assert "no JSON" in caplog.text


async def test_who_falls_behind_is_let_go_and_nobody_else() -> None:
    stand_in = StandIn()
    feed = Feed(stand_in.live)
    gone: list[bool] = []
    stand_in.say(*beginning("iris"))
    with feed.watched((), lambda: gone.append(True)) as slow, feed.watched((), never) as quick:
        for _ in range(3):
            await heard(quick)
        for _ in range(2 * MOST_WAITING):
            stand_in.say(POINT)
            await heard(quick)
        assert gone == [True]
        assert slow.waiting.qsize() <= MOST_WAITING
    await stand_in.ended()
