"""The clients: one process that keeps connections busy with prebuilt requests, and counts right answers.

Jobs come on standard input, one a line; for each it prints {"connected": true} once every connection was answered, and
then its `Outcome`. A line that comes meanwhile ends the job early. It ends when its standard input closes.

Run by `clients.Clients`: python -m serving.load
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import sys
import time
from collections import Counter
from typing import Any

import httptools
import msgspec
import uvloop

from autodeploy_magic.metrics import bucket
from serving.job import Exchange, Job, Outcome, right

__all__ = ["main"]

RETRY_S = 0.005
"""After a connection that could not be made: a port that is closed is not asked a million times a second."""
SILENCE_S = 30.0
"""How long after the end of a job an answer may still take."""
MOST_FAILURES = 5_000

_clock = time.perf_counter


class Run:
    """One job under way."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.loop = loop
        self.done: asyncio.Future[None] = loop.create_future()
        self.over = False
        self.asked = 0
        self.outcomes: Counter[str] = Counter()
        self.histogram: Counter[int] = Counter()
        self.failures: list[tuple[float, str]] = []
        self.tally: Counter[str] = Counter()
        self.examples: list[str] = []
        self.last = 0.0
        self.longest = 0.0
        self.silent = job.keep_alive + job.fresh  # connections that have not been answered once
        self.slots = [Slot(self, keep=i < job.keep_alive, number=i) for i in range(self.silent)]
        self.running = len(self.slots)
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Outcome:
        """Do the job, and tell what came of it."""
        self.started = self.last = _clock()
        cpu = time.process_time()
        for slot in self.slots:
            self.connect(slot)
        ending = self.loop.call_later(self.job.seconds, self.finish)
        await self.done
        ending.cancel()
        return Outcome(
            outcomes=dict(self.outcomes),
            seconds=self.last - self.started,
            histogram=dict(self.histogram),
            longest_gap_s=self.longest,
            client_cpu_s=time.process_time() - cpu,
            failures=self.failures,
            tally=dict(self.tally),
            examples=self.examples,
        )

    def finish(self) -> None:
        """Ask nothing more; what was asked is waited for, but not for ever."""
        self.over = True
        self.loop.call_later(SILENCE_S, self._give_up)

    def _give_up(self) -> None:
        for task in self._connecting:
            task.cancel()
        for slot in self.slots:
            slot.abort()
        if not self.done.done():
            self.done.set_result(None)

    def connect(self, slot: Slot) -> None:
        task = self.loop.create_task(slot.connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def answered(self) -> None:
        """A connection got its first answer."""
        self.silent -= 1
        if self.silent == 0:
            say({"connected": True})

    def fail(self, kind: str) -> None:
        self.outcomes[kind] += 1
        if len(self.failures) < 200:
            self.failures.append((_clock(), kind))
        if len(self.failures) == 200 and sum(self.outcomes.values()) - self.outcomes["ok"] > MOST_FAILURES:
            self.over = True

    def ended(self) -> None:
        """A connection will ask no more."""
        self.running -= 1
        if self.running == 0 and not self.done.done():
            self.done.set_result(None)


class Slot(asyncio.Protocol):
    """One connection, or one after the other: asks, takes the answer, and asks again."""

    def __init__(self, run: Run, *, keep: bool, number: int) -> None:
        self.owner = run
        self.keep = keep
        self.turn = number
        self.waiting = False
        self.first = True
        self.transport: asyncio.Transport | None = None
        self.pieces: list[bytes] | None = None
        self.since = 0.0

    async def connect(self) -> None:
        """Make a connection, again and again until one is made or the job is over."""
        run = self.owner
        while not run.over:
            self.since = _clock()
            try:
                await run.loop.create_connection(lambda: self, "127.0.0.1", run.job.port)
            except OSError as error:
                run.fail("refused" if isinstance(error, ConnectionRefusedError) else f"connect: {error.strerror}")
                await asyncio.sleep(RETRY_S)
            else:
                return
        run.ended()

    def connection_made(self, transport: Any) -> None:  # uvloop's, which derives from none of asyncio's
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self._ask(self.since if not self.keep else _clock())

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.waiting = False
            self.owner.fail(f"no HTTP: {error}")
            self.abort()

    def on_body(self, data: bytes) -> None:
        if self.pieces is not None:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        now = _clock()
        run = self.owner
        status = self.parser.get_status_code()
        if status == 200 and (self.pieces is None or self._right(b"".join(self.pieces))):
            run.outcomes["ok"] += 1
            run.histogram[bucket(now - self.since)] += 1
            run.longest = max(run.longest, now - run.last)
            run.last = now
        else:
            run.fail("wrong" if status == 200 else f"status {status}")
        if self.first:
            self.first = False
            run.answered()
        self.waiting = False
        if self.keep and self.parser.should_keep_alive() and not run.over:
            if run.job.pause_s:
                run.loop.call_later(run.job.pause_s * (0.5 + random.random()), self._again)
            else:
                self._ask(now)
        else:
            assert self.transport is not None
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.waiting:
            self.waiting = False
            self.owner.fail("closed" if exc is None else type(exc).__name__)
        if self.owner.over:
            self.owner.ended()
        else:
            self.owner.connect(self)

    def abort(self) -> None:
        """Let go of the connection; what it still waited for counts as failed."""
        if self.waiting:
            self.waiting = False
            self.owner.fail("no answer")
        if self.transport is not None:
            self.transport.abort()

    def _again(self) -> None:
        """Ask after a pause, in which the connection may have been lost, or the job have ended."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.owner.over:
            self.transport.close()
        else:
            self._ask(_clock())

    def _ask(self, now: float) -> None:
        run = self.owner
        job = run.job
        run.asked += 1
        if run.asked >= job.most:
            run.over = True
        self.turn += 1
        self.exchange = job.exchanges[self.turn % len(job.exchanges)]
        self.pieces = [] if self.first or run.asked % job.check_every == 0 else None
        self.since = now
        self.waiting = True
        assert self.transport is not None
        self.transport.write(self.exchange.request)

    def _right(self, body: bytes) -> bool:
        found, answer = _value(body, self.exchange)
        if self.owner.job.tally and isinstance(answer, dict):
            self.owner.tally[str(answer.get(self.owner.job.tally))] += 1
        if right(found, self.exchange.value, self.exchange.within):
            return True
        if len(self.owner.examples) < 3:
            self.owner.examples.append(body[:300].decode("utf-8", "replace"))
        return False


def _value(body: bytes, exchange: Exchange) -> tuple[Any, Any]:
    """What an answer says where the expected value stands, and the whole answer where it is JSON."""
    if exchange.floats:
        count = len(exchange.value)
        return (list(struct.unpack(f"<{count}f", body[-4 * count :])) if len(body) >= 4 * count else None), None
    try:
        answer = found = msgspec.json.decode(body)
        for key in exchange.at:
            found = found[key]
    except (msgspec.DecodeError, LookupError, TypeError):
        return None, None
    return found, answer


def say(message: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


async def _do(job: Job) -> Outcome:
    loop = asyncio.get_running_loop()
    run = Run(job, loop)

    def told() -> None:
        # A line, or the end of the input: either way the job ends here.
        loop.remove_reader(0)
        os.read(0, 100)
        run.finish()

    loop.add_reader(0, told)
    try:
        return await run.run()
    finally:
        loop.remove_reader(0)
        os.set_blocking(0, True)  # as it was before it was watched


def main() -> None:
    """Do jobs until standard input closes."""
    decoder = msgspec.json.Decoder(Job)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while line := _line():
            say(runner.run(_do(decoder.decode(line))))


def _line() -> bytes:
    """The next line, read without taking in what comes after it."""
    read = bytearray()
    while not read.endswith(b"\n"):
        piece = os.read(0, 1 << 20)
        if not piece:
            return b""
        read += piece
    return bytes(read)


if __name__ == "__main__":
    main()
