"""Requests fail (5xx) more often than they use to."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from autodeploy_magic.health import Finding
from autodeploy_magic.operate.detect.base import About, Answers, Moment
from autodeploy_magic.operate.detect.holding import Clock, Holding

__all__ = ["ErrorDetector"]

USUAL = 0.001
"""What is taken for usual before anything is known."""
MOST_USUAL = 0.005
"""More than this is never usual: a share of 2 % is told of however long it has been there."""
LEAST_BAD, FACTOR = 0.01, 4.0
"""What is looked for: four times the usual share, 1 % at least."""
EVIDENCE = 12.0
FAILED, SECONDS = 5, 2
"""It takes so many failed requests, in so many different seconds."""
WINDOW_S, CLEAR_S, FORGET_S = 30, 15.0, 120.0
CRITICAL = 0.05
MEMORY = 20_000.0
"""Requests that the usual share is learned from."""


class ErrorDetector:
    """A cumulative sum for shares, with the odds of each answer (Reynolds and Stoumbos, "A CUSUM chart for monitoring a
    proportion when inspecting continuously", Journal of Quality Technology 1999).
    """

    about = About(
        help="requests fail (5xx) more often than usual",
        defaults="4 times the usual share, 1 % at least; 5 failed requests in 2 different seconds; critical from 5 % "
        "on; over when the last 30 s are below half of that for 15 s",
        detects="0 → 2 %: 3 s at 100 requests/s, 27 s at 10; 0 → 20 % at 1 request/s: 33 s",
        cost="4 µs",
    )

    def __init__(self, name: str) -> None:
        self._clock = Clock()
        self._usual = USUAL
        self._seen = 1000.0
        self._evidence = 0.0
        self._window: deque[tuple[int, int, int]] = deque(maxlen=WINDOW_S)  # t, requests, failed
        self._run_failed = self._run_seconds = 0
        self._fault = Holding(0.0, CLEAR_S)
        self._quiet_s = 0.0
        self._request = ""
        self._versions: dict[int, int] = {}
        self._severe = False

    def see(self, moment: Moment) -> Iterator[Finding]:
        passed_s = self._clock.tick(moment.t)
        for one in moment.recorded:
            if one.status >= 500:
                self._request = one.id
        answers = moment.answers
        if answers is not None:
            self._count(moment, answers, passed_s)
        if not self._fault.on:
            return
        requests, failed = self._sums()
        share = failed / requests if requests else 0.0
        self._severe = share >= (CRITICAL / 2 if self._severe else CRITICAL)
        version = max(self._versions, key=lambda number: self._versions[number], default=0)
        yield Finding(
            rule="errors",
            detector="errors",
            metric="errors",
            severity="critical" if self._severe else "warning",
            text=f"{share:.1%} of the requests fail: {failed} of {requests} in the last {WINDOW_S} s; "
            f"usual is {self._usual:.2%}",
            value=share,
            limit=self._bad,
            version=version,
            request=self._request,
        )

    @property
    def _bad(self) -> float:
        return max(LEAST_BAD, FACTOR * self._usual)

    def _sums(self) -> tuple[int, int]:
        return sum(one[1] for one in self._window), sum(one[2] for one in self._window)

    def _count(self, moment: Moment, answers: Answers, passed_s: float) -> None:
        requests, failed = answers.requests, min(answers.failed, answers.requests)
        if self._clock.gap:
            self._window.clear()
        self._window.append((moment.t, requests, failed))
        self._quiet_s = 0.0 if requests else self._quiet_s + passed_s
        if failed:
            for number, one in moment.by_version.items():
                if one.failed:
                    self._versions[number] = self._versions.get(number, 0) + one.failed
        if self._fault.on:
            self._judge_end(passed_s)
            return
        if not requests:
            return
        usual, bad = self._usual, self._bad
        self._evidence += failed * math.log(bad / usual) + (requests - failed) * math.log((1 - bad) / (1 - usual))
        if failed:
            self._run_failed += failed
            self._run_seconds += 1
        if self._evidence <= 0:
            self._evidence = 0.0
            self._run_failed = self._run_seconds = 0
            self._versions.clear()
        if self._evidence >= EVIDENCE and self._run_failed >= FAILED and self._run_seconds >= SECONDS:
            self._fault.see(passed_s, True)
            return
        # While there is evidence, what is learned from is not usual.
        if self._evidence < EVIDENCE / 2:
            self._seen = min(MEMORY, self._seen + requests)
            self._usual += requests / max(self._seen, requests) * (failed / requests - self._usual)
            self._usual = min(MOST_USUAL, max(USUAL / 10, self._usual))

    def _judge_end(self, passed_s: float) -> None:
        """It is over when few fail, and when nothing was asked for so long that nobody knows."""
        requests, failed = self._sums()
        still = requests > 0 and failed >= 1 and failed / requests >= self._bad / 2
        if self._quiet_s >= FORGET_S:
            still = False
        elif not requests:
            return
        if not self._fault.see(passed_s, still):
            self._evidence = 0.0
            self._run_failed = self._run_seconds = 0
            self._versions.clear()
            self._window.clear()
            self._severe = False
            self._request = ""
