"""The recipe for engines: it runs nothing, and no value that somebody typed becomes an instruction."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.ship.image.containerfile import containerfile
from autodeploy_magic.ship.image.context import Context

NASTY = [
    '"; RUN touch /tmp/pwned #',
    "$(touch /tmp/pwned) `id` ${HOME} $HOME",
    "back\\slash \\",
    "../../etc/passwd",
    "{{ .Values }} %s {0}",
    "no 1e3 0123 ü 漢字",
    "# comment",
    "",
]


def test_it_copies_and_runs_nothing(context: Context) -> None:
    lines = containerfile(context, "localhost/python-base:raw").splitlines()
    words = [line.partition(" ")[0] for line in lines if not line.startswith("#")]
    assert words[0] == "FROM"
    assert set(words) == {
        *("FROM", "COPY", "ENV", "LABEL", "WORKDIR", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"),
        "CMD",
    }
    assert "USER 65532:65532" in lines
    copied = [json.loads(line.partition(" --chown=0:0 ")[2]) for line in lines if line.startswith("COPY")]
    assert [target for _, target in copied] == [
        *("/app/packages/", "/app/autodeploy/", "/app/model/", "/app/sbom.cdx.json"),
    ]
    assert all((context.root / source).exists() for source, _ in copied)


@pytest.mark.parametrize("value", NASTY)
def test_a_value_is_a_value(context: Context, value: str) -> None:
    nasty = replace(context, env={"NOTE": value}, labels={"a.note": value})
    lines = containerfile(nasty, "base:1").splitlines()
    assert len(lines) == len(containerfile(replace(context, env={"A": "1"}, labels={"a": "1"}), "base:1").splitlines())
    for start in ("ENV NOTE=", "LABEL a.note="):
        (line,) = (line for line in lines if line.startswith(start))
        quoted = line.removeprefix(start)
        assert quoted[0] == quoted[-1] == '"'
        inner = quoted[1:-1]
        assert re.fullmatch(r'(?:[^"\\$]|\\["\\$])*', inner)
        assert re.sub(r"\\(.)", r"\1", inner) == value


@pytest.mark.parametrize("value", ["a\nRUN id", "a\rb", "a\x1bb", "a\u2029b"])
def test_a_value_with_a_control_character_is_refused(context: Context, value: str) -> None:
    for changes in ({"env": {"NOTE": value}}, {"labels": {"note": value}}):
        with pytest.raises(InvalidOption):
            containerfile(replace(context, **changes), "base:1")


@pytest.mark.parametrize("name", ["A B", "A=1", "A\nRUN", "$A", ""])
def test_a_name_that_is_none_is_refused(context: Context, name: str) -> None:
    for changes in ({"env": {name: "1"}}, {"labels": {name: "1"}}):
        with pytest.raises(InvalidOption):
            containerfile(replace(context, **changes), "base:1")


@pytest.mark.parametrize("base", ["base:1\nRUN id", "base 1", "../base", "--platform=x base", "$BASE"])
def test_a_base_that_is_no_reference_is_refused(context: Context, base: str) -> None:
    with pytest.raises(InvalidOption):
        containerfile(context, base)
