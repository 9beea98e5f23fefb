"""What is built or shipped is cancelled: its job takes back what it began, and nothing of it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from watching import watching
from world import WAIT_S, World, processes_of, until

from autodeploy_magic.cli import main
from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import InvalidOption, ShipCancelled, ShipFailed, UnknownDeployment
from autodeploy_magic.ship.kept import images
from autodeploy_magic.shipping import Cancelled, Image, Wanted
from autodeploy_magic.supervisor.jobs import Interrupted, Job, run_job
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

pytestmark = pytest.mark.timeout(120)

JOBS = """
import pathlib, subprocess, sys, time

def long(spec):
    folder = pathlib.Path(spec["folder"])
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    (folder / "made").write_text("half of it")
    (folder / "child").write_text(str(child.pid))
    try:
        time.sleep(60)
    finally:
        time.sleep(spec["tidies_s"])
        (folder / "made").unlink()

def through(spec):
    folder = pathlib.Path(spec["folder"])
    (folder / "child").write_text("0")
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        return {"made": True}
"""


def stopped(folder: Path, target: str, tidy_s: float, tidies_s: float = 0.0) -> dict[str, Any]:
    """Run a job, and stop it once it has begun; what it answers all the same. Raises `Interrupted`."""
    (folder / "longjobs.py").write_text(JOBS)
    spec = {"folder": str(folder), "tidies_s": tidies_s}
    job = Job(executable=sys.executable, target=f"longjobs:{target}", spec=spec, paths=(str(folder),), tidy_s=tidy_s)

    async def scenario() -> dict[str, Any]:
        zygotes, stop = Zygotes(folder / "log"), asyncio.Event()
        zygote = zygotes.get(sys.executable)
        try:
            running = asyncio.create_task(run_job(zygotes, job, stop))
            await asyncio.to_thread(until, lambda: (folder / "child").exists() and (folder / "child").read_text())
            stop.set()
            return await asyncio.wait_for(running, WAIT_S)
        finally:
            zygotes.close()
            await asyncio.to_thread(zygote._process.wait)

    return asyncio.run(scenario())


@pytest.mark.parametrize(("tidy_s", "tidies_s", "left"), [(20.0, 0.0, False), (1.0, 40.0, True)])
def test_a_job_that_is_stopped_takes_back_what_it_began_while_it_has_time(
    tmp_path: Path, tidy_s: float, tidies_s: float, left: bool
) -> None:
    with pytest.raises(Interrupted):
        stopped(tmp_path, "long", tidy_s, tidies_s)
    assert (tmp_path / "made").exists() == left
    child = int((tmp_path / "child").read_text())
    until(lambda: not psutil.pid_exists(child))  # though it has a session of its own


def test_a_job_that_is_through_has_its_result_all_the_same(tmp_path: Path) -> None:
    assert stopped(tmp_path, "through", 20.0) == {"made": True}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base image that is enough to build on, and not to run."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text("ID=none\n")
    with tarfile.open(tmp_path / "base.tar", "w") as archive:
        archive.add(tmp_path / "etc", "etc")
    return tmp_path / "base.tar"


class Building:
    """An archive that is being built, by a thread that waits for it."""

    def __init__(self, world: World, base: Path, pool: ThreadPoolExecutor) -> None:
        self.steps: list[Progress] = []
        self.folder = base.parent / "to"
        wanted = Wanted(engine="archive", base=str(base), folder=str(self.folder))
        self.image: Future[Image] = pool.submit(world.supervisor.containerize, "iris", wanted, self.steps.append)

    def reached(self, step: str) -> None:
        until(lambda: any(one.step == step for one in self.steps) or self.image.done(), 2 * WAIT_S)
        assert not self.image.done(), self.image.exception()


def no_jobs(world: World) -> bool:
    """Whether nothing runs but the supervisor, the zygote and the worker."""
    return len(processes_of(world.store.home)) <= 3


def test_a_build_that_is_cancelled_leaves_nothing_and_the_next_begins_at_once(world: World, base: Path) -> None:
    world.serve(world.version())
    with watching(world.supervisor) as seen, ThreadPoolExecutor(4) as pool:
        first = Building(world, base, pool)
        first.reached("stage")
        with pytest.raises(ShipFailed, match="being shipped already") as refused:
            world.supervisor.containerize("iris", Wanted(engine="archive"), lambda _: None)
        assert "containerize iris --cancel" in refused.value.fix
        twice: list[Future[Cancelled]] = [pool.submit(world.supervisor.cancel_shipping, "iris") for _ in range(2)]
        assert {one.result().title for one in twice} == {"containerize iris"}
        second = Building(world, base, pool)
        with pytest.raises(ShipCancelled, match="containerize iris was cancelled") as told:
            first.image.result()
        assert "nothing is left of it" in told.value.why
        seen.wait(lambda: "cancelled" in {m.activity.state for m in seen.messages if m.activity is not None})
        second.reached("stage")
        world.supervisor.cancel_shipping("iris")
        with pytest.raises(ShipCancelled):
            second.image.result()
    folder = world.store.folder("iris")
    assert not list(folder.rglob("ship-*"))
    assert not first.folder.exists() or list(first.folder.iterdir()) == []
    assert images(world.store, "iris") == []
    until(lambda: no_jobs(world))
    assert world.predict().status_code == 200


def test_where_nothing_is_under_way_there_is_nothing_to_cancel(world: World) -> None:
    with pytest.raises(UnknownDeployment):
        world.supervisor.cancel_shipping("iris")
    world.serve(world.version())
    with pytest.raises(InvalidOption, match="nothing of iris is being built or shipped"):
        world.supervisor.cancel_shipping("iris")


def test_what_is_removed_is_built_no_further(world: World, base: Path) -> None:
    world.serve(world.version())
    with ThreadPoolExecutor(1) as pool:
        building = Building(world, base, pool)
        building.reached("stage")
        world.supervisor.remove("iris")
        with pytest.raises(ShipCancelled):
            building.image.result()
    assert not world.store.folder("iris").exists()
    until(lambda: no_jobs(world))


def test_in_the_terminal_an_interrupt_cancels_and_so_does_the_option(
    world: World, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.serve(world.version())
    line = ["containerize", "iris", "--engine", "archive", "--base", str(base), "--to", str(base.parent / "to")]
    with watching(world.supervisor) as seen:
        client = subprocess.Popen(
            [sys.executable, "-m", "autodeploy_magic", *line], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        seen.wait(lambda: seen.activities.get("containerize iris") and seen.activities["containerize iris"].steps)
        client.send_signal(signal.SIGINT)
        _, errors = client.communicate(timeout=WAIT_S)
        assert client.returncode == 1
        assert "containerize iris was cancelled" in errors
        assert "it was interrupted" in errors
        assert seen.state_of("containerize iris") == "cancelled"
    assert main(["containerize", "iris", "--cancel"]) == 2
    assert "nothing of iris is being built or shipped" in capsys.readouterr().err
    assert main(["containerize", "iris", "--cancel", "--engine", "archive"]) == 2
    assert "--cancel and --engine do not go together" in capsys.readouterr().err
    with ThreadPoolExecutor(1) as pool:
        building = Building(world, base, pool)
        building.reached("stage")
        assert main(["ship", "iris", "--cancel"]) == 0
        assert "containerize iris was cancelled after" in capsys.readouterr().out
        with pytest.raises(ShipCancelled):
            building.image.result()
