"""Real receivers, begun as a test needs them, and ended after it; and a look for threads that are left."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from certificates import certificate, new_key, pem
from receivers import Deaf, Letters, Receiver


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    before = {thread for thread in threading.enumerate() if thread.is_alive()}
    with contextlib.ExitStack() as stack:
        yield stack
    left = [thread for thread in threading.enumerate() if thread not in before and "alert" in thread.name]
    for thread in left:
        thread.join(5)
    assert [thread for thread in left if thread.is_alive()] == []


@pytest.fixture
def receiver(stack: contextlib.ExitStack) -> Callable[..., Receiver]:
    def begin(*answers: int, context: ssl.SSLContext | None = None) -> Receiver:
        made = Receiver(answers or (200,), context)
        stack.callback(made.close)
        return made

    return begin


@pytest.fixture
def deaf(stack: contextlib.ExitStack) -> Callable[..., Deaf]:
    def begin(drip: bytes = b"") -> Deaf:
        made = Deaf(drip=drip)
        stack.callback(made.close)
        return made

    return begin


class MailServer(Controller):
    """On a port that the system chooses."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def mail(stack: contextlib.ExitStack) -> Callable[..., tuple[Letters, str]]:
    def begin(answer: str = "250 OK", **options: Any) -> tuple[Letters, str]:
        letters = Letters(answer)
        if options.pop("login", False):
            options |= {"authenticator": letters.authenticate, "auth_required": True}
        controller = MailServer(letters, hostname="127.0.0.1", port=0, **options)
        controller.start()
        stack.callback(controller.stop)
        return letters, f"127.0.0.1:{controller.port}"

    return begin


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that nobody has vouched for, and the server's side of it."""
    key = new_key()
    file = tmp_path_factory.mktemp("tls") / "own.pem"
    file.write_bytes(pem(certificate(key, ["127.0.0.1"]), key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context
