"""Which engine builds an image, and what is said where none can."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.engines import ARCHIVE, ENGINES, choose, engine_for, engines, health
from autodeploy_magic.ship.image.known import inspect
from autodeploy_magic.ship.image.said import explained, kind_of


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but a shell."""
    shell = shutil.which("sh")
    assert shell is not None
    (tmp_path / "sh").symlink_to(shell)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(path: Path, engine: str, says: str = "", code: int = 1, answers: str = "") -> None:
    """An engine that says this of errors, and answers that, whatever it is asked."""
    file = path / engine
    file.write_text(f"#!/bin/sh\necho '{answers}'\necho '{says}' >&2\nexit {code}\n")
    file.chmod(0o755)


def test_without_an_engine_an_archive_is_written_and_it_is_said_why(path: Path) -> None:
    assert engines() == ()
    chosen = choose()
    assert chosen.name == ARCHIVE
    assert "no container engine is installed" in chosen.notes[0]
    assert "podman" in chosen.notes[0]


def test_an_engine_that_is_wanted_and_missing_is_not_replaced_by_another(path: Path) -> None:
    install(path, "buildah", code=0, answers=str(path))
    with pytest.raises(ShipFailed, match="docker is not installed") as caught:
        choose("docker")
    assert "buildah" in caught.value.fix
    with pytest.raises(ShipFailed, match="not a container engine"):
        choose("rm -rf")
    assert choose(ARCHIVE).name == ARCHIVE


def test_the_first_that_works_is_chosen_not_the_first_that_is_installed(path: Path) -> None:
    install(
        path, "docker", "Cannot connect to the Docker daemon at unix:///run/docker.sock. Is the docker daemon running?"
    )
    install(path, "podman", code=0, answers=str(path))
    assert engines() == ("docker", "podman")
    chosen = choose()
    assert chosen.name == engine_for(None) == "podman"
    assert chosen.store == path
    assert chosen.notes == ("docker is installed and does not run; podman was used",)


def test_where_none_works_each_is_told_apart(path: Path) -> None:
    install(path, "docker", "permission denied while trying to connect to the Docker daemon socket at unix:///x.sock")
    install(path, "podman", "cannot find UID/GID for user me: no subuid ranges found in /etc/subuid")
    with pytest.raises(ShipFailed, match="none of the container engines") as caught:
        choose()
    assert "docker is not ours to use" in caught.value.why
    assert "podman may not make the users" in caught.value.why
    assert "usermod -aG docker" in caught.value.fix
    assert "--add-subuids" in caught.value.fix


def test_podman_that_is_called_docker_is_used_as_what_it_is(path: Path) -> None:
    install(path, "docker", "Emulate Docker CLI using podman. Create /etc/containers/nodocker to quiet msg.", code=0)
    install(path, "podman", code=0, answers=str(path))
    assert choose().name == "podman"


SAID = [
    ("Error: writing blob: write /var/lib/x: no space left on device", "space"),
    ("copying layers: write /x: disk quota exceeded", "space"),
    (
        "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        "rights",
    ),
    ("dial unix /run/user/1000/podman/podman.sock: connect: permission denied", "rights"),
    ("Error: cannot set up namespace using newuidmap: exit status 1", "subids"),
    ("potentially insufficient UIDs or GIDs available in user namespace (requested 0:42)", "subids"),
    ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "stopped"),
    ("cannot access containerd socket /run/containerd/containerd.sock: no such file or directory", "stopped"),
    ("dial unix /run/buildkit/buildkitd.sock: connect: connection refused", "stopped"),
    ("Error response from daemon: pull access denied for x, repository does not exist or may require login", "login"),
    ("reading manifest v1 in r.io/x: unauthorized: authentication required", "login"),
    ("denied: requested access to the resource is denied", "login"),
    ("toomanyrequests: You have reached your pull rate limit", "limited"),
    ('Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host', "unreachable"),
    ("pinging container registry r.io: Get https://r.io/v2/: dial tcp 10.0.0.1:443: i/o timeout", "unreachable"),
    ("reading manifest v9 in docker.io/library/python: manifest unknown", "base"),
    ('short-name "not-here:x" did not resolve to an alias and no unqualified-search registries are defined', "base"),
    ("exec container process `/bin/sh`: exec format error", "platform"),
]


@pytest.mark.parametrize(("output", "kind"), SAID, ids=[f"{kind}-{at}" for at, (_, kind) in enumerate(SAID)])
def test_what_an_engine_says_is_put_in_our_words_and_kept(output: str, kind: str) -> None:
    found = kind_of(output)
    assert found is not None
    assert found.name == kind
    error = explained("podman", output, "it failed", base="python:3.11")
    assert output[-40:] in error.why
    assert error.fix
    assert "{" not in error.what + error.fix


def test_what_is_not_known_is_shown_as_it_is() -> None:
    error = explained("podman", "line\n\nsomething that nobody has heard of", "podman could not build iris:v1")
    assert error.what == "podman could not build iris:v1"
    assert "nobody has heard of" in error.why
    assert error.fix


def test_an_engine_that_hangs_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodeploy_magic.ship.image.engines._ANSWERS_S", 0.2)
    (path / "podman").write_text("#!/bin/sh\nwhile :; do :; done\n")
    (path / "podman").chmod(0o755)
    with pytest.raises(ShipFailed, match="podman is installed and does not answer") as caught:
        health("podman")
    assert "within 0.2 s" in caught.value.why


def test_an_engine_of_somebody_elses_is_one_where_bentoml_knows_it(path: Path) -> None:
    import bentoml.container

    well = [True]
    bentoml.container.register_backend(
        "lima-of-tests", buildkit_support=False, health=lambda: well[0], construct_build_args=lambda **_: []
    )
    chosen = choose("lima-of-tests")
    assert chosen.name == "lima-of-tests"
    assert not chosen.engine.starts
    assert inspect("lima-of-tests", "iris:v1") is None
    well[0] = False
    with pytest.raises(ShipFailed, match="does not work"):
        choose("lima-of-tests")


def test_each_engine_is_asked_something() -> None:
    assert set(ENGINES) == {"docker", "podman", "nerdctl", "buildah", "buildctl"}
    assert all(engine.ask for engine in ENGINES.values())
