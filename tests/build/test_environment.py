"""Pins are exact and complete, and name nothing of this machine; local modules are found with what they import."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from autodeploy_magic.build.environment import copy_modules, describe, local_modules, pins
from autodeploy_magic.errors import PackageFailed


def test_pins_are_of_the_distribution_not_of_the_module() -> None:
    assert f"scikit-learn=={version('scikit-learn')}" in pins(["sklearn"])


def test_pins_hold_the_runtime_and_what_it_requires() -> None:
    names = {pin.partition("==")[0] for pin in pins([])}
    assert {"bentoml", "onnxruntime", "numpy", "msgspec", "uvicorn", "starlette", "protobuf"} <= names
    assert "scikit-learn" not in names
    assert "autodeploy-magic" not in names


def test_pins_are_sorted_and_plain() -> None:
    found = pins(["sklearn", "pandas", "json", "no_such_module"])
    assert all(pin.count("==") == 1 and not set(pin) & set(" @/:+\n") for pin in found), found
    assert found == pins(["pandas", "sklearn"])


def test_the_environment_says_which_python() -> None:
    found = describe(["sklearn"], ["shop"])
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.local_modules == ("shop",)


def test_local_modules_bring_what_they_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_a.py").write_text("import json, numpy\ndef f():\n    from shop_b import part\n")
    (tmp_path / "shop_b").mkdir()
    (tmp_path / "shop_b" / "__init__.py").write_text("import shop_a\n")
    (tmp_path / "shop_b" / "part.py").write_text("x = 1\n")
    (tmp_path / "shop_unused.py").write_text("")
    (tmp_path / "broken.py").write_text("print 'python 2'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = local_modules(["shop_a", "numpy", "json", "__main__", "autodeploy_magic", "sys"])
    assert set(found) == {"shop_a", "shop_b"}
    assert local_modules(["broken"]) == {"broken": tmp_path / "broken.py"}
    copied = copy_modules(found, tmp_path / "out")
    assert [str(file) for file in copied] == ["shop_a.py", "shop_b/__init__.py", "shop_b/part.py"]
    assert copy_modules({}, tmp_path / "none") == []


def test_a_package_full_of_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big").mkdir()
    with (tmp_path / "big" / "data.bin").open("wb") as stream:
        stream.truncate(65 * 2**20)
    with pytest.raises(PackageFailed, match="move the data out"):
        copy_modules({"big": tmp_path / "big"}, tmp_path / "out")
