"""A function in a fresh process: its value, its error, its death."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodeploy_magic.build import SubprocessRunner
from autodeploy_magic.errors import BuildFailed, ParityFailed

TARGETS = """
import os, sys
def echo(spec): return {"spec": spec, "env": os.environ.get("HERE"), "path": sys.path[0], "cwd": os.getcwd()}
def refuse(spec):
    from autodeploy_magic.errors import ParityFailed
    raise ParityFailed("it differs", why="because", rows=[3])
def raise_(spec): raise ZeroDivisionError("by zero")
def die(spec): print("last words", flush=True); os.kill(os.getpid(), 9)
def hang(spec):
    import threading; print("waiting", flush=True); threading.Event().wait()
"""


@pytest.fixture
def targets(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "clean_targets.py").write_text(TARGETS)
    return (str(tmp_path),)


def test_value(runner: SubprocessRunner, targets: tuple[str, ...]) -> None:
    found = runner.run("clean_targets:echo", {"a": [1]}, paths=targets, env={"HERE": "yes"})
    assert (found["spec"], found["env"], found["path"]) == ({"a": [1]}, "yes", targets[0])
    assert found["cwd"] != str(Path.cwd())
    assert not Path(found["cwd"]).exists()


def test_our_errors_arrive_as_they_are(runner: SubprocessRunner, targets: tuple[str, ...]) -> None:
    with pytest.raises(ParityFailed, match="it differs") as caught:
        runner.run("clean_targets:refuse", {}, paths=targets)
    assert caught.value.details == {"rows": [3]}


def test_other_errors_say_where(runner: SubprocessRunner, targets: tuple[str, ...]) -> None:
    with pytest.raises(BuildFailed, match=r"(?s)ZeroDivisionError: by zero.*clean_targets.py"):
        runner.run("clean_targets:raise_", {}, paths=targets)


def test_death_brings_the_last_lines(runner: SubprocessRunner, targets: tuple[str, ...]) -> None:
    with pytest.raises(BuildFailed, match=r"(?s)SIGKILL.*last words"):
        runner.run("clean_targets:die", {}, paths=targets)


def test_a_hang_ends_at_its_deadline(runner: SubprocessRunner, targets: tuple[str, ...]) -> None:
    with pytest.raises(BuildFailed, match=r"(?s)did not end within 2 s.*build_timeout_s"):
        runner.run("clean_targets:hang", {}, paths=targets, timeout_s=2.0)
