"""What every place's folder is like: whole, without credentials, and nothing that was typed can do harm in it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clouds import DIGEST, ECR, NASTY, PLACES, Folder
from msgspec.structs import replace

from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.kubernetes.sizing import START_S
from autodeploy_magic.ship.write import target_of

Ship = Callable[..., Folder]

GOOGLE = f"europe-west1-docker.pkg.dev/my-project/models/iris@{DIGEST}"
IMAGES = {"sagemaker": ECR, "lambda": ECR, "vertex": GOOGLE, "cloudrun": GOOGLE}
TEXTS = [
    (place, choice.name)
    for place in PLACES
    for choice in target_of(place).choices
    if isinstance(choice.default, str) and not choice.choices
]


def _tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_there_are_six_places() -> None:
    assert sorted(PLACES) == ["azureml", "cloudrun", "knative", "lambda", "sagemaker", "vertex"]


@pytest.mark.parametrize("place", PLACES)
def test_a_folder_has_scripts_and_a_readme_that_names_each_of_them(ship: Ship, place: str) -> None:
    folder = ship(place)
    readme = folder.text("README.md")
    scripts = {path.name for path in folder.scripts()}
    assert {"push.sh", "deploy.sh", "teardown.sh", "steps.sh"} <= scripts
    sourced = {"steps.sh", "registry.sh", "slots.sh", "endpoint.sh"}
    for path in folder.scripts():
        assert path.stat().st_mode & 0o111 == (0 if path.name in sourced else 0o111), path.name
        if path.name not in sourced:
            assert path.name in readme
    assert "Nothing of this was ever applied to a real account" in readme
    for heading in ("Before you begin", "The image", "Go live", "Roll back", "Take down", "What this does not do"):
        assert f"\n## {heading}\n" in readme
    assert "\n    IMAGE=$(sh push.sh) && export IMAGE\n" in readme
    assert "localhost/iris:v1 is on this machine alone" in folder.notes[0]
    assert folder.next[0] == "IMAGE=$(sh push.sh) && export IMAGE"


@pytest.mark.parametrize("place", PLACES)
def test_no_file_holds_a_credential_or_a_place_on_this_machine(ship: Ship, place: str, model: Path) -> None:
    folder = ship(place)
    for file in folder.path.rglob("*"):
        if file.is_file():
            text = file.read_text("utf-8")
            assert str(model) not in text, file
            assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|AUTODEPLOY_TOKEN\b(?!_FILE)", text), file


@pytest.mark.parametrize("place", PLACES)
def test_the_scripts_hold_no_value_and_shellcheck_has_nothing_to_say(ship: Ship, place: str) -> None:
    folder = ship(place)
    package = Path(__file__).parents[3] / "autodeploy_magic/ship/cloud/scripts"
    shipped = {path.name: path.read_bytes() for path in folder.scripts()}
    sources = [path.read_bytes() for path in package.rglob("*.sh")]
    assert all(content in sources for content in shipped.values())
    told = subprocess.run(
        [_tool("shellcheck"), "--shell=sh", "--external-sources", "--source-path=SCRIPTDIR", *sorted(shipped)],
        cwd=folder.path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize(("place", "option"), TEXTS)
def test_what_would_do_harm_is_refused(ship: Ship, place: str, option: str) -> None:
    for value in NASTY:
        with pytest.raises(InvalidOption) as caught:
            ship(place, **{option: value})
        assert caught.value.fix


@pytest.mark.parametrize("place", PLACES)
def test_a_note_of_any_kind_leaves_the_files_as_they_are(ship: Ship, place: str, make: Callable[..., Any]) -> None:
    def files(folder: Folder) -> dict[str, bytes]:
        return {str(path.relative_to(folder.path)): path.read_bytes() for path in folder.path.rglob("*.*")}

    version = make(place).version
    plain = files(ship(place))
    noted = replace(version, note="\n".join(NASTY), reason="$(touch pwned)", model_type="a'b\nc", source="{{ x }}")
    assert files(ship(place, version=noted)) == plain


@pytest.mark.parametrize("place", PLACES)
def test_an_image_in_a_registry_is_named_by_its_digest(ship: Ship, place: str) -> None:
    reference = IMAGES.get(place, f"registry.example.com/team/iris@{DIGEST}")
    folder = ship(place, reference=reference)
    assert folder.next == ("sh deploy.sh",)
    assert f"IMAGE={reference}\n" in folder.text("settings.env")
    assert folder.notes == ()
    assert f"`{reference}`" in folder.text("README.md")
    tagged = ship(place, reference=reference.replace(f"@{DIGEST}", ":v1"))
    assert "is a tag" in tagged.notes[0]


@pytest.mark.parametrize("place", PLACES)
def test_without_an_image_it_is_said_what_builds_one(ship: Ship, place: str) -> None:
    folder = ship(place, image=None)
    assert "%deploy containerize iris" in folder.notes[0]
    assert "IMAGE" not in folder.text("settings.env").split("Yet to be said")[1].split("\n", 1)[1]
    assert "Yet to be said there, or here: IMAGE" in folder.text("settings.env")


def test_vertex_is_sent_a_list_of_rows_also_of_a_model_with_several_inputs(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    version = tmp_path / "version"
    version.mkdir()
    inputs = {"left": [[1, 2], [3, 4], [5, 6]], "right": [7, 8, 9]}
    (version / "sample.json").write_text(json.dumps({"inputs": inputs}))
    (version / "expected.json").write_text('{"predictions": [1, 2, 3]}')
    (tmp_path / "out").mkdir()
    target_of("vertex").write(dataclasses.replace(make("vertex"), model=version), tmp_path / "out", lambda _: None)
    rows = [{"left": [1, 2], "right": 7}, {"left": [3, 4], "right": 8}]
    assert json.loads((tmp_path / "out/request.json").read_text()) == {"instances": rows, "parameters": {}}


def test_a_revision_of_knative_has_time_to_begin_and_one_port(ship: Ship) -> None:
    folder = ship("knative", desired={"grpc": True})
    [container] = folder.yaml("service.yaml")["spec"]["template"]["spec"]["containers"]
    probe = container["livenessProbe"]
    assert "startupProbe" not in container  # so nothing else keeps a large model from being killed while it is read
    assert probe["initialDelaySeconds"] >= START_S
    assert "AUTODEPLOY_GRPC_PORT" not in {one["name"] for one in container["env"]}
    assert any("memory is assumed" in note for note in ship("knative", image=None).notes)


@pytest.mark.parametrize("place", ["sagemaker", "lambda"])
def test_aws_takes_images_of_its_own_registry_alone(ship: Ship, place: str) -> None:
    with pytest.raises(ShipFailed, match="cannot pull registry.example.com/team/iris:v1"):
        ship(place, reference="registry.example.com/team/iris:v1")


def test_lambda_takes_no_image_of_more_than_ten_gibibytes(ship: Ship, make: Callable[..., Any]) -> None:
    image = replace(make("lambda").image, size_bytes=11 * 2**30)
    with pytest.raises(ShipFailed, match=r"11\.0 GiB, and Lambda takes 10"):
        ship("lambda", image=image)


@pytest.mark.parametrize("place", PLACES)
def test_answers_that_stream_go_only_where_they_are_handed_on(ship: Ship, make: Callable[..., Any], place: str) -> None:
    version = make(place).version
    streaming = replace(version, outputs=tuple(replace(one, streams=True, per_row=False) for one in version.outputs))
    if place in ("cloudrun", "knative"):
        assert ship(place, version=streaming).text("README.md")
        return
    with pytest.raises(ShipFailed, match="streams its answers") as caught:
        ship(place, version=streaming)
    assert "ship cloudrun" in caught.value.fix


def test_an_archive_without_an_engine_is_pushed_from_its_file(ship: Ship, make: Callable[..., Any]) -> None:
    image = replace(make("vertex").image, engine="", archive="/srv/it's/iris.tar")
    assert "ARCHIVE='/srv/it'\"'\"'s/iris.tar'\n" in ship("vertex", image=image).text("settings.env")
