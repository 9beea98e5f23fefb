"""A worker: one process that serves a deployment's versions on listening sockets it was given.

It loads them, replays the sample of each, and says {"ready": …} or {"error": …} on its channel. Only when the
supervisor has written down that it exists, and says so, does it accept connections; where the channel closes first, it
ends. So nothing ever serves that is not on record.

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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Traffic
from autodeploy_magic.errors import AutodeployError, StartFailed, StoreFailed
from autodeploy_magic.registry import need
from autodeploy_magic.serve.lineup.orders import Place
from autodeploy_magic.serve.owner import log_of
from autodeploy_magic.serve.record import Recorder

if TYPE_CHECKING:
    from autodeploy_magic.serve.http.app import App
    from autodeploy_magic.serve.http.front import Front
    from autodeploy_magic.serve.http.guard import Guard
    from autodeploy_magic.serve.http.secure import Secure
    from autodeploy_magic.serve.http.server import Server
    from autodeploy_magic.serve.http.tokens import Tokens
    from autodeploy_magic.serve.lineup.versions import Versions
    from autodeploy_magic.serve.sampling import Sampling
    from autodeploy_magic.serve.trace import Tracing

__all__ = ["Leave", "Spec", "main"]

log = logging.getLogger(__name__)

Leave = Callable[[Callable[[], object]], None]
"""What is called when the server is told to end, with what lets it: see `main`."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to serve. Paths are absolute; `control` is the folder for its control socket.

    `version`, `folder` and `bento_path` are the champion's. `workers` are as many as share the machine and the port.
    `token_file` is "" where no token is asked for. `tls` is that of `contracts.Desired`, and `tls_folder` where a
    certificate of ours is. `versions` is the folder of those that are kept, and `supervisor` the file that tells how to
    have one of them loaded; "" where there is none to ask. `prometheus` is the folder for what prometheus_client keeps
    of each worker, `metrics` the file of what is recorded, `requests` the one of the sample of requests and of labels,
    and `runtime` the one of the workers that run ("": none).

    `control` is "" where nobody is to find the worker, `log_file` where whoever started it has set the log up.
    `aliases` are further paths, each with the path of ours that it stands for. `alone` says that no supervisor holds
    the listening sockets too: who waits in them at the end is answered here, or by nobody. Such a worker goes on
    accepting for `linger_s` when it is told to end, and is not ready any more.
    """

    name: str
    version: int
    generation: int
    folder: str
    bento_path: str
    beside: tuple[Place, ...] = ()
    traffic: Traffic = Traffic()
    workers: int = 1
    versions: str = ""
    supervisor: str = ""
    token_file: str
    tls: str = ""
    tls_folder: str = ""
    control: str
    prometheus: str
    metrics: str
    requests: str = ""
    log_file: str
    runtime: str = ""
    aliases: dict[str, str] = {}
    alone: bool = False
    linger_s: float = 0.0
    settings: dict[str, bool | float | int | str]


def main(spec: dict[str, Any], handed: dict[str, Any]) -> int:
    """Serve `spec` (a `Spec` as JSON values) until told to stop, and return the exit code.

    `handed` holds "channel", a socket to the supervisor, and "listen", the descriptors of the listening sockets, first
    HTTP's, then gRPC's where it is asked for; of a worker in a container also "pid", by which others know it, and
    "container", the container's name. "leave" is of a companion in this process that asks this server itself: called
    when it is told to end, with what the companion calls from its thread once it asks no more.
    """
    started = time.perf_counter()
    if spec["log_file"]:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(process)d: %(message)s", force=True)
    logging.getLogger("uvicorn").setLevel(
        logging.ERROR
    )  # its start and end are ours to tell, and strangers' mistakes no news
    order = msgspec.convert(spec, Spec)
    for name, value in order.settings.items():
        settings.set_option(name, value)
    channel: socket.socket = handed["channel"]
    log.info("%s version %d, generation %d: loading", order.name, order.version, order.generation)
    pid = int(handed.get("pid", os.getpid()))
    prometheus = Path(order.prometheus) / str(pid)
    prometheus.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(prometheus)
    recorder = Recorder(Path(order.metrics), worker=pid)
    sampling = _sampling(order)
    recorders: list[Recorder | Sampling] = [recorder, *([sampling] if sampling is not None else [])]
    traces: Tracing | None = None
    try:
        listening = [socket.socket(fileno=descriptor) for descriptor in handed["listen"]]
        if len(listening) > 1:
            need("h2", "the gRPC port (--grpc)")
            import autodeploy_magic.serve.grpc.server  # noqa: F401 - loaded before it says that it is ready
        traces = _traces(order)
        versions, app = _load(order, pid, recorder, traces)
        app.front.sampling = sampling
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            known = {
                "name": order.name,
                "pid": pid,
                "generation": order.generation,
                "container": handed.get("container", ""),
            }
            leave = handed.get("leave")
            return runner.run(_serve(order, known, versions, app, channel, listening, recorders, started, leave))
    except Exception as error:  # loading runs the model's own library and the person's code, which may raise anything
        log.exception("%s version %d did not start", order.name, order.version)
        _tell(channel, {"error": _explain(order, error).to_payload()})
        return 1
    finally:
        for one in recorders:
            one.close()
        if traces is not None:
            traces.close()
        shutil.rmtree(prometheus, ignore_errors=True)


def _sampling(order: Spec) -> Sampling | None:
    """What keeps a sample of the requests; None where none is wanted."""
    each_second, share = int(settings.get("record_requests")), float(settings.get("record_share"))
    if not order.requests or each_second <= 0 or share <= 0 or settings.get("record") == "off":
        return None
    from autodeploy_magic.serve.redact import Redaction
    from autodeploy_magic.serve.sampling import Sampling

    path = Path(order.requests)
    try:
        redaction = Redaction.from_settings(path)
    except (OSError, StoreFailed) as error:
        log.warning("nothing is recorded: the key that hashes are made with cannot be had: %s", error)
        return None
    return Sampling(path, each_second=each_second, share=share, redaction=redaction)


def _traces(order: Spec) -> Tracing | None:
    """What sends traces; None where none are asked for."""
    if not settings.get("otlp_endpoint"):
        return None
    from autodeploy_magic.serve.trace import tracing

    return tracing(order.name, scheme="https" if order.tls else "http")


def _load(order: Spec, pid: int, recorder: Recorder, traces: Tracing | None) -> tuple[Versions, App]:
    from autodeploy_magic.serve.exposition import Exposition
    from autodeploy_magic.serve.http.app import App
    from autodeploy_magic.serve.http.front import Front
    from autodeploy_magic.serve.http.guard import Guard
    from autodeploy_magic.serve.lineup.repository import Kept
    from autodeploy_magic.serve.lineup.versions import Versions
    from autodeploy_magic.serve.runtime.cores import share

    kept = Kept(
        order.name,
        versions=Path(order.versions),
        metrics=Path(order.metrics),
        supervisor=Path(order.supervisor),
        here=lambda: (set(versions.lineup.loaded), versions.left_out),
    )
    exposition = Exposition(
        order.name,
        loaded=lambda: [road.version for road in versions.lineup.loaded.values()],
        metrics=Path(order.metrics),
        runtime=Path(order.runtime) if order.runtime else None,
        clients=Path(order.prometheus),
        recording=bool(settings.get("metrics")),
    )
    versions = Versions(
        threads=int(settings.get("threads")) or share(order.workers),
        repository=kept if order.supervisor else None,
        exposition=exposition,
        requests=Path(order.requests) if order.requests else None,
        compare=recorder.compare,
        worker=pid,
        aliases=order.aliases,
    )
    lineup = versions.start(
        Place(order.version, order.folder, order.bento_path),
        order.beside,
        order.traffic,
    )
    observe = None
    if settings.get("metrics"):
        recorder.lanes, recorder.held, observe = versions.lane_stats, versions.held, recorder.observe
    guard = Guard(tokens=())  # `_guard` makes the one that guards
    if traces is None:
        front = Front(lineup, guard, observe=observe)
    else:
        from autodeploy_magic.serve.traced import TracedFront

        front = TracedFront(lineup, guard, observe=observe, tracing=traces)
    versions.attend(front)
    return versions, App(front)


def _guard(order: Spec, secure: Secure | None) -> tuple[Guard, Tokens | None]:
    """What guards the port, and what keeps its tokens up to date. It answers to the names in its certificate too."""
    from autodeploy_magic.serve.http.guard import Guard
    from autodeploy_magic.serve.http.tokens import Tokens

    hosts = ",".join([str(settings.get("hosts")), *(secure.certificate.hosts if secure is not None else ())])
    guard = Guard(tokens=(), hosts=hosts, origins=str(settings.get("origins")))
    if not order.token_file:
        return guard, None
    tokens = Tokens(Path(order.token_file))
    tokens.keep(guard)
    return guard, tokens


async def _serve(
    order: Spec,
    known: dict[str, Any],
    versions: Versions,
    app: App,
    channel: socket.socket,
    listening: list[socket.socket],
    recorders: Sequence[Recorder | Sampling],
    started: float,
    leave: Leave | None = None,
) -> int:
    from autodeploy_magic.serve.control import Control
    from autodeploy_magic.serve.http.secure import Secure
    from autodeploy_magic.serve.http.server import GRACE_S, Config, Server

    secure = Secure(order.tls, Path(order.tls_folder)) if order.tls else None
    app.front.guard, tokens = _guard(order, secure)

    def who() -> dict[str, Any]:
        return {**known, **versions.describe(), "held_s": versions.oldest_s()}

    left_out = {str(number): error.to_payload() for number, error in versions.left_out.items()}
    ready = {**who(), "left_out": left_out, "seconds": time.perf_counter() - started}
    if not await _may_serve(channel, {"ready": ready}):
        log.info("the supervisor went away before it let this worker serve")
        return 0
    for one in recorders:
        one.start()
    control = None
    if order.control:
        control = Control(Path(order.control) / f"worker-{known['pid']}.sock", listening, who, versions.change)
    grpc = None
    if len(listening) > 1:
        from autodeploy_magic.serve.grpc.server import serve_grpc

        grpc = await serve_grpc(app.front, listening[1], secure.context("h2") if secure is not None else None)
    ending: list[asyncio.Task[None]] = []

    def draining() -> None:
        app.front.draining = True
        if grpc is not None:
            grpc.stop_accepting()
            ending.append(asyncio.create_task(grpc.drain(GRACE_S)))
        if control is not None:
            control.close()

    server = Server(
        Config(
            app,
            front=app.front,
            tls=secure.context("http/1.1") if secure is not None else None,
            shares=order.workers > 1,
        ),
        draining=draining,
        emptied=listening if order.alone else (),
        tick=_ticking(order, [*recorders, versions, tokens, secure]),
    )

    asked_to_stop = _stopping(order, app.front, server, leave)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop, number)
    log.info("serving after %.2f s", time.perf_counter() - started)
    _tell(channel, {"serving": True})
    channel.close()
    await server.serve(sockets=listening[:1])
    await asyncio.gather(*ending)
    versions.close()
    log.info("ended")
    return 0


def _stopping(order: Spec, front: Front, server: Server, leave: Leave | None) -> Callable[[int], None]:
    """What is done at a signal."""
    told: list[int] = []

    def asked_to_stop(number: int) -> None:
        if number == signal.SIGINT or told:
            log.info("told twice, or interrupted: ending at once")
            shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
            os._exit(128 + number)
        told.append(number)
        log.info("draining")
        at_once = number == signal.SIGHUP
        drain_s = 0.0 if at_once else float(settings.get("drain_s"))
        if order.alone:
            front.draining = True
        loop = asyncio.get_running_loop()
        if leave is not None:
            leave(partial(loop.call_soon_threadsafe, server.stop))
            loop.call_later(drain_s, server.stop)
        elif order.linger_s and not at_once:
            loop.call_later(order.linger_s, server.stop, drain_s)
        else:
            server.stop(drain_s)

    return asked_to_stop


def _ticking(
    order: Spec, parts: Sequence[Recorder | Sampling | Versions | Tokens | Secure | None]
) -> Callable[[], None]:
    """What is done about once a second."""
    from autodeploy_magic.serve.log import keep_small

    log_file, log_bytes = Path(order.log_file), int(settings.get("log_bytes"))
    ticks = [part.tick for part in parts if part is not None]

    def tick() -> None:
        if order.log_file:
            keep_small(log_file, log_bytes)
        for each in ticks:
            each()

    return tick


async def _may_serve(channel: socket.socket, ready: dict[str, Any]) -> bool:
    """Report ready and wait for leave to serve; false where the channel closes instead."""
    _tell(channel, ready)
    channel.setblocking(False)
    try:
        return bool(await asyncio.get_running_loop().sock_recv(channel, 1))
    except ConnectionResetError:
        return False


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
        fix=f"{log_of(order.name)} shows where it failed",
    )
