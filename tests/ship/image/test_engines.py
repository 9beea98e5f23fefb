"""Which engine builds an image, and what is said where none can."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import psutil
import pytest
from world import until

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.engines import ARCHIVE, ENGINES, answers, ask, choose, engine_for, engines, health
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
    (  # as an ordinary user sees it; the kernel's ENOSPC is no full disk
        (
            "cannot clone: No space left on device\nuser namespaces are not enabled in"
            " /proc/sys/user/max_user_namespaces\nError: cannot re-exec process"
        ),
        "namespaces",
    ),
    ("Error during unshare(CLONE_NEWUSER): No space left on device", "namespaces"),
    ("cannot clone: Operation not permitted\nError: cannot re-exec process", "namespaces"),
    (
        (
            'Error: command required for rootless mode with multiple IDs: exec: "newuidmap": executable file not found'
            " in $PATH"
        ),
        "uidmap",
    ),
    (
        (
            'Error: cannot set up namespace using "/usr/bin/newuidmap": should have setuid or have filecaps setuid:'
            " exit status 1"
        ),
        "uidmap",
    ),
    ("permission denied while trying to connect to the docker API at unix:///var/run/docker.sock", "rights"),
    (
        (
            "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if"
            " the daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory"
        ),
        "stopped",
    ),
    (
        'Cannot connect to Podman.\nError: Get "http://d/_ping": dial unix /nowhere: no such file or directory',
        "stopped",
    ),
    ("`docker info` did not answer within 30 s", "hangs"),
    ("Error: unknown flag: --timestamp\nSee 'podman build --help'", "old"),
    ("client version 1.50 is too new. Maximum supported API version is 1.40", "old"),
    ("Error: OCI runtime error: crun: cgroups in hybrid mode not supported, drop all controllers", "cgroups"),
    ('Error: /usr/bin/slirp4netns failed: "open(\\"/dev/net/tun\\"): Permission denied', "network"),
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


def test_what_podman_only_warns_of_is_not_what_went_wrong() -> None:
    """Without ranges of users it warns at every call, and goes on with one user."""
    warned = (
        'time="2026-11-22T12:20:40Z" level=error msg="cannot find UID/GID for user ada: no subuid ranges found for user'
        ' \\"ada\\" in /etc/subuid - check rootless mode in man pages."\n'
        'time="2026-11-22T12:20:40Z" level=warning msg="Using rootless single mapping into the namespace. This might'
        ' break some images. Check /etc/subuid and /etc/subgid for adding sub*ids if not using a network user"\n'
    )
    lookup = "Error: pinging container registry r.io: dial tcp: lookup r.io: no such host"
    error = explained("podman", warned + lookup, "it failed", base="r.io/base")
    assert error.details["kind"] == "unreachable"
    assert error.why == lookup
    failed = "Error: lchown /etc/gshadow: potentially insufficient UIDs or GIDs available in user namespace"
    assert explained("podman", warned + failed, "it failed").details["kind"] == "subids"
    assert explained("podman", warned, "it failed").details["kind"] == "subids"


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


def test_what_a_script_around_an_engine_has_started_is_ended_with_it(path: Path) -> None:
    sleep = shutil.which("sleep", path="/usr/bin:/bin")
    assert sleep is not None
    (path / "docker").write_text(f"#!/bin/sh\n{sleep} 60 &\necho $! > {path}/pid\necho waiting >&2\nwait\n")
    (path / "docker").chmod(0o755)
    began = time.monotonic()
    code, _, errors = ask("docker", "info", timeout_s=0.5)
    assert time.monotonic() - began < 30
    assert code == 124
    assert "waiting" in errors
    pid = int((path / "pid").read_text())
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_daemon_that_is_elsewhere_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(path, "docker", "Cannot connect to the Docker daemon at tcp://10.0.0.1:2375. Is the docker daemon running?")
    monkeypatch.setenv("DOCKER_HOST", "tcp://me:secret@10.0.0.1:2375")
    with pytest.raises(ShipFailed, match=r"docker does not answer where DOCKER_HOST=tcp://\S+10.0.0.1:2375") as caught:
        choose("docker")
    assert "correct DOCKER_HOST, or unset it" in caught.value.fix
    assert "secret" not in str(caught.value)
    monkeypatch.delenv("DOCKER_HOST")
    with pytest.raises(ShipFailed, match="docker is installed and does not run"):
        choose("docker")


def test_only_who_can_do_with_an_archive_is_told_of_it(path: Path) -> None:
    install(path, "docker", "permission denied while trying to connect to the Docker daemon socket at unix:///x.sock")
    with pytest.raises(ShipFailed, match="docker is not ours to use") as caught:
        answers("docker")
    assert "--engine archive" in caught.value.fix
    assert "keeps the groups that it began with" in caught.value.fix
    with pytest.raises(ShipFailed) as caught:
        answers("docker", archive=False)
    assert "--engine" not in caught.value.fix


@pytest.mark.parametrize("version", ["1.6.4", "<no value>"])
def test_an_engine_of_years_ago_is_refused_before_any_work(path: Path, version: str) -> None:
    install(path, "podman", code=0, answers=f"{path}\noverlay\n{version}")
    with pytest.raises(ShipFailed, match="podman is too old") as caught:
        choose("podman")
    assert "3.0 or newer" in caught.value.why
    install(path, "podman", code=0, answers=f"{path}\noverlay\n4.3.1")
    assert choose("podman").notes == ()


def test_a_driver_that_copies_all_files_for_each_layer_is_told_of(path: Path) -> None:
    install(path, "podman", code=0, answers=f"{path}\nvfs\n4.3.1")
    chosen = choose()
    assert chosen.store == path
    assert 'driver = "overlay"' in chosen.notes[0]


def test_podman_by_the_name_of_docker_is_told_when_it_is_wanted(path: Path) -> None:
    install(path, "docker", "Emulate Docker CLI using podman. Create /etc/containers/nodocker to quiet msg.", code=0)
    with pytest.raises(ShipFailed, match="docker is Podman by another name") as caught:
        choose("docker")
    assert "use podman" in caught.value.fix


def test_an_answer_that_is_none_is_no_image(path: Path) -> None:
    for answer in ("you have been logged out", "[]", "null", "[null]"):
        install(path, "docker", code=0, answers=answer)
        assert inspect("docker", "iris:v1") is None


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
