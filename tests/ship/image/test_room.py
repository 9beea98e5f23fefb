"""Room on a disk: said before the work that would fill it, of what is really going to be written."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from bases import HERE

from autodeploy_magic.errors import DiskFull
from autodeploy_magic.ship.image import installing
from autodeploy_magic.ship.image.installing import install
from autodeploy_magic.ship.image.packages import Needed
from autodeploy_magic.ship.image.room import installed_bytes, need_space, tree_bytes

MB = 2**20


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - what shutil returns

    def left(free_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(2**40, 2**40 - free_bytes, free_bytes))

    return left


def test_too_little_is_said_and_enough_is_not(tmp_path: Path, free: Any) -> None:
    free(100 * MB)
    with pytest.raises(DiskFull, match=f"holds {tmp_path} has 100 MB left") as caught:
        need_space(tmp_path / "not" / "yet", 512 * MB)
    assert "512 MB" in caught.value.why
    need_space(tmp_path, 100 * MB)


def test_packages_take_what_their_installer_wrote_down() -> None:
    found = importlib.metadata.distribution("msgspec")
    there = sum(os.stat(found.locate_file(file)).st_size for file in found.files or () if file.suffix != ".pyc")
    said = installed_bytes([f"msgspec=={found.version}", "nobody-has-this==1"])
    assert 0.9 * there <= said <= 1.1 * there
    assert installed_bytes(["msgspec==0", "numpy==0"]) > said


def test_a_folder_takes_what_its_files_do(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 1000)
    os.link(tmp_path / "a" / "one", tmp_path / "a" / "b" / "two")
    assert tree_bytes(tmp_path) == 2000  # an engine copies both


def test_no_package_is_fetched_that_has_no_room(tmp_path: Path, free: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never:
        def run(self, target: str, *_: Any, **__: Any) -> dict[str, Any]:
            raise AssertionError(target)

    monkeypatch.setattr(installing, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(installing, "_uv", lambda *_, **__: pytest.fail("it was asked for"))
    numpy = f"numpy=={importlib.metadata.version('numpy')}"
    free(10 * MB)
    with pytest.raises(DiskFull, match="has 10 MB left"):
        install(Needed((numpy,), {}), HERE, "linux/amd64", Never(), whole=False)
    assert list((tmp_path / "packages").iterdir()) == []
