"""The knobs: where a value comes from, in which order, and what a wrong one says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from autodeploy_magic import settings
from autodeploy_magic.errors import InvalidOption


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No knob is set by the environment, and the working directory is an empty project."""
    for knob in settings.KNOBS.values():
        monkeypatch.delenv(knob.env, raising=False)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    settings.reset()
    yield
    settings.reset()


def project(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.autodeploy_magic]\n{text}\n", "utf-8")


def test_every_knob_has_its_default() -> None:
    assert {name: settings.get(name) for name in settings.KNOBS} == {
        name: knob.default for name, knob in settings.KNOBS.items()
    }


@pytest.mark.parametrize("knob", settings.KNOBS.values(), ids=lambda knob: knob.name)
def test_every_knob_is_explained_and_carries_its_unit(knob: settings.Knob) -> None:
    assert knob.help
    assert re.fullmatch(r"[a-z][a-z_]*", knob.name)
    if knob.name.endswith("_s"):
        assert knob.unit == "seconds"
    if knob.name.endswith("_bytes"):
        assert knob.unit == "bytes"


def test_the_order_is_chosen_then_environment_then_project_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = settings.get("max_rows")
    project(tmp_path, "max_rows = 11")
    settings.reset()
    assert settings.get("max_rows") == 11 != default
    monkeypatch.setenv("AUTODEPLOY_MAX_ROWS", "12")
    assert settings.get("max_rows") == 12
    settings.set_option("max_rows", 13)
    assert settings.get("max_rows") == 13
    settings.reset()
    assert settings.get("max_rows") == 12


def test_the_nearest_pyproject_upwards_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "max_rows = 11")
    inner = tmp_path / "notebooks" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert settings.get("max_rows") == 11
    (tmp_path / "notebooks" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    settings.reset()
    assert settings.get("max_rows") == settings.KNOBS["max_rows"].default


@pytest.mark.parametrize(
    "content", [b"[tool.autodeploy_magic", b"\xff\xfe", b"tool = 3", b"[tool]\nautodeploy_magic = 3"]
)
def test_a_damaged_project_file_is_no_reason_to_refuse_a_deployment(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)
    settings.reset()
    assert settings.get("max_rows") == settings.KNOBS["max_rows"].default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("max_rows", "12", 12), ("drain_s", "2", 2.0), ("drain_s", "0.5", 0.5), ("host", "::1", "::1")],
)
def test_text_of_the_environment_takes_the_type_of_the_default(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(settings.KNOBS[name].env, text)
    got = settings.get(name)
    assert got == value
    assert type(got) is type(value)


def test_a_wrong_value_names_its_source_its_meaning_and_its_unit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AUTODEPLOY_DRAIN_S", "soon")
    with pytest.raises(InvalidOption) as caught:
        settings.get("drain_s")
    assert "AUTODEPLOY_DRAIN_S is 'soon'" in caught.value.what
    assert caught.value.why == settings.KNOBS["drain_s"].help
    assert "seconds" in caught.value.fix

    project(tmp_path, "max_rows = [1]")
    settings.reset()
    with pytest.raises(InvalidOption, match=r"\[tool\.autodeploy_magic\] max_rows"):
        settings.get("max_rows")


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidOption) as caught:
        settings.set_option("max_row", 3)
    assert "'max_row'" in caught.value.what
    assert "max_rows" in caught.value.fix


def test_a_refused_value_leaves_the_old_one() -> None:
    settings.set_option("max_rows", 5)
    with pytest.raises(InvalidOption):
        settings.set_option("max_rows", "many")
    assert settings.get("max_rows") == 5


def test_workers_are_not_given_what_is_about_alerts() -> None:
    kept = settings.travelling()
    assert {"alert_slack", "alert_smtp_password_file", "alert_severity"} <= set(kept)
    given = settings.of_workers({**kept, "of_another_release": 1})
    assert not [name for name in given if name.startswith("alert_")]
    assert {"max_rows", "of_another_release"} <= set(given)


def test_an_address_is_kept_without_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidOption) as caught:
        settings.set_option("alert_smtp", "smtp://me:hunter2@mail.example.org:587")
    assert "hunter2" not in str(caught.value) + caught.value.why + caught.value.fix
    assert "file:" in caught.value.fix
    settings.set_option("alert_smtp", "smtp://me@mail.example.org:587")
    settings.set_option("alert_slack", " file:address , https://hooks.example.org/x,, ")
    assert settings.get("alert_slack") == f"file:{Path.cwd() / 'address'},https://hooks.example.org/x"
    settings.set_option("alert_secret_file", "secret")
    assert settings.get("alert_secret_file") == str(Path.cwd() / "secret")
