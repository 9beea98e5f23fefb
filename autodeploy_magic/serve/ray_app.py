"""The app in a Ray cluster: what Ray Serve is told to import there, and what each of its replicas runs.

The version's model lies beside this package, in the working directory that came with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.errors import StartFailed
from autodeploy_magic.registry import need
from autodeploy_magic.serve.mailbox import GONE_S, Mailbox, fresh_rows
from autodeploy_magic.serve.outbox import Item
from autodeploy_magic.serve.replica import Replica

__all__ = ["Arguments", "builder"]

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).resolve().parents[2] / "model"
_NAMESPACE = "autodeploy_magic"
_PUSH_S = 1.0
_LATE_S = 0.15
"""How long after a second has begun the one before it is brought: it is written down by then."""
_ANSWER_S = 5.0
PUSH_BYTES = 512 * 1024
"""Of records of requests that a replica brings in a second."""


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """What the application is deployed with. No secret is among it: the dashboard shows it.

    `owner` tells whose application it is. `python` is the minor version that pickled code needs ("3.11"), "" for any.
    `distributions` must be installed, each in that version where it is not "". `records`: whether somebody
    fetches what is recorded of requests, so that they are.
    """

    name: str
    version: int
    digest: str
    owner: str = ""
    python: str = ""
    distributions: dict[str, str] = {}
    threads: int = 1
    settings: dict[str, bool | float | int | str] = {}
    records: bool = False


def builder(args: dict[str, Any]) -> Any:
    """The application. Raises `StartFailed` where this cluster cannot run it, which Ray shows as why it failed."""
    serve = need("ray.serve", "a Ray cluster")
    arguments = msgspec.convert(args, Arguments)
    _check(arguments)
    app: list[Replica] = []

    def asgi() -> Any:
        return app[0]

    class Served:
        """A replica as Ray Serve knows it."""

        def __init__(self) -> None:
            # Names of this module: Ray pickles the class by value, and what it refers to by name.
            from autodeploy_magic.serve.ray_app import start

            self.replica = start(arguments)
            app[:] = [self.replica]

        async def reconfigure(self, config: dict[str, Any]) -> None:
            """Take the digests of the tokens that are good from now on, and that of whoever keeps what is recorded."""
            self.replica.digests = tuple(config["digests"])
            self.replica.keeper = str(config.get("keeper", ""))

    # A model that does not load will not load the tenth time: Ray gives up soon, and says why.
    return serve.deployment(serve.ingress(asgi)(Served), name="model", max_constructor_retry_count=4).bind()


def start(arguments: Arguments) -> Replica:
    """Load the version, and have what it records collected."""
    serve = need("ray.serve", "a Ray cluster")
    context = serve.get_replica_context()
    name = str(context.replica_id.unique_id)
    worker = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    replica = Replica(
        _FOLDER,
        number=arguments.version,
        worker=worker,
        threads=arguments.threads,
        options=arguments.settings,
        records=arguments.records,
    )
    collected = _Collected(arguments.name, name, replica, {"worker": worker, "version": arguments.version})
    replica.pull, replica.pull_items, replica.ended = collected.pull, collected.pull_items, collected.close
    return replica


class _Collected:
    """Brings what one replica records to the deployment's mailbox, an actor that ends soon after the last replica."""

    def __init__(self, deployment: str, name: str, replica: Replica, about: dict[str, Any]) -> None:
        self._ray = need("ray", "a Ray cluster")
        self._name = f"{deployment}-metrics"
        self._of = name
        self._replica = replica
        node = self._ray.get_runtime_context().get_node_id()
        self._about = {**about, "replica": name, "pid": os.getpid(), "node": node}
        self._last: dict[str, int] = {}
        self._actor: Any = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collected", daemon=True)
        self._thread.start()

    async def pull(self, after: str) -> dict[str, Any]:
        """What all replicas have recorded after the cursor `after`."""
        answer: dict[str, Any] = await asyncio.to_thread(self._ask, "pull", after)
        return answer

    async def pull_items(self, after: str, most_bytes: int, key: str) -> dict[str, Any]:
        """What all replicas have recorded of requests; see `Mailbox.pull_items`."""
        answer: dict[str, Any] = await asyncio.to_thread(self._ask, "pull_items", after, most_bytes, key)
        return answer

    def close(self) -> None:
        """Bring what is left."""
        self._ending.set()
        self._thread.join(_ANSWER_S)

    def _run(self) -> None:
        complaint = ""
        while True:
            ending = self._ending.wait(_PUSH_S - time.time() % _PUSH_S + _LATE_S)
            try:
                about = {**self._about, "used": [list(row) for row in self._replica.used()]}
                rows = fresh_rows(self._replica.file, self._last)
                self._ask("push", self._of, about, rows)
                for table, number, _ in rows:
                    self._last[table] = number
                while self._bring() and ending:
                    pass
                complaint = ""
            except Exception as error:  # noqa: BLE001 - Ray raises many kinds; the rows are brought the next time
                if repr(error) != complaint:
                    complaint = repr(error)
                    log.warning("what is recorded is not collected yet: %s", complaint)
                self._actor = None
            if ending:
                return

    def _bring(self) -> bool:
        """Bring some of what is recorded of requests; whether more of it can be brought."""

        def push(epoch: str, items: list[Item]) -> dict[str, Any]:
            told: dict[str, Any] = self._ask("push_items", self._of, epoch, self._replica.unrecorded, items)
            return told

        more, key = self._replica.outbox.bring(push, PUSH_BYTES)
        if key:
            self._replica.record_key = bytes.fromhex(key)
        return more

    def _ask(self, method: str, *arguments: Any) -> Any:
        actor = self._actor
        if actor is None:
            actor = self._actor = _mailbox(self._ray, self._name)
        return self._ray.get(getattr(actor, method).remote(*arguments), timeout=_ANSWER_S)


def _mailbox(ray: Any, name: str) -> Any:
    """The deployment's mailbox, made where there is none. It outlives replicas, so that an update loses nothing."""

    class Kept(Mailbox):
        """Ends itself when no replica has come for a while."""

        def __init__(self) -> None:
            super().__init__()
            threading.Thread(target=self._end, name="end", daemon=True).start()

        def _end(self) -> None:
            gone = threading.Event()
            while not gone.wait(1.0):
                if self.idle_s() > GONE_S:
                    ray.kill(ray.get_runtime_context().current_actor)

    made = ray.remote(Kept).options(
        name=name, namespace=_NAMESPACE, get_if_exists=True, lifetime="detached", num_cpus=0, max_restarts=0
    )
    return made.remote()


def _check(arguments: Arguments) -> None:
    """Raise `StartFailed` where the cluster's Python lacks what the version needs."""
    from importlib.metadata import PackageNotFoundError, version

    here = ".".join(platform.python_version_tuple()[:2])
    if arguments.python and arguments.python != here:
        raise StartFailed(
            f"the cluster runs Python {here}, and {arguments.name} v{arguments.version} was made with "
            f"{arguments.python}",
            why="it carries pickled code, which another Python cannot be trusted to read",
            fix="use a cluster of that Python, or a format without pickled code (%%deploy --format onnx)",
        )
    wrong = []
    for name, wanted in arguments.distributions.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        if wanted and found != wanted:
            wrong.append(f"{name} is {found}, not {wanted}")
    if wrong:
        raise StartFailed(
            f"the cluster lacks what {arguments.name} v{arguments.version} needs",
            why="; ".join(wrong),
            fix="install it on every node, or have Ray install it: --set packages=pip",
        )
