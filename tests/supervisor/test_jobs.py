"""Functions of a build in clean processes: results, errors, crashes, time limits."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from world import WAIT_S, World, processes_of, until

from autodeploy_magic.contracts import CleanRunner
from autodeploy_magic.errors import BadSample, BuildFailed, SupervisorFailed

pytestmark = pytest.mark.timeout(120)

JOBS = """
import os, signal, subprocess, sys, time
from autodeploy_magic.errors import BadSample

def echo(spec):
    return {"spec": spec, "pid": os.getpid(), "main": "__main__" in sys.modules, "path": sys.path[0],
            "home": os.environ.get("BENTOML_HOME"), "random": __import__("numpy").random.rand(),
            "stdin": sys.stdin.read(), "sid": os.getsid(0)}

def refuse(spec):
    print("about to refuse")
    raise BadSample("the sample is odd", why="it was made so", fix="use another", rows=3)

def fail(spec):
    raise ValueError("not like this")

def die(spec):
    print("a last line")
    os.kill(os.getpid(), signal.SIGKILL)

def leave(spec):
    sys.exit(4)

def sleep(spec):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open(spec["file"], "w").write(str(child.pid))
    print("sleeping now")
    time.sleep(60)

def large(spec):
    return {"rows": [[float(i)] * 100 for i in range(20000)]}
"""


@pytest.fixture
def run(world: World, tmp_path: Path) -> Any:
    (tmp_path / "somejobs.py").write_text(JOBS)
    runner: CleanRunner = world.supervisor.runner(sys.executable)

    def run(name: str, spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        return runner.run(f"somejobs:{name}", spec or {}, paths=(str(tmp_path),), **more)

    return run


def test_a_job_returns_what_its_function_returns(run: Any, tmp_path: Path) -> None:
    first = run("echo", {"a": [1, "ü", None]}, env={"BENTOML_HOME": "/nowhere"})
    assert first["spec"] == {"a": [1, "ü", None]}
    assert (first["path"], first["home"], first["stdin"]) == (str(tmp_path), "/nowhere", "")
    assert first["sid"] == first["pid"]
    second = run("echo")
    assert second["home"] is None  # one job's environment is not another's
    assert second["pid"] != first["pid"]
    assert second["random"] != first["random"]


def test_a_large_answer_arrives_whole(run: Any) -> None:
    assert len(run("large")["rows"]) == 20000


def test_an_error_of_ours_arrives_as_it_was_raised(run: Any) -> None:
    with pytest.raises(BadSample) as failure:
        run("refuse")
    error = failure.value
    assert (error.what, error.why, error.fix) == ("the sample is odd", "it was made so", "use another")
    assert error.details["rows"] == 3
    assert "about to refuse" in error.details["output"]


def test_any_other_error_is_a_failed_build(run: Any) -> None:
    with pytest.raises(BuildFailed, match="ValueError") as failure:
        run("fail")
    assert failure.value.why == "not like this"
    assert "in fail" in failure.value.details["output"]


@pytest.mark.parametrize(("name", "says"), [("die", "SIGKILL"), ("leave", "exit code 4")])
def test_a_process_that_dies_is_a_failed_build(run: Any, name: str, says: str) -> None:
    with pytest.raises(BuildFailed, match=says) as failure:
        run(name)
    assert name != "die" or "a last line" in failure.value.why


def test_a_job_that_takes_too_long_is_ended_with_what_it_started(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    run("echo")  # the zygote's own start is part of the first job's time
    with pytest.raises(BuildFailed, match=r"longer than 4 s") as failure:
        run("sleep", {"file": str(file)}, timeout_s=4.0)
    assert "sleeping now" in failure.value.why
    until(lambda: _gone(int(file.read_text())))


def test_a_job_whose_client_is_killed_is_ended(world: World, run: Any, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = (
        "import sys; from autodeploy_magic.store import Store; from autodeploy_magic.supervisor.client import connect\n"
        "connect(Store()).runner(sys.executable).run('somejobs:sleep', {'file': sys.argv[1]}, paths=(sys.argv[2],))"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(file), str(tmp_path)]) as client:
        until(lambda: file.exists() and file.read_text() != "")
        client.kill()
    until(lambda: _gone(int(file.read_text())))


def test_an_executable_that_is_gone_is_named(world: World) -> None:
    with pytest.raises(SupervisorFailed, match="/nowhere/python"):
        world.supervisor.runner("/nowhere/python").run("time:time", {})


def test_an_environment_without_this_package_says_so(world: World, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho No module named autodeploy_magic >&2\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(SupervisorFailed, match="No module named autodeploy_magic"):
        world.supervisor.runner(str(fake)).run("time:time", {})


def test_jobs_run_side_by_side(run: Any) -> None:
    began = time.monotonic()
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(run("echo")["pid"])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(set(results)) == 6
    assert time.monotonic() - began < WAIT_S


def test_jobs_end_with_a_killed_supervisor(world: World, run: Any, tmp_path: Path) -> None:
    file = tmp_path / "pid"

    def ask() -> None:
        with pytest.raises(SupervisorFailed):
            run("sleep", {"file": str(file)})

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: file.exists() and file.read_text() != "")
    world.kill_supervisor()
    thread.join(WAIT_S)
    until(lambda: processes_of(world.store.home) == [])


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
