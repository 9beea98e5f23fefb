"""The zygotes that run, one for each Python executable."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import SupervisorFailed
from autodeploy_magic.supervisor.workers.processes import Child, Zygote
from autodeploy_magic.zygote.child import Kind

__all__ = ["Zygotes"]

log = logging.getLogger(__name__)


class Zygotes:
    """The zygotes that run. All of them end when the supervisor does."""

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file
        self._by_executable: dict[str, Zygote] = {}

    def get(self, executable: str) -> Zygote:
        """The zygote of an executable, started where none runs. Returns at once: what it is asked waits for it.

        Raises `SupervisorFailed` where the executable cannot be run.
        """
        found = self._by_executable.get(executable)
        if found is None or not found.alive:
            found = self._by_executable[executable] = Zygote(executable, self._log_file)
        found.used = time.monotonic()
        return found

    async def start(
        self, executable: str, kind: Kind, order: dict[str, Any], log_fd: int, listening: Sequence[socket.socket] = ()
    ) -> Child:
        """Start a child of that executable's zygote; one that was killed is replaced. Raises `SupervisorFailed`."""
        zygote = self.get(executable)
        try:
            return await zygote.start(kind, order, log_fd, listening)
        except SupervisorFailed:
            if zygote.alive or not zygote.was_warm:
                raise  # one that never came up: a second would not either
        return await self.get(executable).start(kind, order, log_fd, listening)

    def close_idle(self, idle_s: float, needed: set[str]) -> None:
        """End those that nothing runs in and nobody has asked for `idle_s`, except for the executables `needed`."""
        for executable, zygote in list(self._by_executable.items()):
            unused = zygote.alive and executable not in needed and not zygote.children
            if unused and time.monotonic() - zygote.used >= idle_s:
                log.info("zygote %d of %s was idle", zygote.pid, executable)
                zygote.close()

    def close(self) -> None:
        for zygote in self._by_executable.values():
            zygote.close()

    def pids(self) -> dict[str, int]:
        return {executable: zygote.pid for executable, zygote in self._by_executable.items() if zygote.alive}
