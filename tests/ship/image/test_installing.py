"""Packages in a folder, for another Python than the one that installs: complete, importable, and kept."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import pytest
from bases import HERE, Quick

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.context import Context
from autodeploy_magic.ship.image.installing import here, install
from autodeploy_magic.ship.image.packages import Needed

SERVES = """
import json, sys
from pathlib import Path
import httptools, prometheus_client, uvicorn, uvloop
from autodeploy_magic.serve.model import ServedModel
import autodeploy_magic.serve.worker
served = ServedModel.load(Path(sys.argv[1]))
served.self_check()
outside = [m.__file__ for m in sys.modules.values() if "site-packages" in (getattr(m, "__file__", "") or "")]
print(json.dumps({"bentoml": "bentoml" in sys.modules, "outside": outside}))
"""


class Never:
    """A clean process that is never needed."""

    def run(self, target: str, *_: Any, **__: Any) -> dict[str, Any]:
        raise AssertionError(target)


def pin(name: str) -> str:
    return f"{name}=={installed_version(name)}"


def test_the_version_answers_with_nothing_but_what_is_staged(context: Context) -> None:
    app = context.root / "app"
    path = [str(app / "autodeploy"), str(app / "packages")]
    code = f"import sys; sys.path += {path}\n{SERVES}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(app / "model")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"bentoml": False, "outside": []}


def test_what_is_there_is_what_the_wheels_list(context: Context) -> None:
    packages = context.root / "app" / "packages"
    records = list(packages.glob("*.dist-info/RECORD"))
    listed = {row[0] for record in records for row in csv.reader(record.open(newline="")) if row}
    there = {
        file.relative_to(packages).as_posix()
        for file in packages.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert len(records) > 8
    assert there == listed
    assert not (packages / "bin").exists()
    assert not [name for name in there if name.endswith((".pyi", ".a", ".pyx")) or "/tests/test_" in name]


def test_it_is_small(context: Context) -> None:
    total = sum(file.stat().st_size for file in (context.root / "app").rglob("*") if file.is_file())
    assert total < 200e6


def test_what_is_required_besides_is_found_among_the_other_pins() -> None:
    needed = Needed((pin("uvicorn"),), {name: pin(name) for name in ("click", "h11", "flatbuffers")})
    found = install(needed, HERE, here(), Quick(), whole=False)
    assert {folder.name for folder in found.folder.iterdir() if "." not in folder.name} == {"click", "h11", "uvicorn"}
    again = install(needed, HERE, here(), Never(), whole=False)
    assert again == found


def test_what_takes_long_is_told_before_it_begins() -> None:
    needed, lines = Needed((pin("h11"), pin("click")), {}), list[str]()
    install(needed, HERE, here(), Quick(), whole=False, tell=lines.append)
    install(needed, HERE, here(), Never(), whole=False, tell=lines.append)
    assert lines == [
        f"installing them for Python {HERE} on {here()}, and compiling them",
        "they are here, of an earlier build",
    ]


def test_what_killed_builds_have_left_goes_and_what_another_one_is_at_stays(kept_between_builds: Path) -> None:
    folder = kept_between_builds / "autodeploy_magic" / "images" / "packages"
    left, current = folder / ".new-left", folder / ".new-current"
    for begun in (left, current):
        (begun / "packages").mkdir(parents=True)
    os.utime(left, (0, 0))
    install(Needed((pin("packaging"),), {}), HERE, here(), Quick(), whole=False)
    assert not left.exists()
    assert current.exists()
    shutil.rmtree(current)


def test_another_python_has_another_folder_and_nothing_compiled() -> None:
    needed = Needed((pin("h11"),), {})
    one, two = (install(needed, python, here(), Quick(), whole=False) for python in (HERE, "3.13"))
    assert one.key != two.key
    assert list(one.folder.rglob("*.pyc"))
    assert not list(two.folder.rglob("*.pyc"))


def test_a_pin_that_no_index_has_is_named_and_nothing_is_kept(kept_between_builds: Path) -> None:
    before = set(kept_between_builds.glob("*/images/packages/*"))
    with pytest.raises(ShipFailed, match="cannot be installed") as caught:
        install(Needed(("h11==0.0.0.1",), {}), HERE, here(), Never(), whole=False)
    assert "h11" in caught.value.why
    assert caught.value.fix
    assert set(kept_between_builds.glob("*/images/packages/*")) == before
