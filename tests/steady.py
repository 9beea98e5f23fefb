"""A client that sends at a constant rate, and keeps what it saw: what a panel shows is held against it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

__all__ = ["Answer", "Seen", "Steady"]


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent (seconds since the epoch), how long its answer took, HTTP's status or 0."""

    at_s: float
    seconds: float
    status: int


@dataclass(frozen=True)
class Seen:
    """A window of answers, summed up as a panel's tiles are."""

    requests_per_s: float
    p50_s: float
    p99_s: float
    failed_share: float


class Steady:
    """Sends the rows `rate` times a second while the block runs, each at its moment however the one before it fares."""

    def __init__(self, url: str, headers: dict[str, str], inputs: Any, rate: float, *, connections: int = 4) -> None:
        self.answers: list[Answer] = []
        self._body = json.dumps({"inputs": inputs})
        self._headers = {**headers, "content-type": "application/json"}
        self._address = urlsplit(url)
        self._rate = rate
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, connections), daemon=True) for number in range(connections)
        ]
        self._begun = 0.0

    def __enter__(self) -> Self:
        self._begun = time.time() + 0.05
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def seen(self, seconds: float, until_s: float | None = None) -> Seen:
        """What was answered in the last whole `seconds` before `until_s` (default: two seconds ago, all has come)."""
        end = float(int(time.time() - 2 if until_s is None else until_s))
        inside = [answer for answer in list(self.answers) if end - seconds <= answer.at_s + answer.seconds < end]
        times = sorted(answer.seconds for answer in inside if answer.status)
        failed = sum(answer.status >= 500 or not answer.status for answer in inside)
        return Seen(
            len(inside) / seconds,
            times[len(times) // 2],
            times[min(len(times) - 1, int(len(times) * 0.99))],
            failed / len(inside),
        )

    def _run(self, number: int, all_of_them: int) -> None:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=30)
        turn = number
        while True:
            moment = self._begun + turn / self._rate
            if self._over.wait(max(0.0, moment - time.time())):
                break
            turn += all_of_them
            self._ask(connection)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        at_s, begun, status = time.time(), time.perf_counter(), 0
        try:
            connection.request("POST", "/predict", self._body, self._headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens it again
        self.answers.append(Answer(at_s, time.perf_counter() - begun, status))
