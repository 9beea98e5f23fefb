"""An image from a registry, by the distribution API, without an engine: manifests and blobs over HTTP.

Source: OCI distribution-spec 1.1, and Docker's token authentication (distribution.github.io/distribution/spec/auth).
Logins are those that `docker login` and `podman login` left; they go to nobody but the registry they are for, and to
the server that it names for tokens.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.base import LARGEST_RECORD, Base, base_of, sha256_of
from autodeploy_magic.ship.image.blobs import Blobs, check_digest
from autodeploy_magic.ship.image.manifests import INDEXES, MANIFESTS, chosen
from autodeploy_magic.ship.text import check_reference

__all__ = ["Name", "login", "pull"]

WAIT_S = 30.0
"""For a server to answer, and for each part of what it sends."""

_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LOCAL = re.compile(r"(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?")


@dataclass(frozen=True)
class Name:
    """A reference taken apart: "python:3.11" is python of library at Docker Hub."""

    registry: str
    repository: str
    version: str

    @classmethod
    def of(cls, reference: str) -> Name:
        """Raises `InvalidOption` for what cannot name an image."""
        name, _, digest = check_reference(reference).partition("@")
        first, _, rest = name.partition("/")
        registry, path = (
            (first, rest) if rest and (":" in first or "." in first or first == "localhost") else ("", name)
        )
        last = path.rpartition("/")[2]
        tag = last.partition(":")[2]
        repository = path.removesuffix(f":{tag}") if tag else path
        if registry in ("", *_HUB):
            registry = "docker.io"
            repository = repository if "/" in repository else f"library/{repository}"
        return cls(registry, repository, digest or tag or "latest")

    @property
    def url(self) -> str:
        """Where its registry's API is. One of this machine may speak plain HTTP, as engines have it."""
        host = "registry-1.docker.io" if self.registry == "docker.io" else self.registry
        return f"{'http' if _LOCAL.fullmatch(host) else 'https'}://{host}/v2/{self.repository}"


def pull(reference: str, platform: str, blobs: Blobs) -> Base:
    """The image `reference` for `platform`; layers that are kept are not fetched again.

    Raises `ShipFailed`: where the registry cannot be reached, wants a login, does not know the image, or has it for
    other platforms alone.
    """
    name = Name.of(reference)
    registry = _Registry(name, reference)
    digest, data, kind = registry.manifest(name.version)
    try:
        manifest = json.loads(data)
        if kind in INDEXES or "manifests" in manifest:
            digest, manifest = chosen(reference, manifest, platform, registry)
        return base_of(reference, digest, manifest, registry, blobs, platform)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # its records are not what they should be
        raise ShipFailed(
            f"{reference} is not a container image",
            why=f"{type(error).__name__}: {error}",
            fix="use a reference to an image, not to another kind of artifact",
        ) from error


class _Registry:
    """One repository of a registry, as a `base.Source`."""

    def __init__(self, name: Name, reference: str) -> None:
        self._name, self._reference = name, reference
        self._authorization = ""

    def manifest(self, version: str) -> tuple[str, bytes, str]:
        """The digest, the bytes and the media type of a manifest, by its tag or its digest."""
        with self._get(f"/manifests/{version}", accept=(*MANIFESTS, *INDEXES)) as answer:
            data, kind = answer.read(LARGEST_RECORD + 1), str(answer.headers.get("Content-Type", ""))
        digest = sha256_of(data)
        if version.startswith("sha256:") and version != digest:
            raise ShipFailed(f"{self._reference} is damaged", why=f"{version[:19]}… is another one", fix="try again")
        return digest, data, kind.partition(";")[0].strip()

    def record(self, digest: str) -> bytes:
        """A manifest of an index, or a configuration: registries keep the two apart."""
        try:
            with self._get(f"/blobs/{check_digest(digest)}") as answer:
                data: bytes = answer.read(LARGEST_RECORD + 1)
        except ShipFailed as error:
            if not error.details.get("missing"):
                raise
            _, data, _ = self.manifest(digest)
        if sha256_of(data) != digest:
            raise ShipFailed(f"{self._reference} is damaged", why=f"{digest[:19]}… is another one", fix="try again")
        return data

    def blob(self, digest: str, size: int) -> IO[bytes]:
        answer: IO[bytes] = self._get(f"/blobs/{check_digest(digest)}")
        return answer

    def _get(self, path: str, *, accept: tuple[str, ...] = ()) -> Any:
        try:
            return self._ask(path, accept)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise self._refused(error) from error
            challenge = str(error.headers.get("WWW-Authenticate", ""))
        self._authorization = self._authorize(challenge)
        try:
            return self._ask(path, accept)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error

    def _ask(self, path: str, accept: tuple[str, ...]) -> Any:
        headers = {"Accept": ", ".join(accept)} if accept else {}
        return self._open(f"{self._name.url}{path}", headers, self._authorization)

    def _open(self, url: str, headers: dict[str, str], authorization: str) -> Any:
        request = urllib.request.Request(url, headers={"User-Agent": "autodeploy_magic", **headers})  # noqa: S310
        if (
            authorization
        ):  # and not to where it redirects: blobs lie with others, who have their own keys in the address
            request.add_unredirected_header("Authorization", authorization)
        try:
            return urllib.request.urlopen(request, timeout=WAIT_S)  # noqa: S310  # http(s): see `Name.url`
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise ShipFailed(
                f"{urllib.parse.urlsplit(url).hostname} cannot be reached",
                why=f"{self._reference} is to be the base image; {getattr(error, 'reason', error)}",
                fix="try again with a network; or name an archive of a base image: --base /path/of/base.tar",
            ) from error

    def _authorize(self, challenge: str) -> str:
        """What to send after a registry said who may ask: a token of its server, or the login itself."""
        scheme, _, rest = challenge.partition(" ")
        known = login(self._name.registry)
        basic = f"Basic {base64.b64encode(':'.join(known).encode()).decode()}" if known else ""
        if scheme.lower() == "basic":
            if not basic:
                raise self._login_missing("it wants one")
            return basic
        told = dict(_CHALLENGE.findall(rest))
        realm = told.get("realm", "")
        place = urllib.parse.urlsplit(realm)
        if scheme.lower() != "bearer" or not (place.scheme == "https" or _LOCAL.fullmatch(place.netloc)):
            raise ShipFailed(
                f"{self._name.registry} asks for a login in a way that is not known here",
                why=f"it says {scheme or 'nothing'}",
                fix="pull the image with an engine, and build with that",
            )
        scope = told.get("scope") or f"repository:{self._name.repository}:pull"
        query = urllib.parse.urlencode({"service": told.get("service", ""), "scope": scope})
        try:
            with self._open(f"{realm}?{query}", {}, basic) as answer:
                given = json.loads(answer.read(LARGEST_RECORD))
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        return f"Bearer {given.get('token') or given.get('access_token') or ''}"

    def _refused(self, error: urllib.error.HTTPError) -> ShipFailed:
        words = _words(error)
        if error.code in (401, 403):
            return self._login_missing(words)
        if error.code == 404:
            return ShipFailed(
                f"there is no image {self._reference}",
                why=words or f"{self._name.registry} does not know it",
                fix="see what tags there are, and name another base (--base, or the setting image_base)",
                missing=True,
            )
        if error.code == 429:
            return ShipFailed(
                f"{self._name.registry} has been asked too often",
                why=words,
                fix=f"docker login {self._name.registry} raises its limit; or try again later",
            )
        return ShipFailed(f"{self._name.registry} answers {error.code}", why=words, fix="try again later")

    def _login_missing(self, words: str) -> ShipFailed:
        known = login(self._name.registry)
        return ShipFailed(
            f"{self._name.registry} does not let {'this login' if known else 'everybody'} read {self._reference}",
            why=words or "it wants a login",
            fix=f"docker login {self._name.registry}, or podman login; or look whether the name is right",
        )


def login(registry: str) -> tuple[str, str] | None:
    """The name and the password that were left for a registry by `docker login` or `podman login`; None for none."""
    keys = ("https://index.docker.io/v1/", *_HUB) if registry == "docker.io" else (registry, f"https://{registry}")
    for file in _login_files():
        try:
            told = json.loads(file.read_bytes())
        except (OSError, ValueError):
            continue  # none was left here
        helpers = told.get("credHelpers") or {}
        for key in keys:
            entry = (told.get("auths") or {}).get(key) or {}
            if entry.get("auth"):
                name, _, password = base64.b64decode(entry["auth"]).decode("utf-8", "replace").partition(":")
                return name, password
            helper = helpers.get(key) or (told.get("credsStore") if key in (told.get("auths") or {}) else None)
            found = _of_helper(str(helper), key) if helper else None
            if found:
                return found
    return None


def _login_files() -> list[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    named = [os.environ.get("REGISTRY_AUTH_FILE", ""), f"{runtime}/containers/auth.json" if runtime else ""]
    docker = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    return [*(Path(name) for name in named if name), docker / "config.json"]


def _of_helper(helper: str, key: str) -> tuple[str, str] | None:
    """What a program `docker-credential-HELPER` knows of a registry."""
    if not re.fullmatch(r"[\w.-]+", helper):
        return None
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"], input=key.encode(), capture_output=True, timeout=WAIT_S, check=True
        )
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None  # it is not installed, or knows none
    return (told["Username"], told["Secret"]) if told.get("Secret") else None


def _words(error: urllib.error.HTTPError) -> str:
    """What the registry says itself."""
    try:
        told = json.loads(error.read(LARGEST_RECORD))["errors"][0]
        return " ".join(f"{told.get('code', '')}: {told.get('message', '')}".split())[:300]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return str(error.reason)[:300]
