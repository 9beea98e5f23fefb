"""A clean-process runner, real data, and code as a notebook would define it."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autodeploy_magic.build import BuildRequest, Built, SubprocessRunner, build
from autodeploy_magic.contracts import Progress
from autodeploy_magic.store import Store


@pytest.fixture
def runner() -> SubprocessRunner:
    return SubprocessRunner()


@pytest.fixture
def make(store: Store, runner: SubprocessRunner) -> Callable[..., Built]:
    """Build a model: make(model, sample, dry_run=True, **options of the request)."""

    def make(model: Any, sample: Any, *, name: str = "demo", dry_run: bool = False, **options: Any) -> Built:
        request = BuildRequest(name, model, sample, **options)
        return build(request, store, runner, lambda progress: None, dry_run=dry_run)

    return make


@pytest.fixture
def progress() -> list[Progress]:
    return []


@pytest.fixture(scope="session")
def iris() -> tuple[Any, Any]:
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    return X, y


@pytest.fixture(scope="session")
def people() -> tuple[pd.DataFrame, Any]:
    """A table with numbers, whole numbers, text, true/false and missing values, and a label that follows from it."""
    random = np.random.default_rng(7)
    rows = 240
    table = pd.DataFrame(
        {
            "age": random.normal(40, 12, rows),
            "children": random.integers(0, 4, rows),
            "city": random.choice(["rome", "oslo", "nice"], rows),
            "member": random.random(rows) < 0.4,
        }
    )
    label = np.where(table.age / 10 + table.children + 2 * (table.city == "oslo") > 6, "yes", "no")
    table.loc[::9, "age"] = np.nan
    table.loc[::13, "city"] = None
    return table, label


@pytest.fixture
def notebook() -> Callable[..., dict[str, Any]]:
    """Run code as a cell of a notebook runs: in `__main__`, its source known to linecache under a name of its own."""

    def run(code: str, *, file: str = "/tmp/ipykernel_4711/1234567.py", **names: Any) -> dict[str, Any]:
        namespace = {"__name__": "__main__", **names}
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        exec(compile(code, file, "exec"), namespace)
        return namespace

    return run
