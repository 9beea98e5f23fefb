"""What a child of a zygote does: read its order from its channel, run "module:function", answer on the channel.

An order is one JSON line: {"target", "spec", "env", "paths"}; with "nice" and "cores" it gives way to others. A job
answers {"result": …} or {"error": …} and ends; interrupted (SIGINT) it ends without a word, once it has taken back what
it began. A worker is handed the channel and the listening sockets, and speaks for itself. A trial is a worker that ends
with its zygote, as a job does, and so with whoever started it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from autodeploy_magic import registry
from autodeploy_magic.errors import AutodeployError, BuildFailed
from autodeploy_magic.zygote.wire import read_line

__all__ = ["Child", "Kind", "settle"]

log = logging.getLogger(__name__)

Kind = Literal["job", "worker", "trial"]

_GROUP_EVERY_S, _GROUP_TRIES = 0.11, 10


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
        _give_way(order.get("nice", 0), order.get("cores", 0))
        sys.path[:0] = order["paths"]
        if self.kind != "job":
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


def _give_way(nice: int, cores: int) -> None:
    """Let others go first by so much, and use the last `cores` cores alone; 0 for all of them.

    Where memory runs out, this one ends before anything that serves.
    """
    if nice:
        os.nice(nice)
        _give_way_as_a_group(nice)
        with contextlib.suppress(OSError):  # no Linux
            Path("/proc/self/oom_score_adj").write_text("800", "ascii")
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def _give_way_as_a_group(nice: int) -> None:
    """Where Linux groups processes by their session (sched_autogroup), `os.nice` counts within the group alone, and
    each child has a session of its own: the group is told the same. It takes one such order in a tenth of a second.
    """
    for _ in range(_GROUP_TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(nice), "ascii")
        except BlockingIOError:
            time.sleep(_GROUP_EVERY_S)  # the kernel's own limit: there is nothing to wait for but the time
        except OSError:
            return  # no such grouping here
        else:
            return


def _job(channel: socket.socket, target: str, spec: dict[str, Any]) -> int:
    answer: dict[str, Any]
    signal.signal(signal.SIGINT, _interrupted)
    try:
        answer = {"result": registry.load(target)(spec)}
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is done: there is nothing to take back any more
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


def _interrupted(*_: object) -> None:
    """Have a job take back what it began; the next signal must not break that off."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run as a process of its own, where forking is unsafe: `python -m autodeploy_magic.zygote.child '{"kind": …}'`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s: %(message)s")
    return msgspec.json.decode(sys.argv[1], type=Child).run()


if __name__ == "__main__":
    sys.exit(main())
