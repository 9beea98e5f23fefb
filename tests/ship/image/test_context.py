"""What is staged: where all lies, how it is run, and what of the deployment goes along."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from bases import HERE, Quick

from autodeploy_magic import settings
from autodeploy_magic.build import SubprocessRunner
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.image.context import Context, stage
from autodeploy_magic.ship.image.oci import pack_part


def test_all_lies_where_it_will_lie(context: Context, made: tuple[Version, Path]) -> None:
    version, model = made
    app = context.root / "app"
    assert {entry.name for entry in app.iterdir()} == {"packages", "autodeploy", "model", "sbom.cdx.json"}
    assert (app / "autodeploy" / "autodeploy_magic" / "serve" / "alone" / "__main__.py").is_file()
    assert not (app / "autodeploy" / "autodeploy_magic" / "supervisor").exists()
    assert (app / "model" / "version.json").read_bytes() == (model / "version.json").read_bytes()
    assert context.entrypoint == (f"python{HERE}", "-m", "autodeploy_magic.serve.alone")
    assert context.user == "65532:65532"
    assert context.env["AUTODEPLOY_MODEL"] == "/app/model"
    assert context.labels["autodeploy_magic.digest"] == version.digest
    assert [part.name for part in context.parts] == ["packages", "ours", "model"]


def test_all_may_read_and_nobody_but_root_may_write(context: Context) -> None:
    for path in (context.root / "app").rglob("*"):
        assert os.lstat(path).st_mode & 0o777 in (0o644, 0o755), path


def test_the_same_version_is_the_same_image_twice(context: Context, made: tuple[Version, Path], tmp_path: Path) -> None:
    version, model = made
    (tmp_path / "other").mkdir()
    again = stage(version, model, tmp_path / "other", runner=SubprocessRunner(), python=HERE)
    assert again.content == context.content
    for part, other in zip(context.parts[1:], again.parts[1:], strict=True):
        (tmp_path / part.name).mkdir()
        one, two = pack_part(context, part, tmp_path), pack_part(again, other, tmp_path / part.name)
        assert (one.digest, one.diff_id) == (two.digest, two.diff_id)
        assert one.file != two.file
    kept = [pack_part(which, which.parts[0], tmp_path) for which in (context, again)]
    assert kept[0] == kept[1]


def staged(made: tuple[Version, Path], folder: Path, **changes: object) -> Context:
    version, model = made
    return stage(version, model, folder, runner=Quick(), python=HERE, **changes)  # type: ignore[arg-type]


def test_settings_go_along_and_secrets_and_paths_do_not(made: tuple[Version, Path], tmp_path: Path) -> None:
    given = {
        "max_rows": 7,
        "spinning": True,
        "record": "off",
        "max_queue": settings.KNOBS["max_queue"].default,
        "origins": 'https://a.example "$(id)"',
        "verify_key": "/home/me/key.pem",
        "hosts": "https://me:secret@a.example",
        "alert_slack": "https://hooks.example/secret",
    }
    context = staged(made, tmp_path, settings=given)
    assert context.env["AUTODEPLOY_MAX_ROWS"] == "7"
    assert context.env["AUTODEPLOY_SPINNING"] == "true"
    assert context.env["AUTODEPLOY_RECORD"] == "off"
    assert context.env["AUTODEPLOY_ORIGINS"] == 'https://a.example "$(id)"'
    assert not {"AUTODEPLOY_MAX_QUEUE", "AUTODEPLOY_VERIFY_KEY", "AUTODEPLOY_HOSTS"} & context.env.keys()
    assert not any("secret" in value or "/home/me" in value for value in (*context.env.values(), *context.notes))
    assert any("verify_key" in note for note in context.notes)
    assert any("hosts" in note for note in context.notes)


def test_a_deployment_with_grpc_is_told_how_its_image_has_it(made: tuple[Version, Path], tmp_path: Path) -> None:
    lines: list[str] = []
    for grpc in (True, False):
        context = staged(made, tmp_path / str(grpc), grpc=grpc, tell=lines.append)
        assert any("AUTODEPLOY_GRPC_PORT" in note for note in context.notes) == grpc
        assert "AUTODEPLOY_GRPC_PORT" not in context.env
    assert any("onnxruntime==" in line for line in lines)


@pytest.mark.parametrize("value", ["a\nRUN id", "a\x00b", "a\u2028b"])
def test_a_value_of_several_lines_is_refused_before_anything_is_staged(
    made: tuple[Version, Path], tmp_path: Path, value: str
) -> None:
    with pytest.raises(InvalidOption):
        staged(made, tmp_path, settings={"origins": value})
    assert list(tmp_path.iterdir()) == []


def test_a_platform_that_is_not_known_is_refused(made: tuple[Version, Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="windows"):
        staged(made, tmp_path, platform="windows/amd64")


def test_a_note_of_several_lines_becomes_one(made: tuple[Version, Path], tmp_path: Path) -> None:
    version, model = made
    noted = msgspec.structs.replace(version, note='first\nUSER root\r\n"$(id)" ')
    context = staged((noted, model), tmp_path)
    assert context.labels["org.opencontainers.image.description"] == 'first USER root "$(id)"'
