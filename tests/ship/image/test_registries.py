"""Images from a registry: tokens and logins go where they belong, and each refusal is told for what it is."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bases import HERE, as_layout

from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.image.base import Base, open_base
from autodeploy_magic.ship.image.registries import Name, login


class Registry:
    """A registry with one repository, team/base, that answers from a layout. `asked` are paths and authorizations.

    Who asks needs a token of its server; with `password` that one wants a login. Blobs lie on another server.
    """

    def __init__(self, layout: Path) -> None:
        self.layout, self.password, self.broken = layout, "", 0
        self.asked: list[tuple[str, str]] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.host, self.store = (f"127.0.0.1:{server.server_port}" for server in self.servers)

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        path, given = to.path, to.headers.get("Authorization", "")
        self.asked.append((f"{to.headers['Host']}{path}", given))
        if path.startswith("/token"):
            wanted = f"Basic {base64.b64encode(f'me:{self.password}'.encode()).decode()}" if self.password else ""
            if given != wanted:
                return self.send(to, 401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "wrong login"}]}')
            return self.send(to, 200, json.dumps({"token": "good"}).encode())
        if to.headers["Host"] == self.store:
            return self.send(to, 200, (self.layout / "blobs" / "sha256" / path.rpartition("/")[2]).read_bytes())
        if given != "Bearer good":
            challenge = f'Bearer realm="http://{self.host}/token",service="test",scope="repository:team/base:pull"'
            return self.send(to, 401, b"{}", ("WWW-Authenticate", challenge))
        if self.broken:
            return self.send(to, self.broken, b'{"errors": [{"code": "X", "message": "in its own words"}]}')
        kind, _, name = path.removeprefix("/v2/team/base/").partition("/")
        blob = self.layout / "blobs" / name.replace(":", "/")
        if kind == "manifests" and name == "1":
            return self.send(to, 200, (self.layout / "index.json").read_bytes(), ("Content-Type", INDEX))
        if kind == "blobs" and blob.is_file():
            return self.send(to, 307, b"", ("Location", f"http://{self.store}/data/{blob.name}"))
        if kind == "manifests" and blob.is_file():
            return self.send(to, 200, blob.read_bytes(), ("Content-Type", MANIFEST))
        return self.send(to, 404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')

    @staticmethod
    def send(to: BaseHTTPRequestHandler, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        to.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)


INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    layout = as_layout(
        tmp_path / "layout",
        names=(f"etc/{tmp_path.name}", f"bin/python{HERE}"),
        platforms=("linux/amd64", "linux/arm64"),
    )
    found = Registry(layout)
    yield found
    found.close()


def logged_in(tmp_path: Path, registry: str, password: str) -> None:
    (tmp_path / "docker").mkdir()
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))


def pulled(registry: Registry, name: str = "team/base:1", platform: str = "linux/amd64") -> Base:
    return open_base(f"{registry.host}/{name}", python=HERE, platform=platform)


def test_anybody_may_pull_what_is_public_and_layers_are_fetched_once(registry: Registry) -> None:
    one, arm = pulled(registry), pulled(registry, platform="linux/arm64")
    assert (one.config["architecture"], arm.config["architecture"]) == ("amd64", "arm64")
    assert one.layers[0] == arm.layers[0]
    assert one.layers[0].file.is_file()
    layer = one.layers[0].digest.removeprefix("sha256:")
    assert sum(layer in path for path, _ in registry.asked) == 2  # the registry, and where it sends to; not again
    assert pulled(registry, f"team/base@{one.digest}").digest == one.digest


def test_a_login_goes_to_the_server_for_tokens_and_no_further(registry: Registry, tmp_path: Path) -> None:
    registry.password = "secret"
    logged_in(tmp_path, registry.host, "secret")
    assert pulled(registry).layers
    basic = [path for path, given in registry.asked if given.startswith("Basic")]
    assert basic
    assert all(path.startswith(f"{registry.host}/token") for path in basic)
    assert not [given for path, given in registry.asked if path.startswith(registry.store) and given]


@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_missing_or_wrong_login_is_said(registry: Registry, tmp_path: Path, password: str) -> None:
    registry.password = "secret"
    if password:
        logged_in(tmp_path, registry.host, password)
    with pytest.raises(ShipFailed, match="does not let") as caught:
        pulled(registry)
    assert f"docker login {registry.host}" in caught.value.fix
    assert "wrong login" in caught.value.why
    assert not password or password not in str(caught.value).replace("wrong login", "")


def test_an_image_that_is_not_there_is_said(registry: Registry) -> None:
    with pytest.raises(ShipFailed, match="there is no image") as caught:
        pulled(registry, "team/base:2")
    assert "manifest unknown" in caught.value.why


def test_a_platform_that_is_not_there_is_said(registry: Registry) -> None:
    with pytest.raises(ShipFailed, match="has no image for linux/s390x"):
        pulled(registry, platform="linux/s390x")


@pytest.mark.parametrize(("status", "words"), [(429, "asked too often"), (500, "answers 500"), (403, "does not let")])
def test_what_a_registry_says_is_told(registry: Registry, status: int, words: str) -> None:
    registry.broken = status
    with pytest.raises(ShipFailed, match=words) as caught:
        pulled(registry)
    assert "in its own words" in caught.value.why


def test_a_registry_that_does_not_answer_is_said(registry: Registry) -> None:
    registry.close()
    with pytest.raises(ShipFailed, match="cannot be reached") as caught:
        pulled(registry)
    assert "archive" in caught.value.fix


def test_a_layer_that_is_another_one_is_refused(registry: Registry) -> None:
    blob = max((registry.layout / "blobs" / "sha256").iterdir(), key=lambda file: len(file.read_bytes()))
    for file in (registry.layout / "blobs" / "sha256").iterdir():
        if file.read_bytes()[:2] == b"\x1f\x8b":
            blob = file
    blob.write_bytes(b"\x1f\x8banother")
    with pytest.raises(ShipFailed, match="is damaged"):
        pulled(registry)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("python", Name("docker.io", "library/python", "latest")),
        ("python:3.11-slim", Name("docker.io", "library/python", "3.11-slim")),
        ("docker.io/library/python:3.11", Name("docker.io", "library/python", "3.11")),
        ("me/base", Name("docker.io", "me/base", "latest")),
        ("localhost/base:1", Name("localhost", "base", "1")),
        ("localhost:5000/a/b:1", Name("localhost:5000", "a/b", "1")),
        ("r.example:443/a:1@sha256:" + "0" * 64, Name("r.example:443", "a", "sha256:" + "0" * 64)),
    ],
)
def test_a_reference_is_taken_apart(reference: str, name: Name) -> None:
    assert Name.of(reference) == name
    local = name.registry.startswith("localhost")
    assert name.url.startswith("http://" if local else "https://")


@pytest.mark.parametrize("reference", ["http://a/b", "a b", "A/B", "a/../b", "a\nb", "-a"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(InvalidOption):
        Name.of(reference)


def test_a_helper_is_asked_for_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text('{"credHelpers": {"r.example": "mine", "s.example": "../evil"}}')
    helper = tmp_path / "docker-credential-mine"
    helper.write_text(
        '#!/bin/sh\nread -r name || true\necho "{\\"Username\\": \\"me\\", \\"Secret\\": \\"for $name\\"}"\n'
    )
    helper.chmod(0o700)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert login("r.example") == ("me", "for r.example")
    assert login("s.example") is None
    assert login("t.example") is None
