"""Which engine builds an image, and what is said where none can."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from records import make_version

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.container import build_image, can_move, engine_for, engines


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but a shell."""
    shell = shutil.which("sh")
    assert shell is not None
    (tmp_path / "sh").symlink_to(shell)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(path: Path, engine: str) -> None:
    """An engine whose daemon does not run: every call of it fails."""
    file = path / engine
    file.write_text("#!/bin/sh\necho 'cannot connect to the daemon' >&2\nexit 1\n")
    file.chmod(0o755)


def test_without_an_engine_it_is_said_what_to_install(path: Path) -> None:
    assert engines() == ()
    with pytest.raises(ShipFailed, match="no container engine is installed") as caught:
        engine_for(None)
    assert "podman" in caught.value.fix


def test_the_first_engine_is_chosen_and_another_can_be_named(path: Path) -> None:
    install(path, "buildah")
    install(path, "podman")
    assert engines() == ("podman", "buildah")
    assert engine_for(None) == "podman"
    assert engine_for("buildah") == "buildah"
    with pytest.raises(ShipFailed, match="docker is not installed"):
        engine_for("docker")
    with pytest.raises(ShipFailed, match="not a container engine"):
        engine_for("rm -rf")


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_an_engine_that_does_not_run_is_told_from_one_that_is_missing(path: Path, engine: str) -> None:
    install(path, engine)
    with pytest.raises(ShipFailed) as caught:
        build_image({"bento": "iris:1", "image": "iris:v1", "engine": engine})
    assert engine in caught.value.what
    assert caught.value.fix


def test_a_version_whose_requirements_do_not_fit_is_refused_before_an_engine_is_asked() -> None:
    version = make_version()
    can_move(version)
    environment = msgspec.structs.replace(version.environment, conflicts=("a 1 needs b>2, and b==1: pip install b",))
    with pytest.raises(
        ShipFailed, match=r"(?s)v1 of iris cannot be installed.*a 1 needs b>2.*serves here all the same"
    ):
        can_move(msgspec.structs.replace(version, environment=environment))
