"""Workers that accept on one socket share what comes, and none of it is lost."""

from __future__ import annotations

import socket
import subprocess
import sys

WAIT_S = 20.0

WORKER = """
import asyncio, socket, sys, uvloop
from autodeploy_magic.serve.http.acceptor import Acceptor

class Named(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(sys.argv[2].encode())
        transport.close()

async def main():
    loop = asyncio.get_running_loop()
    acceptor = Acceptor(socket.socket(fileno=int(sys.argv[1])), Named, None)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    acceptor.close()
    acceptor.close()
    await acceptor.wait_closed()

uvloop.run(main())
"""


class Worker:
    """A process that accepts on a socket it inherited, and tells each connection its name."""

    def __init__(self, listening: socket.socket, name: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(listening.fileno()), name],
            pass_fds=[listening.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def close(self) -> None:
        self._process.communicate(timeout=WAIT_S)
        assert self._process.returncode == 0


def test_connections_that_come_together_are_shared() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        first, second = Worker(listening, "a"), Worker(listening, "b")
        found = [name for _ in range(5) for name in burst(listening.getsockname(), 8)]
        assert min(found.count(b"a"), found.count(b"b")) >= 8, found  # of 40; one took all of a burst before
        assert set(burst(listening.getsockname(), 200)) == {b"a", b"b"}
        first.close()
        assert set(burst(listening.getsockname(), 20)) == {b"b"}
        second.close()


def burst(address: tuple[str, int], count: int) -> list[bytes]:
    """Who answers so many connections that are opened together."""
    found = []
    for one in [socket.create_connection(address, timeout=WAIT_S) for _ in range(count)]:
        with one:
            found.append(one.recv(1))
    return found
