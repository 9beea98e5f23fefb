"""A swap inside the workers that serve: the new version is loaded beside the old, and takes its place between requests.

No process is started and no connection is closed. It has two steps, so that a version that one worker cannot load
serves in none. Each worker is spoken to over one connection: where it ends before the second step, because the
supervisor was killed, the worker drops what it prepared.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.contracts import Traffic
from autodeploy_magic.errors import AutodeployError, StartFailed
from autodeploy_magic.serve.lineup.orders import Commit, Order, Place, Prepare
from autodeploy_magic.supervisor.workers.starting import Worker
from autodeploy_magic.supervisor.workers.talk import Talk

__all__ = ["InPlace"]

COMMIT_S = 5.0
"""A worker commits between two requests; one that takes longer is replaced."""


class InPlace:
    """One swap in `workers`. Whatever becomes of it, `close` it."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = list(workers)
        self._talks: dict[Worker, Talk] = {}

    async def prepare(self, champion: int, versions: tuple[Place, ...]) -> None:
        """Have all workers load what they lack of `versions`. Raises `StartFailed`, or what one of them raised."""
        order = Prepare(champion, versions)
        timeout_s = float(settings.get("start_timeout_s"))
        try:
            async with asyncio.timeout(timeout_s):
                await _all(self._begin(worker, order) for worker in self.workers)
                await _all(talk.answer() for talk in self._talks.values())
        except TimeoutError:
            raise StartFailed(f"not all workers had loaded it within {timeout_s:g} s") from None
        except OSError as error:
            raise StartFailed(
                "a worker could not be asked to load it", why=f"{type(error).__name__}: {error}"
            ) from error

    async def commit(self, champion: int, traffic: Traffic) -> list[Worker]:
        """Have what was prepared served by all. Returns those workers that did not say that they do."""
        order = Commit(champion, traffic)
        for talk in self._talks.values():
            talk.say(order)  # to all, before anything can interrupt us
        outcomes = await asyncio.gather(*(_done(talk) for talk in self._talks.values()))
        return [worker for worker, done in zip(self._talks, outcomes, strict=True) if not done]

    async def _begin(self, worker: Worker, order: Order) -> None:
        await worker.reachable.wait()
        talk = self._talks[worker] = await Talk.begin(worker.control)
        talk.say(order)

    def close(self) -> None:
        """End the conversations; what was prepared and not committed is dropped."""
        for talk in self._talks.values():
            talk.close()


async def _all(tasks: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait until all are done, and raise what the first of them raised."""
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _done(talk: Talk) -> bool:
    with contextlib.suppress(OSError, TimeoutError, AutodeployError):
        async with asyncio.timeout(COMMIT_S):
            await talk.answer()
            return True
    return False
