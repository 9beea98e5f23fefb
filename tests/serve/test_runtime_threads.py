"""How many threads a model runs in: a share of what this process may use, and one where more gain nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import threadpoolctl
from sklearn.ensemble import RandomForestClassifier
from versions import X, Y, write_version

from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.runtime.cores import share, usable_cores
from autodeploy_magic.serve.runtime.live import JOBLIB_ROWS, OPENMP_ROWS

P = ("predictions",)
HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tree(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    """A machine's /proc and /sys, as far as they are read."""
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "files", "cores"),
    [
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, HERE),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/cpu.max": "100000 100000\n"}, 1),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/cpu.max": "20000 100000\n"}, 1),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/cpu.max": "99900000 100000\n"}, HERE),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ("0::/not/mounted/here\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        (
            "3:cpu,cpuacct:/pod\n1:memory:/pod\n",
            {"sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us": "100000", "sys/fs/cgroup/cpu/pod/cpu.cfs_period_us": "100000"},
            1,
        ),
        ("1:cpu:/\n", {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "9"}, HERE),
        ("1:memory:/\n", {}, HERE),
        ("0::/a\n", {"sys/fs/cgroup/a/cpu.max": "what is this"}, HERE),
    ],
)
def test_a_control_group_may_allow_less_than_the_machine_has(
    tmp_path: Path, cgroup: str, files: dict[str, str], cores: int
) -> None:
    assert usable_cores(tree(tmp_path, cgroup, files)) == cores


def test_workers_share_the_machine() -> None:
    assert share(1) == usable_cores() >= 1
    assert share(1000) == 1


@pytest.mark.parametrize(("one_row_s", "threads"), [(1e-5, 1), (0.1, 3), (None, 3)])
def test_onnx_runs_in_one_thread_where_a_row_is_answered_on_the_loop(
    tmp_path: Path, classifier: Any, one_row_s: float | None, threads: int
) -> None:
    write_version(tmp_path, classifier, X, one_row_s=one_row_s)
    served = ServedModel.load(tmp_path, threads=3)
    assert served._runner._session.get_session_options().intra_op_num_threads == threads  # type: ignore[attr-defined]
    batch = served.decode(np.tile(X, (20, 1)).tolist())  # more rows than are usual: the memory is given back
    np.testing.assert_array_equal(served.run(batch, P)["predictions"], np.tile(classifier.predict(X), 20))


class Pools:
    """Answers how many threads joblib and OpenMP would take."""

    def predict(self, x: Any) -> Any:
        openmp = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"]
        return np.full(len(x), joblib.effective_n_jobs(-1) * 1000 + max(openmp, default=1))

    def predict_proba(self, x: Any) -> Any:
        return np.zeros((len(x), 2))


@pytest.mark.skipif(HERE < 2, reason="there is one processor: all take one thread")
def test_few_rows_of_a_native_model_are_answered_in_one_thread(tmp_path: Path) -> None:
    write_version(tmp_path, Pools(), X, format="native")
    served = ServedModel.load(tmp_path, threads=2)
    few, some, many = (served.decode(np.zeros((rows, 4)).tolist()) for rows in (1, OPENMP_ROWS, JOBLIB_ROWS))
    found: list[list[int]] = []

    def ask() -> None:
        found.append([int(served.run(batch, P)["predictions"][0]) for batch in (few, some, many, few)])

    before = threadpoolctl.ThreadpoolController()
    try:
        ask()
        thread = threading.Thread(target=ask)  # a thread has its own number, as the lane's does
        thread.start()
        thread.join()
    finally:
        for pool in before.lib_controllers:
            pool.set_num_threads(HERE)
    assert found == [[1001, 1002, HERE * 1000 + 2, 1001]] * 2


def test_a_forest_of_all_processors_answers_the_same_in_one_thread(tmp_path: Path) -> None:
    forest = RandomForestClassifier(10, n_jobs=-1, random_state=0).fit(X, Y)
    write_version(tmp_path, forest, X, format="native")
    served = ServedModel.load(tmp_path)
    found = served.run(served.decode(X.tolist()), ("predictions", "probabilities"))
    np.testing.assert_array_equal(found["predictions"], forest.predict(X))
    np.testing.assert_allclose(found["probabilities"], forest.predict_proba(X), rtol=1e-12)
