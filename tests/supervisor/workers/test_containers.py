"""Which engine runs containers, and what is said where one does not start: no engine is needed for that."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from records import make_version

from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption, StartFailed
from autodeploy_magic.serve.log import open_log
from autodeploy_magic.ship.image.installing import PLATFORMS, here
from autodeploy_magic.ship.kept import image_of, keep_image
from autodeploy_magic.shipping import Image
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.workers.containers import RUNS, ContainerLaunch, is_there, runner


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but a shell."""
    shell = shutil.which("sh")
    assert shell is not None
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to(shell)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(path: Path, engine: str, says: str, code: int = 1, answers: str = "") -> None:
    """An engine that says this of errors, and answers that, whatever it is asked."""
    file = path / engine
    file.write_text(f"#!/bin/sh\necho '{answers}'\necho '{says}' >&2\nexit {code}\n")
    file.chmod(0o755)


def built(engine: str, **changes: str) -> Image:
    return Image(
        deployment="iris", version=1, version_digest="", name="iris:v1", flavour="lean", engine=engine, **changes
    )


def test_the_first_engine_that_works_runs_containers(path: Path) -> None:
    install(path, "podman", "cannot clone: Operation not permitted")
    install(path, "docker", "", code=0, answers="/var/lib/docker\noverlay2\n28.2.2")
    assert runner() == "docker"


def test_an_image_is_run_where_its_engine_has_that_very_one_for_this_machine(path: Path) -> None:
    image = built("podman", digest="sha256:a")

    def has(digest: str, platform: str) -> bool:
        system, machine = platform.split("/")
        known = [{"Id": "sha256:0", "Digest": digest, "Os": system, "Architecture": machine}]
        install(path, "podman", "", code=0, answers=json.dumps(known))
        return is_there(image)

    other = next(name for name in PLATFORMS if name != here())
    assert has("sha256:a", here())
    assert not has("sha256:b", here())  # its name has come to mean another
    assert not has("sha256:a", other)
    install(path, "podman", "no such image")
    assert not is_there(image)


def test_what_was_built_since_to_be_carried_away_hides_no_image_that_runs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.folder("iris").mkdir(parents=True)
    for image in (built("podman"), built("buildah"), built("", archive="/there/iris.oci.tar")):
        keep_image(store, image)
    newest, runs = image_of(store, "iris", 1), image_of(store, "iris", 1, RUNS)
    assert newest is not None
    assert runs is not None
    assert (newest.archive, runs.engine) == ("/there/iris.oci.tar", "podman")
    assert image_of(store, "iris", 2, RUNS) is None


def test_what_is_wrong_with_each_engine_is_told_without_what_helps_elsewhere(path: Path) -> None:
    denied = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
    install(path, "docker", denied)
    with pytest.raises(InvalidOption, match="docker is not ours to use") as caught:
        runner()
    assert "usermod -aG docker" in caught.value.fix
    install(path, "podman", "cannot clone: No space left on device\nuser namespaces are not enabled")
    with pytest.raises(InvalidOption, match="none of the engines that run containers works: podman, docker") as caught:
        runner()
    assert "podman needs a user namespace" in caught.value.why
    assert "docker is not ours to use" in caught.value.why
    assert "max_user_namespaces" in caught.value.fix
    assert "--engine" not in caught.value.fix  # serving has no such option


@pytest.mark.parametrize(
    ("says", "what", "fix"),
    [
        ("Error: OCI runtime error: crun: cgroups in hybrid mode not supported", "cannot start a container", "runc"),
        ("Error: something that nobody has heard of", "the container did not start", "%deploy logs iris"),
    ],
)
def test_a_container_that_does_not_start_is_told_in_the_engines_own_words(
    path: Path, tmp_path: Path, says: str, what: str, fix: str
) -> None:
    install(path, "podman", says, code=126)
    store = Store(tmp_path / "home")
    image = built("podman")
    nothing = cast("Any", None)  # what is reached only once a container has called
    launch = ContainerLaunch(
        store=store,
        zygotes=nothing,
        desired=Desired(name="iris", version=1, executable="python"),
        version=make_version(),
        beside=(),
        generation=1,
        listening=nothing,
        image=image,
    )
    log_fd = open_log(launch.log_file)
    os.write(log_fd, b"what an earlier worker said\n")
    try:
        with pytest.raises(StartFailed, match=what) as caught:
            asyncio.run(launch._begin(log_fd))
    finally:
        os.close(log_fd)
    assert caught.value.why == says
    assert fix in caught.value.fix
    assert "without --target container" in caught.value.fix
    assert not list(store.runtime_dir.glob("hand-*"))
