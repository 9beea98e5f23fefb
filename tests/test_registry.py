"""The tables: every entry exists, a missing package says what to install, a broken one that it is broken."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from autodeploy_magic import registry
from autodeploy_magic.errors import BrokenPackage, MissingPackage

ENTRIES = [(name, entry, reference) for name, table in registry.TABLES.items() for entry, reference in table.items()]


@pytest.mark.parametrize(("name", "entry", "reference"), ENTRIES, ids=[f"{name}-{entry}" for name, entry, _ in ENTRIES])
def test_every_entry_of_every_table_can_be_loaded(name: str, entry: str, reference: str) -> None:
    assert registry.load(reference) is not None
    assert registry.table(name)[entry] == reference


def test_load_takes_the_attribute_of_the_module() -> None:
    assert registry.load("json:dumps") is importlib.import_module("json").dumps


def test_need_returns_the_module() -> None:
    assert registry.need("json", "a feature") is importlib.import_module("json")
    assert registry.need("xml.etree", "a feature") is importlib.import_module("xml.etree")


@pytest.mark.parametrize("module", ["nosuchpackage", "nosuchpackage.inner"])
def test_a_missing_package_says_which_feature_needs_it_and_what_to_install(module: str) -> None:
    with pytest.raises(MissingPackage) as caught:
        registry.need(module, "exporting a tree")
    assert caught.value.what == "exporting a tree needs the package nosuchpackage"
    assert caught.value.fix == "pip install nosuchpackage"


def test_the_hint_names_the_extra_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.INSTALL_HINTS, "nosuchpackage", "pip install 'autodeploy_magic[no]'")
    with pytest.raises(MissingPackage) as caught:
        registry.need("nosuchpackage", "exporting a tree")
    assert caught.value.fix == "pip install 'autodeploy_magic[no]'"


def test_a_part_of_a_namespace_package_may_be_missing_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nosuchspace" / "here").mkdir(parents=True)
    (tmp_path / "nosuchspace" / "here" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.INSTALL_HINTS, "nosuchspace", "pip install 'autodeploy_magic[no]'")
    with pytest.raises(MissingPackage) as caught:
        registry.need("nosuchspace.there.inner", "exporting a tree")
    assert caught.value.what == "exporting a tree needs the package nosuchspace.there"
    assert caught.value.fix == "pip install 'autodeploy_magic[no]'"
    with pytest.raises(BrokenPackage):
        registry.need("nosuchspace.here.inner", "exporting a tree")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nosuchpackage_either", "nosuchpackage_either"),
        ("raise ImportError('libgomp.so.1 is missing')", "libgomp.so.1"),
    ],
)
def test_a_package_that_fails_to_import_is_broken_and_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, why: str
) -> None:
    (tmp_path / "half_installed.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BrokenPackage) as caught:
        registry.need("half_installed", "exporting a tree")
    assert why in caught.value.why
    assert "half_installed" in caught.value.what
    assert "half_installed" not in sys.modules


def test_an_installed_entry_point_adds_an_entry_and_cannot_replace_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "thirdparty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[autodeploy_magic.exporters]\nbooster = thirdparty:exporter\nsklearn = thirdparty:stolen\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry.table.cache_clear()
    try:
        found = registry.table("exporters")
    finally:
        registry.table.cache_clear()
    assert found["booster"] == "thirdparty:exporter"
    assert found["sklearn"] == registry.EXPORTERS["sklearn"]
    assert next(iter(found)) == "booster"  # a special framework is asked before our general ones
