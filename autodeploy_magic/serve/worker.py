"""A worker: one process that serves one version on a listening socket it was given.

It loads the version, replays its sample, and says {"ready": …} or {"error": …} on its channel. Only when the supervisor
has written down that it exists, and says so, does it accept connections; where the channel closes first, it ends. So
nothing ever serves that is not on record.

SIGTERM drains: it stops accepting, closes each connection with its next answer, and ends when none is left or `drain_s`
has passed. SIGHUP does the same without waiting for idle connections. A second signal, or SIGINT, ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.errors import AutodeployError, StartFailed
from autodeploy_magic.serve.record import Recorder

__all__ = ["Spec", "main"]

log = logging.getLogger(__name__)


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to serve. Paths are absolute; `control` is the folder for its control socket."""

    name: str
    version: int
    generation: int
    folder: str
    bento_path: str
    token: str
    control: str
    prometheus: str
    metrics: str
    log_file: str
    settings: dict[str, float | int | str]


def main(spec: dict[str, Any], handed: dict[str, Any]) -> int:
    """Serve `spec` (a `Spec` as JSON values) until told to stop, and return the exit code.

    `handed` holds "channel", a socket to the supervisor, and "listen", the descriptor of the listening socket.
    """
    started = time.perf_counter()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(process)d: %(message)s", force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its start and end are ours to tell
    order = msgspec.convert(spec, Spec)
    for name, value in order.settings.items():
        settings.set_option(name, value)
    channel: socket.socket = handed["channel"]
    log.info("%s version %d, generation %d: loading", order.name, order.version, order.generation)
    prometheus = Path(order.prometheus) / str(os.getpid())
    prometheus.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(prometheus)
    recorder = Recorder(Path(order.metrics), worker=os.getpid(), version=order.version)
    try:
        app = _load(order, recorder)
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            listening = socket.socket(fileno=handed["listen"])
            return runner.run(_serve(order, app, channel, listening, recorder, started))
    except Exception as error:  # loading runs the model's own library and the person's code, which may raise anything
        log.exception("%s version %d did not start", order.name, order.version)
        _tell(channel, {"error": _explain(order, error).to_payload()})
        return 1
    finally:
        recorder.close()
        shutil.rmtree(prometheus, ignore_errors=True)


def _load(order: Spec, recorder: Recorder) -> Any:
    from autodeploy_magic.serve.app import make_app
    from autodeploy_magic.serve.bento import load_served
    from autodeploy_magic.serve.mount import LazyBento

    served = load_served(order.folder)
    served.self_check()
    bento = LazyBento(Path(order.bento_path)) if order.bento_path else None
    return make_app(served, token=order.token or None, bento_app=bento, observe=recorder.observe)


async def _serve(
    order: Spec, app: Any, channel: socket.socket, listening: socket.socket, recorder: Recorder, started: float
) -> int:
    from autodeploy_magic.serve.control import Control
    from autodeploy_magic.serve.log import keep_small
    from autodeploy_magic.serve.server import Config, Server

    who = {"name": order.name, "pid": os.getpid(), "version": order.version, "generation": order.generation}
    if not await _may_serve(channel, {"ready": {**who, "seconds": time.perf_counter() - started}}):
        log.info("the supervisor went away before it let this worker serve")
        return 0
    recorder.start()
    control = Control(Path(order.control) / f"worker-{os.getpid()}.sock", listening, who)
    log_file, log_bytes = Path(order.log_file), int(settings.get("log_bytes"))

    def draining() -> None:
        app.draining = True
        control.close()

    server = Server(Config(app), draining=draining, tick=lambda: keep_small(log_file, log_bytes))

    def asked_to_stop(number: int) -> None:
        if number == signal.SIGINT or server.should_exit:
            log.info("told twice, or interrupted: ending at once")
            shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
            os._exit(128 + number)
        log.info("draining")
        server.stop(drain_s=0.0 if number == signal.SIGHUP else float(settings.get("drain_s")))

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop, number)
    await server.serve(sockets=[listening])
    log.info("ended")
    return 0


async def _may_serve(channel: socket.socket, ready: dict[str, Any]) -> bool:
    """Report ready and wait for leave to serve; false where the channel closes instead."""
    _tell(channel, ready)
    channel.setblocking(False)
    try:
        return bool(await asyncio.get_running_loop().sock_recv(channel, 1))
    except ConnectionResetError:
        return False
    finally:
        channel.close()


def _tell(channel: socket.socket, message: dict[str, Any]) -> None:
    try:
        channel.sendall(msgspec.json.encode(message) + b"\n")
    except OSError as error:
        log.warning("the supervisor cannot be told: %s", error)


def _explain(order: Spec, error: Exception) -> AutodeployError:
    if isinstance(error, AutodeployError):
        return error
    return StartFailed(
        f"version {order.version} of {order.name} did not start",
        why=f"{type(error).__name__}: {error}",
        fix=f"`%deploy logs {order.name}` shows where it failed",
    )
