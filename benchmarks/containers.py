"""Images of a scikit-learn model: ours, and BentoML's own of the same Bento; and what serving from one costs.

Built with Podman on base images of Debian packages (tools/base_image.sh), in a storage of their own that is removed
afterwards. Ours are built with warm caches: each is made once before it is measured; BentoML's own, with all that its
recipe installs from Debian and PyPI, needs a network. CPU is that of the worker alone, under the same load, in the
container and outside of it by turns.

Run: python benchmarks/containers.py [--rounds N] [--seconds S]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
import yaml
from serving import cores
from serving.clients import clients
from serving.job import Exchange, post
from serving.models import IRIS, iris
from serving.report import Target, at_most, missing, options_of, run, show
from serving.rounds import interleave
from serving.servers import Server
from state import temporary_home

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from yards import BASE, FULL, Engines, engines, full_base

from autodeploy_magic.build import BuildRequest, Built, SubprocessRunner, build
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.bento import build_volumes
from autodeploy_magic.ship.image.build import run as containerize
from autodeploy_magic.ship.image.known import inspect
from autodeploy_magic.ship.image.run import Container, command
from autodeploy_magic.shipping import Image
from autodeploy_magic.store import Store

ROOT = Path(__file__).resolve().parents[1]
STOCK = "localhost/stock:1"
BUILD = "import sys; from autodeploy_magic.ship.image.bento import child; sys.exit(child(sys.argv[1]))"
TOKEN = "a-token-of-the-benchmarks"
ADDED_MB, READY_S, RSS_MB, SHARE, BUILD_S, CPU = 200.0, 1.5, 90.0, 0.25, 20.0, 1.05
TRIES = 3
MB = 1e6


def main() -> int:
    """Build, run, compare, and print what became of the targets."""
    options = options_of(__doc__, rounds=5, seconds=1.5, peers=False)
    try:
        targets = measured(options)
    except pytest.skip.Exception as why:  # an engine is missing, or we may not do what it takes
        targets = [missing("image over its base", f"at most {ADDED_MB:.0f} MB", str(why))]
    return show(targets, "python benchmarks/containers.py")


def measured(options: argparse.Namespace) -> list[Target]:
    """Every target, with images that are built here."""
    with temporary_home(), contextlib.ExitStack() as stack:
        store = Store()
        built = build(BuildRequest("iris", iris(), IRIS[0]), store, SubprocessRunner(), lambda progress: None)
        yard = stack.enter_context(engines())
        lean = [image_of(store, built, base=BASE) for _ in range(1 + TRIES)][1:]
        for one in lean:
            print(f"  lean: {words(one)}")
        return [
            at_most("image over its base", lean[-1].added_bytes / MB, ADDED_MB, "{:.0f} MB"),
            at_most("image: ready", statistics.median(one.ready_s for one in lean), READY_S, "{:.2f} s"),
            at_most("image: memory when ready", max(one.rss_bytes for one in lean) / MB, RSS_MB, "{:.0f} MB"),
            at_most("image: build", statistics.median(one.build_s for one in lean), BUILD_S, "{:.1f} s"),
            bentoml(store, built, yard, lean[-1]),
            requests(store, built, yard, lean[-1], options.rounds, options.seconds),
        ]


def image_of(store: Store, built: Built, **wanted: str) -> Image:
    """One image, as the supervisor's job builds it."""
    version, name = built.version, built.version.deployment
    work = Path(tempfile.mkdtemp(prefix="bench-image-", dir=store.home))
    try:
        found = containerize(
            {
                "name": name,
                "version": version.number,
                "model": str(store.folder(name) / version.model_path),
                "record": str(store.version_folder(name, version.number)),
                "bento": version.bento,
                "bentoml_home": str(store.bentoml_home(name)),
                "wanted": {"engine": "podman", **wanted},
                "work": str(work),
                "log": str(store.home / "image.log"),
            }
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return msgspec.convert(found, Image)


def words(image: Image) -> str:
    return (
        f"{image.size_bytes / MB:.0f} MB, {image.added_bytes / MB:.0f} MB over its base, built in {image.build_s:.1f}"
        f" s, ready after {image.ready_s:.2f} s with {image.rss_bytes / MB:.0f} MB"
    )


def bentoml(store: Store, built: Built, yard: Engines, lean: Image) -> Target:
    """BentoML's own images of the same version, on the smallest base that its recipe works on.

    The target is against the one that BentoML builds by itself. Our flavour is the smaller for what we do about it, no
    compilers and no cache of uv's in a layer: the ratio to that one is printed, and no target.
    """
    what = "image: ours to BentoML's own"
    try:
        full_base(yard)
        ours = image_of(store, built, flavour="bento", base=FULL, tag="localhost/bento:1")
        print(f"  bento: {words(ours)}; ours to it {lean.size_bytes / ours.size_bytes:.2f}")
        began = time.monotonic()
        size = stock(store, built)
        print(f"  BentoML's own: {size / MB:.0f} MB, built in {time.monotonic() - began:.1f} s, with no warm cache")
    except (ShipFailed, subprocess.SubprocessError, OSError, pytest.skip.Exception) as error:
        print(f"  not built: {error}")
        return missing(what, f"at most {SHARE:.2f}×", str(error).splitlines()[0])
    return at_most(what, lean.size_bytes / size, SHARE)


def stock(store: Store, built: Built) -> int:
    """The bytes of what `bentoml containerize` makes of the Bento as it is, but for the image that it stands on.

    What its steps are shown of this machine, and no layer holds: where uv finds packages, and certificates.
    """
    place = built.version.bento.replace(":", "/")
    with tempfile.TemporaryDirectory(prefix="bench-bentoml-", dir=store.home) as name:
        work = Path(name)
        home = work / "bentoml"
        for kind in ("bentos", "models"):
            shutil.copytree(store.bentoml_home("iris") / kind / place, home / kind / place)
        file = home / "bentos" / place / "bento.yaml"
        told = yaml.safe_load(file.read_text("utf-8"))
        told["image"]["base_image"] = FULL
        file.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
        shown = [volume for volume in build_volumes(work) if not volume.endswith("/.cache/uv")]
        options = {"pull_never": True, "format": ["docker"], "volume": shown}
        spec = {"tag": built.version.bento, "engine": "podman", "image": STOCK, "options": options}
        code = [sys.executable, "-c", BUILD, msgspec.json.encode(spec).decode()]
        env = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(code, env=env, capture_output=True, text=True, timeout=1800, check=False)
    known = inspect("podman", STOCK)
    if done.returncode or known is None:
        raise OSError("; ".join((done.stdout + done.stderr).splitlines()[-5:]))
    return known.size_bytes


def requests(store: Store, built: Built, yard: Engines, image: Image, rounds: int, seconds: float) -> Target:
    """The same worker with the same load, in the container and outside, by turns."""
    row, answer = IRIS[0][:1].tolist(), IRIS[1][:1].tolist()
    body = msgspec.json.encode({"inputs": row})
    where = cores.apart()
    with contextlib.ExitStack() as stack:
        inside_port, inside_pid = stack.enter_context(container(yard, image))
        outside_port, outside_pid = stack.enter_context(process(store, built))
        for pid in (inside_pid, outside_pid):
            psutil.Process(pid).cpu_affinity(sorted(where.server) if where.server else None)
        load = stack.enter_context(clients(where.client))
        request = post("/predict", body, headers={"Authorization": f"Bearer {TOKEN}"})
        exchange = (Exchange(request, answer, at=("predictions",), within=1e-3),)
        servers = [
            Server("inside", "in the container", inside_port, exchange, lambda: [inside_pid], pauses=False),
            Server("outside", "outside of it", outside_port, exchange, lambda: [outside_pid], pauses=False),
        ]
        found = interleave(load, servers, rounds=2 * rounds, seconds=seconds)
    for one in found.values():
        print(f"  {one.server.label}: {one.cpu_ms:.3f} CPU-ms a request, {one.rate:.0f} requests a second")
    return at_most("image: CPU of a request, in the container to outside", found["inside"].ratio(found["outside"]), CPU)


@contextlib.contextmanager
def container(yard: Engines, image: Image) -> Iterator[tuple[int, int]]:
    """The image, serving: its port and the pid, here, of its server."""
    port = free_port()
    given = {"PORT": str(port), "AUTODEPLOY_TOKEN": TOKEN}
    words = command(
        Container(engine="podman", image=image.name, network="host", environment=given, detached=True, watched=False)
    )
    identity = yard.call(*words)
    try:
        wait_until_ready(port)
        yield port, int(yard.call("podman", "inspect", "--format", "{{.State.Pid}}", identity))
    finally:
        yard.call("podman", "rm", "--force", "--time", "5", identity, check=False)


@contextlib.contextmanager
def process(store: Store, built: Built) -> Iterator[tuple[int, int]]:
    """The same entry as a process of this machine's own Python."""
    port, model = free_port(), store.folder("iris") / built.version.model_path
    env: dict[str, Any] = {**os.environ, "PORT": str(port), "AUTODEPLOY_TOKEN": TOKEN, "AUTODEPLOY_MODEL": str(model)}
    env |= {"AUTODEPLOY_STATE": str(store.home / "alone"), "PYTHONPATH": str(ROOT)}
    with (store.home / "alone.log").open("wb") as log:
        started = subprocess.Popen([sys.executable, "-m", "autodeploy_magic.serve.alone"], env=env, stderr=log)
    try:
        wait_until_ready(port)
        yield port, started.pid
    finally:
        started.terminate()
        started.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_until_ready(port: int, within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing is ready on port {port}")


if __name__ == "__main__":
    run(main)
