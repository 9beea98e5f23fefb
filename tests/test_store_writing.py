"""Writing a record: whole whatever happens, and its owner's alone."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from autodeploy_magic import store as store_module
from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import DiskFull, StoreFailed
from autodeploy_magic.store import Store, file_sha256, write_atomic


def test_a_record_is_replaced_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    file = tmp_path / "record"
    write_atomic(file, b"old")
    write_atomic(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.timeout(60)
def test_a_kill_in_the_middle_of_writing_leaves_the_old_bytes_or_the_new(tmp_path: Path) -> None:
    file = tmp_path / "record"
    writer = (
        "import sys, pathlib\n"
        "from autodeploy_magic.store import write_atomic\n"
        "file = pathlib.Path(sys.argv[1])\n"
        "sizes = (1, 300_000)\n"
        "write_atomic(file, b'0')\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for digit in b'0123456789':\n"
        "        write_atomic(file, bytes([digit]) * sizes[digit % 2])\n"
    )
    for wait_s in (0.0, 0.003, 0.007, 0.011, 0.02):
        with subprocess.Popen([sys.executable, "-c", writer, str(file)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait_s)  # a different moment in each round
            process.send_signal(signal.SIGKILL)
        content = file.read_bytes()
        assert len(content) in (1, 300_000)
        assert set(content) == {content[0]}


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_record_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    file = tmp_path / "record"
    write_atomic(file, b"old")
    monkeypatch.setattr(store_module.os, call, no_room)
    with pytest.raises(DiskFull) as caught:
        write_atomic(file, b"new")
    assert str(tmp_path) in caught.value.what
    assert "free some space" in caught.value.fix
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(
    not Path("/dev/full").exists() or os.getuid() != 0, reason="mounting a small disk takes root on Linux"
)
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this sandbox forbids mounts")
    try:
        store = Store(disk / "home")
        store.save_desired(Desired(name="iris", version=1, executable=sys.executable))
        with pytest.raises(DiskFull):
            write_atomic(store.runtime_file("iris"), b"x" * 200_000)
        assert store.desired("iris") == Desired(name="iris", version=1, executable=sys.executable)
        assert not store.runtime_file("iris").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_is_gone_is_a_store_error_and_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        write_atomic(tmp_path / "gone" / "record", b"")


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
