"""Where the files go: what is in the way there is told for what it is, and nothing half-written is left."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from records import make_version
from shipments import REFERENCE, told

from autodeploy_magic.contracts import Desired, encode
from autodeploy_magic.errors import DiskFull, ShipFailed
from autodeploy_magic.ship.write import _LOCK, ship
from autodeploy_magic.shipping import Shipment
from autodeploy_magic.store import Store

Mount = Callable[..., Path]


@pytest.fixture
def iris(store: Store) -> Store:
    """A store with a version of `iris`, which nothing serves."""
    with store.building("iris"), store.staging("iris") as staging:
        (staging / "version.json").write_bytes(encode(make_version()))
        store.commit(make_version(), staging)
    store.save_desired(Desired(name="iris", version=1, executable="python"))
    return store


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount a small disk of its own at a new folder, with options of mount(8)."""
    made: list[Path] = []

    def at(name: str, options: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("only root mounts disks")
        made.append(folder)
        return folder

    yield at
    for folder in made:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_a_disk_is_mounted_on_is_told_with_where_to_go(iris: Store, mount: Mount) -> None:
    folder = mount("disk", "size=2m")
    with pytest.raises(ShipFailed, match="cannot be replaced") as failed:
        ship(iris, "iris", Shipment(target="kubernetes", folder=str(folder), image=REFERENCE), told)
    assert str(folder / "shipped") in str(failed.value)
    assert not [one.name for one in folder.parent.iterdir() if one.name.startswith(".")]
    done = ship(iris, "iris", Shipment(target="kubernetes", folder=str(folder / "k"), image=REFERENCE), told)
    assert (Path(done.folder) / "README.md").is_file()


KILLED = """
import os, signal, sys
from pathlib import Path
from autodeploy_magic.ship.kubernetes.kustomize import Kubernetes
from autodeploy_magic.ship.write import ship
from autodeploy_magic.shipping import Shipment
from autodeploy_magic.store import Store

def write(self, cargo, folder, report):
    (folder / "half").write_text("x")
    if sys.argv[3] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    print("half", flush=True)
    sys.stdin.read()
    sys.exit()

Kubernetes.write = write
ship(Store(sys.argv[1]), "iris", Shipment(target="kubernetes", folder=sys.argv[2], image="r.example/x:1"), print)
"""


def test_what_was_killed_is_taken_away_and_what_is_being_written_is_not(iris: Store, tmp_path: Path) -> None:
    place = tmp_path / "place"
    words = [sys.executable, "-c", KILLED, str(iris.home), str(place / "one")]
    assert subprocess.run([*words, "killed"], check=False, timeout=30).returncode == -signal.SIGKILL
    [left] = place.iterdir()
    kept = place / ".iris-someone"
    (kept / "before").mkdir(parents=True)
    (kept / _LOCK).touch()
    with subprocess.Popen([*words, "waits"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        while other.stdout.readline() != b"half\n":
            assert other.poll() is None
        ship(iris, "iris", Shipment(target="kubernetes", folder=str(place / "two"), image=REFERENCE), told)
        here = {one for one in place.iterdir() if one.name.startswith(".")}
        assert left not in here
        assert len(here) == 2  # the one that waits, and the one that holds what somebody had there
        other.stdin.close()
        other.wait(30)
    assert {one.name for one in place.iterdir()} == {"two", kept.name}


@pytest.mark.parametrize("options", ["size=2m,nr_inodes=1", "size=20k"])
def test_a_full_disk_is_said_and_left_as_it_was(iris: Store, mount: Mount, options: str) -> None:
    folder = mount("disk", options)
    with pytest.raises(DiskFull) as failed:
        ship(iris, "iris", Shipment(target="kubernetes", folder=str(folder / "k"), image=REFERENCE), told)
    assert str(folder) in str(failed.value)
    assert not list(folder.iterdir())
