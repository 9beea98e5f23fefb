"""What serving never reads is taken away, and nothing that something else imports."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from autodeploy_magic.ship.image.slim import compile_all, slim

FILES = {
    "bin/tool": "#!/bin/sh",
    "lib/__init__.py": "from lib.part import one\n",
    "lib/__init__.pyi": "",
    "lib/part.py": "one = 1  # the tests import it\n",
    "lib/fast.pyx": "",
    "lib/fast.so": "binary",
    "lib/include/fast.h": "",
    "lib/tests/__init__.py": "",
    "lib/tests/test_part.py": "from lib.tests import data\n",
    "lib/tests/data/rows.csv": "1",
    "kept/__init__.py": "from kept.tests.test_rows import ROWS\n",
    "kept/tests/test_rows.py": "ROWS = 3\n",
    "onnxruntime/__init__.py": "",
    "onnxruntime/tools/convert.py": "",
    "lib-1.0.dist-info/METADATA": "Name: lib\nVersion: 1.0\n",
    "lib-1.0.dist-info/direct_url.json": "{}",
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    listed = [name for name in FILES if name.startswith(("lib", "bin"))]
    (tmp_path / "lib-1.0.dist-info" / "RECORD").write_text("".join(f"{name},sha256=abc,1\n" for name in listed))
    return tmp_path


def files(target: Path) -> set[str]:
    return {file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file()}


def test_only_what_is_read_stays(target: Path) -> None:
    slim(target, whole=False)
    assert files(target) == {
        *("lib/__init__.py", "lib/part.py", "lib/fast.so", "kept/__init__.py", "kept/tests/test_rows.py"),
        *("onnxruntime/__init__.py", "lib-1.0.dist-info/METADATA", "lib-1.0.dist-info/RECORD"),
    }


def test_the_list_of_a_wheel_stays_true(target: Path) -> None:
    slim(target, whole=False)
    with (target / "lib-1.0.dist-info" / "RECORD").open(newline="") as stream:
        listed = [row[0] for row in csv.reader(stream)]
    assert listed == sorted(listed)
    assert {"lib/part.py", "lib/fast.so"} <= set(listed)
    assert all((target / name).is_file() for name in listed)


def test_what_a_persons_own_code_could_import_stays_with_it(target: Path) -> None:
    slim(target, whole=True)
    assert {"onnxruntime/tools/convert.py", "lib/tests/test_part.py"} <= files(target)
    assert "lib/__init__.pyi" not in files(target)


def test_what_is_compiled_is_the_same_in_every_place(target: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for root in (target, other):
        (root / "one.py").write_text("def f():\n    raise ValueError\n")
        compile_all({"folder": str(root), "inside": "/app/packages"})
    (one,), (two,) = ((root / "__pycache__").glob("one.*.pyc") for root in (target, other))
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes()[4:8] == b"\x01\x00\x00\x00"  # by hash, and unchecked (PEP 552)
    assert b"/app/packages/one.py" in one.read_bytes()
