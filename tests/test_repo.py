"""The repository itself: nothing of one machine in it, no file too long, pins that can be read, one version."""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import autodeploy_magic

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BINARY = {".png", ".gif", ".svg", ".ico", ".onnx", ".pkl", ".binpb"}


def tracked() -> list[Path]:
    """The files that git tracks or would; outside a checkout (an unpacked sdist) there is nothing to judge."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [file for name in done.stdout.splitlines() if (file := ROOT / name).is_file()]


def texts() -> dict[str, str]:
    return {str(file.relative_to(ROOT)): file.read_text("utf-8") for file in tracked() if file.suffix not in BINARY}


def requirements() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in lines]


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    wrong = [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)]
    assert wrong == []
    return {normal(name): Version(version) for name, version in (line.split("==") for line in pins)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_path_of_one_machine_stands_in_a_file() -> None:
    personal = re.compile(r"(?<![\w.])/(?:work|farm|root)/[a-z.]")
    found = [f"{name}: {match[0]}" for name, text in texts().items() if (match := personal.search(text))]
    assert found == []


def test_no_package_index_is_named() -> None:
    index = re.compile(
        r"--(?:extra-)?index-url[ =]|--find-links[ =]|https?://[\w.:-]+/(?:simple|root/pypi)\b|resolved\"?: \"https?:"
    )
    here = Path(__file__).name
    found = [
        f"{name}: {match[0]}" for name, text in texts().items() if here not in name and (match := index.search(text))
    ]
    assert found == []


def test_no_source_file_is_longer_than_an_idea() -> None:
    long = {
        name: text.count("\n")
        for name, text in texts().items()
        if name.endswith((".py", ".ts")) and text.count("\n") > 500
    }
    assert long == {}


def test_every_requirement_is_pinned_to_a_version_that_it_allows() -> None:
    pins = constraints()
    for requirement in requirements():
        name = normal(requirement.name)
        if name == "autodeploy-magic" or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue  # itself, or for another platform than the one that the pins are made on
        assert name in pins, f"{name} is missing in constraints.txt"
        assert pins[name] in requirement.specifier, f"{requirement} does not allow {pins[name]}"


def test_every_dependency_has_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    start = lines.index("dependencies = [")
    entries = [line for line in lines[start + 1 : lines.index("]", start)] if line.lstrip().startswith('"')]
    assert len(entries) == len(PROJECT["project"]["dependencies"])
    assert [line for line in entries if not re.search(r'",\s+# \S', line)] == []


def test_the_floors_that_keep_people_safe_stay() -> None:
    wanted = {normal(requirement.name): requirement.specifier for requirement in requirements()}
    assert "1.4.38" not in wanted["bentoml"]
    assert "7.0.0" not in wanted["protobuf"]


def test_the_changelog_has_a_place_for_what_comes_and_tells_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[(.+?)\]", text, flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert Version(autodeploy_magic.__version__)
    assert all(Version(heading) for heading in headings[1:])


def test_every_test_asserts_something() -> None:
    silent = []
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        asserting = {name for name, node in functions.items() if asserts(node)}
        silent += [
            f"{file.relative_to(ROOT)}:{node.lineno} {name}"
            for name, node in functions.items()
            if name.startswith("test_") and name not in asserting and not called(node) & asserting
        ]
    assert silent == []


def asserts(function: ast.AST) -> bool:
    """Whether it holds an `assert`, sends one to a kernel, or calls what is one by its name."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "assert " in node.value:
            return True
    waits = {"raises", "fail", "until", "expect"}
    return any("assert" in name or "check" in name or name in waits for name in called(function))


def called(function: ast.AST) -> set[str]:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {str(getattr(call, "attr", getattr(call, "id", ""))) for call in calls}


def test_every_file_of_tests_is_collected(request: pytest.FixtureRequest) -> None:
    """pytest passes over folders by their names, its own list unless it is told another: "build" was one of them."""
    passed_over = request.config.getini("norecursedirs")
    folders = {part for file in (ROOT / "tests").rglob("test_*.py") for part in file.relative_to(ROOT).parts[:-1]}
    assert [name for name in sorted(folders) if any(fnmatch.fnmatch(name, one) for one in passed_over)] == []
