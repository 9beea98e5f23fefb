"""Workers in containers: the version's own image, on the listening sockets of the supervisor.

A container is started without a network. What it is to serve, the sockets and the channel are handed to it over a unix
socket (`serve.alone.handed`), so that nothing else differs from a process: swaps, recording, what is shown. It sees the
deployment's folder and the folder of the control sockets at the very paths that they have here, and runs as the person
whose they are, with a read-only root and no capabilities.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.errors import InvalidOption, ShipFailed, StartFailed
from autodeploy_magic.serve.alone.handed import SOCKET
from autodeploy_magic.serve.log import tail
from autodeploy_magic.serve.worker import Spec
from autodeploy_magic.ship.image.engines import answers, ask
from autodeploy_magic.ship.image.installing import here
from autodeploy_magic.ship.image.known import inspect
from autodeploy_magic.ship.image.run import Container, command
from autodeploy_magic.ship.image.said import explained
from autodeploy_magic.shipping import Image, check_containers
from autodeploy_magic.supervisor.workers.processes import Child
from autodeploy_magic.supervisor.workers.starting import Launch
from autodeploy_magic.supervisor.workers.watch import Ending, Watched

__all__ = ["RUNS", "ContainerLaunch", "is_there", "runner"]

RUNS = ("podman", "docker", "nerdctl")
"""The engines that run containers as children of this machine's own kernel, in the order in which one is chosen."""

_ASK_S = 20.0
_ENDS_S = 5.0
_CHANNEL_BYTES = 1 << 30


def runner() -> str:
    """The engine that runs containers here: the first that is installed and works. Raises `InvalidOption`."""
    check_containers()
    installed = [engine for engine in RUNS if shutil.which(engine)]
    if not installed:
        raise InvalidOption(
            "no engine that runs containers is installed",
            why=f"--target container needs one of {', '.join(RUNS)}",
            fix="install one, such as Podman: apt install podman",
        )
    problems: list[tuple[str, ShipFailed]] = []
    for engine in installed:
        try:
            answers(engine, archive=False)
        except ShipFailed as error:
            problems.append((engine, error))
        else:
            return engine
    if len(problems) == 1:
        only = problems[0][1]
        what = only.what if only.details["kind"] else f"{problems[0][0]} does not answer"
        raise InvalidOption(what, why=only.why, fix=only.fix)
    raise InvalidOption(
        f"none of the engines that run containers works: {', '.join(installed)}",
        why="\n".join(f"{engine}: {found.what} ({found.why})" for engine, found in problems),
        fix="\n".join(f"{engine}: {found.fix}" for engine, found in problems),
    )


def is_there(image: Image) -> bool:
    """Whether the engine that built an image still has that very one, and can run it here. Not for the event loop."""
    if image.engine not in RUNS or not shutil.which(image.engine):
        return False
    known = inspect(image.engine, image.name)
    # With another digest its name has come to mean another.
    return known is not None and known.digest == image.digest and known.is_for(here())


@dataclass(frozen=True)
class ContainerLaunch(Launch):
    """Starts the workers of one generation as containers of `image`."""

    image: Image = field(kw_only=True)

    async def _begin(self, log_fd: int) -> Child:
        name = f"autodeploy-{self.version.deployment}-{self.generation}-{secrets.token_hex(3)}"
        log_start = os.fstat(log_fd).st_size
        with _waiting(self.store.runtime_dir / f"hand-{secrets.token_hex(6)}.sock") as (listening, path):
            client = await asyncio.to_thread(lambda: _start(self._command(name, path), log_fd))
            watched = Watched(client.pid)
            try:
                connection = await _called(listening, watched, lambda: self._failed(log_start))
                with connection:
                    return await self._hand_over(connection, f"{self.image.engine}/{name}", client, watched)
            except BaseException:
                watched.close()
                await asyncio.to_thread(_end, self.image.engine, name, client)
                raise

    async def _hand_over(
        self, connection: socket.socket, container: str, client: subprocess.Popen[bytes], watched: Watched
    ) -> Child:
        pid = _peer(connection)
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_CHANNEL_BYTES)
        child = Child(pid, reader, writer, container)
        _keep(asyncio.create_task(_see_off(child, client, watched)))
        order = {
            "spec": msgspec.to_builtins(self._spec()),
            "digest": self.version.digest,
            "pid": pid,
            "container": container,
        }
        with theirs:
            fds = [theirs.fileno(), *(item.fileno() for item in self.listening.sockets)]
            line = msgspec.json.encode(order) + b"\n"
            with contextlib.suppress(ConnectionError):  # it has ended: its channel tells that, too
                sent = socket.send_fds(connection, [line], fds)
                if sent < len(line):
                    await asyncio.get_running_loop().sock_sendall(connection, line[sent:])
        return child

    def _failed(self, log_start: int) -> StartFailed:
        """What the engine has said since of a container that it did not start, and what to do where that is known."""
        error = explained(
            self.image.engine, tail(self.log_file, since=log_start), "the container did not start", archive=False
        )
        fix = error.fix if error.details["kind"] else f"`%deploy logs {self.version.deployment}` has more"
        return StartFailed(error.what, why=error.why, fix=f"{fix}; or serve without --target container")

    def _spec(self) -> Spec:
        """The version is the image's own; others are loaded from where they lie here, and none by a call."""
        return msgspec.structs.replace(super()._spec(), folder="", bento_path="", supervisor="", versions="")

    def _command(self, name: str, path: Path) -> list[str]:
        """The engine's words that run it: as this user, with nothing but what it needs."""
        engine, deployment = self.image.engine, self.version.deployment
        files = [part for part in self.desired.tls.split(",") if Path(part).is_absolute()]
        places = [str(self.store.folder(deployment)), str(self.store.runtime_dir)]
        user, userns = _as_this_user(engine)
        return command(
            Container(
                engine=engine,
                image=self.image.name,
                name=name,
                words=("handed",),
                environment={SOCKET: str(path)},
                mounts=(*((place, place, "rw") for place in places), *((file, file, "ro") for file in files)),
                labels={"autodeploy_magic.deployment": deployment},
                network="" if self.desired.settings.get("otlp_endpoint") else "none",
                user=user,
                userns=userns,
                watched=False,
            )
        )


def _start(command: list[str], log_fd: int) -> subprocess.Popen[bytes]:
    """The engine's client, which lives as long as the container; it outlives this supervisor."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log_fd, stderr=log_fd, start_new_session=True)


def _as_this_user(engine: str) -> tuple[str, str]:
    """Who it runs as, and in which user namespace: as whoever the folders belong to."""
    own = f"{os.getuid()}:{os.getgid()}"
    if os.getuid() == 0:
        return own, ""
    if engine == "podman":
        return own, "keep-id"
    return ("0:0", "") if _rootless(engine) else (own, "")


def _rootless(engine: str) -> bool:
    return "rootless" in ask(engine, "info", "--format", "{{.SecurityOptions}}", timeout_s=_ASK_S)[1]


@contextlib.contextmanager
def _waiting(path: Path) -> Iterator[tuple[socket.socket, Path]]:
    """A unix socket on which one container is waited for."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        os.chmod(path, 0o600)
        listening.listen(1)
        listening.setblocking(False)
        try:
            yield listening, path
        finally:
            path.unlink(missing_ok=True)


async def _called(listening: socket.socket, client: Watched, failed: Callable[[], StartFailed]) -> socket.socket:
    """The connection of the container. Raises what has `failed` where its engine ends first."""
    called = asyncio.ensure_future(asyncio.get_running_loop().sock_accept(listening))
    ended = asyncio.ensure_future(client.gone())
    try:
        await asyncio.wait([called, ended], return_when=asyncio.FIRST_COMPLETED)
        if called.done():
            connection = called.result()[0]
            connection.setblocking(False)
            return connection
        raise failed()
    finally:
        called.cancel()
        ended.cancel()


def _peer(connection: socket.socket) -> int:
    """The pid, here, of who has connected. Raises `StartFailed` where it is not a process of this machine."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", data)[0]
    if pid <= 0:
        raise StartFailed(
            "the container's process cannot be seen here",
            why="its engine runs it in a virtual machine, or in a namespace beside ours",
            fix="use an engine of this machine, or serve without --target container",
        )
    return pid


async def _see_off(child: Child, client: subprocess.Popen[bytes], watched: Watched) -> None:
    """Tell how it ended, once it has: the engine's exit code is the container's."""
    await child.process.gone()
    try:
        async with asyncio.timeout(_ENDS_S):
            await watched.gone()
        code = client.wait()
        child.finish(Ending(128 - code if code > 128 else code))  # 137 is SIGKILL, as shells have it
    except TimeoutError:
        child.finish(Ending(None))
    finally:
        watched.close()


def _end(engine: str, name: str, client: subprocess.Popen[bytes]) -> None:
    """Leave nothing of a container that was not taken on."""
    ask(engine, "rm", "--force", name, timeout_s=_ASK_S)
    try:
        client.wait(_ENDS_S)
    except subprocess.TimeoutExpired:
        client.kill()
        client.wait()


_tasks: set[asyncio.Task[Any]] = set()


def _keep(task: asyncio.Task[Any]) -> None:
    """The loop holds tasks weakly."""
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
