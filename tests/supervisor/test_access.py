"""Who gets in, through a real supervisor: tokens that change, ports without one, and HTTPS."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import certificates
import httpx
import msgspec
import psutil
import pytest
from versions import X
from world import WAIT_S, World, until

from autodeploy_magic import tls
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.serve.http.server import GRACE_S
from autodeploy_magic.supervisor.certificates import wanted_names

pytestmark = pytest.mark.timeout(120)

BODY = {"inputs": X[:1].tolist()}
DAY = 24 * 3600.0


def secure(world: World, name: str = "iris", trusted: Path | None = None) -> httpx.Client:
    """A client that trusts the deployment's certificate alone."""
    file = trusted or tls.made_files(world.store.tls_folder(name))[1]
    return httpx.Client(timeout=WAIT_S, verify=tls.client_context(file), headers=world.headers(name))


def serial(url: str) -> str:
    """Which certificate a new connection is shown."""
    address = httpx.URL(url)
    return ssl.get_server_certificate((address.host, address.port or 0), timeout=WAIT_S)


# --- tokens


def test_a_rotation_under_load_loses_nothing_and_ends_the_old_token_everywhere(world: World) -> None:
    url = world.serve(world.version(), workers=2).url
    old = world.store.token("iris")
    stop = threading.Event()

    def hammer() -> list[str]:
        failed: list[str] = []
        with httpx.Client(timeout=WAIT_S) as client:
            while not stop.is_set():
                answer = client.post(f"{url}/predict", json=BODY, headers=world.headers())
                if answer.status_code != 200:
                    failed.append(answer.text)
        return failed

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(hammer) for _ in range(4)]
        for _ in range(20):
            world.store.rotate_token("iris", grace_s=60)
            _statuses(url, "a stranger's", 1)
        stop.set()
        assert [client.result(WAIT_S) for client in clients] == [[]] * 4
    assert _statuses(url, old, 1) == {200}
    world.store.rotate_token("iris")
    ended = time.monotonic()
    until(lambda: _statuses(url, old, 20) == {401})
    assert time.monotonic() - ended < 5.0, "a second, and what a busy machine adds"
    assert _statuses(url, world.store.token("iris"), 20) == {200}


def test_a_replaced_worker_knows_the_tokens_that_are_still_good(world: World) -> None:
    url = world.serve(world.version()).url
    old = world.store.token("iris")
    new = world.store.rotate_token("iris", grace_s=600)
    worker = world.supervisor.status("iris").workers[0].pid
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in {state.pid for state in world.supervisor.status("iris").workers})
    assert _statuses(url, old, 1) == _statuses(url, new, 1) == {200}


def _statuses(url: str, token: str, times: int) -> set[int]:
    """What fresh connections are answered, which may come to any worker."""
    fresh = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(timeout=WAIT_S, limits=fresh, headers={"authorization": f"Bearer {token}"}) as client:
        return {client.post(f"{url}/predict", json=BODY).status_code for _ in range(times)}


# --- no token


def test_without_a_token_what_a_browser_could_be_made_to_send_is_refused(world: World) -> None:
    status = world.serve(world.version(), auth=False)
    assert not status.auth
    url = f"{status.url}/predict"
    assert httpx.post(url, json=BODY).status_code == 200
    text = httpx.post(url, content=b'{"inputs": [[1, 2, 3, 4]]}', headers={"content-type": "text/plain"})
    assert text.status_code == 415
    assert httpx.post(url, content=b'{"inputs": [[1, 2, 3, 4]]}').status_code == 415, "a type that is left out"
    assert httpx.post(url, json=BODY, headers={"host": "rebound.example"}).status_code == 421
    assert httpx.post(url, json=BODY, headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx.get(f"{status.url}/signature").status_code == 200


def test_a_port_that_others_reach_is_never_without_a_token(world: World) -> None:
    number = world.version()
    with pytest.raises(InvalidOption, match="needs its token"):
        world.serve(number, auth=False, host="0.0.0.0")
    world.serve(number)
    with pytest.raises(InvalidOption, match="any host"):
        world.serve(number, auth=False, settings={"hosts": "*"})
    assert world.predict().status_code == 200
    assert httpx.post(f"{world.supervisor.status('iris').url}/predict", json=BODY).status_code == 401


# --- HTTPS


def test_https_with_a_certificate_of_ours(world: World) -> None:
    status = world.serve(world.version(), tls=tls.AUTO)
    assert status.url.startswith("https://127.0.0.1:")
    assert 396 * DAY < status.certificate_until - time.time() < 397 * DAY
    address = httpx.URL(status.url)
    with secure(world) as client:
        for host in ("127.0.0.1", "localhost"):
            assert client.post(status.url.replace("127.0.0.1", host) + "/predict", json=BODY).status_code == 200
        assert client.post(f"{status.url}/predict", json=BODY, headers={"authorization": ""}).status_code == 401
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{status.url}/livez", timeout=WAIT_S)
    with socket.create_connection((address.host, address.port or 0), timeout=WAIT_S) as plain:
        plain.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200" not in plain.recv(4096)
    assert "Traceback" not in world.supervisor.logs("iris", 100)


def test_https_comes_and_goes_while_the_old_workers_drain(world: World) -> None:
    number = world.version()
    url = world.serve(number).url
    with httpx.Client(timeout=WAIT_S, headers=world.headers()) as plain:
        assert plain.post(f"{url}/predict", json=BODY).status_code == 200
        status = world.serve(number, tls=tls.AUTO)
        assert status.url == url.replace("http:", "https:")
        answer = plain.post(f"{url}/predict", json=BODY)  # the connection it holds is answered once more
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    with secure(world) as client:
        assert client.post(f"{status.url}/predict", json=BODY).status_code == 200
        assert world.serve(number).url == url
        answer = client.post(f"{status.url}/predict", json=BODY)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert world.predict().status_code == 200


def test_swaps_over_https_lose_nothing(world: World) -> None:
    numbers = [world.version(c=1.0), world.version(c=0.01)]
    url = world.serve(numbers[0], tls=tls.AUTO).url
    stop = threading.Event()

    def hammer() -> list[str]:
        failed: list[str] = []
        with secure(world) as client:
            while not stop.is_set():
                try:
                    answer = client.post(f"{url}/predict", json=BODY)
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                    continue
                if answer.status_code != 200:
                    failed.append(answer.text)
        return failed

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(hammer) for _ in range(4)]
        for i in range(1, 5):
            world.serve(numbers[i % 2], tls=tls.AUTO)
        stop.set()
        assert [client.result(WAIT_S) for client in clients] == [[]] * 4


def test_idle_clients_do_not_hold_up_a_drain_over_https(world: World) -> None:
    number = world.version()
    status = world.serve(number, tls=tls.AUTO, settings={"drain_s": 0.2})
    address = httpx.URL(status.url)
    context = tls.client_context(tls.made_files(world.store.tls_folder("iris"))[1])
    with (
        socket.create_connection((address.host, address.port or 0), timeout=WAIT_S) as mute,  # not even a handshake
        socket.create_connection((address.host, address.port or 0), timeout=WAIT_S) as raw,
        context.wrap_socket(raw, server_hostname=address.host) as idle,
    ):
        idle.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        world.serve(number, tls=tls.AUTO, settings={"drain_s": 0.3})
        until(lambda: not psutil.pid_exists(status.workers[0].pid), within_s=GRACE_S - 2)
        assert mute.recv(1) == b""


def test_a_certificate_of_ours_is_made_anew_when_it_must_and_not_before(world: World) -> None:
    number = world.version()
    url = world.serve(number, tls=tls.AUTO).url
    served, trusted = tls.made_files(world.store.tls_folder("iris"))
    first = serial(url)
    world.serve(number, tls=tls.AUTO, workers=2)
    assert serial(url) == first
    world.serve(number, tls=tls.AUTO, settings={"hosts": "models.example.org, *"})
    second = serial(url)
    assert second != first
    assert tls.read(tls.AUTO, served.parent).covers("models.example.org")
    assert trusted.read_text() == second + first, "what workers that drain are verified against is still there"
    key = certificates.new_key()
    desired = world.store.desired("iris")
    ending = certificates.certificate(key, wanted_names(desired), days=29)
    certificates.write(served, ending, key)
    assert world.supervisor.restart("iris", lambda _: None).certificate_until - time.time() > 390 * DAY
    with secure(world) as client:
        assert client.post(f"{url}/predict", json=BODY).status_code == 200


def test_a_certificate_that_is_brought_is_served_and_names_the_url(world: World, tmp_path: Path) -> None:
    key = certificates.new_key()
    file = certificates.write(
        tmp_path / "mine.pem", certificates.certificate(key, ["models.example.org"], days=60), key
    )
    status = world.serve(world.version(), tls=str(file))
    assert status.url.startswith("https://models.example.org:")
    assert status.certificate_until - time.time() == pytest.approx(60 * DAY, abs=120)
    port = httpx.URL(status.url).port
    answer = _by_name(file, "127.0.0.1", port or 0, "models.example.org", world.store.token("iris"))
    assert answer.startswith(b"HTTP/1.1 200")


def _by_name(trusted: Path, host: str, port: int, name: str, token: str) -> bytes:
    """GET /signature from a server that is called by a name which nothing resolves here."""
    with (
        socket.create_connection((host, port), timeout=WAIT_S) as raw,
        tls.client_context(trusted).wrap_socket(raw, server_hostname=name) as end,
    ):
        head = f"GET /signature HTTP/1.1\r\nhost: {name}:{port}\r\nauthorization: Bearer {token}\r\n\r\n"
        end.sendall(head.encode())
        return end.recv(4096)


def test_a_certificate_that_cannot_serve_changes_nothing(world: World, tmp_path: Path) -> None:
    number = world.version()
    url = world.serve(number).url
    key = certificates.new_key()
    ended = certificates.certificate(key, ["127.0.0.1"], days=-1, since_days=9)
    for bad, told in (
        (str(tmp_path / "nowhere.pem"), "gives no certificate"),
        (str(certificates.write(tmp_path / "ended.pem", ended, key)), "ended on"),
    ):
        with pytest.raises(InvalidOption, match=told):
            world.serve(number, tls=bad)
        assert world.predict().status_code == 200
    assert world.supervisor.status("iris").url == url
    assert world.store.desired("iris").tls == ""


def test_a_new_supervisor_takes_over_what_is_served_over_https(world: World) -> None:
    status = world.serve(world.version(), tls=tls.AUTO)
    world.kill_supervisor()
    found = world.supervisor.status("iris")
    assert (found.url, found.workers, found.auth) == (status.url, status.workers, status.auth)
    assert found.certificate_until == status.certificate_until
    with secure(world) as client:
        assert client.post(f"{status.url}/predict", json=BODY).status_code == 200


def test_what_a_certificate_of_ours_covers(world: World) -> None:
    world.serve(world.version())
    everywhere: dict[str, Any] = {"host": "0.0.0.0", "settings": {"hosts": "a.example,*.b.example:443,*"}}
    desired = world.store.desired("iris")
    names = wanted_names(msgspec.structs.replace(desired, **everywhere))
    assert {"0.0.0.0", "127.0.0.1", "::1", "localhost", "a.example", "*.b.example"} <= set(names)
    assert "*" not in names
    assert len(names) == len(set(names))
