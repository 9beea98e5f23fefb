"""Where a deployment is reached: its URL, and the address behind it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from autodeploy_magic import tls
from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption

__all__ = ["Address", "address_of", "check_open", "grpc_url_of", "is_loopback", "url_of"]


@dataclass(frozen=True)
class Address:
    """`host` is the address to connect to, `name` what the URL and the certificate call it; mostly the same.

    `path` is what every path begins with, "" for a deployment that has its port to itself.
    """

    scheme: str
    host: str
    name: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """What a Host header says."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


def address_of(desired: Desired) -> Address:
    """Where the deployment is, or will be once it has a port."""
    if desired.target == "ray":
        parts = urlsplit(desired.url)
        host = parts.hostname or ""
        return Address(parts.scheme, host, host, parts.port or 80, parts.path)
    if not desired.tls:
        return Address("http", desired.host, desired.host, desired.port)
    return Address("https", desired.host, _name(desired), desired.port)


def url_of(desired: Desired) -> str:
    """The URL of a deployment; empty before its first start has chosen a port."""
    if desired.target == "ray":
        return desired.url
    return address_of(desired).url if desired.port else ""


def grpc_url_of(desired: Desired) -> str:
    """Where gRPC clients connect to, "address:port" as they take it; empty where it is not asked for."""
    if not desired.grpc or not desired.grpc_port:
        return ""
    return Address("", desired.host, address_of(desired).name, desired.grpc_port).authority


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_open(host: str, hosts: str = "") -> None:
    """Raise `InvalidOption` where a deployment that asks for no token would be open to others than this machine.

    `hosts` is the setting of that name.
    """
    if "*" in [name.strip() for name in hosts.split(",")]:
        raise InvalidOption(
            "a deployment that answers to any host needs its token",
            why="AUTODEPLOY_HOSTS=* lets in pages that rebind their own name to this machine; only the token is left",
            fix="leave --no-auth out, or list the hosts by their names",
        )
    if not is_loopback(host):
        raise InvalidOption(
            f"a deployment on {host} needs its token",
            why="--no-auth lets in whoever reaches the port, and that address is reached from other machines",
            fix="leave --no-auth out, or deploy under a new name with AUTODEPLOY_HOST=127.0.0.1",
        )


def _name(desired: Desired) -> str:
    """What the certificate calls the host: its address, else a name that the person listed, else the first it has."""
    if desired.tls == tls.AUTO:
        return desired.host  # ours are made for it
    try:
        certificate = tls.read(desired.tls, Path())
    except InvalidOption:
        return desired.host  # it was there at the deploy; whoever connects is told what is wrong with it now
    listed = (name.strip() for name in str(desired.settings.get("hosts", "")).split(","))
    found = [name for name in (desired.host, *listed, *certificate.names) if name and "*" not in name]
    return next((name for name in found if certificate.covers(name)), desired.host)
