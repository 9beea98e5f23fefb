"""When a deployment is re-tuned though nobody asked."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.retuning import Order, Retune
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.retune.retunes import Retunes
from autodeploy_magic.supervisor.retune.schedule import Schedule

NOW_S = 1_000_000.0
HOUR_S = 3600.0


class Begun:
    """Keeps what is begun."""

    def __init__(self, last_s: float | None = None, *, busy: bool = False) -> None:
        self.busy = busy
        self.orders: list[Order] = []
        self._last_s = last_s

    def known(self, name: str, most: int) -> list[Retune]:
        if self._last_s is None:
            return []
        return [Retune(id="r", name=name, order=Order(), started_s=self._last_s)]

    async def begin(self, name: str, order: Order, report: Any) -> None:
        self.orders.append(order)


def look(begun: Begun, *, since_s: float = NOW_S - 30 * HOUR_S, state: Any = "running", **settings: Any) -> list[Order]:
    deployments = SimpleNamespace(status=lambda _: SimpleNamespace(since=since_s))
    schedule = Schedule(cast(Deployments, deployments), cast(Retunes, begun))
    desired = Desired(name="iris", version=1, executable="python", settings=settings, state=state)
    asyncio.run(schedule.look(desired, NOW_S))
    return begun.orders


def test_it_is_time_when_the_last_is_so_long_ago() -> None:
    (order,) = look(Begun(NOW_S - 25 * HOUR_S), retune_every="24h", retune_promote="auto")
    assert (order.trigger, order.promote) == ("schedule", "auto")
    assert look(Begun(NOW_S - 23 * HOUR_S), retune_every="24h") == []


def test_the_first_waits_as_long_after_the_deployment_began() -> None:
    assert len(look(Begun(), retune_every="24h")) == 1
    assert look(Begun(), retune_every="24h", since_s=NOW_S - HOUR_S) == []


def test_none_is_begun_where_nobody_wants_it_nothing_serves_or_another_runs() -> None:
    assert look(Begun()) == []
    assert look(Begun(), retune_every="24h", state="stopped") == []
    assert look(Begun(busy=True), retune_every="24h") == []


def test_what_is_no_period_is_told() -> None:
    with pytest.raises(InvalidOption, match="retune_every"):
        look(Begun(), retune_every="often")
