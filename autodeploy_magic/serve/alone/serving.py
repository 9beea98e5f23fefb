"""`serve`: one worker in this very process, or several that share its sockets."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.serve.alone.environment import Given
from autodeploy_magic.serve.alone.folder import state_folder, token_file
from autodeploy_magic.serve.alone.order import make_order, read_version
from autodeploy_magic.serve.alone.ports import given_port, note_address
from autodeploy_magic.serve.alone.resources import Resourced, watched
from autodeploy_magic.serve.alone.sockets import listen

if TYPE_CHECKING:
    from autodeploy_magic.serve.worker import Leave

__all__ = ["serve", "serve_here"]

log = logging.getLogger(__name__)

Companion = Callable[[socket.socket], None]

_TLS_FIX = "set AUTODEPLOY_TLS_CERTIFICATE and AUTODEPLOY_TLS_KEY to PEM files that were made together"
_TLS_FIXES = {
    "Permission denied": f"let user {os.getuid()}, which the container runs as, read it: by its mode or its group"
    " (Kubernetes: fsGroup, or the secret's defaultMode)",
    "names no host": "bring one that names the host (openssl req … -addext subjectAltName=DNS:HOST)",
    " ended on ": "bring one that is valid now",
    " begins on ": "bring one that is valid now, or set this machine's clock",
}
"""What stands in an error of `tls` → what to do about it in an image."""

COMPANION_S = 5.0
"""For what a companion still has to say when the worker has ended."""


def serve(given: Given, command: str = "") -> int:
    """Serve until told to stop, and return the exit code. Raises `AutodeployError` for what can be known before."""
    _check_tls(given)
    if given.grpc_port and find_spec("h2") is None:
        raise InvalidOption(
            "AUTODEPLOY_GRPC_PORT is set, and the packages that gRPC needs are not here",
            why="an image has them where its deployment had the gRPC port when it was built",
            fix="deploy with --grpc and build the image again, or leave the variable out",
        )
    version = read_version(given.model)
    listening = [listen(given.host, given.port, given_port(os.environ, command)[0])]
    if given.grpc_port:
        listening.append(listen(given.host, given.grpc_port, "AUTODEPLOY_GRPC_PORT"))
    state = state_folder(given.state)
    file = given.token_file or (str(token_file(state, given.token)) if given.token else "")
    spec = make_order(given, version, state, token_file=file, workers=given.workers)
    scheme = "https" if given.tls else "http"
    try:
        note_address(str(state), given.host, given.port, scheme)
    except OSError as error:
        log.warning("`health` has to go by the environment: %s", error)
    log.info(
        "%s v%d on %s port %d%s%s",
        version.deployment,
        version.number,
        scheme,
        given.port,
        f", and gRPC on port {given.grpc_port}" if given.grpc_port else "",
        "" if given.asks else ", and no token is asked for",
    )
    if given.workers == 1:
        with watched(version.deployment, state):
            return serve_here(spec, listening)
    from autodeploy_magic.serve.alone.crew import Crew

    return Crew(spec, listening, given.workers, version, Resourced(version.deployment, state)).run()


def serve_here(
    spec: dict[str, Any],
    listening: list[socket.socket],
    companion: Companion | None = None,
    leave: Leave | None = None,
) -> int:
    """Be the worker that `spec` tells of; nobody has to let it serve. Must be called by the main thread.

    `companion` is given the other end of the worker's channel, in a thread of its own, and lets it serve. `leave` is
    for one whose requests are to be answered before the server ends: see `serve.worker.main`.
    """
    from autodeploy_magic.serve.worker import main

    ours, theirs = socket.socketpair()
    if companion is None:
        ours.sendall(b"\n")
    beside = threading.Thread(target=companion, args=(ours,), name="companion", daemon=True) if companion else None
    with ours:
        if beside is not None:
            beside.start()
        with theirs:
            code = main(spec, {"channel": theirs, "listen": [each.detach() for each in listening], "leave": leave})
        if beside is not None:
            beside.join(COMPANION_S)
    return code


def _check_tls(given: Given) -> None:
    """Raise `InvalidOption` where no client would take the certificate."""
    if not given.tls:
        return
    from autodeploy_magic import tls

    try:
        tls.usable(tls.read(given.tls, Path()))
    except InvalidOption as error:
        if " is encrypted" in error.what:
            raise
        fix = _TLS_FIXES.get(
            next((words for words in _TLS_FIXES if words in f"{error.what} {error.why}"), ""), _TLS_FIX
        )
        raise InvalidOption(error.what, why=error.why, fix=fix) from error
