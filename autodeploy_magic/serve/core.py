"""The core that every protocol goes through: rows that fit the signature → the live object's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.wire import Batch

__all__ = ["Core"]

INLINE_S = 0.002
"""A model that answers a row faster than this runs on the event loop: handing it to a thread would cost as much."""
INLINE_ROWS = 64


class Core:
    """One loaded version, run where it is cheapest: on the event loop, or in a thread where it would block it."""

    def __init__(self, served: ServedModel) -> None:
        self.served = served
        self.draining = False
        self._slow = _one_row_s(served) > INLINE_S

    async def run(self, batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        """Answer decoded rows with the outputs `names`; raises `ModelFailed`."""
        if self._slow or batch.rows > INLINE_ROWS:
            return await asyncio.to_thread(self.served.run, batch, names)
        return self.served.run(batch, names)


def _one_row_s(served: ServedModel) -> float:
    """What one row was measured to take when the version was verified; infinite where it was not measured."""
    chosen = next((item for item in served.version.candidates if item.format == served.version.format), None)
    return float("inf") if chosen is None or chosen.one_row_s is None else chosen.one_row_s
