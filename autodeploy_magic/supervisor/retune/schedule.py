"""Re-tunes that nobody asks for: as often as a deployment's `retune_every` says."""

from __future__ import annotations

import asyncio
import logging
import time

from autodeploy_magic.contracts import Desired, Progress
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.period import seconds_of
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.retune.retunes import Retunes, unasked

__all__ = ["Schedule"]

log = logging.getLogger(__name__)

LOOK_S = 30.0


class Schedule:
    """Begins a re-tune where it is time. One deployment at a time: the machine has others to serve."""

    def __init__(self, deployments: Deployments, retunes: Retunes) -> None:
        self._deployments = deployments
        self._retunes = retunes

    async def run(self) -> None:
        """Look every now and then, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for desired, _ in self._deployments.observed():
                try:
                    await self.look(desired, time.time())
                except AutodeployError as error:
                    log.warning("%s is not re-tuned by schedule: %s", desired.name, error)
                except Exception:  # of one deployment, and not the end of all schedules
                    log.exception("%s is not re-tuned by schedule", desired.name)

    async def look(self, desired: Desired, now_s: float) -> None:
        """Begin one where the last is so long ago, or the deployment has served for so long without any."""
        every = str(desired.settings.get("retune_every") or "")
        if not every or desired.state != "running" or self._retunes.busy:
            return
        known = await asyncio.to_thread(self._retunes.known, desired.name, 1)
        last = known[0].started_s if known else self._deployments.status(desired.name).since
        if last and now_s - last >= seconds_of(every, "retune_every"):
            await self._retunes.begin(desired.name, unasked(desired, "schedule"), _said)


def _said(progress: Progress) -> None:
    log.info("%s %s %s", progress.step, progress.state, progress.detail)
