"""A log that several processes write to stays small, and loses no line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from autodeploy_magic.serve.log import open_log, tail

WRITER = """
import os, sys
from pathlib import Path
from autodeploy_magic.serve.log import keep_small
path = Path(sys.argv[1])
for i in range(200):
    os.write(2, f"{sys.argv[2]} {i:04d} {'x' * 50}\\n".encode())
    keep_small(path, 6000)
"""


def test_writers_rotate_it_together(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    log = open_log(path)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stderr=log) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = sorted(entry.name for entry in tmp_path.iterdir())
    assert found == ["worker.log", "worker.log.1"]
    assert path.stat().st_mode & 0o777 == 0o600
    sizes = [(tmp_path / name).stat().st_size for name in found]
    assert max(sizes) < 6000 + 3 * 70  # each writer adds at most one line before it looks
    lines = ((tmp_path / "worker.log.1").read_text() + path.read_text()).splitlines()
    assert all(len(line) == 57 for line in lines)  # whole lines, none torn
    for name in {line[0] for line in lines}:
        numbers = [int(line[2:6]) for line in lines if line[0] == name]
        assert numbers == sorted(numbers)


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert tail(path) == ""
    path.write_bytes(b"one\ntwo\n\xff three\n")
    assert tail(path, 2) == "two\n\ufffd three"
    assert tail(path, since=4) == "two\n\ufffd three"
    assert tail(path, since=4000) == "one\ntwo\n\ufffd three"  # it was rotated meanwhile: all of it is newer
