"""Layers that are kept: what is used stays, whoever uses it; the rest gives way, the longest unused first."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bases import HERE, as_layout, file_system

from autodeploy_magic.ship.image import blobs as kept
from autodeploy_magic.ship.image.base import open_base, sha256_of
from autodeploy_magic.ship.image.blobs import KEPT_S, STALE_S, Blobs
from autodeploy_magic.ship.image.installing import cache_folder

HOLD = """\
import sys
from pathlib import Path
from autodeploy_magic.ship.image.blobs import Blobs
blobs = Blobs(Path(sys.argv[1]))
doing = blobs.new()
doing.__enter__()
print(blobs.has(sys.argv[2]), flush=True)
sys.stdin.read()
"""


def put(folder: Path, text: str, age_s: float = 0.0) -> str:
    """A blob of a build that is over, which used it so long ago; with a note. Its digest."""
    data = text.encode()
    digest = sha256_of(data)
    blobs = Blobs(folder)
    path = blobs.keep(digest, io.BytesIO(data), "it")
    blobs.note(f"{path.name}.json", "{}")
    aged(path, age_s)
    return digest


def aged(path: Path, age_s: float) -> None:
    then = time.time() - age_s
    os.utime(path, (then, then))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def of(*digests: str) -> set[str]:
    """The names of blobs and of their notes."""
    return {digest.removeprefix("sha256:") + end for digest in digests for end in ("", ".json")}


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Have another process use a blob, and begin to write one."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(digest: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", HOLD, str(tmp_path), digest]
        started.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == b"True\n"
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_what_was_used_least_recently_goes_first(tmp_path: Path) -> None:
    old, used, new = (put(tmp_path, text * 1000, age) for text, age in (("a", 300.0), ("b", 200.0), ("c", 100.0)))
    Blobs(tmp_path).prune(3000)
    assert names(tmp_path) == of(old, used, new)
    Blobs(tmp_path).has(old)  # a build that is over
    Blobs(tmp_path).prune(2999)
    assert names(tmp_path) == of(old, new)
    Blobs(tmp_path).prune(999)
    assert names(tmp_path) == set()


def test_what_nobody_used_for_long_goes_however_little_it_is(tmp_path: Path) -> None:
    put(tmp_path, "old", KEPT_S + 60)
    young = put(tmp_path, "young", KEPT_S - 60)
    Blobs(tmp_path).prune()
    assert names(tmp_path) == of(young)


def test_what_a_build_uses_stays_until_it_ends_or_is_killed(
    tmp_path: Path, hold: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    theirs, nobodys = put(tmp_path, "theirs", 1e9), put(tmp_path, "nobody's", 1e9)
    process = hold(theirs)
    writing = {name for name in names(tmp_path) if name.startswith(".new-")}
    assert len(writing) == 1
    for name in names(tmp_path):
        aged(tmp_path / name, 1e9)
    Blobs(tmp_path).prune(0)
    assert names(tmp_path) == of(theirs) | writing
    assert nobodys not in names(tmp_path)
    process.kill()
    process.wait()
    Blobs(tmp_path).prune(0)
    assert names(tmp_path) == set()


def test_what_a_killed_build_left_half_written_goes_later(tmp_path: Path) -> None:
    (tmp_path / ".new-1").write_bytes(b"half")
    Blobs(tmp_path).prune(0)
    assert names(tmp_path) == {".new-1"}  # who has just made one has not locked it yet
    aged(tmp_path / ".new-1", STALE_S + 60)
    Blobs(tmp_path).prune(0)
    assert names(tmp_path) == set()


def test_one_that_another_build_has_put_there_is_taken(tmp_path: Path) -> None:
    one, two = Blobs(tmp_path), Blobs(tmp_path)
    digest = sha256_of(b"layer")
    with one.new() as (stream, path):
        stream.write(b"layer")
        there = two.keep(digest, io.BytesIO(b"layer"), "it").stat().st_ino
        assert one.put(digest, stream, path).stat().st_ino == there  # the file that the other has locked
    assert names(tmp_path) == {digest.removeprefix("sha256:")}


def test_a_base_image_keeps_its_layers_and_others_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept.Blobs.prune, "__defaults__", (0, KEPT_S))
    folder = cache_folder() / "blobs"
    plain = file_system(tmp_path / "plain.tar")
    layout = as_layout(tmp_path / "layout", names=("usr/bin/other", f"usr/bin/python{HERE}"))
    one = open_base(str(plain), python=HERE, platform="linux/amd64")
    assert [layer.file.is_file() for layer in one.layers] == [True]
    assert f"{one.layers[0].diff_id.removeprefix('sha256:')}.gzipped" in names(folder)
    two = open_base(str(layout), python=HERE, platform="linux/amd64")  # while the first is in use
    assert all(layer.file.is_file() for layer in (*one.layers, *two.layers))
    gone = [layer.file for layer in one.layers]
    del one
    again = open_base(str(layout), python=HERE, platform="linux/amd64")
    assert again == two
    assert not any(file.exists() for file in gone)
    assert names(folder) == of(*(layer.digest for layer in two.layers))  # nor are there notes of it
