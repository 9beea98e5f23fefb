"""All deployments, second by second: what is written down, what is told live, and what a bad disk does to it."""

from __future__ import annotations

import logging
import resource
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from metered import rollup, write
from world import until

from autodeploy_magic.live import COLUMNS, Point
from autodeploy_magic.metrics import ledger
from autodeploy_magic.metrics.resources import Resources, last_resources
from autodeploy_magic.metrics.series import series
from autodeploy_magic.operate.observe import state
from autodeploy_magic.operate.observe.observatory import Observatory, Subject

Start = Callable[[], Any]
"""Of conftest.py: starts a process that does what it is told."""
NOW = int(time.time()) // 60 * 60 - 600
"""A clock that the tests set forward, second by second."""


@pytest.fixture
def observatory() -> Iterator[Observatory]:
    one = Observatory()
    yield one
    one.close().result(10)
    until(lambda: not any(thread.name.startswith(("observatory", "disks")) for thread in threading.enumerate()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "iris"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"x" * 100_000)
    return folder


def of(folder: Path, *processes: Any, recorded: bool = True) -> Subject:
    roots = tuple(process.root for process in processes)
    return Subject(folder.name, roots, folder, folder / "metrics.sqlite", recorded)


def watch(observatory: Observatory, subject: Subject, seconds: range, watched: bool = True) -> list[Point]:
    """Observe at the end of each of these seconds; the points that were told."""
    told = []
    for second in seconds:
        told += observatory.observe(second + 1.01, [subject], [subject.name] if watched else []).result(30)
    return told


def shown(point: Point) -> dict[str, float | None]:
    return dict(zip(COLUMNS, point.v, strict=True))


def rows(file: Path, what: str = "second, processes") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(f"SELECT {what} FROM resources ORDER BY second").fetchall()


def test_a_row_for_each_second_from_the_second_on(observatory: Observatory, folder: Path, start: Start) -> None:
    worker = start()
    subject = of(folder, worker)
    assert observatory.latest("iris") is None
    watch(observatory, subject, range(NOW, NOW + 1))
    until(lambda: observatory._disks.look(folder, 0.0)[0] is not None)
    used = worker.do("burn 0.3")
    watch(observatory, subject, range(NOW + 1, NOW + 5))
    observatory.flush("iris").result(10)
    assert rows(subject.file) == [(NOW + i, 1) for i in range(1, 5)]
    assert sum(row[0] for row in rows(subject.file, "cpu_s")) == pytest.approx(used, rel=0.3)
    latest = last_resources(subject.file)
    assert latest is not None
    assert latest == observatory.latest("iris")
    assert latest.disk_bytes >= 100_000
    assert latest.disk_free_bytes > 0
    assert latest.memory_bytes > 1 << 20
    assert (latest.threads, latest.gpu_memory_bytes) == (1, None)


def test_rows_are_written_in_batches(observatory: Observatory, folder: Path, start: Start, monkeypatch: Any) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 5))
    assert not subject.file.exists()
    monkeypatch.setattr(ledger, "WRITE_EVERY_S", 0.0)
    watch(observatory, subject, range(NOW + 5, NOW + 6))
    assert len(rows(subject.file)) == 5


def test_a_deployment_that_is_down_has_rows_and_nothing_but_its_disk(
    observatory: Observatory, folder: Path, start: Start
) -> None:
    worker = start()
    watch(observatory, of(folder, worker), range(NOW, NOW + 3))
    worker.kill()
    told = watch(observatory, of(folder, worker), range(NOW + 3, NOW + 20))
    until(lambda: observatory._disks.look(folder, 0.0)[0] is not None)
    told += watch(observatory, of(folder), range(NOW + 20, NOW + 30))
    observatory.flush().result(10)
    # One row for each minute or less, which covers the seconds before it.
    assert rows(folder / "metrics.sqlite") == [(NOW + 1, 1), (NOW + 2, 1), (NOW + 29, 0)]
    last = shown(told[-1])
    assert {name for name, value in last.items() if value is not None} == {"disk_bytes", "disk_free_bytes"}
    alive = next(shown(point) for point in told if point.t == NOW + 2)
    assert (alive["requests_per_s"], alive["p99_s"], alive["memory_bytes"]) == (0.0, None, pytest.approx(10e6, rel=0.8))


def test_what_processes_elsewhere_took_is_told_and_written_as_it_comes(
    observatory: Observatory, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def took(second: int, cpu_s: float) -> Resources:
        return Resources(second, 1.0, 2, cpu_s, 300_000_000, 400_000_000, 20, 30)

    monkeypatch.setattr(state, "ELSEWHERE_S", 5)
    here = of(folder, start())  # whoever has their numbers on this machine is none of them
    told = watch(observatory, here._replace(elsewhere=()), range(NOW, NOW + 1))
    until(lambda: observatory._disks.look(folder, 0.0)[0] is not None)
    come = {4: (took(NOW + 1, 0.5),), 5: (took(NOW + 2, 1.5), took(NOW + 3, 0.25))}
    for i in range(1, 12):
        told += watch(observatory, here._replace(elsewhere=come.get(i, ())), range(NOW + i, NOW + i + 1))
        if i == 5:
            assert observatory.latest("iris") == took(NOW + 3, 0.25)._replace(
                disk_bytes=observatory._disks.look(folder, 0.0)[0], disk_free_bytes=ANY
            )
    shares = {point.t: shown(point)["cpu_cores"] for point in told if point.t >= NOW}
    assert {second - NOW: cores for second, cores in shares.items() if cores} == {1: 0.5, 2: 1.5, 3: 0.25}
    memory = [shown(point)["memory_bytes"] for point in told if point.t == NOW + 2]
    assert memory[-1] == 300_000_000
    observatory.flush("iris").result(10)
    found = rows(folder / "metrics.sqlite")
    assert [row for row in found if row[1]] == [(NOW + i, 2) for i in (1, 2, 3)]
    assert found[-1] == (NOW + 6, 0)  # of which nobody has told within five seconds
    back = watch(observatory, here, range(NOW + 12, NOW + 16))
    assert 1 << 20 < (shown(back[-1])["memory_bytes"] or 0) < 300_000_000


def test_points_are_what_was_answered(observatory: Observatory, folder: Path, start: Start) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 3))
    write(subject.file, [rollup(NOW + 2, [0.02] * 10, statuses=[200] * 9 + [500]), rollup(NOW + 2, [0.02], worker=2)])
    told = watch(observatory, subject, range(NOW + 3, NOW + 6))
    found = [(point.t, shown(point)["requests_per_s"]) for point in told]
    assert found == [(NOW + 2, 11.0), (NOW + 3, 0.0), (NOW + 4, 0.0)]
    second = shown(told[0])
    assert (second["failed_per_s"], second["in_flight"]) == (1.0, 2.0)
    assert second["p50_s"] == pytest.approx(0.02, rel=0.02)
    assert (second["cpu_cores"] or 0.0) >= 0.0


def test_a_second_that_comes_late_is_told_again(observatory: Observatory, folder: Path, start: Start) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 5))
    write(subject.file, [rollup(NOW + 3, [0.02] * 10)])
    told = watch(observatory, subject, range(NOW + 5, NOW + 6))
    write(subject.file, [rollup(NOW + 3, [0.04] * 10, worker=2), rollup(NOW + 6, [0.01])])
    told += watch(observatory, subject, range(NOW + 6, NOW + 8))
    found = [(point.t, shown(point)["requests_per_s"]) for point in told]
    assert found == [(NOW + 3, 10.0), (NOW + 4, 0.0), (NOW + 3, 20.0), (NOW + 5, 0.0), (NOW + 6, 1.0)]


def test_who_begins_to_watch_is_told_the_last_seconds(observatory: Observatory, folder: Path, start: Start) -> None:
    subject = of(folder, start())
    assert watch(observatory, subject, range(NOW, NOW + 20), watched=False) == []
    told = watch(observatory, subject, range(NOW + 20, NOW + 21))
    assert [point.t for point in told] == [NOW + i for i in range(15, 20)]
    assert all(shown(point)["requests_per_s"] == 0.0 for point in told)
    watch(observatory, subject, range(NOW + 21, NOW + 40), watched=False)
    assert [point.t for point in watch(observatory, subject, range(NOW + 40, NOW + 41))] == [
        NOW + i for i in range(35, 40)
    ]


def test_one_point_as_it_is_known_now(observatory: Observatory, folder: Path, start: Start) -> None:
    subject = of(folder, start())
    assert observatory.point("iris", NOW).result(10) is None
    watch(observatory, subject, range(NOW, NOW + 3), watched=False)
    write(subject.file, [rollup(NOW + 1, [0.02] * 7)])
    point = observatory.point("iris", NOW + 1).result(10)
    assert point is not None
    assert shown(point)["requests_per_s"] == 7.0
    unknown = observatory.point("iris", NOW - 100).result(10)
    assert unknown is not None
    assert set(unknown.v) == {None}


def test_where_nothing_is_recorded_no_rate_is_made_up(observatory: Observatory, folder: Path, start: Start) -> None:
    told = watch(observatory, of(folder, start(), recorded=False), range(NOW, NOW + 5))
    last = shown(told[-1])
    assert (last["requests_per_s"], last["in_flight"]) == (None, None)
    assert last["memory_bytes"]


def test_a_series_right_after_a_flush_has_what_the_points_had(
    observatory: Observatory, folder: Path, start: Start
) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 2))
    write(subject.file, [rollup(NOW + i, [0.01] * i) for i in range(2, 10)])
    told = watch(observatory, subject, range(NOW + 2, NOW + 12))
    observatory.flush("iris").result(10)
    found = series(subject.file, "iris", 10, 10, until=NOW + 11)
    lines = dict(zip(range(int(found.start_s), NOW + 11), zip(*found.values, strict=True), strict=True))
    for point in told:
        if NOW + 1 < point.t < NOW + 11:
            assert point.v == lines[point.t]


def test_the_file_is_deleted_and_made_again(observatory: Observatory, folder: Path, start: Start) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 3))
    observatory.flush().result(10)
    for file in folder.glob("metrics.sqlite*"):
        file.unlink()
    watch(observatory, subject, range(NOW + 3, NOW + 6))
    observatory.flush().result(10)
    assert [second for second, _ in rows(subject.file)] == [NOW + 3, NOW + 4, NOW + 5]


def test_a_deployment_that_is_removed_and_made_again_begins_anew(
    observatory: Observatory, folder: Path, start: Start
) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 3))
    gone = folder.rename(folder.with_name(".iris.gone"))
    shutil.rmtree(gone)
    assert watch(observatory, subject, range(NOW + 3, NOW + 5)) != []  # its folder is gone, and nobody minds
    folder.mkdir()
    watch(observatory, subject, range(NOW + 5, NOW + 8))
    observatory.flush().result(10)
    assert [second for second, _ in rows(subject.file)] == [NOW + 6, NOW + 7]
    assert observatory.observe(NOW + 20.0, []).result(10) == []
    assert observatory.latest("iris") is None


def test_one_that_is_forgotten_writes_nothing_more(observatory: Observatory, folder: Path, start: Start) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 3))
    observatory.forget("iris").result(10)
    observatory.flush().result(10)
    assert not subject.file.exists()


def test_a_full_disk_loses_nothing_and_is_told_of_once(
    observatory: Observatory, folder: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 3))
    observatory.flush().result(10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for second in range(NOW + 3, NOW + 6):
            watch(observatory, subject, range(second, second + 1))
            observatory.flush().result(10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert "not written down" in caplog.text
    watch(observatory, subject, range(NOW + 6, NOW + 7))
    observatory.flush().result(10)
    assert [second for second, _ in rows(subject.file)] == [NOW + i for i in range(1, 7)]


def test_what_waits_for_a_bad_disk_is_bounded(
    observatory: Observatory, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MOST_WAITING", 5)
    subject = of(folder, start())
    subject.file.mkdir()  # nothing can be written there
    told = watch(observatory, subject, range(NOW, NOW + 10), watched=False)
    assert told == []
    observatory.flush().result(10)
    subject.file.rmdir()
    observatory.flush().result(10)
    assert [second for second, _ in rows(subject.file)] == [NOW + i for i in range(5, 10)]


def test_a_file_that_cannot_be_read_makes_no_zeros(
    observatory: Observatory, folder: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    subject = of(folder, start())
    subject.file.write_bytes(b"SQLite format 3\0" + bytes(4096))
    assert watch(observatory, subject, range(NOW, NOW + 6)) == []
    assert "cannot be read" in caplog.text
    subject.file.unlink()
    write(subject.file, [rollup(NOW + 4, [0.01] * 3)])
    told = watch(observatory, subject, range(NOW + 6, NOW + 7))
    assert {point.t: shown(point)["requests_per_s"] for point in told}[NOW + 4] == 3.0


def test_a_clock_that_is_set_back_does_not_end_the_observing(
    observatory: Observatory, folder: Path, start: Start
) -> None:
    subject = of(folder, start())
    watch(observatory, subject, range(NOW, NOW + 3))
    watch(observatory, subject, range(NOW + 2, NOW + 3))  # the same second again
    told = watch(observatory, subject, range(NOW - 300, NOW - 295))
    assert told[-1].t == NOW - 297
    observatory.flush().result(10)
    assert [second for second, _ in rows(subject.file)] == [*range(NOW - 300, NOW - 295), NOW + 1, NOW + 2]


def test_no_files_are_left_open(folder: Path, start: Start) -> None:
    import psutil

    process = psutil.Process()
    worker = start()
    before = process.num_fds()
    observatory = Observatory()
    watch(observatory, of(folder, worker), range(NOW, NOW + 5))
    observatory.close().result(10)
    until(lambda: process.num_fds() == before)
