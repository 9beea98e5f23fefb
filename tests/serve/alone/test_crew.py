"""Several workers behind one port: they share it, are replaced, and are given up where that is of no use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

WAIT_S = 30.0


def workers(entry: Any) -> list[int]:
    return [child.pid for child in psutil.Process(entry.process.pid).children()]


def test_a_worker_that_is_killed_is_replaced_and_the_others_answer(start: Callable[..., Any]) -> None:
    entry = start(AUTODEPLOY_WORKERS="2", AUTODEPLOY_DRAIN_S="1").serving(2)
    killed = workers(entry)[0]
    os.kill(killed, signal.SIGKILL)
    entry.logged(f"worker {killed} ended")
    assert entry.predict().status_code == 200
    entry.serving(3)
    assert len(workers(entry)) == 2
    assert killed not in workers(entry)
    with httpx.Client(timeout=WAIT_S) as client:
        assert client.get(f"{entry.url}/readyz").status_code == 200
        entry.process.send_signal(signal.SIGTERM)
        entry.logged("draining", 2)
        assert client.get(f"{entry.url}/readyz").status_code == 503  # what is held is answered to the end
    assert entry.end() == 0


def test_workers_end_with_the_process_that_started_them(start: Callable[..., Any]) -> None:
    """Else they hold its port, and nobody knows of them."""
    entry = start(AUTODEPLOY_WORKERS="2", AUTODEPLOY_DRAIN_S="1").serving(2)
    left = psutil.Process(entry.process.pid).children()
    assert len(left) == 2
    entry.end(signal.SIGKILL)
    assert psutil.wait_procs(left, timeout=WAIT_S)[1] == []
    entry.logged("draining", 2)


def test_workers_that_end_again_and_again_are_given_up(start: Callable[..., Any]) -> None:
    entry = start(AUTODEPLOY_WORKERS="2", AUTODEPLOY_DRAIN_S="0").serving(2)
    for ended in range(1, 6):
        os.kill(int(entry.logged("loading", ended + 1)["pid"]), signal.SIGKILL)
        entry.logged(" ended after ", ended)
    assert entry.logged("given up")["level"] == "error"
    assert entry.end() == 1


def test_a_version_that_ends_its_process_is_not_started_again(start: Callable[..., Any], tmp_path: Path) -> None:
    def postprocess(raw: Any) -> Any:
        import os

        if "AUTODEPLOY_STATE" in os.environ:
            os._exit(3)
        return raw

    classifier = LogisticRegression(max_iter=1000).fit(X, NAMES[Y])
    write_version(tmp_path / "v", classifier, X, code={"postprocess": postprocess})
    entry = start(AUTODEPLOY_WORKERS="2", AUTODEPLOY_MODEL=str(tmp_path / "v"))
    assert entry.end() == 1
    assert "it cannot start" in entry.logged("given up")["message"]


def test_what_is_told_twice_ends_at_once(start: Callable[..., Any]) -> None:
    entry = start(AUTODEPLOY_WORKERS="2", AUTODEPLOY_DRAIN_S="60").serving(2)
    with httpx.Client(timeout=WAIT_S) as client:
        client.get(f"{entry.url}/livez")
        entry.process.send_signal(signal.SIGTERM)
        entry.logged("draining", 2)
        assert entry.end(signal.SIGTERM) == 0
