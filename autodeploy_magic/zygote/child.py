"""What a child of a zygote does: read its order from its channel, run "module:function", answer on the channel.

An order is one JSON line: {"target", "spec", "env", "paths"}. A job answers {"result": …} or {"error": …} and ends; a
worker is handed the channel and the listening sockets, and speaks for itself.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import Any, Literal

import msgspec

from autodeploy_magic import registry
from autodeploy_magic.errors import AutodeployError, BuildFailed
from autodeploy_magic.zygote.wire import read_line

__all__ = ["Child", "Kind", "settle"]

log = logging.getLogger(__name__)

Kind = Literal["job", "worker"]


class Child(msgspec.Struct, frozen=True):
    """What a child was given: its channel to the supervisor, its log, and a worker's listening sockets."""

    kind: Kind
    channel: int
    log: int
    listen: tuple[int, ...] = ()

    def run(self) -> int:
        """Do what the order says and return the exit code. 0 where the channel closes first: nobody waits any more."""
        channel = socket.socket(fileno=self.channel)
        line = read_line(channel)
        if line is None:
            return 0
        order: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        os.environ.update(order["env"])
        sys.path[:0] = order["paths"]
        if self.kind == "worker":
            return int(registry.load(order["target"])(order["spec"], {"channel": channel, "listen": self.listen}))
        return _job(channel, order["target"], order["spec"])


def settle(child: Child) -> None:
    """Make a forked process its own: a session, standard streams, signals and random numbers of its own."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(child.log, 1)
    os.dup2(child.log, 2)
    os.close(null)
    os.close(child.log)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if "numpy" in sys.modules:  # Python reseeds its own generator in a forked child, numpy does not
        sys.modules["numpy"].random.seed()


def _job(channel: socket.socket, target: str, spec: dict[str, Any]) -> int:
    answer: dict[str, Any]
    try:
        answer = {"result": registry.load(target)(spec)}
    except AutodeployError as error:
        log.exception("%s failed", target)
        answer = {"error": error.to_payload()}
    except Exception as error:  # a job runs the person's own code and libraries, which may raise anything
        log.exception("%s failed", target)
        answer = {
            "error": BuildFailed(
                f"a step of the build raised {type(error).__name__}", why=str(error), target=target
            ).to_payload()
        }
    try:
        channel.sendall(msgspec.json.encode(answer) + b"\n")
    except (BrokenPipeError, ConnectionResetError):
        return 1  # whoever asked went away
    return 0 if "result" in answer else 1


def main() -> int:
    """Run as a process of its own, where forking is unsafe: `python -m autodeploy_magic.zygote.child '{"kind": …}'`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s: %(message)s")
    return msgspec.json.decode(sys.argv[1], type=Child).run()


if __name__ == "__main__":
    sys.exit(main())
