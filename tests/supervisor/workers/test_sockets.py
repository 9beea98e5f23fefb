"""Listening sockets and ports."""

from __future__ import annotations

import socket

import pytest

from autodeploy_magic.errors import InvalidOption, PortTaken
from autodeploy_magic.supervisor.workers.sockets import FIRST_PORT, PORTS, listen


def test_a_port_is_chosen_once_for_a_name() -> None:
    with listen("127.0.0.1", 0, key="iris") as first:
        port = first.getsockname()[1]
        assert FIRST_PORT <= port < FIRST_PORT + PORTS
        with listen("127.0.0.1", 0, key="iris") as second:  # taken: the next one
            assert second.getsockname()[1] != port
    with listen("127.0.0.1", 0, key="iris") as again, listen("127.0.0.1", 0, key="iris", avoid={port}) as other:
        assert again.getsockname()[1] == port
        assert other.getsockname()[1] != port


def test_connections_that_are_closing_do_not_keep_a_port() -> None:
    with listen("127.0.0.1", 0) as first:
        address = first.getsockname()
        first.setblocking(True)
        client = socket.create_connection(address)
        served, _ = first.accept()
        served.close()  # the server closes first: TIME_WAIT is on its side
        client.close()
    with listen(*address) as again:
        assert again.getsockname() == address


@pytest.mark.parametrize("host", ["localhost", "", "300.1.1.1", "example.org"])
def test_a_host_is_an_address(host: str) -> None:
    with pytest.raises(InvalidOption, match="not an IP address"):
        listen(host, 0)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidOption, match="not an address of this machine"):
        listen("192.0.2.1", 0)


def test_a_taken_port_names_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken, match="is taken"):
        listen("127.0.0.1", other.getsockname()[1])


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6() -> None:
    try:
        sock = listen("::1", 0)
    except InvalidOption:
        pytest.skip("no IPv6 loopback here")
    with sock:
        assert sock.family == socket.AF_INET6
