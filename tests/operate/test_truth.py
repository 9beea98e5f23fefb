"""The figures are true: under a known load, a series says what the clients measured themselves.

A client that waits for a CPU measures its own waiting, too, which no worker can know. So how long a thread waits that
only sleeps is measured beside them, and latencies are compared in the steps in which the machine had time. Counts are
compared in all of them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from world import WAIT_S, World, until

from autodeploy_magic.contracts import Status
from autodeploy_magic.metrics.points import LATE_S
from autodeploy_magic.metrics.series import series

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

RATE = 12
REFUSED, FAILED = 0.05, 0.03
STEP_S = 10
QUIET_S = 0.003
"""What 99 of 100 sleeps may take too long at most in a step whose latencies are compared."""
STEPS, MOST_STEPS = 3, 9


class Answer(NamedTuple):
    """What a client saw. `at` is when it had the whole answer, in seconds since the epoch."""

    at: float
    seconds: float
    status: int


class KnownLoad:
    """Eight clients that send `RATE` requests a second together, of which known parts are refused and fail.

    How long the model takes is in the request, as is whether it fails: 30 ms, and 30 ms more on average. A client is a
    bare socket: what it adds to what it measures is a fraction of a millisecond.
    """

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.answers: list[Answer] = []
        self.overslept: list[tuple[float, float]] = []
        self._address = urlsplit(url)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._chance = random.Random(11)
        self._turns = itertools.count()
        self._taking = threading.Lock()
        self._stop = threading.Event()
        self._started = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        self._started = time.monotonic()
        threads = [threading.Thread(target=run) for run in (*[self._run] * 8, self._sleep)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(WAIT_S)

    def quiet(self, start: float) -> bool:
        """Whether the machine had time in the step that begins there."""
        found = sorted(late for at, late in self.overslept if start <= at < start + STEP_S)
        return bool(found) and found[int(0.99 * len(found))] <= QUIET_S

    def _sleep(self) -> None:
        while not self._stop.is_set():
            started = time.perf_counter()
            time.sleep(0.005)
            self.overslept.append((time.time(), time.perf_counter() - started - 0.005))

    def _run(self) -> None:
        connection = self._connect()
        while True:
            with self._taking:
                turn, request = next(self._turns), self._request()
            if self._stop.wait(max(0.0, self._started + turn / RATE - time.monotonic())):
                break
            answer = self._ask(connection, request)
            if answer is None:  # the worker was replaced, and closed what was idle: it did not see the request
                connection.close()
                connection = self._connect()
                answer = self._ask(connection, request)
            assert answer is not None
            self.answers.append(answer)
        connection.close()

    def _connect(self) -> socket.socket:
        return socket.create_connection((self._address.hostname, self._address.port), timeout=WAIT_S)

    def _request(self) -> bytes:
        kind, sleep_ms = self._chance.random(), 30 + self._chance.expovariate(1 / 30)
        row = ["five", 1, 2, 3] if kind < REFUSED else [sleep_ms, -1 if kind < REFUSED + FAILED else 3, 1.4, 0.2]
        body = json.dumps({"inputs": [row]})
        return (
            f"POST /predict HTTP/1.1\r\nhost: {self._address.netloc}\r\n{self._head}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    @staticmethod
    def _ask(connection: socket.socket, request: bytes) -> Answer | None:
        """Send, and wait for the whole answer; None where the connection was closed before any of it."""
        started, got = time.perf_counter(), b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
            while (more := connection.recv(65536)) and not whole(got := got + more):
                pass
        ended, at = time.perf_counter(), time.time()
        return Answer(at, ended - started, int(got.split(b" ", 2)[1])) if got else None


def whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    return bool(end) and found is not None and len(body) >= int(found[1])


def made_slow() -> Any:
    """A model that takes as many milliseconds as its row says, and fails where that says so."""

    def predict(model: Any, x: Any) -> Any:  # within a function, so that it travels to the worker as it is
        import time

        time.sleep(float(x[0][0]) / 1000)
        if float(x[0][1]) < 0:
            raise ValueError("as it was told")
        return model.predict(x)

    return predict


def check(world: World, load: KnownLoad, start: float) -> bool:
    """Compare a step of ten seconds; whether its latencies were compared, too."""
    found = series(world.store.metrics_file("iris"), "iris", STEP_S, 1, until=start + STEP_S)
    assert (found.start_s, found.step_s) == (start, STEP_S)
    shown = {name: values[0] or 0.0 for name, values in zip(found.columns, found.values, strict=True)}
    measured = [answer for answer in load.answers if start <= answer.at < start + STEP_S]
    assert shown["requests_per_s"] == pytest.approx(len(measured) / STEP_S, rel=0.05)
    for name, codes in (("refused_per_s", range(400, 500)), ("failed_per_s", range(500, 600))):
        share = sum(answer.status in codes for answer in measured) / len(measured)
        one = 1 / len(measured)  # which may be of the step before for the client, and of this one for the worker
        assert shown[name] / shown["requests_per_s"] == pytest.approx(share, rel=0.05, abs=one)
    if not load.quiet(start):
        return False
    latencies = sorted(answer.seconds for answer in measured)
    last = len(latencies) - 1
    for name, q in (("p50_s", 0.5), ("p95_s", 0.95), ("p99_s", 0.99)):
        rank = int(q * last)
        # At each end of the step an answer may be of this one for the client, and of its neighbour for the worker.
        least, most = latencies[max(0, rank - 2)], latencies[min(last, rank + 2)]
        assert 0.95 * least - 0.001 <= shown[name] <= 1.05 * most + 0.001, name
    return True


def observe(world: World, status: Status, meanwhile: Callable[[], object]) -> None:
    """Load it for some steps, with something in the middle of them, and compare."""
    load = KnownLoad(status.url, world.headers())
    with load.running():
        start = math.ceil((time.time() + 1) / STEP_S) * STEP_S
        compared = steps = 0
        while compared < STEPS and steps < MOST_STEPS:
            time.sleep(max(0.0, start + STEP_S / 2 - time.time()))
            if steps == 1:
                meanwhile()
            time.sleep(max(0.0, start + STEP_S + LATE_S + 1 - time.time()))
            compared += check(world, load, start)
            start += STEP_S
            steps += 1
    time.sleep(LATE_S + 1)  # until the last second is written down
    whole_series = series(world.store.metrics_file("iris"), "iris", 300, 300)
    assert sum(value or 0.0 for value in whole_series.values[0]) == len(load.answers)
    assert {answer.status for answer in load.answers} == {200, 422, 500}
    if not compared:
        pytest.skip("counts are right; the machine was too busy with other things to compare latencies")


def test_a_known_load_is_shown_as_it_was_before_and_after_a_restart_and_in_it(world: World) -> None:
    status = world.serve(world.version(format="native", predict=made_slow()), workers=2)
    observe(world, status, lambda: world.supervisor.restart("iris", lambda _: None))
    after = world.supervisor.status("iris")
    assert {worker.pid for worker in after.workers}.isdisjoint({worker.pid for worker in status.workers})


def test_what_its_processes_take_is_what_the_system_says(world: World) -> None:
    def predict(model: Any, x: Any) -> Any:
        import time

        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return model.predict(x)

    status = world.serve(world.version(format="native", predict=predict), workers=2)
    workers = [psutil.Process(worker.pid) for worker in status.workers]
    until(lambda: world.supervisor.series("iris", 10, 10).values[10][-1] is not None)
    began, before = time.time(), cpu_s(workers)
    with httpx.Client(timeout=WAIT_S) as client:
        for _ in range(150):
            assert world.predict(client=client).status_code == 200
    used = cpu_s(workers) - before
    ended = time.time()
    time.sleep(LATE_S + 1)
    found = world.supervisor.series("iris", math.ceil(ended - began) + 2, 2000, ended + 1)
    shown = dict(zip(found.columns, found.values, strict=True))
    assert found.step_s == 1.0
    assert sum(value or 0.0 for value in shown["cpu_cores"]) == pytest.approx(used, rel=0.1)
    pss = sum(worker.memory_full_info().pss for worker in workers)
    last = [value for value in shown["memory_bytes"] if value is not None][-1]
    assert last == pytest.approx(pss, rel=0.1)
    free = shutil.disk_usage(world.store.home).free
    assert [value for value in shown["disk_free_bytes"] if value is not None][-1] == pytest.approx(free, rel=0.1)


def cpu_s(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)
