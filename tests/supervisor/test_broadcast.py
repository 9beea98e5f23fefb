"""The stream's own rules: who is told what, who is let go, and what is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from autodeploy_magic.contracts import Progress, Status
from autodeploy_magic.errors import StartFailed
from autodeploy_magic.live import Activity, Event, Glance, Message, Point
from autodeploy_magic.supervisor import activities as module
from autodeploy_magic.supervisor import broadcast
from autodeploy_magic.supervisor.activities import Activities
from autodeploy_magic.supervisor.broadcast import Broadcast


class Deployments:
    """The deployments that are told of."""

    def __init__(self, *names: str) -> None:
        self.states = dict.fromkeys(names, "running")
        self.asked = 0

    def __call__(self) -> list[Glance]:
        self.asked += 1
        return [
            Glance(status=Status(name=name, state=state, version=1))  # type: ignore[arg-type]
            for name, state in self.states.items()
        ]


def run(scenario: Callable[[Broadcast, Deployments], Awaitable[None]], *names: str) -> None:
    deployments = Deployments(*names)
    asyncio.run(asyncio.wait_for(scenario(Broadcast(deployments, tuple), deployments), 20))


def point(name: str, t: int) -> Point:
    return Point(name=name, t=t, v=(1.0,))


async def first(told: object, count: int) -> list[Message]:
    return [await anext(told) for _ in range(count)]  # type: ignore[call-overload]


def test_nothing_is_made_while_nobody_watches() -> None:
    async def scenario(live: Broadcast, deployments: Deployments) -> None:
        live.refresh()
        live.point(point("iris", 1))
        assert deployments.asked == 0
        assert not live.watched
        told = live.watch(None)
        await first(told, 3)
        assert live.watched
        assert live.wants("iris")
        await told.aclose()  # type: ignore[attr-defined]
        assert not live.watched

    run(scenario, "iris")


def test_only_what_has_changed_is_told_again() -> None:
    async def scenario(live: Broadcast, deployments: Deployments) -> None:
        told = live.watch(None)
        await first(told, 3)
        live.refresh()
        deployments.states["churn"] = "stopped"
        live.refresh()
        del deployments.states["iris"]
        live.refresh()
        changed, gone = await first(told, 2)
        assert changed.glances is not None
        assert [glance.status.name for glance in changed.glances] == ["churn"]
        assert gone.gone == ("iris",)

    run(scenario, "churn", "iris")


def test_a_second_watcher_gets_the_whole_picture_and_the_first_one_no_more_than_the_news() -> None:
    async def scenario(live: Broadcast, deployments: Deployments) -> None:
        told = live.watch(["iris"])
        await first(told, 3)
        deployments.states["iris"] = "stopped"
        late = live.watch(None)
        _, picture, _ = await first(late, 3)
        assert picture.glances is not None
        assert [glance.status.state for glance in picture.glances] == ["running", "stopped"]
        live.point(point("churn", 5))
        live.point(point("iris", 5))
        news, mine = await first(told, 2)
        assert news.glances is not None
        assert news.glances[0].status.state == "stopped"
        assert mine.point == point("iris", 5)

    run(scenario, "churn", "iris")


def test_one_that_does_not_keep_up_is_let_go_and_the_others_are_told_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "MOST_WAITING", 10)

    async def scenario(live: Broadcast, deployments: Deployments) -> None:
        slow, quick = live.watch(None), live.watch(None)
        await first(slow, 1)
        await first(quick, 3)
        for t in range(20):
            live.point(point("iris", t))
            (message,) = await first(quick, 1)
            assert message.point == point("iris", t)
        left = [message async for message in slow]
        assert len(left) < 20

    run(scenario, "iris")


def test_a_beat_is_told_where_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "BEAT_S", 0.01)

    async def scenario(live: Broadcast, deployments: Deployments) -> None:
        told = live.watch(None)
        *_, beat = await first(told, 4)
        assert beat.beat

    run(scenario)


def test_all_streams_end_with_the_supervisor_and_new_ones_at_once() -> None:
    async def scenario(live: Broadcast, deployments: Deployments) -> None:
        told = live.watch(None)
        await first(told, 3)
        live.event(Event(id=1, name="iris", at_s=1.0, kind="stopped"))
        live.close()
        assert [message.event is not None async for message in told] == [True]
        assert [message.hello is not None async for message in live.watch(None)] == [True]

    run(scenario, "iris")


# --- activities


def test_an_activity_goes_from_its_beginning_to_its_end() -> None:
    seen: list[Activity] = []
    activities = Activities(seen.append)
    onward: list[Progress] = []
    running = activities.begin("iris", "rollback iris")
    report = running.report(onward.append)
    report(Progress(step="start", state="started"))
    report(Progress(step="start", state="done", seconds=0.5))
    running.end()
    assert [one.state for one in seen] == ["running", "running", "running", "done"]
    assert [step.state for step in seen[-1].steps] == ["done"]
    assert [step.state for step in onward] == ["started", "done"]
    assert activities.current() == (seen[-1],)


def test_what_went_wrong_is_told_in_the_words_of_the_error() -> None:
    seen: list[Activity] = []
    activities = Activities(seen.append)
    activities.begin("iris", "restart iris").end(StartFailed("version 2 of iris did not start"))
    activities.begin("iris", "restart iris").end(KeyError("x"))
    assert [one.error for one in seen if one.state == "failed"] == [
        "version 2 of iris did not start",
        "KeyError: 'x'",
    ]


def test_ended_ones_are_forgotten_and_so_are_those_of_a_kernel_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    activities = Activities(lambda _: None)
    activities.begin("iris", "restart iris").end()
    mine = activities.begin("iris", "containerize iris")
    activities.tell(Activity(id="k", name="iris", title="deploy iris", where="kernel"))
    now[0] = module.KEPT_S + 1
    assert {one.title for one in activities.current()} == {"containerize iris", "deploy iris"}
    now[0] = module.LOST_S + 1
    assert [one.title for one in activities.current()] == ["containerize iris"]
    mine.end()


def test_a_flood_of_activities_is_bounded() -> None:
    activities = Activities(lambda _: None)
    for number in range(10 * module.MOST):
        activities.tell(Activity(id=str(number), name="iris", title="deploy iris"))
    assert len(activities.current()) == module.MOST
