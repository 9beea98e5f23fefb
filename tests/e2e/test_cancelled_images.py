"""A build that is cancelled while an engine is at work: no container, no image of a step, no process; names stay."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from world import WAIT_S, World, processes_of, until
from yards import BASE, Engines, engines

from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import ShipCancelled
from autodeploy_magic.shipping import Wanted
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NAME = "localhost/cancelled:1"


@pytest.fixture(scope="module")
def yard() -> Iterator[Engines]:
    with engines() as found:
        found.call("podman", "tag", BASE, NAME)  # a name that meant something before
        yield found


@pytest.fixture(scope="module")
def world(yard: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPLOY_HOME", str(home))
        found = World(Store(home), Supervisor(Store(home)))
        found.serve(found.version())
        yield found
        found.end()


def images(yard: Engines) -> list[str]:
    """Every image with its names, those of steps included."""
    return sorted(yard.call("podman", "images", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines())


def reached(steps: list[Progress], moment: str) -> bool:
    """Whether a step has begun, or the engine has said something that begins so."""
    return any(one.step == moment or any(line.startswith(moment) for line in one.lines) for one in steps)


@pytest.mark.parametrize(
    ("engine", "moment"),
    [("podman", "-->"), ("buildah", "-->"), pytest.param("podman", "verify", marks=pytest.mark.slow)],
)
def test_an_engine_is_left_as_it_was(world: World, yard: Engines, engine: str, moment: str) -> None:
    before, steps = images(yard), list[Progress]()
    wanted = Wanted(engine=engine, base=BASE, tag=NAME)
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(world.supervisor.containerize, "iris", wanted, steps.append)
        until(lambda: reached(steps, moment) or building.done(), 3 * WAIT_S)
        world.supervisor.cancel_shipping("iris")
        with pytest.raises(ShipCancelled):
            building.result()
    assert yard.left() == []
    if moment == "verify":  # by then the name was given to what was built
        before = [line for line in before if not line.startswith(NAME)]
    assert images(yard) == before
    assert not list(world.store.folder("iris").rglob("ship-*"))
    until(lambda: len(processes_of(world.store.home)) <= 3)  # supervisor, zygote, worker
