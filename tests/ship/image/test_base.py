"""The image that another stands on, from a file: each form that engines write; and what cannot be one is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from bases import HERE, as_layout, as_saved, file_system

from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.image.base import Base, default_base, is_path, open_base


def opened(path: Path, python: str = HERE, platform: str = "linux/amd64") -> Base:
    return open_base(str(path), python=python, platform=platform)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_reference_is_told_from_a_path() -> None:
    assert [is_path(one) for one in ("/a/b", "./a", "../a", "~/a", "base.tar", "base.tar.gz")] == [True] * 6
    assert [is_path(one) for one in ("python:3.11-slim", "localhost/a:b", "a.example:5000/a@sha256:1")] == [False] * 3
    assert default_base("3.12") == "docker.io/library/python:3.12-slim-bookworm"


def test_a_file_system_becomes_an_image_of_one_layer(tmp_path: Path) -> None:
    plain, packed = file_system(tmp_path / "a.tar"), file_system(tmp_path / "b.tar.gz", mode="w:gz")
    for path in (plain, packed):
        base = opened(path)
        (layer,) = base.layers
        content = gzip.decompress(layer.file.read_bytes())
        assert layer.digest == sha256(layer.file.read_bytes())
        assert base.config["rootfs"]["diff_ids"] == [layer.diff_id] == [sha256(content)]
        assert layer.size_bytes == layer.file.stat().st_size
        assert 0 < layer.unpacked_bytes <= len(content)
        assert "/usr/bin" in base.config["config"]["Env"][0]
        assert (base.name, base.notes) == (path.name, ())
    assert opened(plain) == opened(plain)


def test_layouts_and_archives_are_the_same_image(tmp_path: Path) -> None:
    layout = as_layout(tmp_path / "layout", env=["PYTHON_VERSION=" + HERE + ".4", "A=1"])
    archive = tmp_path / "archive.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, arcname=".")
    one, two = opened(layout), opened(archive)
    assert (one.digest, one.config, one.layers) == (two.digest, two.config, two.layers)
    assert one.config["config"]["Env"] == [f"PYTHON_VERSION={HERE}.4", "A=1"]


def test_the_one_for_the_platform_is_taken(tmp_path: Path) -> None:
    layout = as_layout(tmp_path / "layout", platforms=("linux/arm64", "linux/amd64", "unknown/unknown"))
    one, two = (opened(layout, platform=platform) for platform in ("linux/amd64", "linux/arm64"))
    assert (one.config["architecture"], two.config["architecture"]) == ("amd64", "arm64")
    with pytest.raises(ShipFailed, match="has no image for linux/s390x") as caught:
        opened(layout, platform="linux/s390x")
    assert "linux/arm64" in caught.value.why


@pytest.mark.parametrize("compressed", [False, True])
def test_what_older_dockers_save_is_an_image(tmp_path: Path, compressed: bool) -> None:
    base = opened(as_saved(tmp_path / "saved.tar", compressed=compressed))
    (layer,) = base.layers
    assert layer.digest == sha256(layer.file.read_bytes())
    assert (layer.diff_id == layer.digest) is not compressed
    assert layer.media_type.endswith("tar+gzip" if compressed else "tar")


def test_another_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShipFailed, match=r"has Python 3\.10, and the version was made with 3\.9") as caught:
        opened(file_system(tmp_path / "a.tar", "etc/x", "usr/local/bin/python3.10"), python="3.9")
    assert "python:3.9-slim" in caught.value.fix
    with pytest.raises(ShipFailed, match=r"has Python 3\.8"):
        opened(as_layout(tmp_path / "b", env=["PYTHON_VERSION=3.8.1"], names=("etc/x",)), python="3.9")


def test_another_c_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShipFailed, match="musl") as caught:
        opened(file_system(tmp_path / "a.tar", f"usr/bin/python{HERE}", "lib/ld-musl-x86_64.so.1"))
    assert "glibc" in caught.value.why


def test_one_without_a_python_that_can_be_seen_is_noted(tmp_path: Path) -> None:
    assert f"no python{HERE}" in opened(file_system(tmp_path / "a.tar", "etc/os-release")).notes[0]


def damaged(path: Path, name: str) -> None:
    """Put other bytes of the same length into the largest blob."""
    del name
    blob = max((path / "blobs" / "sha256").iterdir(), key=lambda file: file.stat().st_size)
    blob.write_bytes(b"x" * blob.stat().st_size)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no container image"),
        (b"plain text, and no archive at all", "holds no container image"),
        (b"\xfd7zXZ\x00rest", "compressed with xz"),
        (b"\x28\xb5\x2f\xfdrest", "compressed with zstd"),
    ],
)
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "a.tar"
    file.write_bytes(content)
    with pytest.raises(ShipFailed, match=words) as caught:
        opened(file)
    assert caught.value.fix


def test_an_archive_of_other_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShipFailed, match="holds no container image"):
        opened(file_system(tmp_path / "a.tar", "notes/one.txt"))
    with pytest.raises(ShipFailed, match="there is no"):
        opened(tmp_path / "missing.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ShipFailed, match="holds no container image"):
        opened(tmp_path / "empty")


def test_a_damaged_layer_is_refused_and_not_kept(tmp_path: Path, kept_between_builds: Path) -> None:
    layout = as_layout(tmp_path / "layout", names=("etc/damaged", f"bin/python{HERE}"))
    damaged(layout, "layer")
    kept = kept_between_builds / "autodeploy_magic" / "images" / "blobs"
    before = set(kept.glob("*")) | set(kept.glob(".*"))
    with pytest.raises(ShipFailed, match="is damaged"):
        opened(layout)
    assert set(kept.glob("*")) | set(kept.glob(".*")) == before


def test_a_digest_that_is_a_path_leads_nowhere(tmp_path: Path) -> None:
    layout = as_layout(tmp_path / "layout")
    index = json.loads((layout / "index.json").read_bytes())
    manifest: dict[str, Any] = {"layers": [{"digest": "sha256:../../../etc", "size": 1, "mediaType": "x"}]}
    for digest in ("sha256:../../../../etc/passwd", "md5:abc", ""):
        index["manifests"][0]["digest"] = digest
        (layout / "index.json").write_text(json.dumps(index | {"layers": manifest}))
        with pytest.raises((ShipFailed, InvalidOption)):
            opened(layout)


def test_several_images_are_refused(tmp_path: Path) -> None:
    layout = as_layout(tmp_path / "layout")
    other = as_layout(tmp_path / "other", env=["A=2"])
    index, second = (json.loads((folder / "index.json").read_bytes()) for folder in (layout, other))
    index["manifests"] += second["manifests"]
    (layout / "index.json").write_text(json.dumps(index))
    with pytest.raises(ShipFailed, match="holds 2 images"):
        opened(layout)
