"""What the clients are told to do, and what they tell of it: JSON between two processes of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from autodeploy_magic.metrics import merge, quantile

__all__ = ["Exchange", "Job", "Outcome", "post", "right"]


class Exchange(msgspec.Struct, frozen=True):
    """A request, byte for byte, and what a right answer holds.

    `value` stands in the answer's JSON at the keys `at`; or, with `floats`, the body's last bytes are these float32.
    Numbers may differ by `within`.
    """

    request: bytes
    value: Any
    at: tuple[str | int, ...] = ()
    floats: bool = False
    within: float = 1e-3


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the clients against one port of 127.0.0.1; each connection asks again as soon as it is answered, or
    about `pause_s` later (half to one and a half of it).

    `keep_alive` connections stay; each of the `fresh` ones is made for one request. It ends after `seconds` or `most`
    requests, whichever comes first, or when told. The first answer of each connection and every `check_every`-th of all
    are compared; the others must have status 200. What the checked answers hold under the key `tally` is counted.
    """

    port: int
    exchanges: tuple[Exchange, ...]
    keep_alive: int = 8
    fresh: int = 0
    seconds: float = 2.0
    most: int = 10_000_000
    check_every: int = 97
    pause_s: float = 0.0
    tally: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run. `outcomes` counts "ok" and each kind of failure; a failed request is not sent again.

    `seconds` is from the first request to the last answer, `longest_gap_s` the longest time in which no client got a
    right answer, `client_cpu_s` what the clients' process used. `failures` are the first ones, with the moment on the
    clock `time.perf_counter`; `examples` the first wrong answers.
    """

    outcomes: dict[str, int]
    seconds: float
    histogram: dict[int, int]
    longest_gap_s: float
    client_cpu_s: float
    failures: list[tuple[float, str]] = []
    tally: dict[str, int] = {}
    examples: list[str] = []

    @property
    def ok(self) -> int:
        return self.outcomes.get("ok", 0)

    @property
    def failed(self) -> dict[str, int]:
        """Each kind of failure and how often it happened."""
        return {kind: count for kind, count in self.outcomes.items() if kind != "ok"}

    def quantile_s(self, q: float) -> float:
        """The q-quantile of the latencies; NaN where nothing was answered."""
        found = quantile(merge([self.histogram]), q)
        return float("nan") if found is None else found


def post(
    path: str, body: bytes, *, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> bytes:
    """A POST to this machine as a usual client words it."""
    fields = {
        "Host": "127.0.0.1",
        "User-Agent": "bench",
        "Accept": "*/*",
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def right(found: Any, wanted: Any, within: float) -> bool:
    """Whether an answer is the one that was expected, number for number."""
    if isinstance(wanted, list | tuple):
        alike = isinstance(found, list | tuple) and len(found) == len(wanted)
        return alike and all(right(a, b, within) for a, b in zip(found, wanted, strict=True))
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return abs(found - wanted) <= within
    return bool(found == wanted)
