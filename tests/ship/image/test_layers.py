"""A folder as a layer: the same files are the same bytes, whoever made them and when."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from autodeploy_magic.errors import DiskFull
from autodeploy_magic.ship.image.layers import TIME, content, digest_of, normalise, pack


def tree(root: Path, *, mode: int = 0o644, when: int = 1_700_000_000, text: str = "a") -> Path:
    folder = root / "app" / "model"
    (folder / "deep").mkdir(parents=True)
    for name in sorted(("b.txt", "a.txt", "deep/c.txt"), reverse=when % 2 == 0):
        (folder / name).write_text(text)
        os.chmod(folder / name, mode)
        os.utime(folder / name, (when, when))
    (folder / "run").write_text("#!/bin/sh\n")
    os.chmod(folder / "run", 0o700)
    (folder / "link").symlink_to("a.txt")
    (root / "other").write_text("not in the layer")
    return root


def test_the_same_files_are_the_same_layer(tmp_path: Path) -> None:
    one = pack(tree(tmp_path / "1"), ["app/model"], tmp_path / "one")
    two = pack(tree(tmp_path / "2", mode=0o600, when=5), ["app/model"], tmp_path / "two")
    other = pack(tree(tmp_path / "3", text="b"), ["app/model"], tmp_path / "three")
    assert (one.digest, one.diff_id, one.size_bytes) == (two.digest, two.diff_id, two.size_bytes)
    assert one.diff_id != other.diff_id
    assert content(tmp_path / "1", ["app"]) == content(tmp_path / "2", ["app"]) != content(tmp_path / "3", ["app"])


def test_digests_are_those_of_the_file_and_of_what_it_holds(tmp_path: Path) -> None:
    packed = pack(tree(tmp_path / "1"), ["app/model"], tmp_path / "one")
    plain = gzip.decompress(packed.file.read_bytes())
    assert packed.digest == digest_of(packed.file)
    assert packed.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert (packed.size_bytes, packed.unpacked_bytes) == (packed.file.stat().st_size, len(plain))


def test_a_layer_says_nothing_of_who_made_it(tmp_path: Path) -> None:
    packed = pack(tree(tmp_path / "1", mode=0o600), ["app/model"], tmp_path / "one")
    with tarfile.open(packed.file) as archive:
        members = archive.getmembers()
        text = archive.extractfile("app/model/deep/c.txt")
        assert text is not None
        assert text.read() == b"a"
    assert [member.name for member in members] == [
        *("app", "app/model", "app/model/a.txt", "app/model/b.txt", "app/model/deep", "app/model/deep/c.txt"),
        *("app/model/link", "app/model/run"),
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", TIME)}
    modes = {member.name.rpartition("/")[2]: member.mode for member in members}
    assert (modes["a.txt"], modes["run"], modes["deep"]) == (0o644, 0o755, 0o755)


def test_an_engine_that_copies_the_folder_finds_the_same(tmp_path: Path) -> None:
    root = tree(tmp_path / "1", mode=0o600)
    normalise(root / "app")
    for path in (root / "app", *(root / "app").rglob("*")):
        assert path.lstat().st_mtime == TIME
        assert path.is_symlink() or path.stat().st_mode & 0o777 in (0o644, 0o755)


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    with pytest.raises(DiskFull):
        pack(tree(tmp_path / "1"), ["app/model"], full)
