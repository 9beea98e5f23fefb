"""The disk's free space, and metrics that nobody writes."""

import msgspec
import pytest
from seconds import DESIRED, VERSION, answered, changes, first, rules, run, second, taken

from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.detect.disk import DiskDetector

GB = 1 << 30


def test_little_room_is_told_and_less_is_critical() -> None:
    def make(t: int) -> Moment:
        free = 2 * GB if t < 10 else GB - 1 if t < 20 else 100 << 20 if t < 30 else 5 * GB
        return second(t, answered(1), used=taken(t, free=free))

    found = run(DiskDetector("iris"), 40, make)
    assert [first(found, "disk"), changes(found, "disk")] == [10, 2]
    assert [found[15][0].severity, found[25][0].severity] == ["warning", "critical"]
    assert "105 MB of the disk are free" in found[25][0].text


def test_it_does_not_flap_about_the_limit() -> None:
    found = run(
        DiskDetector("iris"), 60, lambda t: second(t, answered(1), used=taken(t, free=GB + (-1) ** t * (10 << 20)))
    )
    assert changes(found, "disk") == 1


def test_room_for_another_version_is_wanted() -> None:
    large = msgspec.structs.replace(VERSION, size_bytes=3 * GB)
    found = run(DiskDetector("iris"), 3, lambda t: second(t, answered(1), version=large, used=taken(t, free=5 * GB)))
    assert rules(found) == {"disk"}


def test_a_full_disk_says_that_metrics_are_lost() -> None:
    (finding,) = run(DiskDetector("iris"), 2, lambda t: second(t, answered(0), used=taken(t, free=0)))[-1]
    assert finding.severity == "critical"
    assert "metrics are not written any more" in finding.text


@pytest.mark.parametrize(("a_second", "expected"), [(20 << 20, True), (1 << 20, False), (0, False)])
def test_a_disk_that_fills_is_told_with_its_time(a_second: int, expected: bool) -> None:
    found = run(DiskDetector("iris"), 400, lambda t: second(t, answered(1), used=taken(t, free=40 * GB - t * a_second)))
    assert rules(found) == ({"disk:filling"} if expected else set())
    if expected:
        assert "will be full in 2" in found[-1][0].text


def test_one_large_file_is_no_trend() -> None:
    found = run(
        DiskDetector("iris"),
        600,
        lambda t: second(t, answered(1), used=taken(t, free=(40 if t < 300 else 20) * GB)),
    )
    assert not rules(found)


def test_metrics_that_nobody_writes_are_told_where_workers_run() -> None:
    found = run(DiskDetector("iris"), 40, lambda t: second(t, None))
    assert first(found, "metrics") == 29
    off = msgspec.structs.replace(DESIRED, settings={"metrics": False})
    assert not rules(run(DiskDetector("iris"), 60, lambda t: second(t, None, desired=off)))


def test_an_unknown_disk_is_not_reported() -> None:
    assert not rules(run(DiskDetector("iris"), 60, lambda t: second(t, answered(1), used=taken(t, free=-1))))
    assert not rules(run(DiskDetector("iris"), 60, lambda t: second(t, answered(1), used=None)))
