"""The README is true: its cells run and show what it says, its commands exist, its tables are up to date."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from kernel import execute, shown

from autodeploy_magic import settings
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect
from autodeploy_magic.verbs import VERBS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def cells_with_output() -> list[tuple[str, str | None]]:
    """The python blocks in order, each with the text block that follows it directly."""
    found: list[tuple[str, str | None]] = []
    end = 0
    for block in BLOCK.finditer(README):
        if block[1] == "python":
            found.append((block[2], None))
        elif block[1] == "text" and found and found[-1][1] is None and not README[end : block.start()].strip():
            found[-1] = (found[-1][0], block[2])
        end = block.end()
    return found


def words(text: str) -> list[str]:
    """What a text says, without what differs from run to run: numbers, times, pictures of progress."""
    return re.findall(r"[^\W\d_]{2,}", text)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_cells_run_and_show_what_is_written_below_them(home: Path, tmp_path: Path) -> None:
    cells = cells_with_output()
    assert len(cells) >= 3
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source, _ in cells])
    try:
        execute(notebook, tmp_path)
    finally:
        store = Store(home)
        if store.supervisor_file.exists():
            connect(store, start=False).shutdown(stop_deployments=True)
        settings.reset()
    for cell, (source, written) in zip(notebook.cells, cells, strict=True):
        if written is not None:
            missing = set(words(written)) - set(words(shown(cell)))
            assert missing == set(), f"the README shows {missing} below\n{source}\nwhich shows\n{shown(cell)}"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    assert {"demo", "lab", "test"} <= named
    assert named <= targets


def test_every_verb_that_is_named_exists() -> None:
    named = set(re.findall(r"(?:`|\$ )(?:%deploy|autodeploy) ([a-z]+)", README))
    assert {"attach", "stop"} <= named
    assert named <= set(VERBS)


def test_every_file_that_is_named_exists() -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    named = re.findall(r"`((?:examples|benchmarks|docs|tests|tools)/[\w./-]+)`", README)
    commands = re.findall(r"python ((?:benchmarks|docs)/\w+\.py)", README)
    assert [name for name in (*linked, *named, *commands) if not (ROOT / name).exists()] == []


def test_the_tables_are_those_of_the_registries() -> None:
    specification = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert specification is not None
    assert specification.loader is not None
    tables = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tables)
    assert set(re.findall(r"<!-- table: (\w+) -->", README)) == set(tables.TABLES)
    assert tables.rewritten(README) == README, "`make tables` rewrites them"
