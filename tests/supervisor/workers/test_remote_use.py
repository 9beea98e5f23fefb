"""What replicas take, added up second by second, however late each of them tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.supervisor.workers.remote_use import SILENT_S, WAIT_S, RemoteUse

NOW = 1_700_000_000
MB = 1_000_000


def told(replica: str, seconds: range, *, cpu_s: float = 0.5, span_s: float = 1.0, mb: int = 100) -> dict[str, Any]:
    rows = [Resources(NOW + i, span_s, 1, cpu_s, mb * MB, 2 * mb * MB, 7, 9) for i in seconds]
    return {"replica": replica, "pid": 1, "used": [list(row) for row in rows]}


def seconds(rows: list[Resources]) -> list[int]:
    return [row.second - NOW for row in rows]


def test_a_second_is_the_sum_of_all_once_all_have_told_of_it() -> None:
    use = RemoteUse()
    first = use.take([told("a", range(5)), told("b", range(4), cpu_s=0.25, mb=50)], NOW + 5.5, 100.0)
    assert seconds(first) == [0, 1, 2, 3]
    assert {row[2:8] for row in first} == {(2, 0.75, 150 * MB, 300 * MB, 14, 18)}
    assert use.take([told("a", range(5)), told("b", range(4))], NOW + 5.9, 100.4) == []
    assert seconds(use.take([told("a", range(7)), told("b", range(6))], NOW + 7.5, 102.0)) == [4, 5]


def test_one_that_is_gone_drops_out_and_one_that_comes_is_added() -> None:
    use = RemoteUse()
    use.take([told("a", range(4)), told("b", range(4))], NOW + 4.5, 100.0)
    gone = told("b", range(4))  # the mailbox names it for some seconds more
    assert use.take([told("a", range(6)), gone], NOW + 6.5, 102.0) == []
    later = use.take([told("a", range(8)), gone, told("c", range(6, 8))], NOW + 8.5, 100.0 + SILENT_S + 1)
    assert [(row.second - NOW, row.processes) for row in later] == [(4, 1), (5, 1), (6, 2), (7, 2)]
    assert {row.cpu_s for row in later} == {0.5, 1.0}


def test_nobody_is_waited_for_longer_than_that() -> None:
    use = RemoteUse()
    found = use.take([told("a", range(20)), told("slow clock", range(2, 3))], NOW + 20.5, 100.0)
    assert seconds(found) == list(range(20 - WAIT_S + 1))


def test_a_row_of_several_seconds_gives_each_its_part() -> None:
    use = RemoteUse()
    [*_, last] = use.take([told("a", range(4, 5), cpu_s=1.5, span_s=3.0)], NOW + 5.5, 100.0)
    assert (last.second, last.span_s, last.cpu_s) == (NOW + 4, 1.0, pytest.approx(0.5))


def test_replicas_that_do_not_tell_make_no_zeros() -> None:
    use = RemoteUse()
    assert use.take([], NOW, 100.0) == []
    assert use.take([{"replica": "of an earlier release"}], NOW, 101.0) == []
    newer = told("a", range(2))
    newer["used"] = [[*row, "more"] for row in newer["used"]]
    assert seconds(use.take([newer], NOW + 2.5, 102.0)) == [0, 1]
