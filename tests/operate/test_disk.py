"""The size of a folder, and what is free beside it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from world import until

from autodeploy_magic.operate.observe import disk
from autodeploy_magic.operate.observe.disk import Disks, free_bytes, size_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "iris"
    for i in range(20):
        file = folder / f"{i % 3}" / "deep" / f"{i}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 10_000 * i)
    return folder


def test_the_size_is_what_du_says(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    os.link(folder / "0" / "deep" / "18.bin", folder / "again.bin")
    (folder / "pointer").symlink_to(tmp_path / "large")
    (folder / "around").symlink_to(folder)
    said = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=True).stdout
    own = folder.stat().st_blocks * 512
    assert size_bytes(folder) == pytest.approx(int(said.split()[0]) * 1024 - own, abs=1024)


def test_a_folder_that_is_not_there_has_no_size(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        size_bytes(tmp_path / "gone")


def test_what_was_found_last_is_told_at_once(folder: Path) -> None:
    disks = Disks()
    try:
        assert disks.look(folder, time.monotonic()) == (None, None)
        until(lambda: disks.look(folder, time.monotonic())[0] is not None)
        size, free = disks.look(folder, time.monotonic())
        assert size == size_bytes(folder)
        assert free == pytest.approx(free_bytes(folder), rel=0.05)
        (folder / "more.bin").write_bytes(b"x" * 1_000_000)
        assert disks.look(folder, time.monotonic() + 1)[0] == size  # not looked again so soon
        assert disks.look(folder, time.monotonic() + disk.SIZE_EVERY_S + 1)[0] == size  # nor waited for
    finally:
        disks.close()


def test_it_is_looked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "SIZE_EVERY_S", 0.0)
    monkeypatch.setattr(disk, "FREE_EVERY_S", 0.0)
    monkeypatch.setattr(disk, "_SIZE_SHARE", 1.0)
    disks = Disks()
    try:
        until(lambda: disks.look(folder, time.monotonic())[0] == size_bytes(folder))
        (folder / "more.bin").write_bytes(b"x" * 1_000_000)
        until(lambda: disks.look(folder, time.monotonic())[0] == size_bytes(folder))
        folder.rename(folder.with_name("gone"))
        until(lambda: disks.look(folder, time.monotonic()) == (None, None))
    finally:
        disks.close()
