"""Who may import whom, read from the real files. The rooms and their order are drawn in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import autodeploy_magic

PACKAGE = Path(autodeploy_magic.__file__).parent
FLOOR = {"errors", "contracts", "settings", "disk", "tls", "address", "store", "registry", "formats", "live"}
FLOOR |= {"health", "slo", "policy", "retuning", "period", "shipping"}
LANGUAGE = FLOOR | {
    "wire",
    "metrics",
    "reservoir",
}  # what processes say to each other, and what they leave for each other to read

MAY_IMPORT: dict[str, set[str]] = {
    # The floor, in its own order.
    "errors": set(),
    "contracts": {"errors"},
    "settings": {"errors"},
    "registry": {"errors"},
    "formats": {"errors", "registry"},
    "disk": {"errors"},
    "tls": {"errors", "disk"},
    "address": {"errors", "contracts", "tls"},
    "store": {"errors", "contracts", "settings", "disk"},
    "health": {"contracts"},
    "slo": {"errors", "contracts", "health"},
    "policy": set(),
    "retuning": {"contracts"},
    "shipping": {"errors", "contracts"},
    "period": {"errors"},
    "live": {"contracts", "health", "retuning", "shipping"},
    # Beside the floor.
    "wire": FLOOR,
    "metrics": FLOOR,
    "reservoir": FLOOR | {"wire", "metrics"},
    "zygote": FLOOR,
    "calling": LANGUAGE,
    # The steps of the flow. They do not know each other, nor who calls them.
    "build": LANGUAGE,
    "serve": LANGUAGE,
    "bento_src": {"serve.bento"},  # the file that every Bento carries; it runs in a worker, or under `bentoml serve`
    "operate": LANGUAGE | {"build"},
    "ship": LANGUAGE | {"build"},
    # Who composes them.
    "supervisor": LANGUAGE | {"zygote", "calling", "serve", "operate", "ship"},
    # What the person touches. The kernel builds, and asks the supervisor for everything else.
    "verbs": FLOOR,
    "notebook": LANGUAGE | {"verbs", "calling", "build", "supervisor.client"},
    "server_extension": FLOOR | {"supervisor.client"},
    "cli": FLOOR | {"verbs", "notebook"},
    "__main__": {"cli"},
    "__init__": {"errors", "registry", "notebook"},
}

FRAMEWORKS = {
    "sklearn": {"sklearn"},
    "skl2onnx": {"sklearn", "xgboost", "lightgbm", "catboost"},
    "skops": {"sklearn", "skops"},
    "xgboost": {"xgboost"},
    "lightgbm": {"lightgbm"},
    "catboost": {"catboost"},
    "statsmodels": {"statsmodels"},
    "onnxmltools": {"xgboost", "lightgbm", "catboost"},
    "torch": {"torch", "transformers", "safetensors"},
    "safetensors": {"torch", "transformers", "safetensors"},
    "tensorflow": {"tensorflow", "keras", "saved"},
    "keras": {"keras", "tensorflow"},
    "tf2onnx": {"tensorflow", "keras"},
    "transformers": {"transformers"},
    "polars": {"polars"},
    "mlflow": {"mlflow"},
    "shap": {"shap"},
    "river": {"river"},
    "ray": {"ray"},
}
"""Framework → the files that may import it, in any room: NAME.py, and NAME_*.py beside it."""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The first folder below the package, or the module's own name."""
    if path.parent.name == "bento_src":
        return "bento_src"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that the file imports, with the line; "from a.b import c" is a.b.c where that is a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = PACKAGE.parent.joinpath(*node.module.split("."), alias.name) if node.module else PACKAGE
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield node.lineno, f"{node.module}.{alias.name}" if is_module else str(node.module)


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room_of(path) for path in files()} <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    wrong = []
    for line, name in imports_of(path):
        inside = name.removeprefix("autodeploy_magic.")
        if inside == name or inside.partition(".")[0] == room:
            continue  # another package, or the same room
        if not any(inside == allowed or inside.startswith(f"{allowed}.") for allowed in MAY_IMPORT[room]):
            wrong.append(f"{path.name}:{line} imports {name}; {room} may import {', '.join(sorted(MAY_IMPORT[room]))}")
    assert wrong == []


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_framework_is_imported_inside_its_own_file_alone(path: Path) -> None:
    wrong = [
        f"{path.name}:{line} imports {name}"
        for line, name in imports_of(path)
        if (top := name.partition(".")[0]) in FRAMEWORKS and path.stem.partition("_")[0] not in FRAMEWORKS[top]
    ]
    assert wrong == []


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_reference_by_name_leads_somewhere(path: Path) -> None:
    """The tables, the verbs and the clean runners name functions as "module:attr"; a typo would show only when used."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if re.fullmatch(r"autodeploy_magic(\.\w+)*:\w+(\.\w+)*", node.value):
            module, _, attributes = node.value.partition(":")
            found = importlib.import_module(module)
            for attribute in attributes.split("."):
                assert hasattr(found, attribute), f"{path.name}:{node.lineno} names {node.value}, and there is none"
                found = getattr(found, attribute)


def test_the_code_map_names_every_room() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
    missing = [
        room for room in {room_of(path) for path in files()} - {"__init__"} if not re.search(rf"\b{room}\b", text)
    ]
    assert missing == []
