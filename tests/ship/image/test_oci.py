"""An image as one file: what engines and other tools take, whole or not there, and the same each time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bases import HERE, as_layout

from autodeploy_magic.errors import DiskFull, InvalidOption, ShipFailed
from autodeploy_magic.ship.image import oci
from autodeploy_magic.ship.image.base import Base, open_base
from autodeploy_magic.ship.image.context import Context
from autodeploy_magic.ship.image.layers import Packed
from autodeploy_magic.ship.image.oci import Archive, pack_part, write_archive


@pytest.fixture(scope="module")
def packed(context: Context, tmp_path_factory: pytest.TempPathFactory) -> list[Packed]:
    folder = tmp_path_factory.mktemp("packed")
    return [pack_part(context, part, folder) for part in context.parts]


@pytest.fixture
def base(tmp_path: Path) -> Base:
    env = ["PATH=/usr/local/bin:/usr/bin", "PYTHONPATH=/theirs", f"PYTHON_VERSION={HERE}.1"]
    layout = as_layout(tmp_path / "base", env=env)
    return open_base(str(layout), python=HERE, platform="linux/amd64")


@pytest.fixture
def written(tmp_path: Path, context: Context, base: Base, packed: list[Packed]) -> Archive:
    return write_archive(tmp_path / "image.tar", context, base, packed, "localhost/iris:v1")


def files(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        found = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: stream.read() for name, stream in found.items() if stream is not None}


def config_of(archive: Path) -> dict[str, Any]:
    there = files(archive)
    manifest = json.loads(there[blob(json.loads(there["index.json"])["manifests"][0]["digest"])])
    config: dict[str, Any] = json.loads(there[blob(manifest["config"]["digest"])])
    return config


def blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def test_every_blob_is_what_its_name_says(written: Archive) -> None:
    there = files(written.file)
    blobs = {name: data for name, data in there.items() if name.startswith("blobs/")}
    assert len(blobs) == 6  # a manifest, a configuration, a layer of the base and three of ours
    assert all(hashlib.sha256(data).hexdigest() == name.rpartition("/")[2] for name, data in blobs.items())
    (entry,) = json.loads(there["index.json"])["manifests"]
    manifest = json.loads(there[blob(entry["digest"])])
    assert entry["digest"] == written.digest
    for one in (manifest["config"], *manifest["layers"]):
        assert len(there[blob(one["digest"])]) == one["size"]
    (docker,) = json.loads(there["manifest.json"])
    assert docker["Layers"] == [blob(layer["digest"]) for layer in manifest["layers"]]
    assert docker["Config"] == blob(written.config_digest)
    assert docker["RepoTags"] == ["localhost/iris:v1"]


def test_the_configuration_is_the_bases_with_ours_over_it(written: Archive, context: Context, base: Base) -> None:
    config = config_of(written.file)
    ours = config["config"]
    env = dict(line.split("=", 1) for line in ours["Env"])
    assert env["PATH"] == "/usr/local/bin:/usr/bin"
    assert {name: env[name] for name in context.env} == dict(context.env)
    assert (ours["User"], ours["WorkingDir"], ours["StopSignal"]) == ("65532:65532", "/app", "SIGTERM")
    assert ours["Entrypoint"] == [f"python{HERE}", "-m", "autodeploy_magic.serve.alone"]
    assert "Cmd" not in ours
    assert ours["ExposedPorts"] == {"3000/tcp": {}}
    assert ours["Healthcheck"]["Test"] == ["CMD", f"python{HERE}", "-m", "autodeploy_magic.serve.alone", "health"]
    assert ours["Labels"]["of"] == "the base"
    assert ours["Labels"]["org.opencontainers.image.base.digest"] == base.digest
    assert ours["Labels"]["org.opencontainers.image.base.name"] == "base"
    assert len(config["rootfs"]["diff_ids"]) == 4
    assert sum(not line.get("empty_layer") for line in config["history"]) == 4
    assert config["created"] == "2026-01-01T00:00:00Z"


def test_the_same_image_is_the_same_file(
    written: Archive, tmp_path: Path, context: Context, base: Base, packed: list[Packed]
) -> None:
    again = write_archive(tmp_path / "again.tar", context, base, packed, "localhost/iris:v1")
    assert again.digest == written.digest
    assert again.file.read_bytes() == written.file.read_bytes()


def test_layers_hold_what_was_staged_and_say_nothing_of_this_machine(written: Archive, context: Context) -> None:
    there = files(written.file)
    names: list[str] = []
    for layer in json.loads(there["manifest.json"])[0]["Layers"][1:]:
        (written.file.parent / "layer").write_bytes(there[layer])
        with tarfile.open(written.file.parent / "layer") as tar:
            members = tar.getmembers()
        assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "")}
        assert not [member.name for member in members if member.name.startswith(("/", "..")) or member.mode & 0o022]
        names += [member.name for member in members if member.isfile()]
    app = context.root / "app"
    assert sorted(names) == sorted(f"app/{file.relative_to(app)}" for file in app.rglob("*") if file.is_file())
    text = b"".join(data for name, data in there.items() if name.startswith("blobs/") and data[:1] == b"{")
    assert str(context.root).encode() not in text + there["index.json"]


def test_an_archive_is_a_base_as_well(written: Archive) -> None:
    found = open_base(str(written.file), python=HERE, platform="linux/amd64")
    assert found.digest == written.digest
    assert len(found.layers) == 4


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, context: Context, base: Base, packed: list[Packed], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "image.tar"
    target.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(oci.os, "fsync", full)
    with pytest.raises(DiskFull):
        write_archive(target, context, base, packed, "localhost/iris:v1")
    assert target.read_text() == "before"
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_a_folder_that_is_none_is_said(tmp_path: Path, context: Context, base: Base, packed: list[Packed]) -> None:
    with pytest.raises(ShipFailed, match="could not be written"):
        write_archive(tmp_path / "missing" / "image.tar", context, base, packed, "localhost/iris:v1")


@pytest.mark.parametrize("value", ["a\nb", "a\x00b"])
def test_values_of_several_lines_are_refused(
    tmp_path: Path, context: Context, base: Base, packed: list[Packed], value: str
) -> None:
    for changes in ({"env": {"A": value}}, {"labels": {"a": value}}):
        with pytest.raises(InvalidOption):
            write_archive(tmp_path / "image.tar", replace(context, **changes), base, packed, "localhost/iris:v1")
    with pytest.raises(InvalidOption):
        write_archive(tmp_path / "image.tar", context, base, packed, f"localhost/iris:{value}")
    assert not (tmp_path / "image.tar").exists()


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_other_tools_read_it(written: Archive, tmp_path: Path, form: str) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed (apt-get install skopeo)")
    done = subprocess.run(
        [skopeo, "copy", "--quiet", "--insecure-policy", f"{form}:{written.file}", f"dir:{tmp_path / 'copied'}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    manifest = (tmp_path / "copied" / "manifest.json").read_bytes()
    assert json.loads(manifest)["config"]["digest"] == written.config_digest
    if form == "oci-archive":
        assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == written.digest
