"""A state folder for one measurement, and the supervisor in it stopped afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

__all__ = ["temporary_home"]


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Point AUTODEPLOY_HOME at a fresh folder; at the end stop everything that runs from it, and remove it."""
    before = os.environ.get("AUTODEPLOY_HOME")
    with tempfile.TemporaryDirectory(prefix="autodeploy-bench-") as name:
        os.environ["AUTODEPLOY_HOME"] = str(Path(name) / "home")
        store = Store()
        try:
            yield store.home
        finally:
            if store.supervisor_file.exists():
                connect(store, start=False).shutdown(stop_deployments=True)
            shutil.rmtree(store.runtime_dir)
            del os.environ["AUTODEPLOY_HOME"]
            if before is not None:
                os.environ["AUTODEPLOY_HOME"] = before
