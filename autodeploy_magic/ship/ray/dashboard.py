"""A Ray cluster's dashboard: the REST calls that deploy, and what their failures mean. Ray itself is not needed here.

Source: docs.ray.io/en/latest/serve/api (REST API v2), and Ray's own job client, for packages.
"""

from __future__ import annotations

import http.client
import os
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.errors import InvalidOption, ShipFailed

__all__ = ["DASHBOARD", "Dashboard", "cluster_token"]

DASHBOARD = "http://127.0.0.1:8265"
"""Where a local cluster's dashboard is."""
_TIMEOUT_S = 30.0
_APPLICATIONS = "/api/serve/applications/"


def cluster_token() -> str:
    """The token of the cluster itself, from where Ray takes it: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    "" where there is none. Raises `ShipFailed` where the file that is named cannot be read.
    """
    token = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    if token:
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    file = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    try:
        return file.read_text("ascii").strip()
    except FileNotFoundError:
        if not named:
            return ""
        raise ShipFailed(f"there is no file {named}", why="RAY_AUTH_TOKEN_PATH names it", fix="put it right") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ShipFailed(f"the cluster's token in {file} cannot be read", why=str(error)) from error


class Dashboard:
    """Calls of one cluster. `address` is http(s)://HOST:PORT of its dashboard. Raises `InvalidOption` for another."""

    def __init__(self, address: str, token: str = "", *, timeout_s: float = _TIMEOUT_S) -> None:
        parts = urllib.parse.urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.username is not None:
            raise InvalidOption(
                f"{address!r} is not the address of a Ray dashboard",
                why="it is an URL with a host, such as http://HOST:8265; ray://… is for Ray's own client",
                fix=f"use {DASHBOARD} for a cluster on this machine",
            )
        self.address = address.rstrip("/")
        self.host = parts.hostname
        self._token = token
        self._secure = parts.scheme == "https"
        self._port = port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/")
        self._timeout_s = timeout_s

    def version(self) -> str:
        """The version of Ray that the cluster runs. Raises `ShipFailed` where nobody answers, or somebody else."""
        answer = self._json("GET", "/api/version")
        found = answer.get("ray_version") if isinstance(answer, dict) else None
        if not isinstance(found, str):
            raise self._foreign(str(answer)[:200])
        return found

    def state(self) -> dict[str, Any]:
        """What Ray Serve runs: "applications" by name, "proxies" by node, "http_options". Raises `ShipFailed`."""
        answer = self._json("GET", _APPLICATIONS)
        if not isinstance(answer, dict):
            raise self._foreign(str(answer)[:200])
        return answer

    def declare(self, applications: Sequence[Mapping[str, Any]], more: Mapping[str, Any]) -> None:
        """Have exactly these `applications` run, of all that were ever declared this way. Raises `ShipFailed`."""
        body = msgspec.json.encode({**more, "applications": list(applications)})
        status, answer = self._exchange("PUT", _APPLICATIONS, body, "application/json")
        if status != http.client.OK:
            raise ShipFailed(
                f"the Ray cluster at {self.address} refused the application",
                why=answer.decode("utf-8", "replace").strip()[-2000:],
                fix="see its dashboard; a cluster of another release may not know an option",
            )

    def clear(self) -> None:
        """End Ray Serve in the cluster, with every application: for when the last one goes."""
        self._checked("DELETE", _APPLICATIONS)

    def has(self, uri: str) -> bool:
        """Whether the cluster holds a package already; if so, it keeps it for some minutes from now."""
        status, answer = self._exchange("GET", _package(uri))
        if status in (http.client.OK, http.client.NOT_FOUND):
            return status == http.client.OK
        raise self._failed("GET", _package(uri), status, answer)

    def upload(self, uri: str, data: bytes) -> None:
        """Give the cluster a package. Raises `ShipFailed`."""
        status, answer = self._exchange("PUT", _package(uri), data, "application/zip", timeout_s=10 * self._timeout_s)
        if status == http.client.REQUEST_ENTITY_TOO_LARGE or b"exceeds" in answer:
            raise ShipFailed(
                f"the version is too large for the cluster: {len(data):,} bytes",
                why=answer.decode("utf-8", "replace").strip()[-300:],
                fix="raise RAY_RUNTIME_ENV_PACKAGE_SIZE_MB there, or have a smaller version made",
            )
        if status != http.client.OK:
            raise self._failed("PUT", _package(uri), status, answer)

    def _json(self, method: str, path: str) -> Any:
        answer = self._checked(method, path)
        try:
            return msgspec.json.decode(answer)
        except msgspec.DecodeError:
            raise self._foreign(answer[:200].decode("latin-1")) from None

    def _checked(self, method: str, path: str) -> bytes:
        status, answer = self._exchange(method, path)
        if status != http.client.OK:
            raise self._failed(method, path, status, answer)
        return answer

    def _exchange(
        self, method: str, path: str, body: bytes | None = None, kind: str = "", *, timeout_s: float = 0.0
    ) -> tuple[int, bytes]:
        headers = {"accept": "application/json", **({"content-type": kind} if kind else {})}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        timeout_s = timeout_s or self._timeout_s
        if self._secure:
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self.host, self._port, timeout=timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(self.host, self._port, timeout=timeout_s)
        try:
            connection.request(method, self._path + path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ShipFailed(
                f"no Ray cluster answers at {self.address}",
                why=f"{type(error).__name__}: {error}",
                fix="start it (ray start --head), or give the address of its dashboard, such as http://HOST:8265",
                unreachable=True,
            ) from error
        finally:
            connection.close()

    def _failed(self, method: str, path: str, status: int, answer: bytes) -> ShipFailed:
        text = answer.decode("utf-8", "replace").strip()[-1000:]
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            return ShipFailed(
                f"the Ray cluster at {self.address} asks for its token"
                if status == http.client.UNAUTHORIZED
                else f"the Ray cluster at {self.address} refuses the token it was given",
                why=text,
                fix="put the cluster's token into RAY_AUTH_TOKEN, or its file into RAY_AUTH_TOKEN_PATH",
            )
        if status == http.client.NOT_IMPLEMENTED:
            return ShipFailed(
                f"the Ray cluster at {self.address} has no Ray Serve",
                why=text,
                fix='pip install "ray[serve]" on its nodes',
            )
        if status == http.client.NOT_FOUND:
            return self._foreign(f"{method} {path} is not known there")
        return ShipFailed(f"the Ray cluster at {self.address} failed: {method} {path} gave {status}", why=text)

    def _foreign(self, why: str) -> ShipFailed:
        return ShipFailed(
            f"what answers at {self.address} is not a Ray dashboard",
            why=why,
            fix="give the address of the dashboard, such as http://HOST:8265, and not that of an application",
        )


def _package(uri: str) -> str:
    protocol, _, name = uri.partition("://")
    return f"/api/packages/{protocol}/{name}"
