"""Whether workers answer: each is asked over its control socket, which its event loop answers between two requests.

A worker has one question at a time, over a connection that is kept, and one that hangs is not asked again before it has
answered: however long it hangs, it holds one line. What the system says of its process is read besides.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from autodeploy_magic.contracts import WorkerState
from autodeploy_magic.operate.detect.base import WorkerSight
from autodeploy_magic.operate.observe.process import Process, open_process
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.workers.starting import control_socket

__all__ = ["DEADLINE_S", "Prober"]

DEADLINE_S = 0.2
"""How long all workers together are waited for. One that answers later is seen to have done so the next time."""
_AWAY_S = 3.0
"""A supervisor that did not ask for so long was itself held up, and what it did not hear says nothing of a worker."""
_IDLE_CPU_S = 0.02
"""CPU time within about a second that is none: what a worker's other threads take, which look and write each second."""
_SECOND_S = 0.9
_ANSWER_BYTES = 65536


class Prober:
    """Asks workers, once a second. All of it on the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[int, _Probe] = {}
        self._asked_s = 0.0

    async def probe(self, workers: Iterable[WorkerState]) -> dict[int, WorkerSight]:
        """Ask all of them, and return what is known of each, by pid, within `DEADLINE_S`.

        Those that have ended, or are on their way out and answer nobody any more, are left out. Never raises for what a
        worker does.
        """
        now, wanted = time.monotonic(), {worker.pid: worker for worker in workers}
        away = now - self._asked_s > _AWAY_S
        self._asked_s = now
        for pid, known in list(self._known.items()):
            if pid not in wanted or wanted[pid].create_time != known.created:
                known.close()
                del self._known[pid]
        for pid, worker in wanted.items():
            if pid not in self._known:
                with contextlib.suppress(OSError):  # it has ended
                    self._known[pid] = _Probe(worker, str(control_socket(self._store.runtime_dir, pid)))
        # One that was silent already is not waited for again.
        fresh = {known for known in self._known.values() if known.ask(now, away=away)}
        if fresh:
            await self._answers(fresh)
        now = time.monotonic()
        sights = {pid: known.sight(now, wanted[pid]) for pid, known in self._known.items()}
        return {pid: sight for pid, sight in sights.items() if sight is not None}

    async def _answers(self, asked: set[_Probe]) -> None:
        """Return when all of them have answered, or `DEADLINE_S` has passed."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def over() -> None:
            if not done.done():
                done.set_result(None)

        def answered(probe: _Probe) -> None:
            asked.discard(probe)
            if not asked:
                over()

        for probe in asked:
            probe.heard = answered
        late = loop.call_later(DEADLINE_S, over)
        try:
            await done
        finally:
            late.cancel()

    def close(self) -> None:
        """Hang up on all."""
        for known in self._known.values():
            known.close()
        self._known.clear()


class _Probe:
    """What is known of one worker. Raises `ProcessLookupError` at once where there is none."""

    def __init__(self, worker: WorkerState, path: str) -> None:
        self.created = worker.create_time
        self.heard: Callable[[_Probe], None] = lambda _: None
        self._path = path
        self._process: Process = open_process(worker.pid, worker.create_time)
        self._socket: socket.socket | None = None
        self._asked_s = 0.0
        self._waits = False
        self._gone = False
        self._held_s = 0.0
        self._cpu_s = 0.0
        self._read_s = self._moved_s = time.monotonic()

    def ask(self, now: float, *, away: bool) -> bool:
        """Ask, unless it has not answered yet. Returns whether an answer is to be waited for."""
        if self._waits:
            self._hear()  # it may have answered while nobody here listened
        if self._waits and away:
            self._asked_s = self._moved_s = now
        late = self._waits
        if late and self._socket is not None:
            return False
        if not late:
            self._asked_s, self._waits, self._gone = now, True, False
        try:
            if self._socket is None:
                self._connect()  # and is told who answers, as anybody who connects
            else:
                self._socket.send(b"\n")
        except BlockingIOError:  # so many are before us that it cannot have taken one
            self._let_go()
        except OSError:
            self._end()
        return self._waits and not late

    def sight(self, now: float, worker: WorkerState) -> WorkerSight | None:
        try:
            reading = self._process.read()
        except OSError:
            return None
        moved = reading.cpu_s - self._cpu_s > _IDLE_CPU_S
        if moved:
            self._moved_s = now
        if moved or now - self._read_s >= _SECOND_S:
            self._read_s, self._cpu_s = now, reading.cpu_s
        if self._gone and not reading.stopped:
            return None
        silent_s = now - self._asked_s if self._waits else 0.0
        return WorkerSight(
            pid=worker.pid,
            version=worker.version,
            age_s=max(0.0, time.time() - worker.create_time),
            stopped=reading.stopped,
            silent_s=silent_s,
            idle_s=min(silent_s, now - self._moved_s),
            held_s=self._held_s + silent_s if self._held_s else 0.0,
        )

    def close(self) -> None:
        self._let_go()
        self._process.close()

    def _connect(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        try:
            self._socket.connect(self._path)
        except OSError:
            self._socket.close()
            self._socket = None
            raise
        asyncio.get_running_loop().add_reader(self._socket, self._hear)

    def _hear(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_ANSWER_BYTES)  # the listening sockets that come with the first are not taken
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._waits, self._held_s = False, _held(data)
        self.heard(self)

    def _end(self) -> None:
        """Nobody answers there any more: it is on its way out, or was never there."""
        self._let_go()
        self._waits, self._gone, self._held_s = False, True, 0.0
        self.heard(self)

    def _let_go(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None


def _held(data: bytes) -> float:
    """How long its oldest request has been under way, where it tells."""
    try:
        said: dict[str, Any] = msgspec.json.decode(data.splitlines()[-1])
        return float(said.get("held_s", 0.0))
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError, IndexError):
        return 0.0  # a part of an answer, or of another release
