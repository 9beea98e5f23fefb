"""The parts of a build that need no engine: what is checked before, where things go, what is not told."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from bentoml.container import get_backend
from records import make_version

from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.image import build as building
from autodeploy_magic.ship.image.bento import _folders, _for_all, _uv_toml
from autodeploy_magic.ship.image.build import Job
from autodeploy_magic.ship.image.built import Base, build, find_base
from autodeploy_magic.ship.image.engines import Chosen, environment
from autodeploy_magic.ship.image.known import Known
from autodeploy_magic.ship.image.made import Made
from autodeploy_magic.ship.image.run import Container, command, shown
from autodeploy_magic.ship.image.stream import stream
from autodeploy_magic.ship.telling import Telling, read
from autodeploy_magic.shipping import Wanted

SHELL = str(shutil.which("sh"))


def order(**changes: object) -> Job:
    base = {"name": "iris", "version": 3, "model": "/m", "record": "/r", "work": "/w", "bentoml_home": "/h"}
    return Job(**{**base, **changes})  # type: ignore[arg-type]


def test_an_image_is_called_after_the_version_unless_it_is_named() -> None:
    assert order().reference == "iris:v3"
    assert order(wanted=Wanted(tag="registry.example.com/a/iris:1")).reference == "registry.example.com/a/iris:1"
    for tag in ("Iris:1", "iris v3", "iris:v3\nRUN x", "$(id)", "../x", "iris:v3 --privileged"):
        with pytest.raises(InvalidOption, match="cannot name an image"):
            _ = order(wanted=Wanted(tag=tag)).reference


def test_a_digest_or_a_platform_that_no_build_can_give_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidOption, match="that is to be built") as caught:
        _ = order(wanted=Wanted(tag=f"iris:1@sha256:{'0' * 64}")).reference
    assert caught.value.fix.endswith(" iris:1")
    assert order(wanted=Wanted(platform="linux/arm64")).platform == "linux/arm64"
    with pytest.raises(InvalidOption, match="not made for 'linux/s390x'"):
        _ = order(wanted=Wanted(platform="linux/s390x")).platform


def test_two_people_with_a_deployment_of_one_name_do_not_share_containers() -> None:
    assert order().key != order(bentoml_home="/other").key
    assert order().key == order(version=4).key  # what one version's build left, the next one's removes


@pytest.mark.parametrize(("left_s", "may_take_s"), [(1800.0, 600.0), (20.0, 20.0), (-5.0, 1.0)])
def test_a_proof_may_take_as_long_as_any_step_of_a_build(
    monkeypatch: pytest.MonkeyPatch, left_s: float, may_take_s: float
) -> None:
    """What is emulated may hang for ever."""
    monkeypatch.setattr(building, "started", lambda *_, timeout_s: timeout_s)
    made = Made("sha256:0", 1, 1, "base", known=Known("sha256:0", "sha256:0", 1))
    ends = time.monotonic() + left_s
    found: Any = building._proved(order(), make_version(3), Chosen("podman"), None, made, Telling(""), ends)  # type: ignore[arg-type]
    assert found == pytest.approx(may_take_s, abs=5.0 if left_s > 0 else 0.0)


def test_a_base_that_is_a_file_which_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ShipFailed, match="there is no archive") as caught:
        find_base(Chosen("podman"), f"{tmp_path}/base.tar", "job", "linux/amd64", Telling(""), 0.0)
    assert "--base" in caught.value.fix


def test_the_log_tells_each_line_as_it_comes_without_passwords_and_colours(tmp_path: Path) -> None:
    log = tmp_path / "log"
    body = (
        "echo 'from https://me:hunter2@i.example/simple'; printf '1%%\\r100%%\\n'; printf '\\033[31mred\\033[0m\\n';"
        ' echo \'@step {"step": "verify", "state": "done"}\'; echo oh >&2; exit 3'
    )
    code, said = stream([SHELL, "-c", body], Telling(log), timeout_s=20)
    assert code == 3
    steps, lines = read(log.read_bytes())
    assert steps == []  # a tool cannot tell our steps
    assert [line.strip() for line in lines][:3] == ["from https://***@i.example/simple", "100%", "red"]
    assert "hunter2" not in said
    assert "oh" in said.splitlines()


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    code, said = stream([SHELL, "-c", "while :; do :; done"], Telling(""), timeout_s=0.2)
    assert code == 124
    assert "ended after 0.2 s" in said


def test_a_program_that_is_not_there_is_said() -> None:
    code, said = stream(["/nowhere/podman"], Telling(""), timeout_s=1)
    assert code == 126
    assert "/nowhere/podman" in said


def test_a_token_is_in_no_command_and_no_engine_is_given_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODEPLOY_TOKEN_FILE", "/secret")
    assert "AUTODEPLOY_TOKEN_FILE" not in environment()
    words = command(Container(engine="podman", image="iris:v3", handed=("AUTODEPLOY_TOKEN",), publish="127.0.0.1:3000"))
    assert words[words.index("AUTODEPLOY_TOKEN") - 1] == "--env"
    assert words[words.index("--publish") + 1] == "127.0.0.1:3000:3000"
    assert words[-1] == "iris:v3"


def test_what_a_person_is_told_to_type_is_as_safe_as_the_proof() -> None:
    lines = shown("podman", "iris:v3", "/a folder/iris.tar")
    assert lines[0] == "podman load --input '/a folder/iris.tar'"
    run = next(line for line in lines if " run " in line)
    for words in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "127.0.0.1:"):
        assert words in run


def test_uv_is_told_of_the_persons_own_indexes(tmp_path: Path) -> None:
    told = {
        "UV_DEFAULT_INDEX": 'https://me:"pw"@i.example/simple',
        "UV_EXTRA_INDEX_URL": f"file://{tmp_path} https://b.example",
        "UV_FIND_LINKS": f"{tmp_path}/none",
    }
    import tomllib

    found = tomllib.loads(_uv_toml(told))
    assert found["index-url"] == told["UV_DEFAULT_INDEX"]
    assert found["extra-index-url"] == [f"file://{tmp_path}", "https://b.example"]
    assert _folders(told) == [tmp_path]


def test_a_cache_that_is_private_is_not_installed_from(tmp_path: Path) -> None:
    assert _for_all(tmp_path / "none")
    for name in ("one", "two"):
        folder = tmp_path / "archive-v0" / name / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").touch(0o644)
    assert _for_all(tmp_path)
    (folder / "METADATA").chmod(0o600)  # as under a umask of 077
    assert not _for_all(tmp_path)


_CONTESTED = """\
#!/bin/sh
case "$1" in
build) echo >>{folder}/builds; touch {folder}/tagged
  [ "$(wc -l <{folder}/builds)" = 2 ] || {{ echo "Error: identifier is not a container" >&2; exit 125; }};;
image) [ "$2" = rm ] && rm -f {folder}/tagged
  [ -e {folder}/tagged ] && echo '[{{"Id": "sha256:1", "Os": "linux", "Architecture": "amd64"}}]' || exit 1;;
esac
"""


def test_an_engine_that_was_disturbed_is_asked_once_more_and_leaves_no_image_that_is_not_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman, context, file = tmp_path / "bin" / "podman", tmp_path / "context", tmp_path / "Containerfile"
    for folder in (podman.parent, context):
        folder.mkdir()
    podman.write_text(_CONTESTED.format(folder=tmp_path))
    podman.chmod(0o755)
    monkeypatch.setattr(get_backend("podman"), "binary", str(podman))
    monkeypatch.setenv("PATH", f"{podman.parent}{os.pathsep}{os.environ['PATH']}")
    file.write_text("FROM base\n")

    def built() -> Known | None:
        ends = time.monotonic() + 20
        return build(Chosen("podman"), context, file, "iris:v1", Base("base", "base"), Telling(""), ends)

    known = built()
    assert known is not None
    assert known.id == "sha256:1"
    (tmp_path / "tagged").unlink()
    with pytest.raises(ShipFailed, match="lost a part of what it was building"):
        built()  # the third time and the fourth
    assert len((tmp_path / "builds").read_text().splitlines()) == 4
    assert not (tmp_path / "tagged").exists()
