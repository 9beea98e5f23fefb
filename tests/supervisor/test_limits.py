"""What strangers may cost: raw bytes, without a token, to a worker that refuses them and goes on answering others."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest
from world import WAIT_S, World

from autodeploy_magic import settings
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = pytest.mark.timeout(120)

HEAD = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
MEGABYTE = 1_000_000


@dataclass
class Target:
    """A port, and the process that answers there."""

    port: int
    process: psutil.Process

    @property
    def rss(self) -> int:
        return int(self.process.memory_info().rss)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A deployment whose one worker must outlive it all."""
    home = tmp_path_factory.mktemp("limits") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPLOY_HOME", str(home))
        settings.reset()
        store = Store(home)
        world = World(store, connect(store))
        try:
            status = world.serve(world.version())
            yield Target(httpx.URL(status.url).port or 0, psutil.Process(status.workers[0].pid))
            assert world.supervisor.status("iris").workers == status.workers, "the same worker, to the end"
            assert world.predict().status_code == 200
        finally:
            world.end()


def ask(target: Target, *parts: bytes) -> int:
    """Send the bytes, and return the status of the answer; 0 where the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=WAIT_S) as end:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                end.sendall(part)
        told = b""
        with contextlib.suppress(ConnectionResetError):
            while b"\r\n\r\n" not in told and (more := end.recv(65536)):
                told += more
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", told)
    return int(status[1]) if status else 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"\r\n", 200),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\n\r\n", 421),
        (b"GET /livez HTTP/1.1\r\nhost: rebound.example\r\n\r\n", 421),
        (HEAD + b"host: localhost\r\n\r\n", 421),
        (HEAD + b"host: rebound.example\r\n\r\n", 421),
        (POST + b"content-length: 2\r\n\r\n{}", 401),
        (POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400),
        (POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"content-length: 99999999999999999999999\r\n\r\n{}", 400),
        (POST + b"content-length: 999999999999\r\n\r\n{}", 401),
        (HEAD + b"a: \x00\r\n\r\n", 400),
        (HEAD + b"a: 1\r\n folded\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\nhost: localhost\n\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS to a port that speaks HTTP
    ],
)
def test_what_is_ambiguous_or_foreign_is_refused(target: Target, sent: bytes, status: int) -> None:
    assert ask(target, sent) == status


@pytest.mark.parametrize("header", [b"a: 1\r\n", b"a:\r\n", b"cookie: x=y\r\n"])
def test_thousands_of_headers_are_answered_or_refused(target: Target, header: bytes) -> None:
    assert ask(target, HEAD, header * 10_000, b"\r\n") in (200, 431)


@pytest.mark.parametrize("length", [300_000, 3_000_000])
def test_a_url_without_end_is_refused(target: Target, length: int) -> None:
    assert ask(target, b"GET /livez?" + b"a" * length, b" HTTP/1.1\r\nhost: localhost\r\n\r\n") in (0, 431)


def test_a_head_that_comes_drop_by_drop_is_refused_at_its_limit(target: Target) -> None:
    assert ask(target, HEAD, *(b"x-%d: " % i + b"y" * 1000 + b"\r\n" for i in range(400))) in (0, 431)


def test_a_long_path_is_not_sent_back_whole(target: Target) -> None:
    with socket.create_connection(("127.0.0.1", target.port), timeout=WAIT_S) as end:
        end.sendall(b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        told = b""
        while more := end.recv(65536):
            told += more
    assert told.startswith(b"HTTP/1.1 401")
    assert len(told) < 2000


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"a: " + b"x" * 1000 + b"\r\n", id="trailers"),
        pytest.param(b"x" * 1000, id="one trailer"),
    ],
)
def test_what_follows_a_body_fills_no_memory(target: Target, endless: bytes) -> None:
    before = target.rss
    first = b"" if endless.startswith(b"a: ") else b"a: "
    with socket.create_connection(("127.0.0.1", target.port), timeout=WAIT_S) as end:
        end.sendall(CHUNKED + first)
        block = endless * 100
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 20 * MEGABYTE:
                end.sendall(block)
                sent += len(block)
    assert sent < 20 * MEGABYTE, "the connection was closed before"
    assert target.rss - before < 10 * MEGABYTE


def test_a_body_that_is_refused_is_not_kept(target: Target) -> None:
    before = target.rss
    block = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    assert ask(target, POST + b"transfer-encoding: chunked\r\n\r\n", *[block] * 200) == 401
    assert target.rss - before < 10 * MEGABYTE


def test_a_thousand_idle_connections_hold_up_nobody(target: Target) -> None:
    wanted = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + 200:
        if hard != resource.RLIM_INFINITY and hard < wanted + 200:
            pytest.skip(f"this process may have {hard} files open, {wanted + 200} are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + 200, hard))
    before, open_before = target.rss, target.process.num_fds()
    with contextlib.ExitStack() as held:
        for _ in range(wanted):
            held.enter_context(socket.create_connection(("127.0.0.1", target.port), timeout=WAIT_S))
        assert ask(target, HEAD + b"\r\n") == 200
        assert target.rss - before < 30 * MEGABYTE
        assert target.process.num_fds() - open_before >= wanted - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert ask(target, HEAD + b"\r\n") == 200
