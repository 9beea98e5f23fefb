"""What a container's processes take is on its own page of metrics, for nobody outside writes it down."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from world import until

from autodeploy_magic.metrics.resources import last_resources

HEADERS = {"authorization": "Bearer a-token-that-nobody-guesses"}


@pytest.mark.parametrize("workers", [1, 2])
def test_processor_and_memory_of_all_its_processes_are_told(
    start: Callable[..., Any], tmp_path: Path, workers: int
) -> None:
    entry = start(AUTODEPLOY_WORKERS=str(workers)).serving(workers)
    file = tmp_path / "state" / "metrics.sqlite"
    until(lambda: last_resources(file) is not None)
    row = last_resources(file)
    assert row is not None
    assert row.processes == (1 if workers == 1 else 1 + workers)  # one that looks after several
    assert 0 <= row.cpu_s < 10
    assert 10e6 < row.memory_bytes <= row.rss_bytes < 2e9
    assert row.disk_free_bytes > 0
    page = httpx.get(f"{entry.url}/metrics", headers=HEADERS, timeout=30).text
    told = dict(line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("autodeploy_process_memory_bytes"))
    assert [float(value) for value in told.values()] == [pytest.approx(row.memory_bytes, rel=0.5)]
    assert entry.end(signal.SIGTERM) == 0
