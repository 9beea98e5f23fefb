"""Pins are exact and complete, and name nothing of this machine; local modules are found with what they import."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from distributions import distribution

from autodeploy_magic.build.environment import copy_modules, debian_packages, describe, local_modules, pins
from autodeploy_magic.build.environment.imports import imported_by_code
from autodeploy_magic.build.environment.local import Local
from autodeploy_magic.build.environment.system import beyond_base
from autodeploy_magic.errors import PackageFailed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder like that of a notebook, the first on the path; what is imported from it is forgotten at the end."""
    before = set(sys.modules)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__path__", "")) + str(
            getattr(sys.modules[name], "__file__", "")
        ):
            del sys.modules[name]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that installers install into."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def write(folder: Path, **files: str) -> None:
    """Files by their names with __ for /, all of Python."""
    for name, text in files.items():
        file = folder / f"{name.replace('___', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def names(found: tuple[str, ...]) -> set[str]:
    return {pin.partition("==")[0] for pin in found}


# --- pins


def test_pins_are_of_the_distribution_not_of_the_module() -> None:
    assert f"scikit-learn=={version('scikit-learn')}" in pins(["sklearn"])
    assert pins(["sklearn.linear_model"]) == pins(["sklearn"])


def test_pins_hold_the_runtime_and_what_it_requires() -> None:
    found = names(pins([]))
    assert {"bentoml", "onnxruntime", "numpy", "msgspec", "uvicorn", "starlette", "protobuf"} <= found
    assert "scikit-learn" not in found
    assert "autodeploy-magic" not in found


def test_pins_are_sorted_and_plain() -> None:
    found = pins(["sklearn", "pandas", "json", "no_such_module"])
    assert all(pin.count("==") == 1 and not set(pin) & set(" @/:+\n") for pin in found), found
    assert found == pins(["pandas", "sklearn"])


def test_of_a_namespace_that_distributions_share_its_own_part_is_pinned(site: Path) -> None:
    distribution(site, "acme-core", files={"acme/core/__init__.py": ""})
    distribution(site, "acme-pay", files={"acme/pay/__init__.py": "", "acme/pay/card.py": ""})
    assert names(pins(["acme.pay"])) - names(pins([])) == {"acme-pay"}
    assert names(pins(["acme.pay.card"])) - names(pins([])) == {"acme-pay"}
    assert names(pins(["acme"])) - names(pins([])) == {"acme-core", "acme-pay"}


def test_the_environment_says_which_python_and_which_libraries() -> None:
    seen = {"libraries": ["libgomp.so.1.0.0", "libc.so.6", "libpython3.11.so.1.0"], "reads": ["vocab.txt"], "hosts": []}
    found = describe(["sklearn"], Local({"shop": (Path("shop.py"),)}), seen, ["a line"])
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.local_modules == ("shop",)
    assert found.system_libraries == ("libgomp.so.1",)
    assert any("vocab.txt" in note for note in found.notes)
    assert found.notes[-1] == "a line"


def test_system_libraries_are_named_as_programs_ask_for_them() -> None:
    mapped = [
        "ld-linux-x86-64.so.2",
        "libm-2.31.so",
        "libstdc++.so.6.0.30",
        "libz.so.1.2.13",
        "libGL.so.1.7.0",
        "weird",
    ]
    assert beyond_base([*mapped, "libglib-2.0.so.0.7200.4"]) == ("libGL.so.1", "libglib-2.0.so.0")
    assert debian_packages(["libGL.so.1", "libcuda.so.1"]) == ("libgl1",)


# --- what code imports


def test_imports_inside_functions_are_found(notebook: Callable[..., dict[str, Any]]) -> None:
    code = """
def preprocess(x):
    import scipy.stats
    from shop import rules, part as p
    try:
        import cupy as np
    except ImportError:
        import numpy as np
    def inner():
        return __import__("colorsys")
    import importlib
    return importlib.import_module("json.tool"), "not a module", [(lambda: __import__("wave"))() for _ in x]
"""
    found = imported_by_code(notebook(code)["preprocess"].__code__)
    assert {"scipy.stats", "shop", "shop.rules", "shop.part", "cupy", "numpy", "colorsys", "json.tool", "wave"} <= found
    assert not {name for name in found if " " in name}


# --- local modules


def test_local_modules_bring_what_they_import(here: Path, tmp_path: Path) -> None:
    write(
        here,
        shop_a="import json, numpy\ndef f():\n    from shop_b import part\n",
        shop_b_____init__="import shop_a\n",
        shop_b___part="x = 1\n",
        shop_unused="",
        broken="print 'python 2'\n",
    )
    found = local_modules(["shop_a", "numpy", "json", "__main__", "autodeploy_magic", "sys"])
    assert set(found.places) == {"shop_a", "shop_b"}
    assert found.imports == {"numpy"}
    assert local_modules(["broken"]).places == {"broken": (here / "broken.py",)}
    copied = copy_modules(found, tmp_path / "out")
    assert [str(file) for file in copied] == ["shop_a.py", "shop_b/__init__.py", "shop_b/part.py"]
    assert copy_modules(Local({}), tmp_path / "none") == []


def test_pins_come_from_the_files_that_are_reached(here: Path) -> None:
    """Of a package with many parts, those that the model's own part imports: relative, late, and by name."""
    write(
        here,
        shop_____init__="",
        shop___rules="from . import tools\nfrom .deep.low import x\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n",
        shop___tools="import importlib as i\ndef f():\n    import sklearn.svm\n    return i.import_module('pandas')\n",
        shop___deep_____init__="",
        shop___deep___low="import polars\nx = 1\nif __name__ == '__main__':\n    import tensorflow\n",
        shop___training="import torch, tensorflow\n",
    )
    tops = {name.partition(".")[0] for name in local_modules(["shop.rules"]).imports}
    assert tops == {"sklearn", "pandas", "polars"}


def test_package_data_travels_and_caches_do_not(here: Path, tmp_path: Path) -> None:
    write(here, shop_____init__="")
    (here / "shop" / "words.txt").write_text("a b c")
    (here / "shop" / ".git").mkdir()
    (here / "shop" / ".git" / "big").write_bytes(b"0" * 100)
    (here / "shop" / "try.ipynb").write_text("{}")
    copied = copy_modules(local_modules(["shop"]), tmp_path / "out")
    assert [str(file) for file in copied] == ["shop/__init__.py", "shop/words.txt"]


def test_of_a_namespace_the_person_s_own_part_is_copied(here: Path, site: Path, tmp_path: Path) -> None:
    distribution(site, "acme-core", files={"acme/core/__init__.py": ""})
    write(here, acme___shop="import acme.core\n")
    found = local_modules(["acme.shop", "acme.core"])
    assert found.places == {"acme": (here / "acme",)}
    assert [str(file) for file in copy_modules(found, tmp_path / "out")] == ["acme/shop.py"]
    assert "acme-core" in names(pins(["acme.shop", "acme.core"]))


@pytest.mark.parametrize("editable", [True, False])
def test_what_was_installed_from_a_folder_is_copied(here: Path, site: Path, editable: bool) -> None:
    origin = {"url": "file:///home/somebody/ours", "dir_info": {"editable": True} if editable else {}}
    files = {"ours/__init__.py": "import polars\n"}
    distribution(site, "ours", origin=origin, files={} if editable else files)
    if editable:
        write(here, ours_____init__="import polars\n")
    found = local_modules(["ours"])
    assert found.places == {"ours": ((here if editable else site) / "ours",)}
    assert found.imports == {"polars"}
    assert "ours" not in names(pins(["ours"]))


@pytest.mark.parametrize(("name", "whose"), [("calendar", "Python itself"), ("rival", "the distribution rival")])
def test_a_module_that_takes_another_one_s_name_is_refused(here: Path, site: Path, name: str, whose: str) -> None:
    distribution(site, "rival", files={"rival.py": ""})
    write(here, **{name: "holidays = 3\n"})
    sys.path.remove(str(here))
    sys.path.insert(0, str(here))
    kept = sys.modules.pop(name, None)
    try:
        __import__(name)
        with pytest.raises(PackageFailed, match=rf"(?s){name}.py has the name of a module of {whose}.*rename"):
            local_modules([name])
    finally:
        sys.modules.pop(name, None)
        if kept is not None:
            sys.modules[name] = kept


def test_a_module_imported_by_a_computed_name_is_missed_and_said(here: Path) -> None:
    write(here, secret_plugin="")
    (line,) = (line for line in describe(["secret_plugin"], Local({})).conflicts if "secret_plugin" in line)
    assert "import it in the cell" in line


def test_a_package_full_of_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    with (tmp_path / "big" / "data.bin").open("wb") as stream:
        stream.truncate(65 * 2**20)
    with pytest.raises(PackageFailed, match="move the data out"):
        copy_modules(Local({"big": (tmp_path / "big",)}), tmp_path / "out")
