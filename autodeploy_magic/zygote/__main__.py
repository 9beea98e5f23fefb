"""The zygote process: `EXECUTABLE -m autodeploy_magic.zygote FD`, with a unix socket to its owner as FD.

It is told {"id", "kind"} with the child's descriptors beside it: channel, log, and for a worker the listening sockets.
It says {"started": id, "pid"} or {"refused": id, "why"}, and {"ended": pid, "status"} when a child ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from autodeploy_magic.zygote.child import Child, Kind, settle
from autodeploy_magic.zygote.preload import later, preload
from autodeploy_magic.zygote.wire import Inbox, send

log = logging.getLogger("autodeploy_magic.zygote")


class Zygote:
    """Starts children until its owner goes. Single-threaded by design: it only reads, forks and reaps.

    While nobody asks for anything it takes the next step of `idle`, each of which tells whether it may still fork.
    """

    def __init__(self, owner: socket.socket, *, forks: bool, idle: Iterator[bool]) -> None:
        self._owner = owner
        self._forks = forks
        self._idle: Iterator[bool] | None = idle
        self._inbox = Inbox(owner)
        self._children: dict[int, Kind] = {}
        self._spawned: dict[int, subprocess.Popen[bytes]] = {}  # kept, so that it is we who reap them
        self._woken, self._waker = socket.socketpair()

    def serve(self) -> Child | None:
        """Serve the owner. Returns None when it is gone, and in each forked process what that process is to run."""
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the wake-up descriptor does the work
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        waiting = select.poll()  # which keeps nothing in the kernel that a fork would share
        waiting.register(self._owner, select.POLLIN)
        waiting.register(self._woken, select.POLLIN)
        while True:
            readable = [descriptor for descriptor, _ in waiting.poll(None if self._idle is None else 0)]
            if not readable and self._idle is not None:
                self._step(self._idle)
            if self._woken.fileno() in readable:
                self._woken.recv(4096)
                self._reap()
            if self._owner.fileno() in readable:
                messages = self._receive()
                if messages is None:
                    self._end_jobs()
                    return None
                for message, fds in messages:
                    child = self._start(message, fds)
                    if child is not None:
                        return child

    def _step(self, idle: Iterator[bool]) -> None:
        try:
            self._forks = next(idle) and self._forks
        except StopIteration:
            self._idle = None

    def _receive(self) -> Any:
        try:
            return self._inbox.receive()
        except ConnectionResetError:
            return None

    def _start(self, message: dict[str, Any], fds: list[int]) -> Child | None:
        channel, log_fd, *listen = fds
        child = Child(message["kind"], channel, log_fd, tuple(listen))
        try:
            pid = os.fork() if self._forks else self._spawn(child)
        except OSError as error:
            self._say({"refused": message["id"], "why": str(error)})
        else:
            if pid == 0:
                self._leave()
                return child
            self._children[pid] = child.kind
            self._say({"started": message["id"], "pid": pid})
        for fd in fds:
            os.close(fd)
        return None

    def _spawn(self, child: Child) -> int:
        process = subprocess.Popen(
            [sys.executable, "-m", "autodeploy_magic.zygote.child", msgspec.json.encode(child).decode()],
            stdin=subprocess.DEVNULL,
            stdout=child.log,
            stderr=child.log,
            pass_fds=[child.channel, *child.listen],
            start_new_session=True,
        )
        self._spawned[process.pid] = process
        return process.pid

    def _leave(self) -> None:
        """In a forked process: let go of what belongs to the zygote."""
        for sock in (self._owner, self._woken, self._waker):
            sock.close()

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[pid]
                spawned = self._spawned.pop(pid, None)
                if spawned is not None:
                    spawned.returncode = os.waitstatus_to_exitcode(status)
                self._say({"ended": pid, "status": os.waitstatus_to_exitcode(status)})

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the next read finds that the owner is gone
            send(self._owner, message)

    def _end_jobs(self) -> None:
        """Nobody waits for the answers of jobs and trials any more; workers serve on."""
        for pid, kind in self._children.items():
            if kind != "worker":
                os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ProcessLookupError):  # it was not yet the leader of its group
                    os.killpg(pid, signal.SIGKILL)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s: %(message)s")
    owner = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(owner.fileno(), False)
    warm = preload()
    with contextlib.suppress(BrokenPipeError):  # the owner went away meanwhile, which the first read tells
        send(owner, {"warm": msgspec.to_builtins(warm)})
    child = Zygote(owner, forks=warm.forks, idle=later()).serve()
    if child is None:
        os._exit(0)  # there is nothing to take apart
    _run_forked(child)


def _run_forked(child: Child) -> None:
    """Run a child and end its process at once: taking the interpreter apart would copy the pages it shares."""
    code = 70
    try:
        settle(child)
        code = child.run()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:
        log.exception("the process failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


main()
